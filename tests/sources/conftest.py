"""Files and frames that the tests of the sources are made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from focalsim.scene import Scene
from focalsim.sources import FrameRequest


@pytest.fixture
def request_() -> FrameRequest:
    """A small output of aspect ratio 3:2, focused from 0.1 to 1 m."""
    return FrameRequest(width=48, height=32, near_m=0.1, far_m=1.0, focal_over_width=0.8)


@pytest.fixture
def write_image() -> Callable[..., Path]:
    """``write_image(path, pixels)``: write an image file, folders included; by default 80 x 60 of one colour."""

    def write(path: Path, pixels: Any = None) -> Path:
        pixels = np.full((60, 80, 3), 128, np.uint8) if pixels is None else np.asarray(pixels)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
        return path

    return write


@pytest.fixture
def write_pair(write_image: Callable[..., Path]) -> Callable[..., None]:
    """``write_pair(folder, depth, number=0)``: ``color_N.png`` of 80 x 60 and ``depth_N.png`` of 16 bits."""

    def write(folder: Path, depth: Any = None, number: int = 0) -> None:
        depth = np.full((60, 80), 500) if depth is None else depth
        write_image(folder / f"color_{number}.png")
        write_image(folder / f"depth_{number}.png", np.asarray(depth, np.uint16))

    return write


@pytest.fixture
def make_scene() -> Callable[..., Scene]:
    """``make_scene(depth_m, **changes)``: a grey scene; depth not finite or not positive is invalid."""

    def make(depth_m: Any, **changes: Any) -> Scene:
        depth = np.asarray(depth_m, np.float32)
        values: dict[str, Any] = {
            "rgb": np.full((*depth.shape, 3), 0.5, np.float32),
            "depth_m": depth,
            "valid": np.isfinite(depth) & (depth > 0),
            "source_id": "made/scene",
        }
        return Scene(**{**values, **changes})

    return make


@pytest.fixture
def rgbd() -> Path:
    """Folder of real RGB-D data beside the project, which is not part of it."""
    folder = Path(__file__).resolve().parents[2] / "../shared/data/rgbd"
    if not folder.is_dir():
        pytest.skip("real RGB-D data is not beside the project")
    return folder.resolve()
