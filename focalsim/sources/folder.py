"""A folder of colour images and depth maps: RGB-D recordings, renderings, a phone's captures.

Which files belong together: ``pairing``. Their formats: ``image_files``. The camera, where known:
``intrinsics``. Depth must show the same view as the colour. If it has the same aspect ratio but another
size, it is brought to the size of the colour: ``align``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from focalsim.errors import FrameError, SourceError
from focalsim.scene import Scene
from focalsim.sources.base import FileSource, FrameRequest
from focalsim.sources.intrinsics import find_intrinsics

_LICENCE_LENGTH = 2000
_SENSOR_RANGE_M = (0.0, 10.0)  # what writes 16 bits is mostly a sensor for rooms
_UNIT_SUFFIXES = (".png", ".pgm", ".tif", ".tiff")


class FolderSource(FileSource):
    """Reader of a folder; the licence is quoted from a file ``LICENSE*`` in it."""

    format = "folder"
    description = "a folder of colour images and depth maps, paired by name"

    def __init__(self, path: Path, depth_scale: float | None) -> None:
        if not path.is_dir():
            raise SourceError(f"{path}: expected a folder of colour images and depth maps, got a file")
        from focalsim.sources.image_files import UNITS_PER_METRE
        from focalsim.sources.pairing import pair_files

        self._folder = path
        self._depth_scale = depth_scale
        self._pairs = pair_files(path)
        self._intrinsics = find_intrinsics(path)
        self.name = path.resolve().name
        self.license = quoted_licence(path)
        self.attribution = f"RGB-D frames of the folder {self.name}"
        whole_numbers = any(pair.depth.suffix.lower() in _UNIT_SUFFIXES for pair in self._pairs)
        self.units_per_metre = depth_scale or (UNITS_PER_METRE if whole_numbers else 1.0)
        if depth_scale is None and whole_numbers:
            self.sensor_range_m = _SENSOR_RANGE_M
            self.depth_assumption = f"depth of whole numbers is read as {UNITS_PER_METRE:g} units per metre"

    @staticmethod
    def detects(path: Path) -> bool:
        return path.is_dir()

    def __len__(self) -> int:
        return len(self._pairs)

    def frame_id(self, index: int) -> str:
        return f"{self.name}/{self._pairs[index].colour.relative_to(self._folder).as_posix()}"

    def load(self, index: int, request: FrameRequest, rng: np.random.Generator) -> Scene:  # noqa: ARG002
        from focalsim.sources.align import align_depth, enlargement, same_view
        from focalsim.sources.image_files import read_depth, read_rgb

        pair = self._pairs[index]
        depth_m = read_depth(pair.depth, self._depth_scale)
        rgb = read_rgb(pair.colour)
        if not same_view(depth_m.shape, rgb.shape[:2]):
            rgb = read_rgb(pair.colour, oriented=True)  # a portrait whose depth was stored upright
        if not same_view(depth_m.shape, rgb.shape[:2]):
            raise FrameError(
                f"{pair.depth}: depth of {_size(depth_m)} pixels has another aspect ratio than "
                f"the colour image of {_size(rgb)}",
                "depth of another aspect ratio",
            )
        enlarged = enlargement(depth_m.shape, rgb.shape)
        if depth_m.shape != rgb.shape[:2]:
            depth_m = align_depth(depth_m, rgb)
        return Scene(
            rgb=rgb,
            depth_m=depth_m,
            valid=np.isfinite(depth_m),
            source_id=self.frame_id(index),
            intrinsics=self._intrinsics,
            depth_enlarged=enlarged,
        )

    def content_digest(self, index: int) -> str:
        pair = self._pairs[index]
        reading = f"{self._depth_scale} {self._intrinsics} {pair.depth.suffix.lower()}"
        digest = hashlib.sha256(reading.encode())
        for path in (pair.colour, pair.depth):
            try:
                digest.update(hashlib.sha256(path.read_bytes()).digest())
            except OSError as error:
                raise FrameError(f"{path}: cannot be read: {error}") from None
        return digest.hexdigest()


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"


def quoted_licence(folder: Path) -> str:
    """The first two lines with text of the folder's licence file, else of those of its folders, or "unknown"."""
    own = _quoted(folder)
    if own:
        return own
    below = {path.name: _quoted(path) for path in sorted(folder.iterdir()) if path.is_dir()}
    return "; ".join(f"{name}: {quoted}" for name, quoted in below.items() if quoted)[:_LICENCE_LENGTH] or "unknown"


def _quoted(folder: Path) -> str:
    for path in sorted(folder.glob("LICEN[CS]E*")):
        lines = [" ".join(line.split()) for line in path.read_text("utf-8", errors="replace").splitlines()]
        quoted = ", ".join([line for line in lines if line][:2])
        if quoted:
            return quoted[:200]
    return ""
