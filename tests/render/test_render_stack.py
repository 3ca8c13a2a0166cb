"""The renderer argued from physics: what a thin lens must do, whatever the implementation."""

from __future__ import annotations

import numpy as np
import pytest

from focalsim.camera import coc_diameter_px
from focalsim.camera.effects import Aperture
from focalsim.color import linear_to_srgb
from focalsim.errors import RenderError
from focalsim.render import render_stack, warp_frame

LENS = {"focal_length_m": 4.4e-3, "f_number": 1.7, "sensor_width_m": 4032 * 1.4e-6}
FOCUS = np.array([1.0, 0.25, 0.1])


def noise_frame(height=48, width=64, seed=0):
    return np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)


def step_depth(height=48, width=64, near=0.12, far=0.9):
    depth = np.full((height, width), far, np.float32)
    depth[height // 4 : -height // 4, width // 4 : -width // 4] = near
    return depth


def point_stack(blur_px, *, f_number=1.7, size=129):
    """A point of light so far from the plane in focus that its disc has the wanted diameter."""
    rgb = np.zeros((size, size, 3), np.float32)
    rgb[size // 2, size // 2] = 1.0
    focus = 0.1
    gain = blur_px / (9.0 * coc_diameter_px(1.0, focus, **LENS, width_px=size) / 9.0)
    lens = {**LENS, "sensor_width_m": LENS["sensor_width_m"] / float(gain), "f_number": f_number}
    return render_stack(rgb, np.full((size, size), 1.0, np.float32), **lens, focus_distances_m=[focus])[0, ..., 0]


def spread(image):
    """Standard deviation in pixels along x and y of a picture of one point."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(float)
    total = image.sum(dtype=float)
    mean_x, mean_y = (image * x).sum() / total, (image * y).sum() / total
    return np.sqrt((image * (x - mean_x) ** 2).sum() / total), np.sqrt((image * (y - mean_y) ** 2).sum() / total)


@pytest.mark.parametrize("blur_px", [1.0, 1.7, 3.0, 6.3, 12.87, 25.0, 40.0])
def test_a_point_becomes_a_disc_with_second_moment_c_over_4(blur_px):
    image = point_stack(blur_px)
    assert image.sum() == pytest.approx(1.0, rel=0.05)
    assert spread(image) == pytest.approx((blur_px / 4, blur_px / 4), rel=0.03)


def test_blur_doubles_with_the_aperture():
    assert spread(point_stack(12.0, f_number=0.85))[0] == pytest.approx(2 * spread(point_stack(12.0))[0], rel=0.02)


def test_a_constant_image_stays_constant():
    rgb = np.full((48, 64, 3), 0.37, np.float32)
    stack = render_stack(rgb, step_depth(), **LENS, focus_distances_m=FOCUS, magnification="thin-lens")
    np.testing.assert_allclose(stack, 0.37, atol=1e-5)


def test_in_focus_the_image_is_unchanged():
    rgb = noise_frame()
    stack = render_stack(rgb, np.full((48, 64), 0.25, np.float32), **LENS, focus_distances_m=FOCUS)
    np.testing.assert_allclose(stack[1], rgb, atol=1e-5)
    assert np.abs(stack[0] - rgb).max() > 0.02


def test_in_focus_depth_edges_are_unchanged_too():
    """Un-mixing an edge must not change it: without blur both samples fall back into the pixel they came from."""
    rgb = noise_frame()
    depth = step_depth(near=0.25, far=0.2505)
    lens = {**LENS, "sensor_width_m": LENS["sensor_width_m"] / 40}  # a blur of 0.6 px between the two: an edge
    stack = render_stack(rgb, depth, **lens, focus_distances_m=[0.25])
    inner = depth == np.float32(0.25)
    deep = np.zeros_like(inner)
    deep[16:-16, 20:-20] = True
    np.testing.assert_allclose(stack[0][inner & deep], rgb[inner & deep], atol=1e-5)


def test_blur_grows_away_from_the_focus():
    rgb = noise_frame()
    focus = 1.0 / np.linspace(4.0, 10.0, 5)
    stack = render_stack(rgb, np.full((48, 64), 0.25, np.float32), **LENS, focus_distances_m=focus)
    contrast = stack[:, 8:-8, 8:-8].std(axis=(1, 2, 3))
    assert np.all(np.diff(contrast) < 0)


def test_slices_come_in_the_order_asked_and_one_slice_is_enough():
    rgb, depth = noise_frame(), step_depth()
    stack = render_stack(rgb, depth, **LENS, focus_distances_m=FOCUS)
    np.testing.assert_array_equal(render_stack(rgb, depth, **LENS, focus_distances_m=FOCUS[::-1])[::-1], stack)
    assert render_stack(rgb, depth, **LENS, focus_distances_m=[0.2]).shape == (1, 48, 64, 3)


def test_the_result_does_not_depend_on_the_number_of_threads():
    import numba

    rgb, depth = noise_frame(100, 64), step_depth(100, 64)
    stacks = []
    before = numba.get_num_threads()
    for threads in sorted({1, before}):
        numba.set_num_threads(threads)
        stacks.append(render_stack(rgb, depth, **LENS, focus_distances_m=FOCUS, magnification="thin-lens"))
    numba.set_num_threads(before)
    np.testing.assert_array_equal(stacks[0], stacks[-1])


def test_arrays_of_any_make_are_the_same_and_nothing_is_compiled_anew():
    from focalsim.render import unmix

    rgb, depth = noise_frame(), step_depth()
    plain = render_stack(rgb, depth, **LENS, focus_distances_m=FOCUS)
    compiled = len(unmix._unmix.signatures)
    fixed = rgb.copy(), depth.copy()
    for array in fixed:
        array.flags.writeable = False
    strided = np.repeat(rgb, 2, axis=1)[:, ::2], depth.T.copy().T
    for frame in (fixed, strided, (rgb.astype(np.float64), depth.astype(">f4"))):
        np.testing.assert_array_equal(render_stack(*frame, **LENS, focus_distances_m=FOCUS), plain)
    assert len(unmix._unmix.signatures) == compiled


@pytest.mark.parametrize(("encode", "dtype"), [(None, np.float32), (linear_to_srgb, np.uint8)], ids=["light", "codes"])
def test_a_stack_is_rendered_into_the_memory_that_is_given(encode, dtype):
    given = {"rgb_linear": noise_frame(), "depth_m": step_depth(), **LENS, "focus_distances_m": FOCUS, "encode": encode}
    room = np.empty((3, 48, 64, 3), dtype)
    assert render_stack(**given, out=room) is room
    np.testing.assert_array_equal(room, render_stack(**given))


def test_highlights_keep_their_energy():
    rgb = np.zeros((64, 64, 3), np.float32)
    rgb[32, 32] = 20.0
    stack = render_stack(rgb, np.full((64, 64), 1.0, np.float32), **LENS, focus_distances_m=[0.1])
    assert stack.sum() / 3 == pytest.approx(20.0, rel=0.05)


def test_a_blurred_foreground_lets_the_background_through():
    """A bar thinner than its blur cannot hide a bright background anywhere."""
    rgb = np.full((64, 64, 3), 0.8, np.float32)
    depth = np.full((64, 64), 1.0, np.float32)
    rgb[:, 31:33], depth[:, 31:33] = 0.0, 0.1
    lens = {**LENS, "sensor_width_m": LENS["sensor_width_m"] / 4}
    stack = render_stack(rgb, depth, **lens, focus_distances_m=[1.0])
    middle = stack[0, 32, :, 0]
    assert 0.1 < middle[31:33].min() < 0.75  # seen through
    assert middle[29] < 0.79
    assert middle[34] < 0.79  # and spread over its neighbours
    np.testing.assert_allclose(middle[:16], 0.8, atol=1e-3)


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("aperture", [None, Aperture(blades=6, curvature=0.5)])
@pytest.mark.parametrize(("width", "blur_px"), [(3, 12.0), (5, 24.0)])
def test_threads_in_focus_stay_dark_before_a_bright_blurred_wall(width, blur_px, aperture, device):
    """No ray reaches the middle of an opaque thread in focus but its own: 0.05, whatever stands behind. A ray in
    dozens meets it, so that no polynomial over the lens can tell what it hides.
    """
    rgb = np.full((64, 64, 3), 0.8, np.float32)
    depth = np.full((64, 64), 1.0, np.float32)
    rgb[:, 30 : 30 + width], depth[:, 30 : 30 + width] = 0.05, 0.1
    gain = blur_px / float(coc_diameter_px(1.0, 0.1, **LENS, width_px=64))
    lens = {**LENS, "sensor_width_m": LENS["sensor_width_m"] / gain}
    stack = render_stack(rgb, depth, **lens, focus_distances_m=[0.1], aperture=aperture, device=device)
    np.testing.assert_allclose(stack[0, :, 31 : 29 + width], 0.05, atol=0.02)
    np.testing.assert_allclose(stack[0, :, 44:], 0.8, atol=0.02)


def test_what_is_hidden_as_near_as_a_surface_to_itself_is_not_seen():
    """Something on a table lies within half a pixel of blur of it: where the lens sees past what stands before both,
    the table under it adds nothing.
    """
    rgb, depth = np.full((64, 64, 3), 0.3, np.float32), np.full((64, 64), 0.9, np.float32)
    rgb[:, 24:40], depth[:, 24:40] = 0.6, 0.1
    hidden_rgb, hidden_depth = np.full_like(rgb, 0.3), np.full_like(depth, 0.91)
    hidden_depth[:, 24:40] = 0.9
    lens = {**LENS, "sensor_width_m": LENS["sensor_width_m"] / 4, "focus_distances_m": [0.1]}
    want = render_stack(rgb, depth, **lens, hidden_rgb_linear=hidden_rgb, hidden_depth_m=hidden_depth)
    hidden_rgb[:, :24] = hidden_rgb[:, 40:] = (1.0, 0.0, 0.0)
    got = render_stack(rgb, depth, **lens, hidden_rgb_linear=hidden_rgb, hidden_depth_m=hidden_depth)
    np.testing.assert_array_equal(got, want)


def test_known_hidden_surfaces_are_used():
    rgb, depth = noise_frame(), step_depth()
    hidden_rgb = np.zeros_like(rgb)
    hidden_rgb[..., 1] = 1.0
    hidden_depth = np.where(depth < 0.5, 0.9, np.nan).astype(np.float32)
    lens = {**LENS, "sensor_width_m": LENS["sensor_width_m"] / 4}
    known = render_stack(
        rgb, depth, **lens, focus_distances_m=[1.0], hidden_rgb_linear=hidden_rgb, hidden_depth_m=hidden_depth
    )
    guessed = render_stack(rgb, depth, **lens, focus_distances_m=[1.0])
    inside_edge = (slice(20, 28), slice(16, 19))
    assert known[0][inside_edge][..., 1].mean() > guessed[0][inside_edge][..., 1].mean() + 0.02


def test_a_hole_takes_the_nearest_depth():
    rgb, depth = noise_frame(), step_depth()
    valid = np.ones(depth.shape, bool)
    valid[2:5, 2:5] = False
    broken = depth.copy()
    broken[~valid] = np.nan
    np.testing.assert_array_equal(
        render_stack(rgb, broken, **LENS, focus_distances_m=FOCUS, valid=valid),
        render_stack(rgb, depth, **LENS, focus_distances_m=FOCUS),
    )


# Breathing and shift


def test_breathing_zooms_about_the_centre_and_shifts_right_and_down():
    size = 65
    rgb = np.zeros((size, size, 3), np.float32)
    for x, y in ((20, 16), (44, 48)):
        rgb[y, x] = 1.0
    depth = np.full((size, size), 0.5, np.float32)
    stack = render_stack(
        rgb, depth, **LENS, focus_distances_m=[0.5], magnification=[1.05], principal_point_px=[[2.0, -1.5]]
    )
    y, x = np.mgrid[:size, :size]
    for px, py in ((20, 16), (44, 48)):
        want = 32 + 1.05 * (px - 32) + 2.0, 32 + 1.05 * (py - 32) - 1.5
        near = np.hypot(x - want[0], y - want[1]) < 6
        weight = stack[0, ..., 0] * near
        assert (weight * x).sum() / weight.sum() == pytest.approx(want[0], abs=0.05)
        assert (weight * y).sum() / weight.sum() == pytest.approx(want[1], abs=0.05)


def test_thin_lens_magnification_is_the_ratio_of_sensor_distances():
    rgb, depth = noise_frame(), step_depth()
    f = LENS["focal_length_m"]
    v = f * FOCUS / (FOCUS - f)
    by_name = render_stack(rgb, depth, **LENS, focus_distances_m=FOCUS, magnification="thin-lens")
    by_number = render_stack(rgb, depth, **LENS, focus_distances_m=FOCUS, magnification=v / v.min())
    np.testing.assert_array_equal(by_name, by_number)


@pytest.mark.parametrize("zoom", [1.0, 1.013, 1.04])
def test_the_warp_is_not_a_blur(zoom):
    """At half the Nyquist frequency the sharpest slice keeps at least 95 % of its contrast."""
    x = np.arange(256)
    rgb = np.repeat(np.repeat((0.5 + 0.4 * np.sin(np.pi / 2 * x + 0.3))[None, :, None], 32, 0), 3, 2).astype(np.float32)
    depth = np.full(rgb.shape[:2], 0.5, np.float32)
    warped = render_stack(
        rgb, depth, **LENS, focus_distances_m=[0.5], magnification=[zoom], principal_point_px=[[0.37, 0.21]]
    )
    inner = (0, slice(8, -8), slice(16, -16), 0)
    assert warped[inner].std() >= 0.95 * rgb[inner[1:]].std()


def test_a_constant_stays_constant_through_a_change_of_size():
    rgb = np.full((96, 128, 3), 0.6, np.float32)
    stack = render_stack(
        rgb, step_depth(96, 128), **LENS, focus_distances_m=FOCUS, magnification="thin-lens", output_size=(64, 48)
    )
    assert stack.shape == (3, 48, 64, 3)
    np.testing.assert_allclose(stack, 0.6, atol=1e-5)


def test_halving_the_size_is_the_average_of_four_pixels():
    rgb = noise_frame(96, 128)
    small = render_stack(
        rgb, np.full((96, 128), 0.5, np.float32), **LENS, focus_distances_m=[0.5], output_size=(64, 48)
    )[0]
    np.testing.assert_allclose(small, rgb.reshape(48, 2, 64, 2, 3).mean(axis=(1, 3)), atol=1e-5)


def test_blur_is_counted_in_output_pixels():
    big = point_stack(12.0, size=128)
    rgb = np.zeros((128, 128, 3), np.float32)
    rgb[63:65, 63:65] = 0.25
    lens = {**LENS, "sensor_width_m": 64 * float(coc_diameter_px(1.0, 0.1, **LENS, width_px=64)) / 64 / 6.0}
    lens["sensor_width_m"] *= LENS["sensor_width_m"]
    small = render_stack(
        rgb, np.full((128, 128), 1.0, np.float32), **lens, focus_distances_m=[0.1], output_size=(64, 64)
    )[0, ..., 0]
    assert spread(small)[0] == pytest.approx(6.0 / 4, rel=0.05)
    assert spread(big)[0] == pytest.approx(12.0 / 4, rel=0.03)


def test_the_sharp_frame_is_warped_by_the_same_map():
    rgb = noise_frame()
    depth = np.full((48, 64), 0.5, np.float32)
    where = {"magnification": 1.03, "principal_point_px": (0.8, -0.6)}
    stack = render_stack(
        rgb, depth, **LENS, focus_distances_m=[0.5], magnification=[1.03], principal_point_px=[[0.8, -0.6]]
    )
    warped, warped_depth, valid = warp_frame(rgb, depth, np.ones(depth.shape, bool), **where, output_size=(64, 48))
    np.testing.assert_array_equal(warped, stack[0])
    assert set(np.unique(warped_depth)) == {np.float32(0.5)}
    assert valid.all()


def test_what_lies_outside_the_source_is_not_valid():
    rgb, depth = noise_frame(), step_depth()
    _, warped_depth, valid = warp_frame(
        rgb, depth, np.ones(depth.shape, bool), magnification=1.0, principal_point_px=(3.0, 0.0), output_size=(64, 48)
    )
    assert not valid[:, :3].any()
    assert valid[:, 3:].all()
    np.testing.assert_array_equal(warped_depth[:, 3:], depth[:, :-3])


# Bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rgb_linear": np.zeros((48, 64, 3), np.uint8)}, "float linear light"),
        ({"rgb_linear": np.zeros((48, 64), np.float32)}, r"\(H, W, 3\)"),
        ({"rgb_linear": np.full((48, 64, 3), np.nan, np.float32)}, "finite"),
        ({"depth_m": np.zeros((10, 10), np.float32)}, r"\(48, 64\)"),
        ({"depth_m": np.zeros((48, 64), np.float32)}, "positive"),
        ({"depth_m": np.full((48, 64), np.nan, np.float32)}, "mark such pixels invalid"),
        ({"valid": np.zeros((48, 64), bool)}, "no pixel"),
        ({"valid": np.ones((48, 64), np.uint8)}, "bool"),
        ({"focus_distances_m": [0.004]}, "focal length"),
        ({"focus_distances_m": []}, "focus_distances_m"),
        ({"f_number": 0.0}, "f_number"),
        ({"magnification": [1.0]}, "magnification"),
        ({"magnification": "lens"}, "thin-lens"),
        ({"principal_point_px": [[0.0, 0.0]]}, "principal_point_px"),
        ({"hidden_depth_m": np.ones((48, 64), np.float32)}, "go together"),
        ({"output_size": (64, 64)}, "never stretched"),
        ({"output_size": (0, 0)}, "output_size"),
        ({"out": np.empty((1, 48, 64, 3), np.float32)}, r"\(3, 48, 64, 3\) float32, got \(1, 48, 64, 3\)"),
        ({"out": np.empty((3, 48, 64, 3), np.uint8)}, "got .* uint8"),
        ({"out": np.empty((3, 48, 64, 6), np.float32)[..., ::2]}, "contiguous"),
        ({"out": []}, "got list"),
        ({"encode": np.sqrt}, "linear_to_srgb"),
    ],
)
def test_bad_input_says_what_was_expected(change, message):
    good = {"rgb_linear": noise_frame(), "depth_m": step_depth(), **LENS, "focus_distances_m": FOCUS}
    with pytest.raises(RenderError, match=message) as caught:
        render_stack(**{**good, **change})
    assert isinstance(caught.value, ValueError)
