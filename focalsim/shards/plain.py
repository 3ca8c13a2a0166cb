"""Maps that are stored as they are, read straight from their places in the file, without HDF5.

HDF5 takes seven times as long to compare a checksum as to read the bytes; :mod:`focalsim.shards.checksum` takes a
quarter of it.
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
Check = Callable[[NDArray[np.uint8], bytearray], bool]  # focalsim.shards.checksum.matches


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
        check = check if self.has_checksums else None
        stored = bytearray(CHECKSUM_BYTES if check else 0)
        for part, offset in zip(parts, offsets, strict=True):
            if os.preadv(descriptor, [part.data, stored], offset) != part.size + len(stored):
                raise ShardError("the file has become shorter")
            # Now, while the chunk is in the processor's cache.
            if check and not check(part, stored):
                raise ShardError("its checksum does not fit")
        return array
