"""Filled holes: in range, planes continued, shadows at depth edges given to the farther surface."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focalsim.sources.fill import _fill_corners, fill_holes


def fill(depth_m: np.ndarray) -> np.ndarray:
    depth_m = depth_m.astype(np.float32)
    return fill_holes(depth_m, np.isfinite(depth_m))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), share=st.floats(0.02, 0.98))
def test_every_hole_is_filled_within_the_range_of_what_is_known(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    depth_m = rng.uniform(0.3, 5.0, (24, 32)).astype(np.float32)
    holes = rng.random((6, 8)).repeat(4, 0).repeat(4, 1) < share
    holes[0, 0] = False
    known = depth_m[~holes]
    depth_m[holes] = np.nan
    filled = fill(depth_m)
    assert np.isfinite(filled).all()
    assert filled.min() >= known.min() * (1 - 1e-6)
    assert filled.max() <= known.max() * (1 + 1e-6)
    np.testing.assert_array_equal(filled[~holes], known)


def test_without_holes_nothing_changes() -> None:
    depth_m = np.random.default_rng(0).uniform(1, 2, (8, 8)).astype(np.float32)
    assert fill_holes(depth_m, np.ones((8, 8), bool)) is depth_m


def test_a_hole_in_a_plane_continues_the_plane() -> None:
    y, x = np.mgrid[0:40, 0:60]
    plane = 1 / (0.5 + 0.001 * x + 0.002 * y)
    holed = plane.copy()
    holed[15:25, 20:35] = np.nan
    np.testing.assert_allclose(fill(holed), plane, rtol=5e-3)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("near_first", [False, True])
def test_a_shadow_at_a_depth_edge_belongs_to_the_farther_surface(near_first: bool, transposed: bool) -> None:
    column = np.arange(60)
    depth_m = np.where(column < 30, 0.5, 2.0)[None].repeat(40, 0)
    depth_m[:, 26:36] = np.nan
    depth_m = depth_m if near_first else depth_m[:, ::-1]
    depth_m = depth_m.T if transposed else depth_m
    filled = fill(depth_m)
    np.testing.assert_allclose(filled[np.isnan(depth_m)], 2.0, rtol=1e-6)


def test_a_border_without_depth_continues_the_nearest_value() -> None:
    depth_m = np.arange(1, 41, dtype=np.float64)[:, None].repeat(60, 1)
    depth_m[:, :8] = np.nan
    np.testing.assert_allclose(fill(depth_m)[10:-10, :8], depth_m[10:-10, 8:9].repeat(8, 1), rtol=1e-6)


def test_one_known_pixel_fills_the_frame() -> None:
    depth_m = np.full((20, 30), np.nan)
    depth_m[4, 7] = 1.5
    np.testing.assert_allclose(fill(depth_m), 1.5, rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_where_row_and_column_are_empty_a_nearest_pixel_is_taken(seed: int) -> None:
    rng = np.random.default_rng(seed)
    valid = rng.random((12, 15)) < 0.5
    valid[rng.random(12) < 0.5], valid[:, rng.random(15) < 0.5] = False, False
    valid[5, 7] = True
    empty = ~(valid.any(axis=1)[:, None] | valid.any(axis=0))
    filled = np.arange(valid.size, dtype=np.float32).reshape(valid.shape)  # tells which pixel was taken
    there = np.argwhere(~empty)
    _fill_corners(filled, valid)
    for place in np.argwhere(empty):
        taken = np.array(divmod(int(filled[tuple(place)]), 15))
        assert np.sum((taken - place) ** 2) == np.sum((there - place) ** 2, axis=1).min()
    np.testing.assert_array_equal(filled[~empty], np.ravel_multi_index(there.T, valid.shape))
