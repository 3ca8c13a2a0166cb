"""Photos with relative depth, as networks for one image estimate it, and a declared range in ``depth_range.txt``:

    near_m: 0.3
    far_m: 4
    stored: inverse

``stored`` says what grows in the files: ``depth``, or ``inverse`` (disparity-like: larger is nearer), which most
such networks give. Of each file the smallest and largest number are put on the two ends of the range, linearly in z
or in 1/z. The depth is then as good as the guess; it is no measurement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.errors import FrameError, SourceError
from focalsim.sources.folder import quoted_licence
from focalsim.sources.frames import Frame, FramesSource
from focalsim.sources.image_files import read_stored
from focalsim.sources.pairing import pair_files

_RANGE = "depth_range.txt"
_LINE = re.compile(r"^\s*(near_m|far_m|stored)\s*[:=]\s*(\S+)\s*$", re.MULTILINE)


class MonoDepthSource(FramesSource):
    """Reader of a folder whose files are paired by name, as :mod:`focalsim.sources.pairing` says."""

    format = "mono"
    unit_from = "depth_range.txt: near_m and far_m in metres"
    enlarges_depth = True  # networks give depth at their own size
    description = "photos with relative depth and a declared range in depth_range.txt"

    def __init__(self, path: Path, depth_scale: float | None) -> None:
        super().__init__(path, depth_scale)
        self.license = quoted_licence(path)
        self.attribution = f"photos of the folder {self.name}, depth estimated"
        self._near_m, self._far_m, self._inverse = _declared(path / _RANGE)
        kind = "inverse depth" if self._inverse else "depth"
        self.depth_assumption = f"relative {kind} is put on {self._near_m:g} to {self._far_m:g} m in every frame"

    @staticmethod
    def find(path: Path) -> Iterator[Frame]:
        declared = path / _RANGE
        if declared.is_file():
            for pair in pair_files(path):
                yield Frame(pair.colour, pair.depth, (declared,))

    def read_depth_m(self, frame: Frame, shape: tuple[int, int]) -> NDArray[np.floating[Any]]:  # noqa: ARG002
        stored = read_stored(frame.depth).astype(np.float64)
        if stored.ndim == 3 and (stored == stored[..., :1]).all():
            stored = stored[..., 0]  # grey, saved as colour
        if stored.ndim != 2:
            raise FrameError(f"{frame.depth}: expected relative depth (H, W), got {stored.shape}")
        known = stored[np.isfinite(stored)]
        if not known.size or known.min() == known.max():
            raise FrameError(f"{frame.depth}: relative depth is the same everywhere", "no valid depth")
        low, high = float(known.min()), float(known.max())
        share = (stored - low) / (high - low)
        if self._inverse:
            return 1 / (1 / self._far_m + share * (1 / self._near_m - 1 / self._far_m))
        return self._near_m + share * (self._far_m - self._near_m)


def _declared(path: Path) -> tuple[float, float, bool]:
    try:
        entries = dict(_LINE.findall(path.read_text("utf-8")))
        near_m, far_m, stored = float(entries["near_m"]), float(entries["far_m"]), entries["stored"]
    except (OSError, ValueError, KeyError) as error:
        raise SourceError(f"{path}: expected the lines near_m, far_m and stored: {error}") from None
    if not 0 < near_m < far_m < float("inf") or stored not in ("depth", "inverse"):
        raise SourceError(
            f"{path}: expected 0 < near_m < far_m and stored: depth or inverse, got {near_m:g}, {far_m:g}, {stored}"
        )
    return near_m, far_m, stored == "inverse"
