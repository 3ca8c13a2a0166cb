"""4D Light Field Benchmark (HCI): folders with ``input_Cam040.png``, ``gt_disp_lowres.pfm``, ``parameters.cfg``.

The cameras are shifted so that the disparity d between neighbours is 0 at the focus distance:

    1 / z = 1 / focus_distance + d sensor_size / (baseline focal_length max(W, H))

(the benchmark's own toolkit). d is in pixels and may be negative.
"""

from __future__ import annotations

import configparser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.errors import FrameError
from focalsim.scene import Intrinsics
from focalsim.sources.frames import Frame, FramesSource, below
from focalsim.sources.image_files import read_stored

_CENTRE_VIEW = "input_Cam040.png"  # of 9 x 9


class HciSource(FramesSource):
    """Reader of the centre views; every scene is a frame."""

    format = "hci"
    unit_from = "parameters.cfg: focus_distance_m in metres, baseline_mm and focal_length_mm in millimetres"
    description = "4D Light Field scenes: folders with input_Cam040.png, gt_disp_lowres.pfm and parameters.cfg"
    license = "CC BY-NC-SA 4.0"
    attribution = (
        "4D Light Field Benchmark: K. Honauer, O. Johannsen, D. Kondermann, B. Goldluecke, "
        "A Dataset and Evaluation Methodology for Depth Estimation on 4D Light Fields, ACCV 2016"
    )

    @staticmethod
    def find(path: Path) -> Iterator[Frame]:
        for disparity in below(path, "gt_disp_lowres.pfm", 2):
            image, parameters = disparity.with_name(_CENTRE_VIEW), disparity.with_name("parameters.cfg")
            if image.is_file() and parameters.is_file():
                yield Frame(image, disparity, (parameters,))

    def read_depth_m(self, frame: Frame, shape: tuple[int, int]) -> NDArray[np.floating[Any]]:
        focal_mm, sensor_mm, baseline_mm, focus_m = _parameters(frame.others[0])
        dioptres_per_px = 1e3 * sensor_mm / (baseline_mm * focal_mm * max(shape))
        return 1 / (1 / focus_m + dioptres_per_px * read_stored(frame.depth))

    def intrinsics(self, frame: Frame, shape: tuple[int, int]) -> Intrinsics:
        focal_mm, sensor_mm, _, _ = _parameters(frame.others[0])
        f_px = focal_mm / sensor_mm * max(shape)
        return Intrinsics(f_px, f_px, (shape[1] - 1) / 2, (shape[0] - 1) / 2)


def _parameters(path: Path) -> tuple[float, float, float, float]:
    """Focal length, sensor size and baseline in mm, focus distance in m."""
    config = configparser.ConfigParser()
    try:
        config.read_string(path.read_text("utf-8"))
        intrinsics, extrinsics = config["intrinsics"], config["extrinsics"]
        numbers = (
            float(intrinsics["focal_length_mm"]),
            float(intrinsics["sensor_size_mm"]),
            float(extrinsics["baseline_mm"]),
            float(extrinsics["focus_distance_m"]),
        )
    except (OSError, ValueError, KeyError, configparser.Error) as error:
        message = f"{path}: expected [intrinsics] and [extrinsics] of the benchmark: {error}"
        raise FrameError(message, "bad calibration") from None
    if not min(numbers) > 0:
        raise FrameError(f"{path}: expected positive lengths, got {numbers}", "bad calibration")
    return numbers
