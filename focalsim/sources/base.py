"""What every source is: numbered frames, each read on its own, lazily."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from focalsim.scene import Scene


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """What the caller will make of a frame. Some sources make theirs to measure; readers of files do not.

    width, height        size of the output images in pixels
    near_m, far_m        range of the focus distances in metres
    focal_over_width     lens-to-sensor distance over sensor width: the horizontal field of view
    margin_px            how far beyond the picture light may come from, in output pixels; kept where a frame has it
    """

    width: int
    height: int
    near_m: float
    far_m: float
    focal_over_width: float
    margin_px: int = 0


class Source(Protocol):
    """A numbered collection of RGB-D frames."""

    name: str  # "synthetic", or the last part of the path
    format: str  # registry name of the reader
    license: str
    attribution: str

    def __len__(self) -> int:
        """Number of frames; ``sys.maxsize`` where the source makes its own without end."""

    def frame_id(self, index: int) -> str:
        """Name of one frame, stable across runs and machines."""

    def load(self, index: int, request: FrameRequest, rng: np.random.Generator) -> Scene:
        """Read (or make) one frame at its own resolution. Raises FrameError where it cannot be used."""


class FileSource(ABC):
    """A source read from files. Subclasses are the entries of ``focalsim.sources.SOURCE_FORMATS``.

    Frames are read anew at each call and no file stays open, so one object serves any number of processes.
    """

    format: str
    description: ClassVar[str]  # one line for ``--help``
    name: str
    license: str
    attribution: str
    takes_depth_scale: ClassVar[bool] = True  # whether the unit of the stored numbers may be given
    unit_from: ClassVar[str] = ""  # what decides the unit where it may not be given
    units_per_metre: float = 1.0  # of the stored numbers, as they are read
    usual_median_m: ClassVar[tuple[float, float]] = (0.1, 8.0)  # rooms and tables; else it is more often a wrong unit
    sensor_range_m: tuple[float, float] = (0.0, float("inf"))  # what the sensors measure, where the unit is assumed
    depth_assumption: str = ""  # what was assumed about the unit of the depth; empty where it is known

    @abstractmethod
    def __init__(self, path: Path, depth_scale: float | None) -> None:
        """Open ``path``; ``depth_scale`` is the number of stored units per metre, None = the format's own.

        Raises SourceError where ``path`` holds no frame, ConfigError where the format knows its unit.
        """

    @staticmethod
    @abstractmethod
    def detects(path: Path) -> bool:
        """Whether ``path``, which exists, has the layout of this format."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def frame_id(self, index: int) -> str: ...

    @abstractmethod
    def load(self, index: int, request: FrameRequest, rng: np.random.Generator) -> Scene: ...

    @abstractmethod
    def content_digest(self, index: int) -> str:
        """sha256 over everything that decides what :meth:`load` returns for this frame.

        Raises FrameError where the frame cannot be read.
        """
