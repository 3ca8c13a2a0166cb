"""The draw of a stack's camera: its statistics, and the geometry of its magnifications and shifts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from focalsim.camera import draw_camera, focus_schedule_m, load_profile, sensor_distance_m
from focalsim.errors import ProfileError
from focalsim.rng import sample_rng

WIDTH_PX = 352
FOCUS_M = focus_schedule_m(0.1, 1.0, 10)


@pytest.fixture
def profile():
    return load_profile("pixel4")


def perfect(profile):
    """The same phone without any error."""
    zero = {name: 0.0 for name in profile.sources if name.startswith(("fov_error", "principal_point"))}
    return replace(profile, **zero)


def test_a_perfect_phone_breathes_as_the_thin_lens(profile):
    camera = draw_camera(perfect(profile), FOCUS_M, WIDTH_PX, np.random.default_rng(0))
    v = sensor_distance_m(profile.focal_length_m, FOCUS_M)
    np.testing.assert_allclose(camera.magnification, v / v[0], rtol=1e-12)
    assert np.all(np.diff(camera.magnification) > 0)
    assert np.all(camera.principal_point_px == 0)


def test_breathing_of_a_real_phone():
    # A stack of a Pixel 6 Pro: 0.35 m against 0.90 m measured 0.9880 in field of view.
    v = sensor_distance_m(6.8e-3, np.array([0.90, 0.35]))
    assert v[0] / v[1] == pytest.approx(0.9880, abs=5e-4)


def test_field_of_view_error_is_linear_in_inverse_distance(profile):
    camera = draw_camera(profile, FOCUS_M, WIDTH_PX, np.random.default_rng(0))
    expected = -0.00266 / FOCUS_M + 0.019155
    np.testing.assert_allclose(camera.fov_error, expected, rtol=1e-9)
    v = sensor_distance_m(profile.focal_length_m, FOCUS_M)
    field = v[-1] / v + expected
    np.testing.assert_allclose(camera.magnification, field[0] / field, rtol=1e-12)


def test_statistics_of_the_draw(profile):
    noisy = replace(profile, fov_error_std=0.01)
    n = 4000
    cameras = [draw_camera(noisy, FOCUS_M, WIDTH_PX, sample_rng(0, i, "camera")) for i in range(n)]
    shifts = np.concatenate([camera.principal_point_px for camera in cameras]) * 4032 / WIDTH_PX
    errors = np.stack([camera.fov_error for camera in cameras])
    # Five standard errors of a mean of 40 000, and of a standard deviation.
    mean, std = np.array([-4.45515, -9.9504701]), np.array([7.18485, 8.04556863])
    np.testing.assert_allclose(shifts.mean(0), mean, atol=5 * std.max() / np.sqrt(10 * n))
    np.testing.assert_allclose(shifts.std(0), std, rtol=5 / np.sqrt(2 * 10 * n))
    np.testing.assert_allclose(errors.mean(0), -0.00266 / FOCUS_M + 0.019155, atol=5 * 0.01 / np.sqrt(n))
    np.testing.assert_allclose(errors.std(0), 0.01, rtol=5 / np.sqrt(2 * n))


def test_shifts_of_slices_are_drawn_independently(profile):
    shifts = np.stack([
        draw_camera(profile, FOCUS_M, WIDTH_PX, sample_rng(1, i, "camera")).principal_point_px[:, 0]
        for i in range(2000)
    ])  # fmt: skip
    correlation = np.corrcoef(shifts.T) - np.eye(len(FOCUS_M))
    assert np.abs(correlation).max() < 5 / np.sqrt(2000)


def test_the_same_generator_draws_the_same_and_others_differ(profile):
    first, again, other = (
        draw_camera(profile, FOCUS_M, WIDTH_PX, sample_rng(0, i, "camera")).principal_point_px for i in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("reference", [-1, 0, 4])
def test_relative_to_composes_with_the_reference_slices_own_map(profile, reference):
    camera = draw_camera(profile, FOCUS_M, WIDTH_PX, np.random.default_rng(5))
    magnification, shift = camera.relative_to(reference)
    x_source = np.array([31.0, -87.0])  # from the image centre
    x_reference = camera.magnification[reference] * x_source + camera.principal_point_px[reference]
    for n in range(len(FOCUS_M)):
        x_slice = camera.magnification[n] * x_source + camera.principal_point_px[n]
        np.testing.assert_allclose(magnification[n] * x_reference + shift[n], x_slice, rtol=1e-12)


def test_relative_to_is_exactly_nothing_at_the_reference(profile):
    for seed in range(50):
        camera = draw_camera(profile, FOCUS_M, WIDTH_PX, np.random.default_rng(seed))
        magnification, shift = camera.relative_to(-1)
        assert magnification[-1] == 1
        assert np.all(shift[-1] == 0)


def test_errors_that_leave_no_field_of_view(profile):
    absurd = replace(profile, fov_error_slope_m=-0.1, fov_error_intercept=-0.5)
    with pytest.raises(ProfileError, match=r"'pixel4': the field-of-view error .* leaves no field of view"):
        draw_camera(absurd, FOCUS_M, WIDTH_PX, np.random.default_rng(0))
