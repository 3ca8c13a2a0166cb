"""Exposure and vignetting: what reaches each pixel, still linear light."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot

import numpy as np
from numpy.typing import NDArray

from focalsim.camera import PhoneProfile, StackCamera, sensor_distance_m
from focalsim.camera.effects import Vignetting


@dataclass(frozen=True, slots=True)
class View:
    """Where the optical axis meets a picture, and how large the picture is on the sensor.

    axis_px           (x, y) of the optical axis, pixels of the picture
    sensor_distance_px  lens to sensor, counted in pixels of the picture
    half_diagonal_px  of the whole sensor, counted in pixels of the picture
    """

    axis_px: tuple[float, float]
    sensor_distance_px: float
    half_diagonal_px: float

    @classmethod
    def of_slice(cls, profile: PhoneProfile, camera: StackCamera, n: int, width: int, height: int) -> View:
        """The view of slice ``n`` of a stack of ``width`` x ``height`` pictures as wide as the sensor."""
        px_per_m = width / camera.sensor_width_m
        farthest_m = float(camera.focus_distances_m.max())
        # As the renderer has it: a slice of magnification m is an image at m times the distance of the farthest one.
        distance_m = camera.magnification[n] * sensor_distance_m(camera.focal_length_m, farthest_m)
        shift_x, shift_y = camera.principal_point_px[n]
        return cls(
            axis_px=((width - 1) / 2 + float(shift_x), (height - 1) / 2 + float(shift_y)),
            sensor_distance_px=float(distance_m) * px_per_m,
            half_diagonal_px=hypot(profile.sensor_width_px, profile.sensor_height_px)
            / 2
            * (width / profile.sensor_width_px),
        )


def falloff(vignetting: Vignetting, shape: tuple[int, int], view: View) -> NDArray[np.float32]:
    """Relative illumination (H, W): 1 on the axis, cos^4 of the field angle, and the polynomial.

    cos^4: illumination of a flat sensor by a thin lens (e.g. Horn, Robot Vision, 1986, section 10.3).
    Polynomial: even powers of the radius, 1 at the corner, as lens databases and DNG files describe what was measured.
    """
    height, width = shape
    x = np.arange(width) - view.axis_px[0]
    y = np.arange(height)[:, None] - view.axis_px[1]
    squared = x * x + y * y
    light = np.ones(shape)
    if vignetting.natural:
        light /= (1.0 + squared / view.sensor_distance_px**2) ** 2  # cos^2 = 1 / (1 + tan^2)
    r2 = squared / view.half_diagonal_px**2
    light *= 1.0 + r2 * (vignetting.k1 + r2 * (vignetting.k2 + r2 * vignetting.k3))
    return np.clip(light, 0.0, None).astype(np.float32)
