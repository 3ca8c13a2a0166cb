"""The 8-bit encoding: the nearest code, for any light."""

from __future__ import annotations

import numpy as np

from focalsim.color import CODE_EDGES, DARKEST, STEP, encode_srgb, linear_to_srgb, srgb_to_linear


def test_every_code_survives_a_round_trip():
    codes = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(linear_to_srgb(srgb_to_linear(codes)), codes)


def test_the_nearest_code_is_taken():
    light = np.random.default_rng(0).uniform(-0.2, 1.2, (50, 40, 3)).astype(np.float32)
    nearest = np.rint(255 * encode_srgb(light))
    exact = 255 * encode_srgb(light)
    codes = linear_to_srgb(light)
    assert codes.shape == light.shape
    # float32 light may lie on either side of an edge that float64 puts between two codes.
    assert np.all((codes == nearest) | (np.abs(exact - codes) < 0.5 + 1e-3))


def test_a_code_begins_exactly_at_its_edge():
    steps = np.arange(np.float32(DARKEST / 4).view(np.int32), np.float32(2.0).view(np.int32), STEP, np.int32)
    places = np.concatenate([CODE_EDGES, steps.view(np.float32)])
    light = np.concatenate([places, np.nextafter(places, np.float32(0)), np.nextafter(places, np.float32(2))])
    np.testing.assert_array_equal(linear_to_srgb(light), np.searchsorted(CODE_EDGES, light, side="right"))


def test_light_that_is_no_number_is_dark():
    light = np.array([np.nan, -np.inf, np.inf], np.float32)
    assert linear_to_srgb(light).tolist() == [0, 0, 255]


def test_any_layout_and_any_shape():
    light = np.random.default_rng(1).uniform(0, 1, (8, 6, 3)).astype(np.float32)
    np.testing.assert_array_equal(linear_to_srgb(light[:, ::2]), linear_to_srgb(light)[:, ::2])
    assert linear_to_srgb(np.float32(1)).shape == ()
