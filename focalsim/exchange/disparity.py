"""Pixels of disparity for formats without metres: a straight line in dioptres, as the blur is.

The farthest focus distance of a stack gets the lowest disparity of the format, the nearest the highest. Blur in
pixels is proportional to a difference in dioptres, so a line keeps the stack physically right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.exchange.base import Provenance


def to_disparity(depth_m: NDArray[Any], span: Provenance, low: float, high: float) -> NDArray[np.float64]:
    """Disparity in pixels of depths in metres; ``low`` at ``span.far_m``, ``high`` at ``span.near_m``."""
    far_dpt, near_dpt = 1 / span.far_m, 1 / span.near_m
    return low + (high - low) * (1 / np.asarray(depth_m, np.float64) - far_dpt) / (near_dpt - far_dpt)


def to_depth_m(disparity: NDArray[Any], span: Provenance, low: float, high: float) -> NDArray[np.float32]:
    """Inverse of :func:`to_disparity`; NaN where the disparity lies beyond infinity."""
    far_dpt, near_dpt = 1 / span.far_m, 1 / span.near_m
    dioptres = far_dpt + (near_dpt - far_dpt) * (np.asarray(disparity, np.float64) - low) / (high - low)
    with np.errstate(invalid="ignore"):
        dioptres = np.where(dioptres > 0, dioptres, np.nan)
    return (1 / dioptres).astype(np.float32)
