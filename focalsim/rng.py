"""Randomness is an argument: one independent generator per sample, the same for any number of workers."""

from __future__ import annotations

import numpy as np

# Each stage of a sample draws from its own stream, so that a change in one leaves the others alone.
STREAMS = {"camera": 0, "scene": 1, "effects": 2, "sensor": 3}


def sample_rng(seed: int, sample_index: int, stream: str, *parts: int) -> np.random.Generator:
    """Generator of one sample's ``stream`` (a key of ``STREAMS``), or of a part of it, such as one slice.

    Depends on nothing but its arguments.

    >>> a, b = (sample_rng(0, 5, "camera").uniform() for _ in range(2))
    >>> a == b, a == sample_rng(0, 5, "scene").uniform()
    (True, False)
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(sample_index, STREAMS[stream], *parts))
    return np.random.Generator(np.random.PCG64(sequence))
