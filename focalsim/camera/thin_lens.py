"""Thin-lens equations. SI units; f focal length, N f-number, s focus distance, d object depth.

Lens to sensor      v = f s / (s - f)                      (Gaussian lens formula)
Circle of confusion c = (f/N) v |1/s - 1/d|, its DIAMETER on the sensor
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focalsim.errors import ConfigError


def sensor_distance_m(focal_length_m: float | NDArray[np.float64], focus_distance_m: ArrayLike) -> NDArray[np.float64]:
    """Lens-to-sensor distance v = f s / (s - f) in metres.

    Raises ConfigError where s <= f: no real image is formed.

    >>> sensor_distance_m(0.004, [0.1, 1.0]).round(6)  # nearer focus, longer v: the image grows
    array([0.004167, 0.004016])
    """
    s = np.asarray(focus_distance_m, np.float64)
    if not np.all(s > focal_length_m):
        raise ConfigError(f"focus distances must exceed the focal length {focal_length_m} m, got {float(np.min(s))} m")
    return focal_length_m * s / (s - focal_length_m)


def blur_gain_px_m(
    focal_length_m: float | NDArray[np.float64],
    f_number: float | NDArray[np.float64],
    sensor_distance: ArrayLike,
    width_px: int,
    sensor_width_m: float | NDArray[np.float64],
) -> NDArray[np.float64]:
    """Factor g (pixel metres) of the blur: disc diameter in pixels = g |1/s - 1/d|."""
    aperture_m = focal_length_m / f_number
    return aperture_m * np.asarray(sensor_distance, np.float64) * width_px / sensor_width_m


def coc_diameter_px(
    depth_m: ArrayLike,
    focus_distance_m: float,
    *,
    focal_length_m: float,
    f_number: float,
    sensor_width_m: float,
    width_px: int,
    sensor_distance: float | None = None,
) -> NDArray[np.float64]:
    """Diameter in pixels of the blur disc of a point at ``depth_m`` when focused at ``focus_distance_m``.

    ``sensor_distance`` (metres) is v of the slice; by default the thin lens' own f s / (s - f).
    The uniform disc of diameter c has standard deviation c/4 along each axis.

    >>> lens = {"focal_length_m": 0.004, "f_number": 2.0, "sensor_width_m": 0.005, "width_px": 1000}
    >>> coc_diameter_px([0.25, 0.5, 1.0, float("inf")], 0.5, **lens).round(3)  # sharp at 0.5 m
    array([3.226, 0.   , 1.613, 3.226])
    """
    v: ArrayLike | None = sensor_distance
    if v is None:
        v = sensor_distance_m(focal_length_m, focus_distance_m)
    gain = blur_gain_px_m(focal_length_m, f_number, v, width_px, sensor_width_m)
    return gain * np.abs(1.0 / focus_distance_m - 1.0 / np.asarray(depth_m, np.float64))
