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
from focalsim.shards.plain import Check
from focalsim.shards.remote import Location, RemotePath, location
from focalsim.shards.schema import DATA_SETS, TEXT, DataSet
from focalsim.shards.validate import Header, validate

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
        self._guard: GuardedFile | None = None  # the file, open in this process
        self._file: Any = None  # the same in HDF5's hands, where they are needed
        self.path = location(path)
        self._identity: tuple[int, ...] = ()
        self._columns: dict[str, NDArray[Any]] = {}
        self._checked: set[tuple[str, int]] = set()  # samples of maps whose checksum was right, in this process
        self._pid = os.getpid()
        self._open()

    def _open(self) -> GuardedFile:
        """Open the file, and validate it unless it is the very one that was open before."""
        local = local_copy(self.path)
        if not local.exists():
            raise ShardError(f"{self.path}: no such file")
        if local.is_dir():
            raise ShardError(f"{self.path}: is a folder, expected one shard-*.h5 file")
        if not local.is_file():  # a pipe would be waited for, a device has no end
            raise ShardError(f"{self.path}: is neither a file nor a folder")
        try:
            guard = GuardedFile(local)
        except OSError as error:
            raise ShardError(f"{self.path}: cannot be read: {error.strerror}") from None
        try:
            identity = file_identity(guard.fileno())
            if identity != self._identity:
                self._take(self._header(guard))
                self._columns = {}
        except BaseException:
            guard.close()
            raise
        self._guard, self._file, self._pid, self._identity = guard, None, os.getpid(), identity
        self._checked = set()
        return guard

    def _take(self, header: Header) -> None:
        self._length = header.samples
        self._plain = header.plain
        self.slices, self.height, self.width = header.dims
        self._names = {data_set.name for data_set in header.data_sets}
        self.attributes = header.attributes
        self.schema_version = header.attributes["schema_version"]
        self.reference_slice = header.attributes["reference_slice"]
        self.seed = header.attributes["seed"]
        self.focalsim_version = header.attributes["focalsim_version"]
        self.license = header.attributes["license"]
        self.attribution = header.attributes["attribution"]

    def _header(self, guard: GuardedFile) -> Header:
        try:
            with self._guarded(guard) as file:
                return validate(file, str(self.path))
        except ShardError:
            raise
        except DAMAGE as error:
            raise ShardError(f"{self.path}: is damaged: {_reason(error)}") from None

    @contextmanager
    def _guarded(self, guard: GuardedFile) -> Iterator[Any]:
        """The file in HDF5's hands, which touch no string heap that was not looked at before; slow."""
        try:
            file = h5py.File(guard, "r")
        except OSError as error:
            raise ShardError(f"{self.path}: not a complete HDF5 file: {_reason(error)}") from None
        with file:
            yield file

    @property
    def data_sets(self) -> tuple[DataSet, ...]:
        """Those of the schema that the file holds, in its order."""
        return tuple(data_set for data_set in DATA_SETS if data_set.name in self._names)

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
        for data_set in DATA_SETS:
            if data_set.name not in self._names:
                continue
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

        The first time its checksum is compared; after that, while the file is open in this process, the bytes of an
        uncompressed shard are taken as they are.
        """
        guard, place = self._guarding(), (name, index)
        check: Check | None = None
        if place not in self._checked and name in self._plain:
            from focalsim.shards.checksum import matches  # loads Numba

            check = matches
        try:
            if name not in self._plain:
                array: NDArray[Any] = self._handle()[name][index]
                return array
            array = self._plain[name].read(guard.fileno(), index, check)
        except DAMAGE as error:
            raise ShardError(f"{self.path}: data set '{name}', sample {index} is damaged: {_reason(error)}") from None
        self._checked.add(place)
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
                    with self._guarded(self._guarding()) as file:
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

    def _guarding(self) -> GuardedFile:
        """The open file."""
        if self._guard is None:
            return self._open()
        if self._pid != os.getpid():
            # Inherited by fork. Places are given with every read, so the file may be shared with the parent; what was
            # checked there is checked here again. A handle of HDF5 shares its state: leave it alone and open anew.
            self._pid, self._file, self._checked = os.getpid(), None, set()
        return self._guard

    def _handle(self) -> Any:
        """The open file in HDF5's hands, the fast way: never ask it for strings of variable length."""
        guard = self._guarding()
        if self._file is None:
            try:
                file = h5py.File(f"/proc/self/fd/{guard.fileno()}", "r")
            except OSError as error:
                raise ShardError(f"{self.path}: cannot be read: {_reason(error)}") from None
            self._file = file
        return self._file

    def close(self) -> None:
        """Close the file; a later read opens it again."""
        if self._file is not None and self._pid == os.getpid():
            self._file.close()
        if self._guard is not None:
            self._guard.close()
        self._file = self._guard = None
        self._checked = set()

    def __del__(self) -> None:
        self.close()

    def __enter__(self) -> ShardReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        # The layout travels along, and holds where the file is still the same.
        return {**self.__dict__, "_file": None, "_guard": None, "_columns": {}, "_checked": set()}

    def __repr__(self) -> str:
        return f"ShardReader({str(self.path)!r}, {len(self)} samples)"


def file_identity(descriptor: int) -> tuple[int, ...]:
    """Changes when the file is replaced or written to; nobody can set the time of the last change of its inode."""
    stat = os.fstat(descriptor)
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


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
