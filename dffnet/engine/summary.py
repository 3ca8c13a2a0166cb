"""Sum up the measures of images: by phone, by octave of depth, and plain means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dffnet.metrics import average
from dffnet.units import UNITS

Rows = Sequence[dict[str, Any]]
ByUnit = dict[str, dict[str, dict[str, float]]]


def by_phone(images: Rows) -> dict[str, ByUnit]:
    """Averages over the images of each phone, in the order of names."""
    phones = sorted({image["phone"] for image in images})
    return {phone: _by_unit([image for image in images if image["phone"] == phone]) for phone in phones}


def by_depth(images: Rows) -> dict[str, ByUnit]:
    """Averages over the pixels of each octave of depth, near to far, over the images that have any."""
    names = {name for image in images for name in image["by_depth"]}
    near_to_far = sorted(names, key=lambda name: float(name.split()[0]))
    return {
        name: _by_unit([image["by_depth"][name] for image in images if name in image["by_depth"]])
        for name in near_to_far
    }


def depth_bins(depth_m: NDArray[np.float32]) -> dict[str, NDArray[np.bool_]]:
    """Masks (H, W) of the octaves [2^k, 2^(k+1)) m that occur in ``depth_m`` (positive): the same for any data set."""
    octave = np.floor(np.log2(depth_m)).astype(int)
    return {f"{2.0**k:g} to {2.0 ** (k + 1):g} m": octave == k for k in np.unique(octave)}


def ranked(images: Rows) -> list[dict[str, Any]]:
    """The images, best first by relative error in metres; an error that is not finite (or None) is the worst."""
    errors = np.array([image["metres"]["abs_rel"] for image in images], np.float64)
    return [images[i] for i in np.argsort(np.nan_to_num(errors, nan=np.inf), kind="stable")]


def picture_rows(images: Rows, count: int = 3) -> dict[str, dict[str, Any]]:
    """The images to draw, by file name: ``best-1.png`` .., ``worst-1.png`` .., ``median.png``, and ``first-1.png`` ..

    The first ones of the shards are the same in every evaluation, so that runs can be compared on them.
    """
    order = ranked(images)
    chosen = {f"best-{k + 1}.png": row for k, row in enumerate(order[:count])}
    chosen |= {f"worst-{k + 1}.png": row for k, row in enumerate(order[::-1][:count])}
    chosen |= {"median.png": order[(len(order) - 1) // 2]} if order else {}
    return chosen | {f"first-{k + 1}.png": row for k, row in enumerate(images[:count])}


def average_of(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean over rows of each of their values."""
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _by_unit(rows: Rows) -> ByUnit:
    return {unit: average([row[unit] for row in rows]) for unit in UNITS}
