"""Scenes that the program makes itself: exact depth, known hidden surfaces, without end.

Composition rules (compose) put things and backdrops on a stage: primitives, and meshes drawn by seed (shapes). Each
surface gets a random material (patterns over noise, or a photo); the packed world is ray-cast (raycast) into a Scene.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from focalsim.scene import Intrinsics, Scene
from focalsim.sources.base import FrameRequest
from focalsim.sources.synthetic.compose import compose_world
from focalsim.sources.synthetic.photos import NO_PHOTOS, digest_photos, find_photos, pack_photos
from focalsim.sources.synthetic.raycast import cast_frame
from focalsim.sources.synthetic.stage import View

__all__ = ["SyntheticSource"]

# Frames are made larger than the output, because the renderer resamples them once, and that costs sharpness.
OVERSAMPLING = 2
_PHOTOS_PER_SCENE = 3
# Highlights are bounded, so that no single pixel lights up a whole blurred slice.
_MAX_LINEAR = np.float32(12.0)


class SyntheticSource:
    """Unlimited random scenes; frame ``index`` depends on the generator given to :meth:`load` alone.

    textures  folder of the user's own photos, shown on about half of the surfaces.
    Raises SourceError where the folder has no readable image.
    """

    name = "synthetic"
    format = "synthetic"

    def __init__(self, textures: Path | None = None) -> None:
        self._photos = find_photos(Path(textures)) if textures is not None else ()
        self.license = "CC0-1.0"
        self.attribution = "Scenes made by focalsim"
        if self._photos:
            self.license += " for the made scenes; the photos used as textures keep their own licence"
            self.attribution += f" with {len(self._photos)} of the user's own photos as textures"

    def __len__(self) -> int:
        return sys.maxsize

    @property
    def digest(self) -> str:
        """sha256 of the photos used as textures; empty without."""
        return digest_photos(self._photos) if self._photos else ""

    def frame_id(self, index: int) -> str:
        return f"synthetic/{index:08d}"

    def load(self, index: int, request: FrameRequest, rng: np.random.Generator) -> Scene:
        """Make one scene, drawn from ``rng``, at twice the request's width and height.

        Depth (z of the pixel's central ray, all valid) lies within 0.9 near and 1.3 far; colour is
        averaged over the pixel; hidden_* is the next object on the same ray, or the next fold of a mesh that
        faces the camera; its depth is NaN where the backdrop is seen: nothing stands behind that.
        """
        width, height = OVERSAMPLING * request.width, OVERSAMPLING * request.height
        view = View.of_request(request, width, height)
        intrinsics = Intrinsics(view.focal_px, view.focal_px, (width - 1) / 2, (height - 1) / 2)
        photos = NO_PHOTOS
        if self._photos:
            chosen = rng.choice(len(self._photos), min(_PHOTOS_PER_SCENE, len(self._photos)), replace=False)
            photos = pack_photos([self._photos[k] for k in chosen])
        frame = cast_frame(compose_world(rng, view, photos), width, height, intrinsics)
        gain = np.float32(_exposure(frame.rgb_linear, rng))
        return Scene(
            rgb=np.minimum(gain * frame.rgb_linear, _MAX_LINEAR),
            depth_m=frame.depth_m,
            valid=np.ones((height, width), np.bool_),
            source_id=self.frame_id(index),
            hidden_rgb_linear=np.minimum(gain * frame.hidden_rgb_linear, _MAX_LINEAR),
            hidden_depth_m=frame.hidden_depth_m,
            intrinsics=intrinsics,
        )


def _exposure(rgb_linear: NDArray[np.float32], rng: np.random.Generator) -> float:
    """Gain to a random mean brightness; as a camera does, it mostly spares the brightest 2 %."""
    mean = float(np.mean(np.minimum(rgb_linear, 1.0)))
    bright = float(np.quantile(rgb_linear[::4, ::4].max(axis=2), 0.98))
    gain = float(rng.uniform(0.1, 0.4)) / max(mean, 1e-3)
    highest = float(rng.choice([0.9, 3.0], p=[0.8, 0.2])) / max(bright, 1e-3)
    return float(min(gain, highest))
