"""How depth and blur are distributed over shards: counts in fixed bins, so that those of shards add up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.camera import coc_diameter_px
from focalsim.progress import progress_bar
from focalsim.shards.reader import ShardReader

_EVERY_PX = 4  # one pixel in 4 x 4 is enough for a histogram
DEPTH_EDGES_M = np.array([0, *(10.0 ** (np.arange(-20, 31) / 10)).round(4), np.inf])  # ten bins a decade
BLUR_EDGES_PX = np.array([0, 0.5, 1, 2, 4, 8, 16, 32, 64, np.inf])


def histograms(readers: Iterable[ShardReader]) -> dict[str, dict[str, list[Any]]]:
    """Counts of depth in metres (valid pixels) and of blur diameter in pixels (the same, every slice).

    Bins without counts at both ends are left out; an open end is None. Raises ShardError.
    """
    depth = np.zeros(len(DEPTH_EDGES_M) - 1, np.int64)
    blur = np.zeros(len(BLUR_EDGES_PX) - 1, np.int64)
    places = [(reader, index) for reader in readers for index in range(len(reader))]
    for reader, index in progress_bar(places, desc="read", unit="sample", leave=False):
        valid = reader.read("valid", index)[::_EVERY_PX, ::_EVERY_PX]
        depth_m = reader.read("depth_m", index)[::_EVERY_PX, ::_EVERY_PX][valid]
        depth += np.histogram(depth_m, DEPTH_EDGES_M)[0]
        for diameter_px in _blur_px(reader, index, depth_m):
            blur += np.histogram(diameter_px, BLUR_EDGES_PX)[0]
    return {"depth_m": _trimmed(DEPTH_EDGES_M, depth), "blur_px": _trimmed(BLUR_EDGES_PX, blur)}


def _blur_px(reader: ShardReader, index: int, depth_m: NDArray[np.float32]) -> Iterable[NDArray[np.float64]]:
    camera = {name: float(reader.column(name)[index]) for name in ("focal_length_m", "f_number", "sensor_width_m")}
    for focus_m in reader.column("focus_distance_m")[index]:
        yield coc_diameter_px(depth_m, float(focus_m), width_px=reader.width, **camera)


def _trimmed(edges: NDArray[np.float64], counts: NDArray[np.int64]) -> dict[str, list[Any]]:
    filled = np.flatnonzero(counts)
    if not len(filled):
        return {"edges": [], "counts": []}
    first, last = filled[0], filled[-1]
    kept = [float(edge) if np.isfinite(edge) else None for edge in edges[first : last + 2]]
    return {"edges": kept, "counts": counts[first : last + 1].tolist()}
