"""Pictures that are a part of the source: what lies around them blurs in, as in a larger picture cropped afterwards."""

from __future__ import annotations

import numpy as np
import pytest

from focalsim.camera import LateralColor
from focalsim.errors import RenderError
from focalsim.render import render_stack, warp_frame

# On a sensor as wide as 64 pixels of the source; blur discs of some 10 px.
LENS = {"focal_length_m": 4.4e-3, "f_number": 1.7}
SENSOR_M = 4032 * 1.4e-6 / 8
FOCUS = [1.0, 0.1]
MARGIN = 24
WINDOW = (MARGIN, MARGIN, 64, 48)


def larger_frame(seed=3):
    rng = np.random.default_rng(seed)
    shape = (48 + 2 * MARGIN, 64 + 2 * MARGIN)
    rgb = rng.random((*shape, 3)).astype(np.float32)
    depth = np.full(shape, 0.8, np.float32)
    depth[30:60, 10:50] = 0.12  # a near thing that crosses the picture's left border
    return rgb, depth


def cropped(image):
    return image[..., MARGIN : MARGIN + 48, MARGIN : MARGIN + 64, :]


def render(rgb, depth, sensor_m=SENSOR_M, **given):
    return render_stack(rgb, depth, **LENS, sensor_width_m=sensor_m, focus_distances_m=FOCUS, **given)


def test_a_window_is_a_larger_rendering_cropped():
    rgb, depth = larger_frame()
    window = render(rgb, depth, window=WINDOW)
    larger = render(rgb, depth, SENSOR_M * rgb.shape[1] / 64)
    np.testing.assert_allclose(window, cropped(larger), atol=2e-5)
    alone = render(cropped(rgb), cropped(depth[..., None])[..., 0])
    inner = (slice(None), slice(16, -16), slice(16, -16))
    np.testing.assert_allclose(window[inner], alone[inner], atol=1e-3)
    assert np.abs(window - alone)[:, 16:-16, :4].max() > 0.02


def test_with_breathing_too():
    rgb, depth = larger_frame()
    motion = {"magnification": [0.95, 1.04], "principal_point_px": [[1.3, -0.6], [-2.2, 0.4]]}
    window = render(rgb, depth, window=WINDOW, **motion)
    larger = render(rgb, depth, SENSOR_M * rgb.shape[1] / 64, **motion)
    np.testing.assert_allclose(window, cropped(larger), atol=2e-5)


def test_a_bright_point_just_outside_bleeds_in():
    rgb = np.zeros((48 + 2 * MARGIN, 64 + 2 * MARGIN, 3), np.float32)
    depth = np.full(rgb.shape[:2], 0.8, np.float32)
    rgb[MARGIN + 20, MARGIN - 2] = 50.0  # two pixels left of the picture
    stack = render(rgb, depth, window=WINDOW)
    assert np.abs(stack[0]).max() < 1.5  # in focus it stays outside, but for the interpolation's ripples
    assert stack[1, 18:23, :2].min() > 0.1  # out of focus its disc reaches in
    assert cropped(rgb).max() == 0


def test_from_a_larger_source():
    """The margin counts in source pixels; blur and shift in output pixels, as ever."""
    rgb, depth = larger_frame()
    fine = rgb.repeat(2, axis=0).repeat(2, axis=1), depth.repeat(2, axis=0).repeat(2, axis=1)
    motion = {"magnification": [1.0, 1.04], "principal_point_px": [[1.0, 0.0], [0.0, -2.0]], "output_size": (64, 48)}
    coarse = render(rgb, depth, window=WINDOW, **motion)
    from_fine = render(*fine, window=tuple(2 * n for n in WINDOW), **motion)
    smooth = np.abs(from_fine[1] - coarse[1])  # the blurred slice: both sources hold the same light
    assert smooth.mean() < 0.01
    larger = render(*fine, SENSOR_M * rgb.shape[1] / 64, **{**motion, "output_size": (112, 96)})
    np.testing.assert_allclose(from_fine, cropped(larger), atol=2e-5)


def test_the_sharp_frame_sees_the_margin_too():
    rgb, depth = larger_frame()
    valid = np.ones(depth.shape, bool)
    where = {"magnification": 0.8, "principal_point_px": (3.0, 0.0), "output_size": (64, 48)}
    sharp, depth_m, known = warp_frame(rgb, depth, valid, **where, window=WINDOW)
    assert known.all()
    alone = warp_frame(cropped(rgb), cropped(depth[..., None])[..., 0], cropped(valid[..., None])[..., 0], **where)
    assert not alone[2].all()
    np.testing.assert_array_equal(depth_m[alone[2]], alone[1][alone[2]])
    np.testing.assert_allclose(sharp[12:-12, 16:-16], alone[0][12:-12, 16:-16], atol=1e-5)


def test_the_whole_frame_is_the_default():
    rgb, depth = larger_frame()
    whole = (0, 0, rgb.shape[1], rgb.shape[0])
    np.testing.assert_array_equal(render(rgb, depth, window=whole), render(rgb, depth))


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ((0, 0, 64), "must be \\(left, top, width, height\\)"),
        ((0.5, 0, 64, 48), "whole pixels"),
        ((-1, 0, 64, 48), r"window 64x48 at \(-1, 0\) does not lie in the 112x96 frame"),
        ((60, 0, 64, 48), "does not lie in"),
        ((0, 0, 1, 1), "does not lie in"),
    ],
)
def test_windows_that_cannot_be(window, message):
    with pytest.raises(RenderError, match=message):
        render(*larger_frame(), window=window)


# Lateral colour


def test_lateral_colour_scales_red_and_blue_about_the_optical_axis():
    size, scale = 129, 0.02
    rgb = np.zeros((size, size, 3), np.float32)
    rgb[64, 114] = rgb[24, 64] = 1.0
    depth = np.full((size, size), 1.0, np.float32)
    slices = render_stack(
        rgb, depth, **LENS, sensor_width_m=1.0, focus_distances_m=[1.0], principal_point_px=[[2.0, 0.0]],
        lateral_color=LateralColor(scale, -scale),
    )[0]  # fmt: skip
    y, x = np.mgrid[:size, :size]
    for channel, s in enumerate((1 + scale, 1.0, 1 - scale)):
        for px, py in ((114, 64), (64, 24)):
            want = 66 + s * (px - 64), 64 + s * (py - 64)
            light = slices[..., channel] * (np.hypot(x - want[0], y - want[1]) < 6)
            assert (light * x).sum() / light.sum() == pytest.approx(want[0], abs=0.03)
            assert (light * y).sum() / light.sum() == pytest.approx(want[1], abs=0.03)


def test_lateral_colour_leaves_green_and_the_middle_alone():
    rgb, depth = larger_frame()
    motion = {"magnification": [1.0, 1.03], "principal_point_px": [[0.4, 0.2], [0.0, 0.0]]}
    plain, coloured = render(rgb, depth, **motion), render(rgb, depth, **motion, lateral_color=LateralColor(0.001, 0.0))
    np.testing.assert_array_equal(plain[..., 1:], coloured[..., 1:])
    apart = np.abs(plain - coloured)[..., 0]
    assert apart[:, 46:50, 54:58].max() < 0.05 * apart.max()
