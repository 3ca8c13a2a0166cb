"""Small shards, written with h5py alone from the published schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest

NEAR_M, FAR_M = 0.1, 1.0


def make_sample(rng: np.random.Generator, slices: int, height: int, width: int) -> dict[str, Any]:
    """A tilted plane with fine texture; each slice blurred where it is out of focus. No breathing, no shift."""
    focus_m = 1.0 / np.linspace(1.0 / FAR_M, 1.0 / NEAR_M, slices)
    ramp = np.linspace(*rng.uniform(1.0, 10.0, 2), width)
    dioptres = np.broadcast_to(ramp, (height, width)) + rng.uniform(-0.5, 0.5)
    texture = rng.integers(0, 256, (height, width, 3)).astype(np.float32)
    levels = [texture] + [cv2.GaussianBlur(texture, (0, 0), sigma) for sigma in (0.7, 1.4, 2.8, 5.6)]
    images = []
    for s in focus_m:
        level = np.clip(np.abs(1.0 / s - dioptres) / 1.5, 0, len(levels) - 1).astype(int)
        images.append(np.choose(level[..., None], levels))
    return {
        "images": np.stack(images).astype(np.uint8),
        "all_in_focus": texture.astype(np.uint8),
        "depth_m": (1.0 / np.clip(dioptres, 1.0, 10.0)).astype(np.float32),
        "valid": np.ones((height, width), bool),
        "focus_distance_m": focus_m.astype(np.float32),
        "magnification": np.ones(slices, np.float32),
        "principal_point_px": np.zeros((slices, 2), np.float32),
        "fov_error": np.zeros(slices, np.float32),
        "focal_length_m": np.float32(0.0044),
        "f_number": np.float32(1.7),
        "sensor_width_m": np.float32(0.0056),
        "depth_scale": np.float32(1.0),
    }


def write_shard(path: Path, samples: list[dict[str, Any]], scenes: list[str]) -> Path:
    """One shard, schema version 1."""
    with h5py.File(path, "w") as file:
        for name in samples[0]:
            file.create_dataset(name, data=np.stack([s[name] for s in samples]), fletcher32=True)
        file.create_dataset("phone", data=np.array([b"pixel4"] * len(samples)), dtype="S16")
        file["source_id"] = np.array([s.encode() for s in scenes], "S32")
        file["sample_index"] = np.arange(len(samples))
        file.attrs.update(
            schema_version=1,
            reference_slice=samples[0]["images"].shape[0] - 1,
            seed=0,
            config=json.dumps({}),
            focalsim_version="0.1.0",
            license="CC0-1.0",
            attribution="nobody",
        )
    return path


MakeShard = Callable[..., Path]


@pytest.fixture
def make_shard(tmp_path: Path) -> MakeShard:
    """``make_shard(name, n=4, slices=5, height=64, width=64, scenes=None, change=None)`` -> path of a new shard."""

    def make(
        name: str = "shard-000000.h5",
        *,
        n: int = 4,
        slices: int = 5,
        height: int = 64,
        width: int = 64,
        scenes: list[str] | None = None,
        change: Callable[[dict[str, Any]], None] | None = None,
    ) -> Path:
        rng = np.random.default_rng(n)
        samples = [make_sample(rng, slices, height, width) for _ in range(n)]
        for sample in samples if change else ():
            change(sample)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_shard(path, samples, scenes or [f"scene {i}" for i in range(n)])

    return make
