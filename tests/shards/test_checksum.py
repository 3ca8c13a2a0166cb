"""Our fletcher32 is HDF5's, for all lengths and contents."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focalsim.shards.checksum import matches, with_checksums

BLOCK = 2 * 16 * 128  # bytes that the compiled loops take at a time


def stored_by_hdf5(data):
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        stored = file.create_dataset("x", data=data, chunks=data.shape, fletcher32=True)
        file.flush()
        return stored.id.read_direct_chunk((0,))[1][data.size :]


def fits(data, checksum):
    return matches(data[None], np.frombuffer(checksum, np.uint8)[None])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4 * BLOCK), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.01, 1.0]))
def test_is_that_of_hdf5(size, seed, share):
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 256, size, np.uint8) * (rng.random(size) < share).astype(np.uint8)
    checksum = stored_by_hdf5(data)
    assert fits(data, checksum)
    assert with_checksums(data[None]).tobytes() == data.tobytes() + checksum
    data[rng.integers(size)] ^= 1 << rng.integers(8)
    assert not fits(data, checksum)


@pytest.mark.parametrize("value", [0, 1, 255])
@pytest.mark.parametrize("size", [1, 2, 65535 * 2, BLOCK, BLOCK + 1, 3 * BLOCK - 1])
def test_constant_bytes(size, value):
    """Sums that are multiples of 65535 are 65535, and 0 just where every byte is 0."""
    data = np.full(size, value, np.uint8)
    assert fits(data, stored_by_hdf5(data))
    assert with_checksums(data[None])[:, size:].tobytes() == stored_by_hdf5(data)


def test_as_hdf5_wrote_it_before_1_6_3():
    data = np.arange(100, dtype=np.uint8)
    checksum = stored_by_hdf5(data)
    assert fits(data, checksum[1::-1] + checksum[:1:-1])
    assert not fits(data, checksum[::-1])


def test_every_part_is_compared():
    parts = np.random.default_rng(0).integers(0, 256, (3, 1001), np.uint8)
    checksums = np.stack([np.frombuffer(stored_by_hdf5(part), np.uint8) for part in parts])
    assert matches(parts, checksums)
    for part in range(3):
        damaged = parts.copy()
        damaged[part, 1000] ^= 1
        assert not matches(damaged, checksums)
