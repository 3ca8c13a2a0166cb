"""One rendered sample: what a shard holds n of. Field names are the shard's data set names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Sample:
    """A focal stack with its camera and its truth. S slices, far to near; H x W pixels.

    Fields can be read as attributes or by name (``sample["images"]``). The last ones are None where the phone has no
    such effect, or the bundle no depth map that was enlarged.
    """

    images: NDArray[np.uint8]  # (S, H, W, 3) sRGB, as the phone delivers them
    all_in_focus: NDArray[np.uint8]  # (H, W, 3) sRGB, geometry of the reference slice
    depth_m: NDArray[np.float32]  # (H, W) z, geometry of the reference slice
    valid: NDArray[np.bool_]  # (H, W) depth known
    focus_distance_m: NDArray[np.float32]  # (S,) far to near
    magnification: NDArray[np.float32]  # (S,) relative to the reference slice
    principal_point_px: NDArray[np.float32]  # (S, 2) shift relative to the reference slice
    fov_error: NDArray[np.float32]  # (S,) drawn relative field-of-view error alpha
    focal_length_m: float
    f_number: float
    sensor_width_m: float
    phone: str
    source_id: str
    depth_scale: float  # factor applied to the source's metres, 1 = kept
    sample_index: int  # global index within the bundle
    exposure_ev: float | None = None  # light was multiplied by 2^ev
    shot_noise: float | None = None  # variance of raw values (white is 1) per unit of their expectation
    read_noise: float | None = None  # standard deviation of raw values in the dark
    jpeg_quality: float | None = None  # whole number 1..100 on libjpeg's scale
    depth_enlarged: float | None = None  # by how much the source's depth map was enlarged along the image's edges

    def __getitem__(self, name: str) -> Any:
        if name not in self.__slots__:
            raise KeyError(f"a sample has no field {name!r}; it has {', '.join(self.keys())}")
        return getattr(self, name)

    def keys(self) -> tuple[str, ...]:
        """Names of all fields that are not None, in the order of the shard schema."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) is not None)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())
