"""Framing and placement of a frame: what the renderer is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focalsim.errors import FrameError
from focalsim.scene import Intrinsics, Scene
from focalsim.sources import FrameRequest
from focalsim.sources.framing import frame_window
from focalsim.sources.prepare import check_holes, depth_factor, prepare_scene

Make = Callable[..., Scene]


def prepare(scene: Scene, request: FrameRequest, **options: object) -> tuple[Scene, float]:
    given: dict[str, object] = {"max_holes": 0.5, "depth_policy": "keep", **options}
    prepared = prepare_scene(scene, request, **given)  # type: ignore[arg-type]
    return prepared.scene, prepared.depth_scale


@pytest.mark.parametrize(("width", "height"), [(48, 32), (60, 40), (80, 60), (96, 64), (97, 66), (333, 100), (90, 400)])
def test_window_is_centred_as_large_as_it_can_be_and_not_stretched(
    make_scene: Make, request_: FrameRequest, width: int, height: int
) -> None:
    framing = frame_window(make_scene(np.ones((height, width))), request_)
    assert framing.width == width or framing.height == height
    assert abs(framing.width / 48 - framing.height / 32) <= 0.5 / 32
    assert 0 <= framing.left <= width - framing.width
    assert 0 <= framing.top <= height - framing.height
    assert abs(framing.left - (width - framing.width) / 2) <= 0.5
    assert abs(framing.top - (height - framing.height) / 2) <= 0.5
    assert framing.size == (min(framing.width, 96), min(framing.height, 64))


@pytest.mark.parametrize(("width", "height"), [(47, 60), (80, 31), (20, 20)])
def test_a_frame_smaller_than_the_output_is_refused(
    make_scene: Make, request_: FrameRequest, width: int, height: int
) -> None:
    with pytest.raises(FrameError, match=r"made/scene: gives \d+x\d+ pixels, fewer than the output's 48x32"):
        frame_window(make_scene(np.ones((height, width))), request_)


def test_up_to_twice_the_output_nothing_is_resampled(make_scene: Make, request_: FrameRequest) -> None:
    rng = np.random.default_rng(0)
    rgb = rng.random((64, 96, 3)).astype(np.float32)
    depth_m = rng.uniform(0.2, 0.9, (64, 96)).astype(np.float32)
    scene, scale = prepare(make_scene(depth_m, rgb=rgb), request_)
    np.testing.assert_array_equal(scene.rgb_linear, rgb)
    np.testing.assert_array_equal(scene.depth_m, depth_m)
    assert scale == 1.0


def test_a_large_frame_is_averaged_in_colour_and_sampled_in_depth(make_scene: Make, request_: FrameRequest) -> None:
    rng = np.random.default_rng(1)
    rgb = rng.random((256, 384, 3)).astype(np.float32)
    depth_m = rng.uniform(0.2, 0.9, (256, 384)).astype(np.float32)
    scene, _ = prepare(make_scene(depth_m, rgb=rgb), request_)
    means = rgb.reshape(64, 4, 96, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(scene.rgb_linear, means, atol=1e-6)
    assert scene.depth_m.shape == (64, 96)
    assert np.isin(scene.depth_m, depth_m).all()


def test_colour_depth_and_validity_stay_together(make_scene: Make, request_: FrameRequest) -> None:
    """A ramp in colour that equals depth still does after cropping and reduction, up to one source pixel."""
    ramp = np.linspace(0.2, 0.9, 401, dtype=np.float32)[None].repeat(301, 0)
    scene, _ = prepare(make_scene(ramp, rgb=ramp[..., None].repeat(3, 2)), request_)
    step = ramp[0, 1] - ramp[0, 0]
    np.testing.assert_allclose(scene.rgb_linear[..., 0], scene.depth_m, atol=0.6 * step)


def test_intrinsics_follow_the_crop_and_the_reduction(make_scene: Make, request_: FrameRequest) -> None:
    """A point at the frame's (x, y) lands where the block average of its neighbourhood does."""
    camera = Intrinsics(300.0, 300.0, 199.5, 149.5)  # the centre
    scene, _ = prepare(make_scene(np.ones((300, 400)), intrinsics=camera), request_)
    assert scene.intrinsics is not None
    assert scene.intrinsics.cx_px == pytest.approx((96 - 1) / 2, abs=0.01)
    assert scene.intrinsics.cy_px == pytest.approx((64 - 1) / 2, abs=0.2)  # 267 of 300 rows: half a row off
    assert scene.intrinsics.fx_px == pytest.approx(300 * 96 / 400)


def test_match_fov_crops_to_the_phones_view(make_scene: Make, request_: FrameRequest) -> None:
    camera = Intrinsics(240.0, 240.0, 210.0, 140.0)
    scene = make_scene(np.ones((300, 400)), intrinsics=camera)
    framing = frame_window(scene, request_, match_fov=True)
    assert framing.width / camera.fx_px == pytest.approx(1 / request_.focal_over_width, abs=0.5 / 240)
    assert abs(framing.left + (framing.width - 1) / 2 - camera.cx_px) <= 0.5
    assert abs(framing.top + (framing.height - 1) / 2 - camera.cy_px) <= 0.5


def test_match_fov_refuses_a_narrower_frame_with_both_angles(make_scene: Make, request_: FrameRequest) -> None:
    scene = make_scene(np.ones((300, 400)), intrinsics=Intrinsics(400.0, 400.0, 199.5, 149.5))
    with pytest.raises(FrameError, match=r"shows 53\.1 degrees across, the phone sees 64\.0"):
        frame_window(scene, request_, match_fov=True)


def test_match_fov_needs_intrinsics(make_scene: Make, request_: FrameRequest) -> None:
    with pytest.raises(FrameError, match="camera is not known"):
        frame_window(make_scene(np.ones((300, 400))), request_, match_fov=True)


def test_holes_are_counted_and_limited() -> None:
    valid = np.ones((10, 10), bool)
    valid[:3] = False
    check_holes(valid, 0.3, "frame")
    with pytest.raises(FrameError, match=r"frame: 30\.0 % of its pixels have no depth, more than 25 %"):
        check_holes(valid, 0.25, "frame")
    with pytest.raises(FrameError, match=r"100\.0 %"):
        check_holes(np.zeros((4, 4), bool), 0.99, "frame")


def test_holes_are_filled_and_stay_marked(make_scene: Make, request_: FrameRequest) -> None:
    depth_m = np.full((32, 48), 0.5)
    depth_m[10:20, 10:20] = np.nan
    depth_m[0, 0] = 0
    scene, _ = prepare(make_scene(depth_m), request_)
    np.testing.assert_allclose(scene.depth_m, 0.5)
    np.testing.assert_array_equal(scene.valid, np.isfinite(depth_m) & (depth_m > 0))


def test_hidden_surfaces_take_the_same_way(make_scene: Make, request_: FrameRequest) -> None:
    depth_m = np.full((128, 192), 2.0, np.float32)
    hidden_m = np.full((128, 192), np.nan, np.float32)
    hidden_m[:, 96:] = 4.0
    hidden_rgb = np.full((128, 192, 3), np.nan, np.float32)
    hidden_rgb[:, 96:] = 0.25
    given = make_scene(depth_m, hidden_depth_m=hidden_m, hidden_rgb_linear=hidden_rgb)
    scene, scale = prepare(given, request_, depth_policy="fit")
    assert scene.hidden_depth_m is not None
    assert scene.hidden_rgb_linear is not None
    known = np.isfinite(scene.hidden_depth_m)
    np.testing.assert_array_equal(known, np.broadcast_to(np.arange(96) >= 48, (64, 96)))
    np.testing.assert_allclose(scene.hidden_depth_m[known], 4.0 * scale, rtol=1e-6)
    np.testing.assert_allclose(scene.depth_m, 2.0 * scale, rtol=1e-6)
    np.testing.assert_allclose(scene.hidden_rgb_linear[known], 0.25, rtol=1e-6)
    assert np.isfinite(scene.hidden_rgb_linear).all()


depths = st.floats(0.2, 50.0)


@settings(max_examples=200, deadline=None)
@given(d_near=depths, ratio=st.floats(1.0, 40.0), near=st.floats(0.05, 0.5), span=st.floats(1.5, 20.0))
def test_fit_centres_the_scene_in_dioptres(d_near: float, ratio: float, near: float, span: float) -> None:
    """A scene of a smaller ratio lies in the range; a larger one leaves it by the same dioptres at either end."""
    depth_m, far = np.array([d_near, d_near * ratio]), near * span
    lowest, highest = 1 / (depth_factor_of_extremes(depth_m, near, far) * depth_m[::-1])
    assert highest - 1 / near == pytest.approx(1 / far - lowest, rel=1e-6, abs=1e-9)
    if ratio <= span:
        assert highest <= (1 / near) * (1 + 1e-6)
        assert lowest >= (1 / far) * (1 - 1e-6)


def depth_factor_of_extremes(depth_m: np.ndarray, near: float, far: float) -> float:
    """With many pixels at either extreme the robust range is the whole range."""
    return depth_factor(depth_m.repeat(500), near, far, "fit")


def test_a_few_outliers_do_not_decide() -> None:
    depth_m = np.linspace(2.0, 4.0, 10_000)
    with_outliers = np.concatenate([depth_m, np.full(20, 60.0), np.full(20, 0.01)])
    without, with_them = (depth_factor(d, 0.1, 1.0, "fit") for d in (depth_m, with_outliers))
    assert with_them == pytest.approx(without, rel=0.01)


@pytest.mark.parametrize(
    ("nearest", "farthest", "kept"),
    [
        (0.2, 0.9, True),
        (0.1, 1.0, True),
        (0.098, 1.7, True),  # outside by less than 5 % of the range's 9 dioptres
        (0.2, 1.9, False),
        (0.09, 0.9, False),
        (2.0, 5.0, False),
        (0.01, 0.05, False),
    ],
)
def test_auto_keeps_a_scene_that_lies_in_the_range(nearest: float, farthest: float, kept: bool) -> None:
    depth_m = np.array([nearest, farthest]).repeat(500)
    factor = depth_factor(depth_m, 0.1, 1.0, "auto")
    assert factor == (1.0 if kept else depth_factor(depth_m, 0.1, 1.0, "fit"))
    assert (factor == 1.0) == kept


def test_keep_keeps() -> None:
    assert depth_factor(np.array([7.0, 9.0]), 0.1, 1.0, "keep") == 1.0


def test_one_factor_scales_the_whole_scene(make_scene: Make, request_: FrameRequest) -> None:
    depth_m = np.linspace(2, 6, 32 * 48).reshape(32, 48)
    scene, scale = prepare(make_scene(depth_m), request_, depth_policy="auto")
    assert scale != 1.0
    np.testing.assert_allclose(scene.depth_m, depth_m * scale, rtol=1e-6)


def test_range_is_that_of_the_valid_pixels_of_the_window(make_scene: Make, request_: FrameRequest) -> None:
    """What is cropped away, or has no depth, has no say in the scale."""
    inside = np.full((32, 48), 3.0)
    whole = np.pad(inside, ((0, 0), (40, 40)), constant_values=0.01)
    assert prepare(make_scene(whole), request_, depth_policy="fit")[1] == pytest.approx(
        prepare(make_scene(inside), request_, depth_policy="fit")[1]
    )
    holed = make_scene(inside)
    holed = replace(holed, valid=np.arange(48)[None].repeat(32, 0) < 40)
    holed.depth_m[:, 40:] = 1e-3
    assert prepare(holed, request_, depth_policy="fit")[1] == pytest.approx((2 / 3.0) / (1 + 10))


# Around the picture


def test_what_a_frame_shows_around_the_picture_is_kept(make_scene: Make, request_: FrameRequest) -> None:
    """48 x 32 of a frame of 60 x 80: rows above and below are there, columns are not."""
    rng = np.random.default_rng(2)
    rgb = rng.random((80, 60, 3)).astype(np.float32)
    depth_m = rng.uniform(0.2, 0.9, (80, 60)).astype(np.float32)
    scene = make_scene(depth_m, rgb=rgb)
    plain = prepare_scene(scene, request_, max_holes=0.5, depth_policy="keep")
    wide = prepare_scene(scene, replace(request_, margin_px=5), max_holes=0.5, depth_policy="keep")
    assert plain.window == (0, 0, 60, 40)
    assert wide.window == (0, 7, 60, 40)  # 5 output pixels are 6.25 of the frame's
    np.testing.assert_array_equal(wide.scene.rgb_linear, rgb[13:67])
    np.testing.assert_array_equal(wide.scene.depth_m, depth_m[13:67])
    np.testing.assert_array_equal(wide.scene.rgb_linear[7:47], plain.scene.rgb_linear)
    everything = prepare_scene(scene, replace(request_, margin_px=500), max_holes=0.5, depth_policy="keep")
    assert everything.window == (0, 20, 60, 40)
    np.testing.assert_array_equal(everything.scene.rgb_linear, rgb)


@pytest.mark.parametrize("margin_px", [1, 4, 30])
def test_the_margin_of_a_reduced_frame_leaves_the_picture_alone(
    make_scene: Make, request_: FrameRequest, margin_px: int
) -> None:
    """Reduced by 2.6 along both axes: a ramp goes on across the picture's border, to a source pixel."""
    camera = Intrinsics(200.0, 200.0, 209.5, 139.5)
    y, x = np.mgrid[:300, :420].astype(np.float32)
    scene = make_scene(0.2 + y / 500, rgb=np.stack([x, y, x], axis=-1), intrinsics=camera)
    options = {"max_holes": 0.5, "depth_policy": "keep", "match_fov": True}
    plain = prepare_scene(scene, request_, **options)  # type: ignore[arg-type]
    wide = prepare_scene(scene, replace(request_, margin_px=margin_px), **options)  # type: ignore[arg-type]
    left, top, width, height = wide.window
    assert (width, height) == (96, 64)
    assert min(left, top) >= min(2 * margin_px, 2)
    inner = np.s_[top : top + height, left : left + width]
    np.testing.assert_array_equal(wide.scene.rgb_linear[inner], plain.scene.rgb_linear)
    np.testing.assert_array_equal(wide.scene.depth_m[inner], plain.scene.depth_m)
    step = plain.scene.rgb_linear[0, 1, 0] - plain.scene.rgb_linear[0, 0, 0]
    columns, rows = wide.scene.rgb_linear[0, :, 0], wide.scene.rgb_linear[:, 0, 1]
    np.testing.assert_allclose(np.diff(columns), step, atol=1.0)
    np.testing.assert_allclose(np.diff(rows), step, atol=1.0)
    assert wide.scene.intrinsics is not None
    assert plain.scene.intrinsics is not None
    assert wide.scene.intrinsics.cx_px == pytest.approx(plain.scene.intrinsics.cx_px + left)
    assert wide.scene.intrinsics.cy_px == pytest.approx(plain.scene.intrinsics.cy_px + top)


def test_holes_and_depth_around_the_picture_do_not_count(make_scene: Make, request_: FrameRequest) -> None:
    depth_m = np.full((80, 60), 0.5, np.float32)
    depth_m[:20] = depth_m[-20:] = np.nan
    wide = replace(request_, margin_px=500)
    prepared = prepare_scene(make_scene(depth_m), wide, max_holes=0.0, depth_policy="keep")
    assert np.isfinite(prepared.scene.depth_m).all()
    assert not prepared.scene.valid[:20].any()
    depth_m[:20] = depth_m[-20:] = 50.0
    scaled = prepare_scene(make_scene(depth_m), wide, max_holes=0.0, depth_policy="auto")
    assert scaled.depth_scale == 1.0


@pytest.mark.parametrize("known", [np.s_[:, 1::2], np.s_[5:6], np.s_[:, :1]])
def test_the_known_depths_place_a_scene_wherever_they_lie(make_scene: Make, known: Any) -> None:
    request = FrameRequest(width=640, height=32, near_m=0.1, far_m=1.0, focal_over_width=0.8)
    depth_m = np.full((32, 640), np.nan, np.float32)
    depth_m[known] = 3.0
    _, scale = prepare(make_scene(depth_m), request, depth_policy="auto", max_holes=0.999)
    assert scale == pytest.approx(depth_factor(np.full(9, 3.0, np.float32), 0.1, 1.0, "auto"))
