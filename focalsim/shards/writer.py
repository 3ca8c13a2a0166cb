"""Write one shard: whole or not at all, and the same bytes for the same samples."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from focalsim.errors import OutputError, ShardError
from focalsim.sample import Sample
from focalsim.shards.files import ForgivingFile, commit, partial_path
from focalsim.shards.reader import ShardReader, storage
from focalsim.shards.schema import (
    ATTRIBUTES,
    ATTRIBUTES_SHA256,
    DATA_SETS,
    TEXT,
    DataSet,
    Dims,
    attributes_sha256,
    demanded,
)

# A fixed range of file versions (HDF5 1.8 and later read it), so that the bytes follow no library's default.
_LIBVER = ("v108", "v108")


class _Map:
    """An open data set of pixels. To ask HDF5 for it anew, and for its shape, takes longer than to copy the pixels."""

    def __init__(self, stored: Any) -> None:
        self.stored, self.dtype = stored, stored.dtype
        self.rows = stored.chunks[1]  # slices or rows of pixels in a chunk
        self.origin = (0,) * (len(stored.shape) - 2)  # where a chunk begins on the axes after these


class ShardWriter:
    """Context manager that writes ``samples`` samples into ``path``, in order.

    The file is written beside its place as ``*.partial``, synced and renamed when the block ends well; a
    block that fails leaves nothing. ``attributes`` are those of
    :data:`focalsim.shards.schema.ATTRIBUTES`; S, H, W are taken from the first sample. ``compression`` is one of
    :data:`focalsim.config.COMPRESSIONS` and holds for the maps; the small data sets are never compressed.

    Raises OutputError where the disk refuses, ValueError where a sample does not fit the shard.
    """

    def __init__(
        self, path: str | os.PathLike[str], samples: int, attributes: Mapping[str, Any], compression: str = "none"
    ) -> None:
        if set(attributes) != set(ATTRIBUTES):
            raise ValueError(f"attributes must be {sorted(ATTRIBUTES)}, got {sorted(attributes)}")
        self.path = Path(path)
        self._attributes = attributes
        self._codec = None if compression == "none" else compression
        self._samples = samples
        self._written = 0
        self._dims: Dims = (0, 0, 0)
        self._shapes: dict[str, tuple[int, ...]] = {}  # of one sample
        self._maps: dict[str, _Map] = {}
        self._columns: dict[str, list[Any]] = {d.name: [] for d in DATA_SETS if not d.is_map}

    def __enter__(self) -> ShardWriter:
        try:
            self._disk = ForgivingFile(partial_path(self.path))
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror or error}") from None
        try:
            self._file: Any = h5py.File(self._disk, "w", libver=_LIBVER)
            for name, (kind, _) in ATTRIBUTES.items():
                value = self._attributes[name]
                self._file.attrs[name] = np.int64(value) if kind is int else value
            # Of fixed length, so that it lies in the object header, which has a checksum.
            self._file.attrs[ATTRIBUTES_SHA256] = np.bytes_(attributes_sha256(self._attributes))
        except BaseException:
            partial_path(self.path).unlink(missing_ok=True)
            raise
        return self

    def write(self, sample: Sample) -> None:
        """Append one sample."""
        slices, height, width = sample.images.shape[:3]
        self._begin_sample((slices, height, width))
        for data_set in DATA_SETS:
            value = sample[data_set.name]
            if data_set.effect:
                self._columns[data_set.name].append(np.nan if value is None else value)
                continue
            expected = self._shapes[data_set.name]
            if np.shape(value) != expected:
                raise ValueError(
                    f"sample {sample.sample_index}: {data_set.name} must have shape {expected}, got {np.shape(value)}"
                )
            if data_set.is_map:
                self._store_map(self._maps[data_set.name], value)
            else:
                self._columns[data_set.name].append(value)
        self._written += 1
        self._disk.check()

    def copy(self, reader: ShardReader, index: int) -> None:
        """Append a sample of another shard, its pixels as they are stored: neither decoded nor encoded anew.

        Raises ShardError where the other shard is damaged, or stores them in another way than this one.
        """
        dims = (reader.slices, reader.height, reader.width)
        self._begin_sample(dims)
        if dims != self._dims:
            raise ShardError(f"{reader.path}: slices, height and width are {dims}, those before have {self._dims}")
        held = {data_set.name for data_set in reader.data_sets}
        for data_set in DATA_SETS:
            if not data_set.is_map:
                values = reader.column(data_set.name) if data_set.name in held else None
                self._columns[data_set.name].append(np.nan if values is None else values[index])
                continue
            target = self._maps[data_set.name].stored
            if reader.storage(data_set.name) != storage(target):
                raise ShardError(
                    f"{reader.path}: data set '{data_set.name}' has other chunks or filters than the config"
                )
            for place, mask, chunk in reader.stored_chunks(data_set.name, index):
                target.id.write_direct_chunk((self._written, *place), chunk, filter_mask=mask)
        self._written += 1
        self._disk.check()

    def _store_map(self, target: _Map, value: Any) -> None:
        """Write the pixels of one sample. HDF5's own way through its filters takes twice the processor time."""
        pixels = np.ascontiguousarray(value)
        if self._codec is not None or pixels.dtype != target.dtype:
            _store(target.stored, self._written, pixels)
            return
        from focalsim.shards.checksum import with_checksums  # loads Numba

        parts = pixels.reshape(len(pixels) // target.rows, -1).view(np.uint8)
        for k in range(len(parts)):
            # One by one: what is written is in the processor's cache.
            place = (self._written, k * target.rows, *target.origin)
            target.stored.id.write_direct_chunk(place, with_checksums(parts[k : k + 1]))

    def _begin_sample(self, dims: Dims) -> None:
        if self._written == self._samples:
            raise ValueError(f"{self.path}: planned for {self._samples} samples, got another")
        if self._written == 0:
            self._dims = dims
            self._shapes = {data_set.name: data_set.sample_shape(dims) for data_set in DATA_SETS}
            self._maps = {d.name: _Map(self._create(d, d.dtype)) for d in DATA_SETS if d.is_map}

    def __exit__(self, exc_type: object, *exc: object) -> None:
        try:
            try:
                if exc_type is None:
                    self._finish()
            finally:
                self._file.close()
            if exc_type is None:
                self._disk.check()
                try:
                    commit(self._disk.fileno(), self.path)
                except OSError as error:
                    raise OutputError(f"{self.path}: cannot be written: {error.strerror or error}") from None
        finally:
            self._disk.close()
            # Still there only where the shard was not committed.
            partial_path(self.path).unlink(missing_ok=True)

    def _finish(self) -> None:
        """Write the small data sets, one chunk each: all their rows are known only now."""
        if self._written != self._samples:
            raise ValueError(f"{self.path}: planned for {self._samples} samples, got {self._written}")
        needed = demanded(self._attributes["config"])
        for data_set in DATA_SETS:
            if data_set.is_map:
                continue
            values = self._columns[data_set.name]
            if data_set.name not in needed and np.all(np.isnan(values)):
                continue
            if data_set.dtype == TEXT:
                values = [text.encode(TEXT) for text in values]
                dtype = h5py.string_dtype(TEXT, max(1, max(len(text) for text in values)))
                _store(self._create(data_set, dtype), ..., np.array(values, dtype))
            else:
                _store(self._create(data_set, data_set.dtype), ..., np.array(values, data_set.dtype))

    def _create(self, data_set: DataSet, dtype: Any) -> Any:
        return self._file.create_dataset(
            data_set.name,
            shape=(self._samples, *data_set.sample_shape(self._dims)),
            dtype=dtype,
            chunks=data_set.chunks(self._samples, self._dims),
            fletcher32=True,
            compression=self._codec if data_set.is_map else None,
            # The bytes of neighbouring floats are alike place by place.
            shuffle=self._codec is not None and data_set.is_map and data_set.dtype == "<f4",
            track_times=False,
        )


def _store(data_set: Any, place: Any, values: Any) -> None:
    """Write and flush: a chunk gets its place in the file now, not when the last reference to ``data_set`` goes.

    A profiler or debugger may hold that reference, and the same samples would give a file with other bytes.
    """
    data_set[place] = values
    data_set.flush()
