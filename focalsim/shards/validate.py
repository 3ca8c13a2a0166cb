"""What a file must be to count as a shard. Shards come from strangers: nothing is taken on trust."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from focalsim.errors import ShardError
from focalsim.shards.plain import CHECKSUM_BYTES, PlainMap
from focalsim.shards.schema import (
    ATTRIBUTES,
    ATTRIBUTES_SHA256,
    DATA_SETS,
    SCHEMA_VERSION,
    TEXT,
    DataSet,
    Dims,
    attributes_sha256,
    demanded,
)

# Filters that every h5py has; anything else needs a plugin, which is code loaded because a file asks for it.
_PLAIN_FILTERS = {
    h5py.h5z.FILTER_FLETCHER32,
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_LZF,
}


_CODECS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_LZF}
_MAX_RATIO = 1100  # deflate cannot shrink by more than 1032


@dataclass(frozen=True, slots=True)
class Header:
    """A shard's attributes, its number of samples, S, H, W, its data sets, and those maps that need no decoding."""

    attributes: dict[str, Any]
    samples: int
    dims: Dims
    data_sets: tuple[DataSet, ...]
    plain: dict[str, PlainMap]


def validate(file: Any, origin: str) -> Header:
    """Check an open HDF5 file against the schema without reading its pixels; ``origin`` names it in errors.

    Raises ShardError that says which attribute or data set is not what the schema asks for.
    """
    attributes = _read_attributes(file, origin)
    for name in file:
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            raise ShardError(f"{origin}: '{name}' is a link to elsewhere; a shard holds its own data")
    images = _data_set(file, DATA_SETS[0], origin)
    n, dims = images.shape[0], images.shape[1:4]
    if min(images.shape) < 1:
        raise ShardError(f"{origin}: data set 'images' is empty: shape {images.shape}")
    needed = demanded(attributes["config"])
    data_sets = tuple(d for d in DATA_SETS if d.name in needed or d.name in file)
    plain: dict[str, PlainMap] = {}
    for data_set in data_sets:
        stored = _data_set(file, data_set, origin)
        expected = (n, *data_set.sample_shape(dims))
        if stored.shape != expected:
            raise ShardError(
                f"{origin}: data set '{data_set.name}' must have shape {expected} (to fit 'images'), got {stored.shape}"
            )
        chunks = _check_storage(stored, data_set.name, origin)
        if data_set.is_map and stored.chunks == data_set.chunks(n, dims) and chunks.are_plain:
            plain[data_set.name] = PlainMap(stored.shape[1:], stored.dtype, chunks.offsets(n), chunks.have_checksums)
    if not 0 <= attributes["reference_slice"] < dims[0]:
        raise ShardError(
            f"{origin}: attribute 'reference_slice' must lie in 0..{dims[0] - 1}, got {attributes['reference_slice']}"
        )
    _check_digest(file, attributes, origin)
    return Header(attributes, n, dims, data_sets, plain)


def _read_attributes(file: Any, origin: str) -> dict[str, Any]:
    if "schema_version" not in file.attrs:
        raise ShardError(f"{origin}: not a focalsim shard: no attribute 'schema_version'")
    _check_version(file.attrs["schema_version"], origin)
    attributes = {}
    for name, (kind, _) in ATTRIBUTES.items():
        if name not in file.attrs:
            raise ShardError(f"{origin}: missing attribute '{name}'")
        value = file.attrs[name]
        value = value.decode(TEXT, "replace") if isinstance(value, bytes) else value
        value = int(value) if isinstance(value, np.integer) else value
        if not isinstance(value, kind):
            raise ShardError(f"{origin}: attribute '{name}' must be {kind.__name__}, got {type(value).__name__}")
        attributes[name] = value
    return attributes


def _check_digest(file: Any, attributes: dict[str, Any], origin: str) -> None:
    stored = file.attrs.get(ATTRIBUTES_SHA256)
    if stored is not None and stored != attributes_sha256(attributes).encode():
        raise ShardError(f"{origin}: the attributes are damaged or have been changed: their sha256 does not fit")


def _check_version(version: Any, origin: str) -> None:
    if not isinstance(version, (int, np.integer)) or version != SCHEMA_VERSION:
        newer = isinstance(version, (int, np.integer)) and version > SCHEMA_VERSION
        raise ShardError(
            f"{origin}: written with {'a newer' if newer else 'an unknown'} schema version {version}; "
            f"this program reads version {SCHEMA_VERSION}"
        )


def _data_set(file: Any, data_set: DataSet, origin: str) -> Any:
    """The stored data set, with the right type and number of axes."""
    stored = file.get(data_set.name)
    if not isinstance(stored, h5py.Dataset):
        raise ShardError(f"{origin}: missing data set '{data_set.name}'")
    if not data_set.accepts(stored.dtype):
        raise ShardError(f"{origin}: data set '{data_set.name}' must have type {data_set.dtype}, got {stored.dtype}")
    if stored.ndim != 1 + len(data_set.shape):
        raise ShardError(
            f"{origin}: data set '{data_set.name}' must have {1 + len(data_set.shape)} axes, got {stored.ndim}"
        )
    return stored


@dataclass(frozen=True, slots=True)
class _Chunks:
    """The chunks of a data set, (place, offset in the file) each; none where it is not chunked."""

    found: list[tuple[tuple[int, ...], int]]
    are_plain: bool  # as the pixels are, but for a checksum behind each
    have_checksums: bool

    def offsets(self, samples: int) -> NDArray[np.int64]:
        """Offsets (samples, chunks of a sample) in the order of their pixels."""
        return np.array([offset for _, offset in sorted(self.found)], np.int64).reshape(samples, -1)


def _check_storage(stored: Any, name: str, origin: str) -> _Chunks:
    """Refuse data outside the file, filters that need a plugin, and chunks that were never written."""
    if stored.is_virtual or stored.external:
        raise ShardError(f"{origin}: data set '{name}' keeps its data in another file")
    properties = stored.id.get_create_plist()
    for i in range(properties.get_nfilters()):
        code, _, _, label = properties.get_filter(i)
        if code not in _PLAIN_FILTERS:
            filter_name = label.decode("ascii", "replace")
            raise ShardError(f"{origin}: data set '{name}' uses filter {code} {filter_name}, which needs a plugin")
    if stored.chunks is not None:
        return _check_chunks(stored, name, origin)
    if stored.id.get_storage_size() < stored.size * stored.id.get_type().get_size():
        raise ShardError(f"{origin}: data set '{name}' claims more data than the file holds: shape {stored.shape}")
    return _Chunks([], are_plain=False, have_checksums=False)


def _check_chunks(stored: Any, name: str, origin: str) -> _Chunks:
    """Every chunk of the grid is there, once, whole, checked, inside the file, and shares no byte with another.

    HDF5 looks at none of this: a chunk that it does not find reads as zeros, and one of a forged size is allocated
    before it is read.
    """
    properties = stored.id.get_create_plist()
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    # Codecs may be skipped for single chunks, which do not shrink; the checksum may not.
    codec = sum(1 << i for i, code in enumerate(filters) if code != h5py.h5z.FILTER_FLETCHER32)
    shrinks = _MAX_RATIO if set(filters) & _CODECS else 1
    file_bytes = stored.file.id.get_filesize()
    chunk_bytes = math.prod(stored.chunks) * stored.id.get_type().get_size()
    largest = chunk_bytes + chunk_bytes // 8 + 1024  # filters add a checksum, and some bytes to noise
    plain_bytes = {(): chunk_bytes, (h5py.h5z.FILTER_FLETCHER32,): chunk_bytes + CHECKSUM_BYTES}.get(tuple(filters))
    found: list[tuple[tuple[int, ...], int]] = []
    spans: list[tuple[int, int]] = []
    are_plain = plain_bytes is not None
    sound = True

    def visit(chunk: Any) -> None:
        nonlocal sound, are_plain
        start = -1 if chunk.byte_offset is None else chunk.byte_offset
        found.append((tuple(chunk.chunk_offset), start))
        spans.append((start, start + chunk.size))
        are_plain &= chunk.size == plain_bytes
        sound &= chunk.filter_mask & ~codec == 0
        sound &= chunk_bytes <= chunk.size * shrinks and chunk.size <= largest
        sound &= 0 <= start <= file_bytes - chunk.size

    stored.id.chunk_iter(visit)
    steps = [range(0, size, step) for size, step in zip(stored.shape, stored.chunks, strict=True)]
    grid = math.prod(map(len, steps))
    if len(found) != grid:
        raise ShardError(f"{origin}: data set '{name}' holds {len(found)} of {grid} chunks: it is not complete")
    places = {place for place, _ in found}
    spans.sort()
    sound &= all(end <= start for (_, end), (start, _) in pairwise(spans))
    sound &= places == set(product(*steps)) and all(_is_found(stored, place) for place in places)
    if not sound:
        raise ShardError(f"{origin}: data set '{name}' is damaged: its chunks are not those of its shape")
    return _Chunks(found, are_plain, h5py.h5z.FILTER_FLETCHER32 in filters)


def _is_found(stored: Any, place: tuple[int, ...]) -> bool:
    """Whether HDF5 finds the chunk by its place, as reading does: the index may list it under a wrong key."""
    try:
        # Looks the chunk up, and then refuses to read it into nothing.
        stored.id.read_direct_chunk(place, out=bytearray(0))
    except ValueError:
        return True
    except RuntimeError:
        return False
    return False
