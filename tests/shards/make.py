"""Small made-up samples for the shard tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from focalsim.config import RenderConfig
from focalsim.sample import Sample
from focalsim.shards import ShardWriter

S, H, W = 3, 16, 24
ATTRIBUTES: dict[str, Any] = {
    "schema_version": 1,
    "reference_slice": S - 1,
    "seed": 7,
    "config": RenderConfig(slices=S, width=W, height=H).to_json(),
    "focalsim_version": "0.1.0",
    "license": "CC0-1.0",
    "attribution": "nobody — “made up”",
}


def make_sample(index: int, **changes: Any) -> Sample:
    rng = np.random.default_rng(index)
    values: dict[str, Any] = {
        "images": rng.integers(0, 256, (S, H, W, 3), np.uint8),
        "all_in_focus": rng.integers(0, 256, (H, W, 3), np.uint8),
        "depth_m": rng.uniform(0.1, 1, (H, W)).astype(np.float32),
        "valid": np.ones((H, W), bool),
        "focus_distance_m": np.array([1.0, 0.2, 0.1], np.float32),
        "magnification": np.array([0.9, 0.95, 1.0], np.float32),
        "principal_point_px": np.array([[0.5, -0.25], [1, 2], [0, 0]], np.float32),
        "fov_error": np.array([0.1, 0.2, 0.3], np.float32),
        "focal_length_m": 0.0044,
        "f_number": 1.7,
        "sensor_width_m": 0.0056,
        "phone": "pixel4",
        "source_id": f"köln/{'x' * index}",
        "depth_scale": 1.0,
        "sample_index": index,
    }
    return Sample(**{**values, **changes})


def write_shard(path: Path, n: int = 4, first: int = 0, **attributes: Any) -> Path:
    with ShardWriter(path, n, {**ATTRIBUTES, **attributes}) as writer:
        for i in range(first, first + n):
            writer.write(make_sample(i))
    return path
