"""Maps that are stored as they are, read straight from their places in the file, without HDF5.

HDF5 takes seven times as long to compare a checksum as to read the bytes; :mod:`focalsim.shards.checksum` takes a
fifth of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.errors import ShardError

CHECKSUM_BYTES = 4  # of a fletcher32, little-endian
CHECKED_TOGETHER = 1 << 19  # bytes: fewer calls, and still in the second-level cache
_MOST_BUFFERS = 1024  # that one system call takes (IOV_MAX)
Check = Callable[[NDArray[np.uint8], NDArray[np.uint8]], bool]  # focalsim.shards.checksum.matches


@dataclass(frozen=True, slots=True, eq=False)
class PlainMap:
    """Where the chunks of one data set of a validated shard lie.

    ``shape`` and ``dtype`` are those of one sample; ``offsets`` (samples, chunks of a sample) places in the file, in
    the order of their pixels; ``has_checksums`` tells whether 4 bytes of checksum follow each chunk.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offsets: NDArray[np.int64]
    has_checksums: bool

    def read(self, descriptor: int, index: int, check: Check | None) -> NDArray[Any]:
        """The array of sample ``index`` from an open file; its checksums are compared by ``check``, if any.

        Raises ShardError where they differ, or the file has become shorter; OSError.
        """
        array: NDArray[Any] = np.empty(self.shape, self.dtype)
        offsets: Sequence[int] = self.offsets[index].tolist()
        parts = array.reshape(-1).view(np.uint8).reshape(len(offsets), -1)
        stored = np.empty((len(offsets), CHECKSUM_BYTES if self.has_checksums else 0), np.uint8)
        check = check if self.has_checksums else None
        size = parts.shape[1] + stored.shape[1]
        most = min(max(1, CHECKED_TOGETHER // size) if check else len(offsets), _MOST_BUFFERS // 2)
        first = 0
        while first < len(offsets):
            last = first + 1
            while last < min(first + most, len(offsets)) and offsets[last] == offsets[last - 1] + size:
                last += 1
            places = [buffer for k in range(first, last) for buffer in (parts[k], stored[k])]
            if os.preadv(descriptor, places, offsets[first]) != (last - first) * size:
                raise ShardError("the file has become shorter")
            # Now, while the chunks are in the processor's cache.
            if check and not check(parts[first:last], stored[first:last]):
                raise ShardError("its checksum does not fit")
            first = last
        return array
