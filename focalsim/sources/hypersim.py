"""Hypersim: rendered rooms. ``images/scene_cam_XX_final_hdf5/frame.IIII.color.hdf5`` is the picture in linear light, or
where it is not there ``images/scene_cam_XX_final_preview/frame.IIII.tonemap.jpg`` in eight bits;
``images/scene_cam_XX_geometry_hdf5/frame.IIII.depth_meters.hdf5`` the DISTANCE from the camera along each pixel's ray.

z = distance f / sqrt(x^2 + y^2 + f^2), with x, y from the image centre and f = 886.81 px at 1024 x 768 (the set's
published camera, a horizontal field of view of 60 degrees).

Linear light is exposed as the set's own tone mapping does, but not cut: the brightness that nine tenths of the pixels
stay below becomes 0.8 after a gamma of 2.2, and lamps keep their light above 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.errors import FrameError
from focalsim.scene import Intrinsics
from focalsim.sources.frames import Frame, FramesSource, below

_FOCAL_OVER_WIDTH = 886.81 / 1024
_PICTURE_FOLDER, _DEPTH_FOLDER = "_final_preview", "_geometry_hdf5"
_PICTURE, _DEPTH = ".tonemap.jpg", ".depth_meters.hdf5"
_LIGHT_FOLDER, _LIGHT = "_final_hdf5", ".color.hdf5"
_BRIGHTNESS = np.array([0.3, 0.59, 0.11], np.float32)  # of R, G, B
_PERCENTILE, _ENCODED, _GAMMA = 90, 0.8, 2.2


class HypersimSource(FramesSource):
    """Reader of one scene (``ai_VVV_NNN``) or a folder of scenes."""

    format = "hypersim"
    takes_depth_scale = True
    description = "Hypersim scenes: images/scene_cam_XX_final_hdf5 or _final_preview, and _geometry_hdf5"
    license = "CC BY-SA 3.0"
    attribution = (
        "Hypersim: M. Roberts, J. Ramapuram, A. Ranjan, A. Kumar, M. A. Bautista, N. Paczan, R. Webb, J. M. Susskind, "
        "Hypersim: A Photorealistic Synthetic Dataset for Holistic Indoor Scene Understanding, ICCV 2021"
    )

    @staticmethod
    def find(path: Path) -> Iterator[Frame]:
        for folder in below(path, f"scene_cam_*{_DEPTH_FOLDER}", 2):
            for depth in sorted(folder.glob(f"*{_DEPTH}")):
                for place, suffix in ((_LIGHT_FOLDER, _LIGHT), (_PICTURE_FOLDER, _PICTURE)):
                    beside = folder.with_name(folder.name.replace(_DEPTH_FOLDER, place))
                    picture = beside / depth.name.replace(_DEPTH, suffix)
                    if picture.is_file():
                        yield Frame(picture, depth)
                        break

    def read_rgb(self, frame: Frame) -> NDArray[Any]:
        if not frame.colour.name.endswith(_LIGHT):
            return super().read_rgb(frame)
        from focalsim.sources.image_files import physical_light

        stored = _data_set(frame.colour)
        if stored.ndim != 3 or stored.shape[2] != 3:
            raise FrameError(f"{frame.colour}: expected light (H, W, 3), got {stored.shape}")
        light = physical_light(stored)
        bright = float(np.percentile(light @ _BRIGHTNESS, _PERCENTILE))
        return light * np.float32(_ENCODED**_GAMMA / bright) if bright > 0 else light

    def read_depth_m(self, frame: Frame, shape: tuple[int, int]) -> NDArray[np.floating[Any]]:  # noqa: ARG002
        distance = _data_set(frame.depth).astype(np.float64)
        if distance.ndim != 2:
            raise FrameError(f"{frame.depth}: expected distances (H, W), got {distance.shape}")
        height, width = distance.shape
        f_px = _FOCAL_OVER_WIDTH * width
        x, y = np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2
        cosine = f_px / np.sqrt(x[None, :] ** 2 + y[:, None] ** 2 + f_px**2)
        return np.asarray(distance * cosine / self.units_per_metre)

    def intrinsics(self, frame: Frame, shape: tuple[int, int]) -> Intrinsics:  # noqa: ARG002
        height, width = shape
        f_px = _FOCAL_OVER_WIDTH * width
        return Intrinsics(f_px, f_px, (width - 1) / 2, (height - 1) / 2)


def _data_set(path: Path) -> NDArray[Any]:
    """The numbers of one of the set's HDF5 files. Raises FrameError."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return np.asarray(file["dataset"])
    except (OSError, KeyError) as error:
        raise FrameError(f"{path}: expected an HDF5 file with 'dataset': {error}") from None
