"""Damage a shard in random ways and read it: ``mutations.py SHARD FIRST COUNT`` prints a line a mutation.

Run as a process of its own, which may crash or hang. Mutation i is the same in every run. Outcomes:

truth    every value is what it was        refused  a ShardError, on opening or reading
WRONG    read without an error, but not the truth
ERROR    another exception                 MEMORY   asked for more memory than the file could hold
"""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from focalsim.errors import ShardError
from focalsim.shards import ShardReader
from focalsim.shards.schema import ATTRIBUTES, DATA_SETS

_MEMORY = 64 << 20  # far more than the shard holds, far less than a forged size asks for
_METADATA = 16_384  # bytes at the start in which most structures lie


def flip_bytes(data: bytearray, rng: np.random.Generator) -> None:
    end = rng.choice([len(data), min(_METADATA, len(data))])
    for at in rng.integers(0, end, rng.integers(1, 17)):
        data[at] ^= int(rng.integers(1, 256))


def flip_in_heap(data: bytearray, rng: np.random.Generator) -> None:
    """Sizes of strings, which HDF5 follows without a checksum."""
    start = data.find(b"GCOL")
    for at in rng.integers(0, 256, rng.integers(1, 5)):
        data[start + at] = int(rng.choice([0, 1, 255, rng.integers(256)]))


def flip_in_index(data: bytearray, rng: np.random.Generator) -> None:
    """Addresses and places of chunks."""
    starts = [at for at in range(len(data)) if data.startswith(b"TREE", at)]
    start = int(rng.choice(starts))
    for at in rng.integers(0, 600, rng.integers(1, 5)):
        data[min(start + at, len(data) - 1)] = int(rng.choice([0, 1, 255, rng.integers(256)]))


def cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(0, len(data))) :]


def swap(data: bytearray, rng: np.random.Generator) -> None:
    size = int(rng.choice([8, 64, 512, 4096]))
    a, b = (int(rng.integers(0, len(data) // size)) * size for _ in range(2))
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]


def blank(data: bytearray, rng: np.random.Generator) -> None:
    start, size = int(rng.integers(0, len(data))), int(rng.integers(1, 4096))
    data[start : start + size] = bytes(len(data[start : start + size]))


def insert(data: bytearray, rng: np.random.Generator) -> None:
    start = int(rng.integers(0, len(data)))
    data[start:start] = rng.bytes(int(rng.integers(1, 512)))


def forge_attribute(path: Path, rng: np.random.Generator) -> None:
    values: list[Any] = [-1, 0, 99, 2**62, "", "x" * 70_000, 0.5, [1, 2, 3], np.nan, h5py.Empty("f4"), b"\xff\xfe"]
    with h5py.File(path, "a") as file:
        name = str(rng.choice(list(ATTRIBUTES)))
        if rng.random() < 0.2:
            del file.attrs[name]
        else:
            file.attrs[name] = values[rng.integers(len(values))]


def forge_shape(path: Path, rng: np.random.Generator) -> None:
    with h5py.File(path, "a") as file:
        name = str(rng.choice([d.name for d in DATA_SETS if d.name in file]))
        shape, dtype = list(file[name].shape), file[name].dtype
        axis = rng.integers(len(shape))
        shape[axis] = int(rng.choice([0, 1, shape[axis] + 1, 2**20, 2**40 // (axis + 1)]))
        del file[name]
        if rng.random() < 0.3:
            dtype = rng.choice(["f8", "i2", "S3", "u1"])
        with contextlib.suppress(ValueError, OSError, RuntimeError):
            # A chunk may not be larger than the data set was; nothing is written into it, or very little.
            file.create_dataset(name, shape, dtype, chunks=tuple(min(n, 16) or 1 for n in shape), fletcher32=True)


_ON_BYTES = (flip_bytes, flip_bytes, flip_in_heap, flip_in_index, cut, swap, blank, insert)
_ON_FILE = (forge_attribute, forge_shape)


def mutate(original: bytes, path: Path, index: int) -> str:
    """Write mutation ``index`` of ``original`` to ``path``; returns its kind."""
    rng = np.random.default_rng(index)
    kind = (*_ON_BYTES, *_ON_FILE)[index % (len(_ON_BYTES) + len(_ON_FILE))]
    data = bytearray(original)
    if kind in _ON_BYTES:
        kind(data, rng)
    path.write_bytes(data)
    if kind in _ON_FILE:
        kind(path, rng)
    return kind.__name__


def contents(path: Path) -> list[Any]:
    """Everything a reader gives."""
    with ShardReader(path) as reader:
        attributes = [getattr(reader, name) for name in (*ATTRIBUTES,)]
        return [*attributes, *(sample[name] for sample in reader for name in sample)]


def outcome(path: Path, truth: list[Any]) -> str:
    try:
        found = contents(path)
    except ShardError as error:
        return "MEMORY" if "alloc" in str(error).lower() else "refused"
    except MemoryError:
        return "MEMORY"
    except Exception as error:
        return f"ERROR {type(error).__name__} {error}"
    same = len(found) == len(truth) and all(np.array_equal(a, b) for a, b in zip(found, truth, strict=True))
    return "truth" if same else "WRONG"


def main(shard: Path, first: int, count: int) -> None:
    original, truth = shard.read_bytes(), contents(shard)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    path = shard.with_name("mutated.h5")
    for index in range(first, first + count):
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        kind = mutate(original, path, index)
        resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, resource.RLIM_INFINITY))
        print(index, kind, outcome(path, truth), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
