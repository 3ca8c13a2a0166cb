"""What every exchange format is, and what an imported stack lacks that a sample has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from focalsim.sample import Sample

SPLITS = ("train", "val")

# Formats that hold no camera get that of a phone. Aligned stacks do not need it: their magnification is 1.
_NOMINAL_CAMERA = {"focal_length_m": 0.0044, "f_number": 1.7, "sensor_width_m": 0.0056}


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where stacks come from; travels with every export. ``near_m`` and ``far_m`` are the ends of the focus range."""

    license: str
    attribution: str
    near_m: float
    far_m: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and HDF5 attributes."""
        return asdict(self)

    def updated(self, stored: Mapping[str, Any]) -> Provenance:
        """A copy that takes from ``stored``, which a stranger may have written, what has the right type."""
        values = asdict(self)
        for key, value in values.items():
            other = stored.get(key)
            if isinstance(value, float) and isinstance(other, float) and 0 < other < np.inf:
                values[key] = float(other)
            elif isinstance(value, str) and isinstance(other, str):
                values[key] = other
        return Provenance(**values)


class Stacks(Protocol):
    """A number of samples, loaded one at a time."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Sample]: ...


@dataclass(frozen=True, slots=True)
class Imported:
    """What a format found: how many stacks, how to load one, and where they come from."""

    count: int
    load: Callable[[int], Sample]
    provenance: Provenance


class Format(ABC):
    """One format. The class attributes say how samples are fitted to it before :meth:`write` sees them.

    slices       number of slices its readers take; None = any
    focus_m      focus distances (slices,) that its readers assume, far to near; None = as they come
    tile_px      its readers take exactly this size (H, W): larger images are cut into tiles; None = any
    one_schedule all stacks must have the same focus distances, because the format stores or assumes one list
    aligned      its readers take stacks without breathing
    """

    name: ClassVar[str]
    description: ClassVar[str]
    slices: ClassVar[int | None] = None
    focus_m: ClassVar[NDArray[np.float64] | None] = None
    tile_px: ClassVar[tuple[int, int] | None] = None
    one_schedule: ClassVar[bool] = True
    aligned: ClassVar[bool] = True

    def check_size(self, height: int, width: int) -> None:  # noqa: B027
        """Raise ConfigError for image sizes that the format's readers refuse (besides ``tile_px``)."""

    @abstractmethod
    def write(self, out: Path, splits: Mapping[str, Stacks], provenance: Provenance) -> None:
        """Write ``splits`` ("train" and "val") to ``out``, which does not exist. Raises OutputError."""

    @abstractmethod
    def open(self, path: Path, assumed: Provenance) -> Imported:
        """Find the stacks in ``path``; what the data does not say of itself is as ``assumed``.

        Raises SourceError where ``path`` is not of this format.
        """


def to_sample(
    images: NDArray[np.uint8],
    focus_distance_m: NDArray[np.floating[Any]],
    *,
    source_id: str,
    depth_m: NDArray[np.float32] | None = None,
    all_in_focus: NDArray[np.uint8] | None = None,
    **camera: Any,
) -> Sample:
    """A sample from what a format holds: images (S, H, W, 3) and focus distances (S,), far to near.

    Depth None or NaN is not valid; an all-in-focus image None is black; ``camera`` takes the place of the nominal
    camera, and of magnification 1 and shift 0.
    """
    slices, height, width = images.shape[:3]
    depth_m = np.full((height, width), np.nan, np.float32) if depth_m is None else depth_m
    valid = np.isfinite(depth_m) & (depth_m > 0)
    values: dict[str, Any] = {
        "images": images,
        "all_in_focus": np.zeros((height, width, 3), np.uint8) if all_in_focus is None else all_in_focus,
        "depth_m": np.where(valid, depth_m, 0).astype(np.float32),
        "valid": valid,
        "focus_distance_m": np.asarray(focus_distance_m, np.float32),
        "magnification": np.ones(slices, np.float32),
        "principal_point_px": np.zeros((slices, 2), np.float32),
        "fov_error": np.zeros(slices, np.float32),
        **_NOMINAL_CAMERA,
        "phone": "unknown",
        "source_id": source_id,
        "depth_scale": 1.0,
        "sample_index": 0,
    }
    return Sample(**values | camera)
