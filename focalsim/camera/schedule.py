"""The focus schedule of a stack."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from focalsim.errors import ConfigError


def focus_schedule_m(near_m: float, far_m: float, slices: int) -> NDArray[np.float64]:
    """Focus distances in metres, (slices,), far to near, uniform in 1/distance (so uniform in blur).

    One slice alone stands at the harmonic middle of the range.

    >>> focus_schedule_m(0.1, 1.0, 4).tolist()  # 1, 4, 7 and 10 dioptres
    [1.0, 0.25, 0.14285714285714285, 0.1]
    """
    if slices < 1:
        raise ConfigError(f"a stack needs at least 1 slice, got {slices}")
    if not (0 < near_m < np.inf and 0 < far_m < np.inf):
        raise ConfigError(f"near and far must be positive distances in metres, got {near_m} and {far_m}")
    if near_m > far_m or (near_m == far_m and slices > 1):
        raise ConfigError(f"near must be smaller than far, got near {near_m} m and far {far_m} m")
    if slices == 1:
        return np.array([2.0 / (1.0 / near_m + 1.0 / far_m)])
    return 1.0 / np.linspace(1.0 / far_m, 1.0 / near_m, slices)
