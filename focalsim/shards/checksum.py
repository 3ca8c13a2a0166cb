"""HDF5's fletcher32 in vector code: HDF5's own takes seven times as long as reading the bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from focalsim.code_cache import forgive_full_disks

_ROWS, _COLUMNS = 16, 64  # of a block; 32 bits hold all its sums
_MODULUS = 65535


def matches(parts: NDArray[np.uint8], stored: NDArray[np.uint8]) -> bool:
    """Whether ``stored`` (n, 4) are the checksums of the bytes ``parts`` (n, size), contiguous both.

    Byte-swapped ones fit too: HDF5 before 1.6.3 wrote them.
    """
    return bool(_match(_words(parts), stored.view("<u4")))


def with_checksums(parts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The bytes ``parts`` (n, size), contiguous, each followed by its checksum, as HDF5 stores them: (n, size + 4)."""
    stored = np.empty((len(parts), parts.shape[1] + 4), np.uint8)
    stored[:, :-4] = parts
    sums = np.empty((len(parts), 1), "<u4")
    _sum_up(_words(parts), sums)
    stored[:, -4:] = sums.view(np.uint8)
    return stored


def _words(parts: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The 16-bit words (n, m) of bytes (n, size), filled up with 0."""
    if parts.shape[1] % 2:
        parts = np.pad(parts, ((0, 0), (0, 1)))
    return parts.view("<u2")


def _fletcher32_of(words: Any) -> Any:
    """The checksum of big-endian words that are given as little-endian ones.

    Of n words w_i: A = sum of w_i, B = sum of (n - i) w_i, both modulo 65535, where only zeros give 0. Exchanging the
    bytes of a word multiplies it by 256 modulo 65535, hence both sums too.
    """
    rows, columns = np.uint64(_ROWS), np.uint64(_COLUMNS)
    block = _ROWS * _COLUMNS
    whole = words.size // block
    blocks = words[: whole * block].reshape(whole, _ROWS, _COLUMNS)
    a = b = anything = np.uint64(0)
    for k in range(whole):
        piece = blocks[k]
        in_block = by_row = by_column = np.uint32(0)
        # Unsigned indices, without which the compiler finds no vector form.
        for j in range(columns):
            t = u = np.uint32(0)
            for r in range(rows):
                t = np.uint32(t + np.uint32(piece[r, j]))
                u = np.uint32(u + t)  # weighs row r by rows - r
            in_block = np.uint32(in_block + t)
            by_row = np.uint32(by_row + u)
            by_column = np.uint32(by_column + np.uint32(np.uint32(j) * t))
        # The weight of row r, column j within the block is columns (rows - r) - j.
        b = (b + np.uint64(block) * a + columns * np.uint64(by_row) - np.uint64(by_column)) % np.uint64(_MODULUS)
        a = (a + np.uint64(in_block)) % np.uint64(_MODULUS)
        anything |= np.uint64(in_block)
    for i in range(whole * block, words.size):
        a += np.uint64(words[i])
        b += a
        anything |= np.uint64(words[i])
    a = a * np.uint64(256) % np.uint64(_MODULUS)
    b = b % np.uint64(_MODULUS) * np.uint64(256) % np.uint64(_MODULUS)
    if anything:
        a = a if a else np.uint64(_MODULUS)
        b = b if b else np.uint64(_MODULUS)
    return b << np.uint64(16) | a


def _match_of(parts: Any, stored: Any) -> Any:
    """Whether each of ``stored`` (n, 1) is the checksum of the words ``parts`` (n, m), or that with bytes swapped."""
    odd = np.uint64(0x00FF00FF)
    for k in range(len(parts)):
        right, given = _fletcher32(parts[k]), np.uint64(stored[k, 0])
        swapped = (right & odd) << np.uint64(8) | (right >> np.uint64(8)) & odd
        if given != right and given != swapped:
            return False
    return True


def _sum_up_of(parts: Any, sums: Any) -> None:
    """Fill ``sums`` (n, 1) with the checksums of the words ``parts`` (n, m)."""
    for k in range(len(parts)):
        sums[k, 0] = _fletcher32(parts[k])


forgive_full_disks()
_fletcher32: Any = njit(cache=True, nogil=True)(_fletcher32_of)
_match: Any = njit(cache=True, nogil=True)(_match_of)
_sum_up: Any = njit(cache=True, nogil=True)(_sum_up_of)
# Compiled now: what goes wrong there must not look like a damaged shard.
matches(np.zeros((1, 2), np.uint8), np.zeros((1, 4), np.uint8))
