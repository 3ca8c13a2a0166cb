"""The contact sheet shows every slice, and depth in colours that mean something."""

from __future__ import annotations

import numpy as np
import pytest

from focalsim.preview import CELL_WIDTH_PX, COLUMNS, colour_depth, contact_sheet


def test_near_is_red_far_is_blue_unknown_is_grey():
    depth_m = np.array([[0.1, 1.0, 5.0]], np.float32)
    near, far, unknown = colour_depth(depth_m, np.array([[True, True, False]]), 0.1, 1.0)[0].astype(int)
    assert near[0] > 2 * near[2]
    assert far[2] > far[0]
    assert len(set(unknown)) == 1


def test_colours_are_uniform_in_inverse_depth():
    valid = np.ones((1, 1), bool)
    # Halfway in 1/depth: 2/11 m between 0.1 and 1 m, 1.5 m between 1 and 3 m.
    first = colour_depth(np.full((1, 1), 2 / 11, np.float32), valid, 0.1, 1.0)
    second = colour_depth(np.full((1, 1), 1.5, np.float32), valid, 1.0, 3.0)
    np.testing.assert_array_equal(first, second)


def test_a_block_for_each_sample_with_a_cell_for_each_picture(make_sample):
    one = contact_sheet([make_sample(0)])
    assert one.dtype == np.uint8
    assert one.shape[1] > COLUMNS * CELL_WIDTH_PX
    assert contact_sheet([make_sample(i) for i in range(3)]).shape == (3 * one.shape[0], *one.shape[1:])
    # 3 slices, the all-in-focus image and depth fit one row of 6; 7 slices need two.
    seven = make_sample(
        0,
        images=np.zeros((7, 16, 24, 3), np.uint8),
        focus_distance_m=np.linspace(1, 0.1, 7, dtype=np.float32),
    )
    assert contact_sheet([seven]).shape[0] > 1.7 * one.shape[0]


def test_the_pictures_are_in_the_sheet(make_sample):
    # Enlarged without smoothing, so the colour of a pixel is found again.
    plain = make_sample(0, all_in_focus=np.full((16, 24, 3), (10, 200, 30), np.uint8))
    sheet = contact_sheet([plain])
    assert np.count_nonzero(np.all(sheet == (10, 200, 30), axis=-1)) >= CELL_WIDTH_PX * 160


def test_a_sample_without_depth_and_with_other_letters(make_sample):
    contact_sheet([make_sample(0, valid=np.zeros((16, 24), bool), source_id="Straße/深度", depth_scale=0.25)])


def test_no_samples():
    with pytest.raises(ValueError, match="at least one sample"):
        contact_sheet([])
