"""NYU Depth V2, the labelled set: one MATLAB v7.3 file, which is HDF5, of 1449 Kinect frames of rooms.

``images`` is (N, 3, W, H) uint8 sRGB and ``depths`` (N, W, H) float32 metres, both transposed because MATLAB
stores columns first. One frame is read at a time; the file of 2.8 GB never stands in memory.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from focalsim.errors import FrameError, SourceError
from focalsim.scene import Intrinsics, Scene
from focalsim.sources.base import FileSource, FrameRequest

# The colour images carry a white frame where the lens distortion was taken out.
_BORDER_PX = 16
_FX_PX, _FY_PX, _CX_PX, _CY_PX = 518.858, 519.470, 325.582, 253.736  # of the 640 x 480 frame


class NyuSource(FileSource):
    """Reader of ``nyu_depth_v2_labeled.mat``; depth in metres, holes already filled by its authors."""

    format = "nyu"
    description = "the labelled .mat file of NYU Depth V2"
    license = "not stated by its authors"
    attribution = (
        "NYU Depth Dataset V2: N. Silberman, D. Hoiem, P. Kohli, R. Fergus, "
        "Indoor Segmentation and Support Inference from RGBD Images, ECCV 2012"
    )

    def __init__(self, path: Path, depth_scale: float | None) -> None:
        import h5py

        self._path = path
        self.units_per_metre = depth_scale or self.units_per_metre
        self.name = path.name
        try:
            with h5py.File(path, "r") as file:
                images, depths = file["images"], file["depths"]
                shapes, kinds = (images.shape, depths.shape), (images.dtype.kind, depths.dtype.kind)
        except (OSError, KeyError, AttributeError) as error:
            raise SourceError(
                f"{path}: expected a MATLAB v7.3 (HDF5) file with 'images' and 'depths': {error}"
            ) from None
        n, *size = shapes[1]
        if shapes[0] != (n, 3, *size) or len(size) != 2 or kinds != ("u", "f"):
            raise SourceError(
                f"{path}: expected images (N, 3, W, H) uint8 and depths (N, W, H) float, "
                f"got {shapes[0]} and {shapes[1]}"
            )
        if n == 0 or min(size) <= 2 * _BORDER_PX:
            raise SourceError(f"{path}: no frame is larger than its border of {_BORDER_PX} px: {shapes[1]}")
        self._frames = int(n)

    @staticmethod
    def detects(path: Path) -> bool:
        return path.is_file() and path.suffix.lower() == ".mat"

    def __len__(self) -> int:
        return self._frames

    def frame_id(self, index: int) -> str:
        return f"{self.name}/{index:04d}"

    def load(self, index: int, request: FrameRequest, rng: np.random.Generator) -> Scene:  # noqa: ARG002
        image, depth_m = self._read(index)
        inside = np.s_[_BORDER_PX:-_BORDER_PX, _BORDER_PX:-_BORDER_PX]
        depth_m = (depth_m.T[inside] / self.units_per_metre).astype(np.float32)
        valid = np.isfinite(depth_m) & (depth_m > 0)
        if not valid.any():
            raise FrameError(f"{self.frame_id(index)}: no pixel has a depth", "no valid depth")
        return Scene(
            rgb=image.transpose(2, 1, 0)[inside],
            depth_m=depth_m,
            valid=valid,
            source_id=self.frame_id(index),
            intrinsics=Intrinsics(_FX_PX, _FY_PX, _CX_PX - _BORDER_PX, _CY_PX - _BORDER_PX),
        )

    def content_digest(self, index: int) -> str:
        image, depth_m = self._read(index)
        unit = "" if self.units_per_metre == 1 else f"{self.units_per_metre}"
        return hashlib.sha256(image.tobytes() + depth_m.tobytes() + unit.encode()).hexdigest()

    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Stored image (3, W, H) and depth (W, H). Opened anew: no handle may cross a fork."""
        import h5py

        try:
            with h5py.File(self._path, "r") as file:
                return file["images"][index], file["depths"][index]
        except OSError as error:
            raise FrameError(f"{self._path}: frame {index} cannot be read: {error}") from None
