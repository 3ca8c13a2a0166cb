"""Samples on their way from worker processes to the one that writes them.

Their pixels lie in memory that all these processes see. Sent through a pipe they would be copied four times, 64 KiB at
a time, by turns of two processes that other work is waiting for.
"""

from __future__ import annotations

import ctypes
from dataclasses import replace
from multiprocessing.context import BaseContext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.config import RenderConfig
from focalsim.sample import Sample
from focalsim.shards.schema import DATA_SETS, Dims

_ALIGNED_BYTES = 64
_MAPS = tuple(data_set for data_set in DATA_SETS if data_set.is_map)


def sample_bytes(config: RenderConfig) -> int:
    """Memory that the pixels of one sample take here."""
    return sum(_aligned(data_set.sample_bytes(_dims(config))) for data_set in _MAPS)


class Places:
    """``count`` places for the pixels of one sample each; goes to the processes of ``context`` when they start.

    The memory has no name in the file system, so nothing is left of it however the processes end.
    """

    def __init__(self, context: BaseContext, count: int, config: RenderConfig) -> None:
        self._dims, self._count, self._size = _dims(config), count, sample_bytes(config)
        # In one piece: a piece goes to /dev/shm where it fits there, which in a container may be small, else to a file.
        self._memory = context.RawArray(ctypes.c_ubyte, count * self._size)

    def __len__(self) -> int:
        return self._count

    def put(self, place: int, sample: Sample) -> Sample:
        """Lay down the pixels of ``sample`` that are not there yet; returns what is left of it, which is small."""
        pixels = self._pixels(place)
        for name, there in pixels.items():
            if not np.may_share_memory(there, sample[name]):
                there[...] = sample[name]
        nothing: dict[str, Any] = dict.fromkeys(pixels)
        return replace(sample, **nothing)

    def images(self, place: int) -> NDArray[np.uint8]:
        """Where the slices of a sample will lie, to be rendered there."""
        return self._pixels(place)["images"]

    def take(self, place: int, rest: Sample) -> Sample:
        """The sample that was put there; valid until the next one is."""
        pixels: dict[str, Any] = self._pixels(place)
        return replace(rest, **pixels)

    def _pixels(self, place: int) -> dict[str, NDArray[Any]]:
        arrays, offset = {}, place * self._size
        for data_set in _MAPS:
            shape = data_set.sample_shape(self._dims)
            arrays[data_set.name] = np.ndarray(shape, data_set.dtype, memoryview(self._memory), offset)
            offset += _aligned(data_set.sample_bytes(self._dims))
        return arrays


def _dims(config: RenderConfig) -> Dims:
    return config.slices, config.height, config.width


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED_BYTES) * _ALIGNED_BYTES
