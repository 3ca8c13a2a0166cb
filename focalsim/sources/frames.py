"""What the readers of published data sets share: a list of frames, each of a colour file and a depth file.

A reader says which frames a path holds (:meth:`FramesSource.find`) and how the stored numbers become metres
(:meth:`FramesSource.read_depth_m`). The rest is the same for all.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.errors import ConfigError, FrameError, SourceError
from focalsim.scene import Intrinsics, Scene
from focalsim.sources.base import FileSource, FrameRequest


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: its colour and depth file, and further files that decide how the depth is read."""

    colour: Path
    depth: Path
    others: tuple[Path, ...] = ()


class FramesSource(FileSource):
    """Base of the readers whose frames are pairs of files of one size."""

    takes_depth_scale = False  # a reader that takes one divides by ``units_per_metre``
    enlarges_depth = False  # whether depth of another size is brought to the image's; else it is a damaged frame

    def __init__(self, path: Path, depth_scale: float | None) -> None:
        if depth_scale is not None and not self.takes_depth_scale:
            raise ConfigError(
                f"{path}: the format {self.format} takes no depth scale; see {self.unit_from or 'its definition'}"
            )
        self._path = path
        self._depth_scale = depth_scale
        self.units_per_metre = depth_scale or self.units_per_metre
        self._frames = list(self.find(path)) if path.is_dir() else []
        self.name = path.resolve().name
        if not self._frames:
            raise SourceError(f"{path}: expected {self.description}; no frame found")

    @staticmethod
    @abstractmethod
    def find(path: Path) -> Iterator[Frame]:
        """All frames of a folder, in a stable order."""

    @abstractmethod
    def read_depth_m(self, frame: Frame, shape: tuple[int, int]) -> NDArray[np.floating[Any]]:
        """z in metres; NaN, infinite or not positive where it is not known. ``shape`` (H, W) is the colour image's."""

    def read_rgb(self, frame: Frame) -> NDArray[Any]:
        """The colour image (H, W, 3): linear light, >= 0, which may exceed 1, or 8-bit sRGB codes."""
        from focalsim.sources.image_files import read_rgb

        return read_rgb(frame.colour)

    def intrinsics(self, frame: Frame, shape: tuple[int, int]) -> Intrinsics | None:  # noqa: ARG002
        """The frame's camera, where it is known."""
        return None

    @classmethod
    def detects(cls, path: Path) -> bool:
        return path.is_dir() and next(cls.find(path), None) is not None

    def __len__(self) -> int:
        return len(self._frames)

    def frame_id(self, index: int) -> str:
        return f"{self.name}/{self._frames[index].colour.relative_to(self._path).as_posix()}"

    def load(self, index: int, request: FrameRequest, rng: np.random.Generator) -> Scene:  # noqa: ARG002
        from focalsim.sources.align import align_depth, enlargement, same_view

        frame = self._frames[index]
        rgb = self.read_rgb(frame)
        shape = (rgb.shape[0], rgb.shape[1])
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            depth_m = self.read_depth_m(frame, shape).astype(np.float32)
        stored_shape = depth_m.shape
        if self.enlarges_depth and stored_shape != shape and same_view(stored_shape, shape):
            depth_m = align_depth(depth_m, rgb)
        if depth_m.shape != shape:
            raise FrameError(
                f"{frame.depth}: depth of shape {depth_m.shape}, but its image {frame.colour.name} has {shape}",
                "depth of another size",
            )
        valid = np.isfinite(depth_m) & (depth_m > 0)
        if not valid.any():
            raise FrameError(f"{frame.depth}: no pixel has a depth", "no valid depth")
        return Scene(
            rgb=rgb,
            depth_m=np.where(valid, depth_m, np.float32(np.nan)),
            valid=valid,
            source_id=self.frame_id(index),
            intrinsics=self.intrinsics(frame, shape),
            depth_enlarged=enlargement(stored_shape, shape),
        )

    def content_digest(self, index: int) -> str:
        frame = self._frames[index]
        digest = hashlib.sha256(f"{self.format} {self._depth_scale}".encode())
        for path in (frame.colour, frame.depth, *frame.others):
            try:
                digest.update(hashlib.sha256(path.read_bytes()).digest())
            except OSError as error:
                raise FrameError(f"{path}: cannot be read: {error}") from None
        return digest.hexdigest()


def below(path: Path, pattern: str, levels: int) -> Iterator[Path]:
    """Files of ``path`` and up to ``levels`` folders below that match ``pattern``, sorted; not the whole tree,
    which for a large set takes minutes.
    """
    for depth in range(levels + 1):
        yield from sorted(path.glob("*/" * depth + pattern))
