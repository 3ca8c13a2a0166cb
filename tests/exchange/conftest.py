"""Shards with the slices that the exchange formats ask for, of smooth pictures so that alignment can be tested."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from focalsim.camera import focus_schedule_m
from focalsim.config import RenderConfig
from focalsim.sample import Sample
from focalsim.shards import ShardWriter


@pytest.fixture
def shard(tmp_path) -> Callable[..., Path]:
    """``shard(slices, height, width, n=3, near=0.1, far=1.0)``: n scenes with holes in their depth."""

    def write(slices: int, height: int, width: int, n: int = 3, near: float = 0.1, far: float = 1.0) -> Path:
        path = tmp_path / "source" / "shard.h5"
        path.parent.mkdir()
        config = RenderConfig(
            slices=slices, height=height, width=width, samples=n, near_m=near, far_m=far, shard_size=n
        )
        attributes = {
            "schema_version": 1, "reference_slice": slices - 1, "seed": 0, "config": config.to_json(),
            "focalsim_version": "0.1.0", "license": "CC-BY-4.0", "attribution": "Köln lab",
        }  # fmt: skip
        focus_m = focus_schedule_m(near, far, slices).astype(np.float32)
        with ShardWriter(path, n, attributes) as writer:
            for index in range(n):
                writer.write(_sample(index, focus_m, height, width))
        return path

    return write


def _sample(index: int, focus_m: np.ndarray, height: int, width: int) -> Sample:
    rng = np.random.default_rng(index)
    slices = len(focus_m)
    valid = rng.random((height, width)) > 0.1
    magnification = np.linspace(0.94, 1, slices).astype(np.float32)
    shift = np.linspace([1.5, -0.75], [0, 0], slices).astype(np.float32)
    images = np.stack([picture(height, width, m, s) for m, s in zip(magnification, shift, strict=True)])
    return Sample(
        images=images,
        all_in_focus=picture(height, width),
        depth_m=np.where(valid, rng.uniform(focus_m[-1], focus_m[0], (height, width)), 0).astype(np.float32),
        valid=valid,
        focus_distance_m=focus_m,
        magnification=magnification,
        principal_point_px=shift,
        fov_error=np.zeros(slices, np.float32),
        focal_length_m=float(np.float32(0.00438)),
        f_number=float(np.float32(1.7)),
        sensor_width_m=float(np.float32(0.0056)),
        phone="pixel4",
        source_id=f"room/{index}",
        depth_scale=1.0,
        sample_index=index,
    )


@pytest.fixture(name="picture")
def _picture_fixture() -> Callable[..., np.ndarray]:
    return picture


def picture(height: int, width: int, magnification: float = 1.0, shift: tuple[float, float] = (0, 0)) -> np.ndarray:
    """A scene of slow waves, differing by channel, in the geometry x_n = c + m (x - c) + shift."""
    y, x = np.mgrid[:height, :width].astype(float)
    x = (x - (width - 1) / 2 - shift[0]) / magnification
    y = (y - (height - 1) / 2 - shift[1]) / magnification
    waves = [np.sin(x / 9 + k) * np.cos(y / (7 + k)) for k in range(3)]
    return np.rint(127 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)
