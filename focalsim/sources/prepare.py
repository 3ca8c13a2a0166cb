"""From a source's frame to what the renderer takes: cropped, reduced, without holes, in the focus range."""

from __future__ import annotations

from dataclasses import dataclass

from focalsim.scene import Scene
from focalsim.sources.base import FrameRequest


@dataclass(frozen=True, slots=True)
class PreparedScene:
    """A scene ready for the renderer; ``depth_scale`` is the factor on its metres (1 = kept)."""

    scene: Scene
    depth_scale: float


def prepare_scene(
    scene: Scene, request: FrameRequest, *, max_holes: float, depth_policy: str, match_fov: bool = False
) -> PreparedScene:
    """Crop, reduce, fill and place one frame. Raises FrameError where the frame cannot serve ``request``."""
    raise NotImplementedError
