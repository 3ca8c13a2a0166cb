"""Holes in depth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt


def nearest_valid(depth_m: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Depth (H, W) with every invalid pixel replaced by the nearest valid pixel's value; some pixel must be valid."""
    rows, columns = distance_transform_edt(~valid, return_distances=False, return_indices=True)
    filled: NDArray[np.float32] = depth_m[rows, columns]
    return filled
