"""stub"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from focalsim.scene import Scene
from focalsim.sources.base import FileSource, FrameRequest


class FolderSource(FileSource):
    format = "folder"
    description = "a folder of colour images and depth maps, paired by name"

    def __init__(self, path: Path, depth_scale: float | None) -> None:
        raise NotImplementedError

    @staticmethod
    def detects(path: Path) -> bool:
        return path.is_dir()

    def __len__(self) -> int:
        raise NotImplementedError

    def frame_id(self, index: int) -> str:
        raise NotImplementedError

    def load(self, index: int, request: FrameRequest, rng: np.random.Generator) -> Scene:
        raise NotImplementedError

    def content_digest(self, index: int) -> str:
        raise NotImplementedError
