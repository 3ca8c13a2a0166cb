"""The inner loops of 8-bit sRGB: they run over every value of every frame and slice."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from focalsim.color import DARKEST, STEP

_SOME = 1024  # values that are clipped in vector code before they are looked up one by one
_DARKEST, _BRIGHTEST = np.float32(DARKEST), np.float32(1.0)
_FIRST = np.uint32(_DARKEST.view(np.uint32) // STEP)
_BITS = np.uint32(STEP.bit_length() - 1)


@njit(cache=True, nogil=True)
def encode8(linear: NDArray[np.float32], table: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Codes (n,) of light (n,) by focalsim.color.ENCODING."""
    codes = np.empty(linear.size, np.uint8)
    encode8_into(linear, table, codes)
    return codes


@njit(cache=True, nogil=True)
def encode8_into(linear: NDArray[np.float32], table: NDArray[np.uint32], codes: NDArray[np.uint8]) -> None:
    """:func:`encode8` where the codes' place is given."""
    clipped = np.empty(_SOME, np.float32)
    bits = clipped.view(np.uint32)
    for start in range(0, linear.size, _SOME):
        some, found = linear[start : start + _SOME], codes[start : start + _SOME]
        for i in range(some.size):
            light = some[i]
            light = light if light > _DARKEST else _DARKEST  # NaN too: it must not index the table
            clipped[i] = light if light < _BRIGHTEST else _BRIGHTEST
        for i in range(some.size):
            found[i] = (table[(bits[i] >> _BITS) - _FIRST] + bits[i]) >> _BITS


@njit(cache=True, nogil=True)
def decode8(codes: NDArray[np.uint8], table: NDArray[np.float32], linear: NDArray[np.float32]) -> None:
    """Write the light of ``codes`` (n,), by a ``table`` of all codes, into ``linear`` (n or more,)."""
    for i in range(codes.size):
        linear[i] = table[codes[i]]
