"""Which part of a frame becomes the picture, and at which size it is handed to the renderer."""

from __future__ import annotations

from dataclasses import dataclass
from math import atan, degrees
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from focalsim.errors import FrameError
from focalsim.scene import Intrinsics, Scene
from focalsim.sources.base import FrameRequest

# The renderer resamples once, and sharper the larger its input is; beyond this the gain ends and the time
# grows.
OVERSAMPLING = 2

_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Framing:
    """A window of a frame (its first pixel and size) and the size (width, height) that it is reduced to."""

    left: int
    top: int
    width: int
    height: int
    size: tuple[int, int]

    def pick(self, image: NDArray[_Scalar]) -> NDArray[_Scalar]:
        """One real sample for each pixel, the nearest: for depth and validity, which must not be averaged."""
        if self.size == (self.width, self.height):
            return np.ascontiguousarray(self._window(image))
        columns = self.left + _nearest(self.size[0], self.width)
        rows = self.top + _nearest(self.size[1], self.height)
        return image[np.ix_(rows, columns)]

    def average(self, linear: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean over the area of each pixel: for linear light."""
        window = self._window(linear)
        if self.size == (self.width, self.height):
            return np.ascontiguousarray(window)
        return np.asarray(cv2.resize(window, self.size, interpolation=cv2.INTER_AREA), np.float32)

    def _window(self, image: NDArray[_Scalar]) -> NDArray[_Scalar]:
        return image[self.top : self.top + self.height, self.left : self.left + self.width]

    def intrinsics(self, camera: Intrinsics) -> Intrinsics:
        """The camera of the framed picture."""
        x, y = self.size[0] / self.width, self.size[1] / self.height
        cx, cy = (camera.cx_px - self.left + 0.5) * x - 0.5, (camera.cy_px - self.top + 0.5) * y - 0.5
        return Intrinsics(camera.fx_px * x, camera.fy_px * y, cx, cy)


def frame_window(scene: Scene, request: FrameRequest, *, match_fov: bool = False) -> Framing:
    """The largest centred window of the output's aspect ratio; with ``match_fov`` the phone's own view.

    Windows are whole pixels, so both axes have one scale within half a pixel over the whole picture. A
    window of more than ``OVERSAMPLING`` times the output's size is reduced to that.

    Raises FrameError where the window has fewer pixels than the output, where ``match_fov`` meets a frame of
    unknown intrinsics, or where the phone sees more than the frame shows.
    """
    height, width = scene.depth_m.shape
    scale = min(width / request.width, height / request.height)
    centre = ((width - 1) / 2, (height - 1) / 2)
    if match_fov:
        camera = scene.intrinsics
        if camera is None:
            raise FrameError(
                f"{scene.source_id}: its camera is not known, so its field of view cannot be matched",
                "unknown intrinsics",
            )
        wanted = camera.fx_px / (request.focal_over_width * request.width)
        if wanted > scale:
            shown, seen = (_angle(s * request.width / camera.fx_px) for s in (scale, wanted))
            raise FrameError(
                f"{scene.source_id}: shows {shown:.1f} degrees across, the phone sees {seen:.1f}",
                "narrower than the phone's view",
            )
        scale, centre = wanted, (camera.cx_px, camera.cy_px)
    window = (round(request.width * scale), round(request.height * scale))
    if window[0] < request.width or window[1] < request.height:
        raise FrameError(
            f"{scene.source_id}: gives {window[0]}x{window[1]} pixels, fewer than the output's "
            f"{request.width}x{request.height}",
            "smaller than the output",
        )
    left, top = (
        min(max(round(c - (n - 1) / 2), 0), whole - n)
        for c, n, whole in zip(centre, window, (width, height), strict=True)
    )
    largest = (OVERSAMPLING * request.width, OVERSAMPLING * request.height)
    size = largest if window[0] > largest[0] or window[1] > largest[1] else window
    return Framing(left, top, *window, size)


def _angle(width_over_focal: float) -> float:
    return 2 * degrees(atan(width_over_focal / 2))


def _nearest(n_out: int, n_in: int) -> NDArray[np.intp]:
    return ((np.arange(n_out) + 0.5) * (n_in / n_out)).astype(np.intp)
