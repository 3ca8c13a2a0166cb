"""Small made-up samples and shards, for tests that need a shard but no renderer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Page, start

from focalsim.config import RenderConfig
from focalsim.sample import Sample
from focalsim.shards import ShardWriter

S, H, W = 3, 16, 24
SEED = 7


@pytest.fixture
def attributes() -> dict[str, Any]:
    """Root attributes that fit :func:`make_sample`."""
    return {
        "schema_version": 1,
        "reference_slice": S - 1,
        "seed": SEED,
        "config": RenderConfig(slices=S, width=W, height=H, seed=SEED, samples=4).to_json(),
        "focalsim_version": "0.1.0",
        "license": "CC0-1.0",
        "attribution": "nobody: “made up”",
    }


@pytest.fixture
def make_sample() -> Callable[..., Sample]:
    """``make_sample(index, **changes)``: a valid sample of random pixels, the same for the same index."""

    def make(index: int, **changes: Any) -> Sample:
        rng = np.random.default_rng(index)
        values: dict[str, Any] = {
            "images": rng.integers(0, 256, (S, H, W, 3), np.uint8),
            "all_in_focus": rng.integers(0, 256, (H, W, 3), np.uint8),
            "depth_m": rng.uniform(0.1, 1, (H, W)).astype(np.float32),
            "valid": rng.random((H, W)) > 0.1,
            "focus_distance_m": np.array([1.0, 0.2, 0.1], np.float32),
            "magnification": np.array([0.9, 0.95, 1.0], np.float32),
            "principal_point_px": np.array([[0.5, -0.25], [1, 2], [0, 0]], np.float32),
            "fov_error": np.array([0.01, 0.02, 0.03], np.float32),
            "focal_length_m": float(np.float32(0.0044)),
            "f_number": float(np.float32(1.7)),
            "sensor_width_m": float(np.float32(0.0056)),
            "phone": "pixel4",
            "source_id": f"Köln/{'x' * index}",
            "depth_scale": 1.0,
            "sample_index": index,
        }
        return Sample(**{**values, **changes})

    return make


@pytest.fixture
def write_shard(make_sample: Callable[..., Sample], attributes: dict[str, Any]) -> Callable[..., Path]:
    """``write_shard(path, n=4, attributes={}, **changes)``: write a shard whose samples all have ``changes``."""

    def write(path: Path, n: int = 4, attribute_changes: dict[str, Any] | None = None, **changes: Any) -> Path:
        with ShardWriter(path, n, attributes | (attribute_changes or {})) as writer:
            for index in range(n):
                writer.write(make_sample(index, **changes))
        return path

    return write


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One headless Chromium for all tests; they skip where there is none."""
    yield from start(tmp_path_factory.mktemp("chromium"))
