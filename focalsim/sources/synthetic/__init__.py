"""Scenes that the program makes itself: exact depth, known hidden surfaces, without end.

composition rules (compose) put solids (things, primitives) of random materials (materials, patterns, noise, photos) on
a stage (stage, backdrops); the packed world is ray-cast (raycast) into a Scene.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from focalsim.scene import Intrinsics, Scene
from focalsim.sources.base import FrameRequest
from focalsim.sources.synthetic.compose import compose
from focalsim.sources.synthetic.photos import NO_PHOTOS, digest_photos, find_photos, pack_photos
from focalsim.sources.synthetic.raycast import MAX_LINEAR, cast_frame
from focalsim.sources.synthetic.stage import View

__all__ = ["SyntheticSource"]

# Frames are made larger than the output, because the renderer resamples them once, and that costs sharpness.
OVERSAMPLING = 2
_PHOTOS_PER_SCENE = 3


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

        Depth lies within 0.9 near and 1.3 far (z of the pixel's central ray, all valid); colour is averaged over the
        pixel; hidden_* is the next object on the same ray, NaN on the backdrop, behind which there is nothing.
        """
        width, height = OVERSAMPLING * request.width, OVERSAMPLING * request.height
        view = View.of_request(request, width, height)
        intrinsics = Intrinsics(view.focal_px, view.focal_px, (width - 1) / 2, (height - 1) / 2)
        photos = NO_PHOTOS
        if self._photos:
            chosen = rng.choice(len(self._photos), min(_PHOTOS_PER_SCENE, len(self._photos)), replace=False)
            photos = pack_photos([self._photos[k] for k in chosen])
        frame = cast_frame(compose(rng, view, photos), width, height, intrinsics)
        # As a camera's exposure does: the same mean brightness for scenes lit or painted dark.
        gain = np.float32(rng.uniform(0.08, 0.4) / max(float(np.mean(np.minimum(frame.rgb_linear, 1.0))), 1e-3))
        return Scene(
            rgb_linear=np.minimum(gain * frame.rgb_linear, np.float32(MAX_LINEAR)),
            depth_m=frame.depth_m,
            valid=np.ones((height, width), np.bool_),
            source_id=self.frame_id(index),
            hidden_rgb_linear=np.minimum(gain * frame.hidden_rgb_linear, np.float32(MAX_LINEAR)),
            hidden_depth_m=frame.hidden_depth_m,
            intrinsics=intrinsics,
        )
