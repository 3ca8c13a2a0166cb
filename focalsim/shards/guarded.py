"""A read-only file that hides damaged string heaps from HDF5.

HDF5 keeps strings of variable length, as attributes are, in "global heaps", which carry no checksum, and steps through
one by the sizes that it states. A damaged or forged size of 0 makes it step forever. So every heap that it asks
for is stepped through here first; one that does not add up reads as zeros, which HDF5 refuses.
"""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any

_SIGNATURE = b"GCOL\x01"  # and version
_HEADER = struct.Struct("<4sB3xQ")
_OBJECT = struct.Struct("<HH4xQ")


class GuardedFile(io.FileIO):
    """``path`` for ``h5py.File`` to read; slow, so for headers and attributes only. Raises OSError."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "r")
        self._size = os.fstat(self.fileno()).st_size

    def readinto(self, buffer: Any) -> int:
        start = self.tell()
        count = super().readinto(buffer) or 0
        view = memoryview(buffer).cast("B")
        data = bytes(view[:count])
        at = data.find(_SIGNATURE)
        while at >= 0:
            if not self._heap_adds_up(start + at):
                view[at : at + 4] = b"\0\0\0\0"
            at = data.find(_SIGNATURE, at + 1)
        self.seek(start + count)
        return count

    def _heap_adds_up(self, start: int) -> bool:
        """Whether the heap at ``start`` lies in the file and its objects fill it from one end to the other."""
        header = self._bytes(start, _HEADER.size)
        if len(header) < _HEADER.size:
            return False
        size = _HEADER.unpack(header)[2]
        if not _HEADER.size <= size <= self._size - start:
            return False
        heap, at = self._bytes(start, size), _HEADER.size
        while at + _OBJECT.size <= size:
            index, _, length = _OBJECT.unpack_from(heap, at)
            # Object 0 is the free space, whose length counts its own header; the others are padded to 8 bytes.
            step = length if index == 0 else _OBJECT.size + -(-length // 8) * 8
            if step < _OBJECT.size:
                return False
            at += step
        return bool(at <= size)

    def _bytes(self, start: int, count: int) -> bytes:
        return os.pread(self.fileno(), count, start)
