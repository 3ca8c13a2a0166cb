"""Is the unit of the depth plausible? A wrong one puts a room at kilometres, or before the sensor's eyes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from focalsim.scene import Scene
from focalsim.sources.base import FileSource

_ENDS = (0.01, 0.5, 0.99)  # single wrong pixels do not decide what the range is
_PIXELS = 100_000  # of a frame, that decide it
# Stored units per metre, the commonest first.
_UNITS = (
    (1000.0, "millimetres"),
    (5000.0, "1/5000 m, as TUM stores them"),
    (1.0, "metres"),
    (100.0, "centimetres"),
    (10000.0, "tenths of a millimetre"),
)


class DepthRange(NamedTuple):
    """Quantiles of 1, 50 and 99 %, in metres; NaN where nothing is known."""

    near_m: float = np.nan
    median_m: float = np.nan
    far_m: float = np.nan


UNKNOWN = DepthRange()


def depth_range(scene: Scene) -> DepthRange:
    """Of one frame."""
    known = scene.depth_m[scene.valid]
    return DepthRange(*map(float, np.quantile(known[:: max(1, known.size // _PIXELS)], _ENDS)))


def typical_range(frames: Iterable[DepthRange]) -> DepthRange:
    """The median over frames of each quantile."""
    ranges = list(frames)
    return DepthRange(*map(float, np.median(ranges, axis=0))) if ranges else UNKNOWN


def unit_warning(source: object, frames: Mapping[str, DepthRange]) -> str:
    """What to say of ``frames`` (by id) whose depth would be plausible in another unit; empty where all is usual.

    What is usual, the reader says: ``usual_median_m`` and ``sensor_range_m`` of :class:`FileSource`. Where it had to
    assume the unit, each folder of a folder of folders is looked at, too: they may be of several origins.
    """
    if not isinstance(source, FileSource) or not frames:
        return ""
    if told := _warning(source, typical_range(frames.values())):
        return told
    folders: dict[str, list[DepthRange]] = {}
    for name, depth in frames.items():
        folders.setdefault(name.rpartition("/")[0], []).append(depth)
    if source.sensor_range_m == FileSource.sensor_range_m or len(folders) == 1:
        return ""
    odd = {folder: told for folder, ranges in folders.items() if (told := _warning(source, typical_range(ranges)))}
    if not odd:
        return ""
    folder, told = next(iter(odd.items()))
    return f"in {len(odd)} of {len(folders)} folders, as {folder}, which should then be read by themselves: {told}"


def _warning(source: FileSource, depth: DepthRange) -> str:
    found = _oddity(source, depth)
    if not found:
        return ""
    if not source.takes_depth_scale:
        return f"{found}; if that is wrong, check {source.unit_from or 'the files'}"
    for units, name in _UNITS:
        guess = DepthRange(*(source.units_per_metre / units * value for value in depth))
        if units != source.units_per_metre and not _oddity(source, guess):
            remedy = f"give --depth-scale {units:g} (the numbers are {name}: then it is {_metres(guess.median_m)})"
            return f"{found}; if that is wrong, {remedy}"
    return f"{found}; if that is wrong, give --depth-scale UNITS, the number of stored units per metre"


def _oddity(source: FileSource, depth: DepthRange) -> str:
    """What is unusual about ``depth``, or empty."""
    low, high = source.usual_median_m
    median = f"the median depth is {_metres(depth.median_m)}"
    if not low <= depth.median_m <= high:
        return median
    nearest, farthest = source.sensor_range_m
    outside = ("nearer", depth.near_m, nearest) if depth.near_m < nearest else ("farther", depth.far_m, farthest)
    side, quantile, limit = outside
    if nearest <= quantile <= farthest:
        return ""
    return (
        f"{median}, and one pixel in a hundred is {side} than {_metres(quantile)}: sensors of this kind "
        f"measure nothing {side} than {limit:g} m"
    )


def _metres(value: float) -> str:
    return f"{float(f'{value:.3g}'):g} m"  # three digits, without an exponent
