"""SceneFlow (FlyingThings3D, Monkaa, Driving): ``frames_cleanpass`` or ``frames_finalpass`` beside ``disparity``.

Below these folders the paths of a picture (.png, .webp) and its disparity (.pfm, pixels) are the same. z = f / d with a
baseline of one unit, f = 1050 px, or 450 px below a folder ``15mm_focallength``. The set's unit is not a metre of
any kind; it is read as one metre unless a depth scale says how many units a metre has.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.scene import Intrinsics
from focalsim.sources.frames import Frame, FramesSource
from focalsim.sources.image_files import read_stored

_PASSES = ("frames_finalpass", "frames_cleanpass")  # the first that is there: it has the set's own blur and glare
_FOCAL_PX, _WIDE_FOCAL_PX, _WIDE = 1050.0, 450.0, "15mm_focallength"


class SceneFlowSource(FramesSource):
    """Reader of the left views; the right ones show the same scene again."""

    format = "sceneflow"
    takes_depth_scale = True
    description = "SceneFlow, FlyingThings3D: frames_cleanpass or frames_finalpass beside disparity"
    usual_median_m = (0.1, 500.0)  # its units are no metres, and its views reach far
    license = "for research only, by the terms of its authors"
    attribution = (
        "Scene Flow Datasets: N. Mayer, E. Ilg, P. Häusser, P. Fischer, D. Cremers, A. Dosovitskiy, T. Brox, A Large "
        "Dataset to Train Convolutional Networks for Disparity, Optical Flow, and Scene Flow Estimation, CVPR 2016"
    )

    def __init__(self, path: Path, depth_scale: float | None) -> None:
        super().__init__(path, depth_scale)
        if depth_scale is None:
            self.depth_assumption = "the unit of the scenes, which is no metre, is read as one"

    @staticmethod
    def find(path: Path) -> Iterator[Frame]:
        pictures = next((path / name for name in _PASSES if (path / name).is_dir()), None)
        disparities = path / "disparity"
        if pictures is None or not disparities.is_dir():
            return
        for disparity in sorted(disparities.rglob("*.pfm")):
            if disparity.parent.name == "right":
                continue
            picture = pictures / disparity.relative_to(disparities)
            for suffix in (".png", ".webp"):
                if picture.with_suffix(suffix).is_file():
                    yield Frame(picture.with_suffix(suffix), disparity)
                    break

    def read_depth_m(self, frame: Frame, shape: tuple[int, int]) -> NDArray[np.floating[Any]]:  # noqa: ARG002
        # Some releases store the disparity of the left view with a minus.
        units = _focal_px(frame) / np.abs(read_stored(frame.depth))
        return np.asarray(units / self.units_per_metre)

    def intrinsics(self, frame: Frame, shape: tuple[int, int]) -> Intrinsics:
        return Intrinsics(_focal_px(frame), _focal_px(frame), (shape[1] - 1) / 2, (shape[0] - 1) / 2)


def _focal_px(frame: Frame) -> float:
    return _WIDE_FOCAL_PX if _WIDE in frame.depth.parts else _FOCAL_PX
