"""TUM RGB-D recordings, and what is laid out like them (ICL-NUIM, ETH3D SLAM, Bonn).

``rgb.txt`` and ``depth.txt`` list "timestamp file" a line; colour and depth are taken at different times, so each is
paired with the other nearest in time, by at most 0.02 s (``associate.py`` of the TUM tools). A file
``associations.txt`` or ``associated.txt`` with four words a line says the pairs itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.errors import SourceError
from focalsim.scene import Intrinsics
from focalsim.sources.folder import quoted_licence
from focalsim.sources.frames import Frame, FramesSource
from focalsim.sources.image_files import read_depth
from focalsim.sources.intrinsics import find_intrinsics

_UNITS_PER_METRE = 5000.0
_SENSOR_RANGE_M = (0.4, 10.0)  # structured light and time of flight; stereo cameras see nearer
_LARGEST_GAP_S = 0.02
_PAIRS = ("associations.txt", "associated.txt", "association.txt")
_TUM = (
    "TUM RGB-D: J. Sturm, N. Engelhard, F. Endres, W. Burgard, D. Cremers, "
    "A Benchmark for the Evaluation of RGB-D SLAM Systems, IROS 2012"
)
_FREIBURG_NAME = re.compile(r"freiburg([123])")
# The calibrations that the TUM tools' page gives for its three cameras.
_FREIBURG = {
    "1": Intrinsics(517.3, 516.5, 318.6, 255.3),
    "2": Intrinsics(520.9, 521.0, 325.1, 249.7),
    "3": Intrinsics(535.4, 539.2, 320.1, 247.6),
}


class TumSource(FramesSource):
    """Reader of recordings with lists of files; depth is 1/5000 m unless a scale is given."""

    format = "tum"
    takes_depth_scale = True
    description = "TUM RGB-D recordings: folders with rgb.txt and depth.txt, or associations.txt"
    units_per_metre = _UNITS_PER_METRE

    def __init__(self, path: Path, depth_scale: float | None) -> None:
        super().__init__(path, depth_scale)
        # Others have taken over the layout; TUM's own recordings are known by their names.
        if any(_FREIBURG_NAME.search(frame.colour.as_posix()) for frame in self._frames):
            self.license, self.attribution = "CC BY 4.0", _TUM
        else:
            self.license, self.attribution = quoted_licence(path), f"RGB-D recording {self.name}"
        if depth_scale is None:
            self.sensor_range_m = _SENSOR_RANGE_M
            self.depth_assumption = f"depth is read as {_UNITS_PER_METRE:g} units per metre, as TUM stores it"

    @staticmethod
    def find(path: Path) -> Iterator[Frame]:
        for folder in (path, *sorted(p for p in path.iterdir() if p.is_dir())):
            listed = next((folder / name for name in _PAIRS if (folder / name).is_file()), None)
            if listed is not None:
                yield from _listed_pairs(listed)
            elif (folder / "rgb.txt").is_file() and (folder / "depth.txt").is_file():
                yield from _pairs_in_time(folder)

    def read_depth_m(self, frame: Frame, shape: tuple[int, int]) -> NDArray[np.floating[Any]]:  # noqa: ARG002
        return read_depth(frame.depth, self.units_per_metre)

    def intrinsics(self, frame: Frame, shape: tuple[int, int]) -> Intrinsics | None:  # noqa: ARG002
        folder = frame.colour.parent.parent
        camera = _FREIBURG_NAME.search(folder.as_posix())
        return _FREIBURG[camera[1]] if camera else find_intrinsics(folder)


def _rows(path: Path, words: int) -> list[list[str]]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from None
    rows = [line.replace(",", " ").split() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    for row in rows:
        if len(row) < words:
            raise SourceError(f"{path}: expected {words} words a line, got {' '.join(row)!r}")
    return rows


def _listed_pairs(path: Path) -> Iterator[Frame]:
    for row in _rows(path, 4):
        first, second = path.parent / row[1], path.parent / row[3]
        # TUM's tool writes colour first, ICL-NUIM depth first.
        yield Frame(second, first) if "depth" in row[1] else Frame(first, second)


def _pairs_in_time(folder: Path) -> Iterator[Frame]:
    """Each time in at most one pair, the closest pairs first."""
    colour, depth = (_timed(folder / f"{name}.txt") for name in ("rgb", "depth"))
    if not colour or not depth:
        return
    times = np.array([t for t, _ in depth])
    gaps = []
    for i, (t, _) in enumerate(colour):
        near = np.flatnonzero(np.abs(times - t) <= _LARGEST_GAP_S)
        gaps += [(abs(float(times[j]) - t), i, int(j)) for j in near]
    taken: dict[int, int] = {}
    for _, i, j in sorted(gaps):
        if i not in taken and j not in taken.values():
            taken[i] = j
    for i in sorted(taken):
        yield Frame(folder / colour[i][1], folder / depth[taken[i]][1])


def _timed(path: Path) -> list[tuple[float, str]]:
    try:
        return [(float(row[0]), row[1]) for row in _rows(path, 2)]
    except ValueError as error:
        raise SourceError(f"{path}: expected a timestamp and a file a line: {error}") from None
