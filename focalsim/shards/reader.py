"""Read one shard: validated when opened, one sample at a time, in any process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from focalsim.config import RenderConfig
from focalsim.errors import ConfigError, ShardError
from focalsim.sample import Sample
from focalsim.shards.cache import local_copy
from focalsim.shards.guarded import GuardedFile
from focalsim.shards.plain import PlainMap
from focalsim.shards.remote import Location, RemotePath, location
from focalsim.shards.schema import DATA_SETS, TEXT, DataSet
from focalsim.shards.validate import Header, validate

_MAPS = {data_set.name: data_set for data_set in DATA_SETS if data_set.is_map}

# What h5py raises for a damaged file, depending on which of HDF5's functions met the damage.
DAMAGE = (OSError, KeyError, RuntimeError, ValueError, TypeError)


class ShardReader:
    """The samples of one shard, as a sequence of :class:`focalsim.Sample`.

    ``reader[i]`` reads that sample alone; negative indices and iteration work. A reader pickles as its path
    and opens the file anew in every process, so it can be handed to the workers of a data loader.

    Attributes: ``path``, ``slices``, ``height``, ``width``, ``schema_version``, ``reference_slice``, ``seed``,
    ``config``, ``focalsim_version``, ``license``, ``attribution``, ``attributes`` (all of them, as
    stored), and ``data_sets``, which the file holds.

    ``path`` may be a URL of object storage; the shard is then fetched into a local cache (focalsim.shards.cache).

    Raises ShardError when opened on a file that is not a complete shard of a known schema version, and when
    reading finds damaged data (the error names file, data set and sample); IndexError beyond the last sample.
    """

    def __init__(self, path: str | os.PathLike[str] | RemotePath) -> None:
        self.path = location(path)
        self._file: Any = None
        self._open()

    def _open(self) -> None:
        self._columns: dict[str, NDArray[Any]] = {}
        self._plain: dict[str, PlainMap] = {}
        self._checked: set[tuple[str, int]] = set()  # samples of those maps whose checksum was right
        self._local = local_copy(self.path)
        if not self._local.exists():
            raise ShardError(f"{self.path}: no such file")
        if self._local.is_dir():
            raise ShardError(f"{self.path}: is a folder, expected one shard-*.h5 file")
        header = self._header()
        try:
            self._file = h5py.File(self._local, "r")
        except OSError as error:
            raise ShardError(f"{self.path}: not a complete HDF5 file: {_reason(error)}") from None
        self._pid = os.getpid()
        self.data_sets: tuple[DataSet, ...] = tuple(d for d in DATA_SETS if d.name in self._file)
        self._length = header.samples
        self.slices, self.height, self.width = header.dims
        self.attributes = header.attributes
        self.schema_version = header.attributes["schema_version"]
        self.reference_slice = header.attributes["reference_slice"]
        self.seed = header.attributes["seed"]
        self.focalsim_version = header.attributes["focalsim_version"]
        self.license = header.attributes["license"]
        self.attribution = header.attributes["attribution"]

    def _header(self) -> Header:
        """Validate the file. Pixels are read from a second, faster handle, which never touches a string heap."""
        try:
            with self._guarded() as file:
                return validate(file, str(self.path))
        except ShardError:
            raise
        except DAMAGE as error:
            raise ShardError(f"{self.path}: is damaged: {_reason(error)}") from None

    @contextmanager
    def _guarded(self) -> Iterator[Any]:
        with GuardedFile(self._local) as guarded:
            try:
                file = h5py.File(guarded, "r")
            except OSError as error:
                raise ShardError(f"{self.path}: not a complete HDF5 file: {_reason(error)}") from None
            with file:
                yield file

    @property
    def config(self) -> RenderConfig:
        """The config the shard was rendered with. Raises ShardError where this version cannot read it."""
        try:
            return RenderConfig.from_json(self.attributes["config"])
        except ConfigError as error:
            raise ShardError(f"{self.path}: attribute 'config': {error}") from None

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"{self.path}: sample {index} of {n}")
        index %= n
        values: dict[str, Any] = {}
        for data_set in self.data_sets:
            if data_set.is_map:
                values[data_set.name] = self.read(data_set.name, index)
                continue
            # Scalars become plain Python values; rows are copied so that nobody shares the column.
            row = self.column(data_set.name)[index]
            value = row.copy() if row.ndim else row.item()
            values[data_set.name] = None if data_set.effect and np.isnan(value) else value
        return Sample(**values)

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))

    def read(self, name: str, index: int) -> NDArray[Any]:
        """One sample's array of a data set of pixels, read from the file without its neighbours.

        The first time its checksum is compared; after that, while the file is open, its bytes are taken as they are.
        """
        file = self._handle()
        try:
            if (name, index) in self._checked:
                return self._plain[name].read(index)
            array: NDArray[Any] = file[name][index]
            if name not in self._plain and PlainMap.fits(file, _MAPS[name]):
                self._plain[name] = PlainMap(file, _MAPS[name])
        except DAMAGE as error:
            raise ShardError(f"{self.path}: data set '{name}', sample {index} is damaged: {_reason(error)}") from None
        if name in self._plain:
            self._checked.add((name, index))
        return array

    def storage(self, name: str) -> tuple[Any, ...]:
        """How a data set is stored, see :func:`storage`."""
        return storage(self._handle()[name])

    def stored_chunks(self, name: str, index: int) -> Iterator[tuple[tuple[int, ...], int, bytes]]:
        """The chunks of one sample as they are stored: (place in the sample, filters left out, bytes).

        Their checksums, which are part of the bytes, are not compared.
        """
        stored = self._handle()[name]
        steps = [range(0, size, step) for size, step in zip(stored.shape[1:], stored.chunks[1:], strict=True)]
        for place in product(*steps):
            try:
                mask, data = stored.id.read_direct_chunk((index, *place))
            except DAMAGE as error:
                raise ShardError(
                    f"{self.path}: data set '{name}', sample {index} is damaged: {_reason(error)}"
                ) from None
            yield place, mask, data

    def column(self, name: str) -> NDArray[Any]:
        """A small data set (no pixels) of all n samples, read once; strings as a unicode array."""
        if name not in self._columns:
            handle = self._handle()[name]
            try:
                if handle.dtype.kind == "O":
                    # Strings of any length lie in a heap, as those that other programs write may.
                    with self._guarded() as file:
                        data = file[name][()]
                else:
                    data = handle[()]
            except DAMAGE as error:
                raise ShardError(
                    f"{self.path}: data set '{name}', samples 0 to {len(self) - 1} are damaged: {_reason(error)}"
                ) from None
            if h5py.check_string_dtype(handle.dtype) is not None:
                data = np.array([_decode(item, self.path, name) for item in data])
            self._columns[name] = data
        return self._columns[name]

    def _handle(self) -> Any:
        if self._file is None or self._pid != os.getpid():
            # A handle inherited by fork shares its state with the parent's: leave it alone and open anew.
            self._open()
        return self._file

    def close(self) -> None:
        """Close the file; a later read opens it again."""
        if self._file is not None and self._pid == os.getpid():
            self._file.close()
        self._file = None
        self._plain, self._checked = {}, set()

    def __enter__(self) -> ShardReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_columns": {}, "_plain": {}, "_checked": set()}

    def __repr__(self) -> str:
        return f"ShardReader({str(self.path)!r}, {len(self)} samples)"


def storage(stored: Any) -> tuple[Any, ...]:
    """Chunk shape and filters of a data set: where they are equal, so is the meaning of stored chunks."""
    properties = stored.id.get_create_plist()
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    return (stored.chunks, filters)


def _decode(item: Any, path: Location, name: str) -> str:
    try:
        return item.decode(TEXT) if isinstance(item, bytes) else str(item)
    except UnicodeDecodeError:
        raise ShardError(f"{path}: data set '{name}' is not UTF-8") from None


def _reason(error: Exception) -> str:
    """What HDF5 says, without the wrapping that h5py puts round it."""
    text = str(error)
    return text[text.find("(") + 1 : text.rfind(")")] if "(" in text else text
