"""The inner loops of 8-bit sRGB: they run over every value of every frame and slice."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_SOME = 1024  # values that are clipped and placed in vector code before they are looked up one by one


@njit(cache=True, nogil=True)
def encode8(linear: NDArray[np.float32], table: NDArray[np.uint8], next_edge: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Codes (n,) of light (n,): a code from the evenly spaced ``table``, or the one after it from its edge on."""
    codes = np.empty(linear.size, np.uint8)
    encode8_into(linear, table, next_edge, codes)
    return codes


@njit(cache=True, nogil=True)
def encode8_into(
    linear: NDArray[np.float32], table: NDArray[np.uint8], next_edge: NDArray[np.float32], codes: NDArray[np.uint8]
) -> None:
    """:func:`encode8` where the codes' place is given."""
    steps = np.float32(table.size - 1)
    clipped, places = np.empty(_SOME, np.float32), np.empty(_SOME, np.int32)
    for start in range(0, linear.size, _SOME):
        some, found = linear[start : start + _SOME], codes[start : start + _SOME]
        for i in range(some.size):
            light = some[i]
            light = light if light > np.float32(0.0) else np.float32(0.0)  # NaN too: it must not index the table
            clipped[i] = light if light < np.float32(1.0) else np.float32(1.0)
            places[i] = np.int32(clipped[i] * steps)
        for i in range(some.size):
            code = table[np.uint32(places[i])]
            found[i] = code + (clipped[i] >= next_edge[code])


@njit(cache=True, nogil=True)
def decode8(codes: NDArray[np.uint8], table: NDArray[np.float32], linear: NDArray[np.float32]) -> None:
    """Write the light of ``codes`` (n,), by a ``table`` of all codes, into ``linear`` (n or more,)."""
    for i in range(codes.size):
        linear[i] = table[codes[i]]
