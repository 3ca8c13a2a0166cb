"""Randomness is an argument: one independent generator per sample, the same for any number of workers."""

from __future__ import annotations

import numpy as np

# Each stage of a sample draws from its own stream, so that a change in one leaves the others alone.
STREAMS = {"camera": 0, "scene": 1}


def sample_rng(seed: int, sample_index: int, stream: str) -> np.random.Generator:
    """Generator of one sample's ``stream`` ("camera" or "scene"); depends on nothing but its arguments."""
    sequence = np.random.SeedSequence(seed, spawn_key=(sample_index, STREAMS[stream]))
    return np.random.Generator(np.random.PCG64(sequence))
