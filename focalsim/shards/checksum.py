"""HDF5's fletcher32 in vector code: HDF5's own takes seven times as long as reading the bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from focalsim.code_cache import forgive_full_disks

_ROWS, _COLUMNS = 16, 128  # the lanes of the inner loops; 32 bits hold their sums
_MODULUS = 65535


def matches(data: NDArray[np.uint8], stored: bytes | bytearray) -> bool:
    """Whether ``stored`` is the checksum of the bytes ``data`` (contiguous); as HDF5 before 1.6.3 wrote it too."""
    if data.size % 2:
        data = np.append(data, np.uint8(0))
    expected = int(_fletcher32(data.view("<u2"))).to_bytes(len(stored), "little")
    return bytes(stored) in (expected, bytes(expected[i] for i in (1, 0, 3, 2)))


def _fletcher32_of(words: Any) -> Any:
    """The checksum of big-endian words that are given as little-endian ones.

    Of n words w_i: A = sum of w_i, B = sum of (n - i) w_i, both modulo 65535, where only zeros give 0. Exchanging the
    bytes of a word multiplies it by 256 modulo 65535, hence both sums too.
    """
    rows, columns = np.uint64(_ROWS), np.uint64(_COLUMNS)
    block = _ROWS * _COLUMNS
    whole = words.size // block
    blocks = words[: whole * block].reshape(whole, _ROWS, _COLUMNS)
    sums, weighted = np.empty(_COLUMNS, np.uint32), np.empty(_COLUMNS, np.uint32)
    a = b = np.uint64(0)
    anything = False
    for k in range(whole):
        piece = blocks[k]
        # Unsigned indices, without which the compiler finds no vector form.
        for j in range(columns):
            t = u = np.uint32(0)
            for r in range(rows):
                t = np.uint32(t + np.uint32(piece[r, j]))
                u = np.uint32(u + t)  # weighs row r by rows - r
            sums[j], weighted[j] = t, u
        in_block = by_row = by_column = np.uint64(0)
        for j in range(columns):
            in_block += np.uint64(sums[j])
            by_row += np.uint64(weighted[j])
            by_column += np.uint64(j) * np.uint64(sums[j])
        # The weight of row r, column j within the block is columns (rows - r) - j.
        b = (b + np.uint64(block) * a + columns * by_row - by_column) % np.uint64(_MODULUS)
        a = (a + in_block) % np.uint64(_MODULUS)
        anything |= bool(in_block > 0)
    for i in range(whole * block, words.size):
        a += np.uint64(words[i])
        b += a
        anything |= bool(words[i] > 0)
    a = a * np.uint64(256) % np.uint64(_MODULUS)
    b = b % np.uint64(_MODULUS) * np.uint64(256) % np.uint64(_MODULUS)
    if anything:
        a = a if a else np.uint64(_MODULUS)
        b = b if b else np.uint64(_MODULUS)
    return b << np.uint64(16) | a


forgive_full_disks()
_fletcher32: Any = njit(cache=True, nogil=True)(_fletcher32_of)
matches(np.zeros(2, np.uint8), bytes(4))  # compiled now: what goes wrong there must not look like a damaged shard
