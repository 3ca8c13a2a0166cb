"""A smaller depth map is enlarged: planes stay planes, and no value appears between two surfaces."""

from __future__ import annotations

import numpy as np
import pytest

from focalsim.sources.align import align_depth, same_view

FACTOR = 8
H, W = 15, 20
GREY = np.full((H * FACTOR, W * FACTOR, 3), 128, np.uint8)


def test_same_view_allows_one_percent() -> None:
    assert same_view((192, 256), (1440, 1920))
    assert same_view((1000, 1000), (1000, 1009))
    assert not same_view((1000, 1000), (1000, 1011))
    assert not same_view((480, 640), (640, 480))


def test_same_size_is_untouched() -> None:
    depth_m = np.random.default_rng(0).uniform(1, 2, (6, 8)).astype(np.float32)
    assert align_depth(depth_m, np.zeros((6, 8, 3), np.uint8)) is depth_m


def test_a_slanted_plane_stays_a_plane() -> None:
    def inverse(height: int, width: int) -> np.ndarray:
        y, x = ((np.arange(n) + 0.5) / n for n in (height, width))
        return 0.5 + 0.2 * x + 0.1 * y[:, None]

    enlarged = align_depth((1 / inverse(H, W)).astype(np.float32), GREY)
    inner = np.s_[FACTOR:-FACTOR, FACTOR:-FACTOR]  # half a pixel at the border has neighbours on one side only
    np.testing.assert_allclose(enlarged[inner], (1 / inverse(*GREY.shape[:2]))[inner], rtol=1e-5)


@pytest.mark.parametrize("textured", [False, True])
def test_nothing_between_two_surfaces(textured: bool) -> None:
    rng = np.random.default_rng(1)
    near = rng.random((H, W)) < 0.4
    depth_m = np.where(near, 0.5, 3.0).astype(np.float32)
    rgb = rng.integers(0, 256, GREY.shape, np.uint8) if textured else GREY
    enlarged = align_depth(depth_m, rgb)
    on_a_surface = np.isclose(enlarged, 0.5, rtol=1e-5) | np.isclose(enlarged, 3.0, rtol=1e-5)
    assert on_a_surface.all()


def test_edges_follow_the_colour() -> None:
    """The true edge runs inside a depth pixel; nearest-neighbour sampling would put it at that pixel's border."""
    edge = 10 * FACTOR + 2  # depth pixel 10 covers columns 80..87 and mostly shows the far side
    rgb = np.where(np.arange(W * FACTOR) < edge, 30, 220)[None, :, None].repeat(H * FACTOR, 0).repeat(3, 2)
    depth_m = np.where(np.arange(W) < 10, 1.0, 2.0)[None].repeat(H, 0)
    enlarged = align_depth(depth_m.astype(np.float32), rgb.astype(np.uint8))
    truth = np.where(np.arange(W * FACTOR) < edge, 1.0, 2.0)[None]
    assert np.mean(enlarged != truth) < np.mean(align_depth(depth_m.astype(np.float32), GREY) != truth)
    np.testing.assert_allclose(enlarged, np.broadcast_to(truth, enlarged.shape), rtol=1e-5)


def test_unknown_depth_stays_unknown_and_spreads_nothing() -> None:
    depth_m = np.full((H, W), 2.0, np.float32)
    depth_m[5:9, 5:9] = np.nan
    enlarged = align_depth(depth_m, GREY)
    assert np.isnan(enlarged).mean() == pytest.approx(np.isnan(depth_m).mean())
    np.testing.assert_allclose(enlarged[~np.isnan(enlarged)], 2.0, rtol=1e-6)


def test_a_larger_depth_map_is_sampled() -> None:
    depth_m = np.random.default_rng(2).uniform(1, 9, (30, 40)).astype(np.float32)
    smaller = align_depth(depth_m, np.zeros((15, 20, 3), np.uint8))
    assert smaller.shape == (15, 20)
    assert np.isin(smaller, depth_m).all()
