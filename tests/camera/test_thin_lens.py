"""The thin lens, held against the equations of any textbook and numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from focalsim.camera import coc_diameter_px, focus_schedule_m, sensor_distance_m
from focalsim.errors import ConfigError

F_M, N, SENSOR_M, WIDTH_PX = 4.4e-3, 1.7, 4032 * 1.4e-6, 352


def coc_px(depth_m, focus_m, f_number=N):
    return coc_diameter_px(
        depth_m, focus_m, focal_length_m=F_M, f_number=f_number, sensor_width_m=SENSOR_M, width_px=WIDTH_PX
    )


def test_sensor_distance_is_the_lens_equation():
    s = np.array([0.05, 0.1, 1.0, 100.0])
    np.testing.assert_allclose(1 / s + 1 / sensor_distance_m(F_M, s), 1 / F_M, rtol=1e-12)


def test_sensor_distance_by_hand():
    # 50 mm lens at 1 m: 50 * 1000 / 950 = 52.6316 mm.
    assert sensor_distance_m(0.05, 1.0) == pytest.approx(0.0526316, rel=1e-6)


def test_sensor_distance_approaches_the_focal_length():
    assert sensor_distance_m(F_M, 1e9) == pytest.approx(F_M, rel=1e-9)


@pytest.mark.parametrize("focus_m", [F_M, 0.001, 0.0, -1.0, float("nan")])
def test_no_image_within_the_focal_length(focus_m):
    with pytest.raises(ConfigError, match="must exceed the focal length"):
        sensor_distance_m(F_M, focus_m)


def test_coc_by_hand():
    # Similar triangles, without the formula of the code: the point at d images at v_d; its cone, as wide
    # as the aperture at the lens, is cut at v_s.
    depth_m, focus_m = 0.3, 0.15
    v_s, v_d = F_M * focus_m / (focus_m - F_M), F_M * depth_m / (depth_m - F_M)
    diameter_m = F_M / N * abs(v_s - v_d) / v_d
    assert coc_px(depth_m, focus_m) == pytest.approx(diameter_m * WIDTH_PX / SENSOR_M, rel=1e-9)


def test_coc_is_zero_in_focus_and_grows_away_from_it():
    assert coc_px(0.25, 0.25) == 0
    behind, before = coc_px(np.linspace(0.25, 5, 50), 0.25), coc_px(np.linspace(0.25, 0.05, 50), 0.25)
    assert np.all(np.diff(behind) > 0)
    assert np.all(np.diff(before) > 0)


def test_coc_doubles_with_the_aperture():
    assert coc_px(1.0, 0.2, f_number=N / 2) == pytest.approx(2 * coc_px(1.0, 0.2), rel=1e-12)


def test_coc_is_linear_in_inverse_depth():
    inverse = np.linspace(1, 4, 7)
    np.testing.assert_allclose(np.diff(coc_px(1 / inverse, 0.2), n=2), 0, atol=1e-9)


def test_schedule_is_uniform_in_inverse_distance_and_far_to_near():
    s = focus_schedule_m(0.1, 1.0, 10)
    assert (s[0], s[-1]) == (1.0, pytest.approx(0.1, abs=1e-12))
    np.testing.assert_allclose(np.diff(1 / s), 1.0, rtol=1e-12)


def test_schedule_of_one_slice_is_at_the_middle_of_the_blur():
    (s,) = focus_schedule_m(0.1, 1.0, 1)
    assert 1 / s == pytest.approx((1 / 0.1 + 1 / 1.0) / 2)
    assert focus_schedule_m(0.5, 0.5, 1) == [0.5]


@pytest.mark.parametrize(
    ("near_m", "far_m", "slices", "message"),
    [
        (1.0, 0.1, 10, "near must be smaller than far"),
        (0.5, 0.5, 2, "near must be smaller than far"),
        (0.0, 1.0, 10, "positive distances"),
        (-0.1, 1.0, 10, "positive distances"),
        (0.1, float("inf"), 10, "positive distances"),
        (float("nan"), 1.0, 10, "positive distances"),
        (0.1, 1.0, 0, "at least 1 slice"),
    ],
)
def test_schedules_that_cannot_be(near_m, far_m, slices, message):
    with pytest.raises(ConfigError, match=message):
        focus_schedule_m(near_m, far_m, slices)
