"""The numbers of the camera and the geometry of the picture, checked; for one scene and for a batch of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.camera.thin_lens import blur_gain_px_m, sensor_distance_m
from focalsim.errors import RenderError

_ASPECT_TOLERANCE = 0.01

Window = tuple[int, int, int, int]  # left, top, width, height
Encode = Callable[[NDArray[np.float32]], NDArray[np.uint8]]  # light to codes, pixel by pixel


@dataclass(frozen=True, slots=True)
class Optics:
    """The camera of B scenes; all float64.

    focal_length_m, f_number, sensor_width_m  (B,)
    focus_m        (B, S) focus distances
    magnification  (B, S) relative to the frame
    shift_px       (B, S, 2) principal point, output pixels
    """

    focal_length_m: NDArray[np.float64]
    f_number: NDArray[np.float64]
    sensor_width_m: NDArray[np.float64]
    focus_m: NDArray[np.float64]
    magnification: NDArray[np.float64]
    shift_px: NDArray[np.float64]

    def gain_px_m(self, width_px: int) -> NDArray[np.float64]:
        """g (B,), for which a point at depth d is blurred by g |1/s - 1/d| pixels of a frame ``width_px`` wide.

        The lens stands where it is focused at the farthest distance.
        """
        v_ref = _sensor_distance_m(self.focal_length_m, self.focus_m).min(axis=1)
        gain = blur_gain_px_m(self.focal_length_m, self.f_number, v_ref, width_px, self.sensor_width_m)
        return np.asarray(gain, np.float64)


def as_array(value: Any) -> NDArray[Any]:
    """An array of what may be a tensor."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def check_optics(
    *,
    focal_length_m: Any,
    f_number: Any,
    sensor_width_m: Any,
    focus_distances_m: Any,
    magnification: Any,
    principal_point_px: Any,
    scenes: int | None = None,
) -> Optics:
    """Arguments of render_stack. With ``scenes`` every one may have the batch's axis in front; None = one scene."""
    focal, number, width = (
        _check_positive(name, value, scenes)
        for name, value in (
            ("focal_length_m", focal_length_m), ("f_number", f_number), ("sensor_width_m", sensor_width_m)
        )
    )  # fmt: skip
    focus = np.atleast_1d(np.asarray(as_array(focus_distances_m), np.float64))
    shape = "(S,)" if scenes is None else f"(S,) or ({scenes}, S)"
    rows = _each_scene(focus, 1, scenes)
    if rows is None or not rows.size or not np.all(np.isfinite(rows) & (rows > focal[:, None])):
        raise RenderError(
            f"focus_distances_m must be {shape} metres, each greater than the focal length {focal.max():g} m, "
            f"got {_in_a_line(focus)}"
        )
    v = _sensor_distance_m(focal, rows)
    zoom = _check_magnification(magnification, v / v.min(axis=1, keepdims=True), scenes)
    count = rows.shape[1]
    shift = np.zeros((count, 2)) if principal_point_px is None else as_array(principal_point_px)
    shifts = _each_scene(np.asarray(shift, np.float64), 2, scenes)
    if shifts is None or shifts.shape[1:] != (count, 2) or not np.all(np.isfinite(shifts)):
        wanted = f"({count}, 2)" if scenes is None else f"({count}, 2) or ({scenes}, {count}, 2)"
        raise RenderError(f"principal_point_px must be {wanted} finite pixels, got shape {shift.shape}")
    return Optics(focal, number, width, rows, zoom, shifts)


def _in_a_line(value: Any) -> str:
    """What came, in short and in one line."""
    if isinstance(value, (str, bytes, dict)) or value is None:
        return repr(value)
    return " ".join(np.array2string(as_array(value), threshold=5).split())


def _sensor_distance_m(focal_length_m: NDArray[np.float64], focus_m: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(sensor_distance_m(focal_length_m[:, None], focus_m), np.float64)


def _each_scene(values: NDArray[np.float64], ndim: int, scenes: int | None) -> NDArray[np.float64] | None:
    """``values`` with the batch's axis in front, whether they have it or are all scenes'; None where neither fits."""
    if values.ndim == ndim:
        return values[None] if scenes is None else np.broadcast_to(values, (scenes, *values.shape))
    return values if scenes is not None and values.ndim == ndim + 1 and len(values) == scenes else None


def _check_positive(name: str, value: Any, scenes: int | None) -> NDArray[np.float64]:
    array = as_array(value) if scenes is not None or isinstance(value, (int, float, np.number)) else np.empty(0)
    numbers = _each_scene(array, 0, scenes) if array.dtype.kind in "iuf" else None
    if numbers is None or not np.all((numbers > 0) & (numbers < np.inf)):
        wanted = "a positive number" if scenes is None else f"a positive number or ({scenes},) of them"
        raise RenderError(f"{name} must be {wanted}, got {_in_a_line(value)}")
    return np.asarray(numbers, np.float64)


def _check_magnification(magnification: Any, thin_lens: NDArray[np.float64], scenes: int | None) -> NDArray[np.float64]:
    if magnification is None:
        return np.ones_like(thin_lens)
    if isinstance(magnification, str):
        if magnification != "thin-lens":
            raise RenderError(f"magnification must be None, 'thin-lens' or numbers, got {magnification!r}")
        return thin_lens
    zoom = _each_scene(np.asarray(as_array(magnification), np.float64), 1, scenes)
    if zoom is None or zoom.shape != thin_lens.shape or not np.all(np.isfinite(zoom) & (zoom > 0)):
        wanted = f"{thin_lens.shape[1:]}" if scenes is None else f"{thin_lens.shape[1:]} or {thin_lens.shape}"
        raise RenderError(f"magnification must be {wanted} positive numbers, got {_in_a_line(magnification)}")
    return zoom


def check_window(window: Any, shape: tuple[int, ...]) -> Window:
    """``window``, or all of a frame of ``shape`` (H, W). Raises RenderError where it does not lie in the frame."""
    if window is None:
        return 0, 0, shape[1], shape[0]
    numbers = tuple(window)
    if len(numbers) != 4 or not all(isinstance(n, (int, np.integer)) for n in numbers):
        raise RenderError(f"window must be (left, top, width, height) in whole pixels, got {window!r}")
    left, top, width, height = (int(n) for n in numbers)
    if min(left, top) < 0 or min(width, height) < 2 or left + width > shape[1] or top + height > shape[0]:
        raise RenderError(f"window {width}x{height} at ({left}, {top}) does not lie in the {shape[1]}x{shape[0]} frame")
    return left, top, width, height


def check_size(output_size: Any, source_size: tuple[int, int]) -> tuple[int, int]:
    """``output_size`` (W, H), or that of the source. Raises RenderError where it is stretched."""
    if output_size is None:
        return source_size
    size = tuple(output_size)
    if len(size) != 2 or not all(isinstance(n, (int, np.integer)) and n >= 2 for n in size):
        raise RenderError(f"output_size must be (W, H), two whole numbers of at least 2, got {output_size!r}")
    stretch = (source_size[0] * size[1]) / (source_size[1] * size[0])
    if abs(stretch - 1) > _ASPECT_TOLERANCE:
        raise RenderError(
            f"output_size {size[0]}x{size[1]} has another aspect ratio than the source "
            f"{source_size[0]}x{source_size[1]}: crop the source first, images are never stretched"
        )
    return int(size[0]), int(size[1])
