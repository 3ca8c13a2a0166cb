"""Which part of a frame becomes the picture, and at which size it is handed to the renderer."""

from __future__ import annotations

from dataclasses import dataclass
from math import atan, ceil, degrees
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from focalsim.color import linear_light
from focalsim.errors import FrameError
from focalsim.pick import pick
from focalsim.scene import Intrinsics, Scene
from focalsim.sources.base import FrameRequest
from focalsim.sources.reduce import Part, average_area

# The renderer resamples once, and sharper the larger its input is; beyond this the gain ends and the time
# grows.
OVERSAMPLING = 2

_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Framing:
    """A window of a frame (its first pixel and size), the size (width, height) that it is reduced to, and how many of
    these reduced pixels are kept around it (left, top, right, bottom).
    """

    left: int
    top: int
    width: int
    height: int
    size: tuple[int, int]
    margin: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def window(self) -> tuple[int, int, int, int]:
        """Where the picture stands in what the methods return: left, top, width, height."""
        return (self.margin[0], self.margin[1], *self.size)

    def pick(self, image: NDArray[_Scalar]) -> NDArray[_Scalar]:
        """One real sample for each pixel, the nearest: for depth and validity, which must not be averaged."""
        if self._whole_pixels:
            return np.ascontiguousarray(self._kept(image))
        rows, columns = (np.concatenate([_nearest(part) for part in parts]) for parts in self._parts())
        picked: NDArray[_Scalar] = pick(image, rows, columns)
        return picked

    def average(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Mean light over the area of each pixel, of linear light or of 8-bit sRGB codes."""
        if not self._whole_pixels:
            # The margins apart: the picture's pixels must not depend on what is around it.
            return average_area(image, *self._parts())
        return linear_light(np.ascontiguousarray(self._kept(image)))

    def inside(self, framed: NDArray[_Scalar]) -> NDArray[_Scalar]:
        """The picture alone, of what :meth:`pick` or :meth:`average` returned."""
        left, top, width, height = self.window
        return framed[top : top + height, left : left + width]

    def intrinsics(self, camera: Intrinsics) -> Intrinsics:
        """The camera of the framed picture, its margin included."""
        x, y = self.size[0] / self.width, self.size[1] / self.height
        cx = (camera.cx_px - self.left + 0.5) * x - 0.5 + self.margin[0]
        cy = (camera.cy_px - self.top + 0.5) * y - 0.5 + self.margin[1]
        return Intrinsics(camera.fx_px * x, camera.fy_px * y, cx, cy)

    @property
    def _whole_pixels(self) -> bool:
        return self.size == (self.width, self.height)

    def _kept(self, image: NDArray[_Scalar]) -> NDArray[_Scalar]:
        """Window and margin of an image that is not reduced."""
        left, top, right, bottom = self.margin
        rows = slice(self.top - top, self.top + self.height + bottom)
        return image[rows, self.left - left : self.left + self.width + right]

    def _parts(self) -> tuple[list[Part], list[Part]]:
        """Rows and columns of the frame before, in and after the window."""
        axes = []
        for first, whole, n, before, after in (
            (self.top, self.height, self.size[1], self.margin[1], self.margin[3]),
            (self.left, self.width, self.size[0], self.margin[0], self.margin[2]),
        ):
            start, end = first - round(before * whole / n), first + whole + round(after * whole / n)
            last = first + whole
            parts = [Part(start, first, before), Part(first, last, n), Part(last, end, after)]
            axes.append([part for part in parts if part.pixels])
        return axes[0], axes[1]


def frame_window(scene: Scene, request: FrameRequest, *, match_fov: bool = False) -> Framing:
    """The largest centred window of the output's aspect ratio; with ``match_fov`` the phone's own view.

    Windows are whole pixels, so both axes have one scale within half a pixel over the whole picture. A
    window of more than ``OVERSAMPLING`` times the output's size is reduced to that. What the frame shows around it is
    kept as far as the request's margin.

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
    wanted_margin = ceil(request.margin_px * size[0] / request.width)
    free = (left, top, width - left - window[0], height - top - window[1])
    margin = tuple(min(wanted_margin, int(free[k] * size[k % 2] / window[k % 2])) for k in range(4))
    return Framing(left, top, *window, size, (margin[0], margin[1], margin[2], margin[3]))


def _angle(width_over_focal: float) -> float:
    return 2 * degrees(atan(width_over_focal / 2))


def _nearest(part: Part) -> NDArray[np.intp]:
    scale = (part.stop - part.start) / part.pixels
    return part.start + ((np.arange(part.pixels) + 0.5) * scale).astype(np.intp)
