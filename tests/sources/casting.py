"""Casting of hand-made worlds, for the tests of made scenes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from focalsim.scene import Intrinsics
from focalsim.sources.base import FrameRequest
from focalsim.sources.synthetic import compose
from focalsim.sources.synthetic.materials import MATERIAL_DTYPE, Palette, draw_material
from focalsim.sources.synthetic.meshes import Mesh, pack_meshes
from focalsim.sources.synthetic.photos import NO_PHOTOS
from focalsim.sources.synthetic.primitives import Solid, pack_solids
from focalsim.sources.synthetic.raycast import Frame, cast_frame
from focalsim.sources.synthetic.stage import View
from focalsim.sources.synthetic.walls import Backdrop, pack_backdrop
from focalsim.sources.synthetic.world import World

REQUEST = FrameRequest(width=64, height=48, near_m=0.1, far_m=1.0, focal_over_width=0.78)
W, H = 128, 96
INTRINSICS = Intrinsics(0.78 * W, 0.78 * W, (W - 1) / 2, (H - 1) / 2)
V, U = ((a - c) / (0.78 * W) for a, c in zip(np.indices((H, W)), ((H - 1) / 2, (W - 1) / 2), strict=True))
FLAT_WALL = np.array([[0.0, 0.0, 1.0]])  # 1/z = 1: a wall at 1 m


def cast(
    solids: list[Solid],
    walls: np.ndarray = FLAT_WALL,
    scale: int = 1,
    seed: int = 5,
    meshes: Sequence[Mesh] = (),
    **light: object,
) -> Frame:
    """The frame of hand-made solids before hand-made walls, at ``scale`` times W x H; ``light`` as in LIGHT_DTYPE."""
    rng = np.random.default_rng(seed)
    palette = Palette.draw(rng)
    materials = np.array([draw_material(rng, palette, 0.01) for _ in range(8)], MATERIAL_DTYPE)
    view = View.of_request(REQUEST, W, H)
    backdrop = pack_backdrop(Backdrop(walls, (0,) * len(walls)))
    lights = compose.draw_light(rng, view)
    for name, value in light.items():
        lights[name] = value
    world = World(backdrop, pack_solids(solids), materials, lights, pack_meshes(list(meshes)), *NO_PHOTOS)
    focal = INTRINSICS.fx_px * scale
    intrinsics = Intrinsics(focal, focal, (W * scale - 1) / 2, (H * scale - 1) / 2)
    return cast_frame(world, W * scale, H * scale, intrinsics)
