"""Separable sums against the definition: taps one by one, from a picture whose border is replicated."""

from __future__ import annotations

import numpy as np
import pytest

from focalsim.color import srgb_to_linear
from focalsim.separable import Taps, combine, lane_taps

H, W = 9, 23


def taps(pixels, n_in, count, rng):
    """From far before the first pixel to far after the last."""
    first = np.sort(rng.integers(-2 * count, n_in + count, pixels))
    return Taps(first, rng.standard_normal((pixels, count)).astype(np.float32))


def along(axis, image, made_of):
    place = np.clip(made_of.first[:, None] + np.arange(made_of.weights.shape[1]), 0, image.shape[axis] - 1)
    picked = np.moveaxis(image, axis, 0)[place]
    return np.moveaxis(np.einsum("nt,nt...->n...", made_of.weights, picked), 0, axis)


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
@pytest.mark.parametrize(("rows", "columns", "count"), [(7, 40, 4), (1, 5, 12), (30, 16, 1), (5, 33, 40)])
@pytest.mark.parametrize("stored", ["light", "codes", "turned"])
def test_every_value_is_its_sum(rows, columns, count, channels, stored):
    rng = np.random.default_rng(rows)
    image = rng.integers(0, 256, (H, W, *channels), np.uint8)
    if stored == "turned":
        image = image[::-1, ::-1]
    light = srgb_to_linear(image)
    down, side = taps(rows, H, count, rng), taps(columns, W, count, rng)
    made = combine(light if stored == "light" else image, down, lane_taps(side, channels[0] if channels else 1))
    np.testing.assert_allclose(made, along(1, along(0, light, down), side), atol=2e-4)
