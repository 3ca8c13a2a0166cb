"""The inner loops of 8-bit sRGB: they run over every value of every frame and slice."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def encode8(linear: NDArray[np.float32], table: NDArray[np.uint8], next_edge: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Codes (n,) of light (n,): a code from the evenly spaced ``table``, or the one after it from its edge on."""
    codes = np.empty(linear.size, np.uint8)
    steps = np.float32(table.size - 1)
    for i in range(linear.size):
        light = linear[i] if linear[i] > 0 else np.float32(0.0)  # NaN becomes 0 too: it must not index the table
        light = min(light, np.float32(1.0))
        code = table[np.int32(light * steps)]
        codes[i] = code + (light >= next_edge[code])
    return codes


@njit(cache=True, nogil=True)
def decode8(codes: NDArray[np.uint8], table: NDArray[np.float32], linear: NDArray[np.float32]) -> None:
    """Write the light of ``codes`` (n,), by a ``table`` of all codes, into ``linear`` (n or more,)."""
    for i in range(codes.size):
        linear[i] = table[codes[i]]
