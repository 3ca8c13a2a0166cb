"""Depth that lies beside the image is moved onto it; depth that fits is left alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from focalsim import render_stack
from focalsim.render.registration import registered

GAIN_PX_M = 10.0
LENS = {"focal_length_m": 0.05, "f_number": 4.0, "sensor_width_m": 0.036, "focus_distances_m": [0.7, 2.0]}


def scene(seed=0, height=150, width=200):
    """Textured discs and boxes before a textured wall: light (H, W, 3), depth (H, W)."""
    rng = np.random.default_rng(seed)
    depth = np.full((height, width), 2.5, np.float32)
    rgb = rng.uniform(0.2, 0.5, (height, width, 3)).astype(np.float32)
    for _ in range(12):
        shape = np.zeros((height, width), np.uint8)
        x, y, size = (int(rng.integers(10, n - 10)) for n in (width, height, 30))
        if rng.random() < 0.5:
            cv2.circle(shape, (x, y), size, 1, -1)
        else:
            cv2.rectangle(shape, (x, y), (x + size, y + size), 1, -1)
        inside = shape > 0
        depth[inside] = rng.uniform(0.6, 1.6)
        texture = rng.uniform(0.8, 1.2, (height, width, 1)) * rng.uniform(0.02, 0.9, 3)
        rgb[inside] = texture.astype(np.float32)[inside]
    return rgb, depth


def wider(depth, pixels):
    return cv2.erode(depth, np.ones((2 * pixels + 1,) * 2, np.uint8))


def shifted(depth, x, y):
    rows, columns = (np.clip(np.arange(n) - by, 0, n - 1) for n, by in zip(depth.shape, (y, x), strict=True))
    return np.ascontiguousarray(depth[rows][:, columns])


@pytest.mark.parametrize("seed", range(4))
def test_depth_that_fits_is_the_same_array(seed):
    rgb, depth = scene(seed)
    assert registered(depth, rgb, GAIN_PX_M) is depth
    noisy = depth * np.random.default_rng(seed).normal(1, 0.01, depth.shape).astype(np.float32)
    assert registered(noisy, rgb, GAIN_PX_M) is noisy


@pytest.mark.parametrize(("x", "y"), [(1, 0), (0, -2), (-2, 1), (3, 3)])
def test_shifts_are_undone(x, y):
    rgb, depth = scene()
    inner = np.s_[4:-4, 4:-4]
    np.testing.assert_array_equal(registered(shifted(depth, x, y), rgb, GAIN_PX_M)[inner], depth[inner])


def test_of_a_large_picture_some_rows_tell():
    rgb, depth = scene(height=700, width=300)
    wrong = shifted(depth, -1, 2)
    np.testing.assert_array_equal(registered(wrong, rgb, GAIN_PX_M)[4:-4, 4:-4], depth[4:-4, 4:-4])


@pytest.mark.parametrize(("pixels", "x", "y"), [(1, 0, 0), (2, 0, 0), (1, 2, -1)])
def test_what_is_too_wide_is_made_smaller(pixels, x, y):
    rgb, depth = scene()
    wrong = shifted(wider(depth, pixels), x, y)
    got = registered(wrong, rgb, GAIN_PX_M)
    assert np.mean(got != depth) < 0.15 * np.mean(wrong != depth)


def test_depth_that_has_few_edges_or_nothing_to_do_with_the_image_is_left_alone():
    rgb, depth = scene()
    wall = np.where(np.arange(200) < 100, 1.0, 2.0).astype(np.float32) * np.ones((150, 1), np.float32)
    assert registered(wall, rgb, GAIN_PX_M) is wall  # its near side is to the left alone
    even = np.full_like(rgb, 0.3)
    assert registered(depth, even, GAIN_PX_M) is depth
    other = scene(9)[0]
    assert registered(depth, other, GAIN_PX_M) is depth


def test_the_renderer_moves_depth_but_not_where_hidden_surfaces_are_known():
    rgb, depth = scene()
    wrong = shifted(depth, 2, 0)
    want, got = render_stack(rgb, depth, **LENS), render_stack(rgb, wrong, **LENS)
    inner = np.s_[:, 16:-16, 16:-16]
    np.testing.assert_allclose(got[inner], want[inner], atol=1e-5)
    unknown = {"hidden_rgb_linear": rgb, "hidden_depth_m": np.full_like(depth, np.nan)}
    assert np.abs(render_stack(rgb, wrong, **LENS, **unknown)[inner] - want[inner]).max() > 0.05


@pytest.mark.parametrize("height", [150, 460])
def test_tensors_are_moved_alike(height):
    torch = pytest.importorskip("torch")
    rgb, depth = scene(height=height)
    maps = [depth, shifted(depth, 2, -1), wider(depth, 1)]
    want = np.stack([render_stack(rgb, d, **LENS) for d in maps])
    batch = torch.from_numpy(np.stack([rgb] * 3)), torch.from_numpy(np.stack(maps))
    got = render_stack(*batch, **LENS)
    np.testing.assert_allclose(got.numpy(), want, atol=2e-3)
