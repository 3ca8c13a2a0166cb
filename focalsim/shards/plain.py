"""Uncompressed maps read straight from their places in the file: several times as fast as through HDF5's checksum."""

from __future__ import annotations

import os
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from focalsim.errors import ShardError
from focalsim.shards.schema import DataSet


class PlainMap:
    """One data set of an open, validated shard, whose chunks are stored as they are.

    A sample's bytes are checked by nobody here: read each sample through HDF5 first, which knows their checksums.
    """

    def __init__(self, file: Any, data_set: DataSet) -> None:
        stored = file[data_set.name]
        self._descriptor: int = file.id.get_vfd_handle()
        self._shape, self._dtype = stored.shape[1:], stored.dtype
        self._chunk_bytes = int(np.prod(stored.chunks)) * stored.dtype.itemsize
        places: list[tuple[tuple[int, ...], int]] = []
        stored.id.chunk_iter(lambda chunk: places.append((tuple(chunk.chunk_offset), chunk.byte_offset)))
        # In the order of their pixels; all chunks of a sample follow each other.
        self._offsets = np.array([offset for _, offset in sorted(places)]).reshape(len(stored), -1)

    @staticmethod
    def fits(file: Any, data_set: DataSet) -> bool:
        """Whether the data set has the chunks of the schema and no codec."""
        stored = file[data_set.name]
        properties = stored.id.get_create_plist()
        codes = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
        dims = file["images"].shape[1:4]
        plain = codes in ([], [h5py.h5z.FILTER_FLETCHER32])
        return plain and stored.chunks == data_set.chunks(len(stored), dims)

    def read(self, index: int) -> NDArray[Any]:
        """The array of sample ``index``. Raises ShardError where the file has become shorter, OSError."""
        array: NDArray[Any] = np.empty(self._shape, self._dtype)
        parts = array.reshape(-1).view(np.uint8).reshape(-1, self._chunk_bytes)
        for part, offset in zip(parts, self._offsets[index], strict=True):
            if os.preadv(self._descriptor, [part.data], int(offset)) != self._chunk_bytes:
                raise ShardError("the file has become shorter")
        return array
