"""Ray casting of a packed world: exact depth and hidden surface at pixel centres, colour averaged.

Single-threaded on purpose: the pipeline runs one process per core, and the bytes depend on no schedule.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from focalsim.scene import Intrinsics
from focalsim.sources.synthetic.kernel import kernel
from focalsim.sources.synthetic.mesh_rays import draw_mesh
from focalsim.sources.synthetic.primitives import FACES, MESH, solid_hit
from focalsim.sources.synthetic.rays import Hits, Rays, rays_of
from focalsim.sources.synthetic.shading import shade_rays
from focalsim.sources.synthetic.shadows import (
    ShadowGrid,
    frustum_corners,
    lamp_spots,
    light_rays,
    shadow_grid,
    soft_light,
)
from focalsim.sources.synthetic.walls import backdrop_hit
from focalsim.sources.synthetic.world import World

# Sub-rays of a pixel at a silhouette: a rotated grid, so that edges of any direction get 4 steps.
_SUBRAYS = np.array([(-0.375, -0.125), (0.125, -0.375), (0.375, 0.125), (-0.125, 0.375)])
# Depth that differs by more pixel widths than this between neighbours is a fold of the surface, or nearly edge-on.
_FOLD_PX = 4.0


class Frame(NamedTuple):
    """What a cast gives, (H, W, ...) float32; hidden depth is NaN where nothing stands behind."""

    rgb_linear: NDArray[np.float32]
    depth_m: NDArray[np.float32]
    hidden_rgb_linear: NDArray[np.float32]
    hidden_depth_m: NDArray[np.float32]


def cast_frame(world: World, width: int, height: int, intrinsics: Intrinsics) -> Frame:
    """Image of the world through a pinhole at the origin that looks along +z (x right, y down)."""
    boxes = _pixel_boxes(world.solids, width, height, intrinsics)
    rays = rays_of(np.arange(height * width), np.zeros((1, 2)), width, height, intrinsics)
    depth, key = _cast_rays(world, boxes, rays)
    u, v, f = rays.u, rays.v, rays.focal_px
    surface = _surfaces(world, key)
    grid = _shadow_grid(world, frustum_corners(width, height, intrinsics, float(depth.max())))
    lit, behind = np.ones(len(u), np.float32), key[0] >= 0  # nothing stands behind the backdrop
    soft = soft_light(world, grid, rays, surface[0], key[0], depth[0], lit, np.ones_like(behind))
    edge = _edge_mask(surface[0], depth[0], width, f)
    rgb = shade_rays(world, f, key[0], u, v, depth[0], soft, ~edge)

    hidden_depth = np.where(behind, depth[1], np.nan).astype(np.float32)
    hidden_soft = soft_light(world, grid, rays, surface[1], key[1], depth[1], lit, behind)
    hidden_rgb = shade_rays(world, f, key[1], u, v, depth[1], hidden_soft, behind)

    edges = np.flatnonzero(edge)
    sub = rays_of(edges, _SUBRAYS, width, height, intrinsics)
    sub_depth, sub_key = _cast_rays(world, boxes, sub)
    sub_soft, sub_surface, centre_depth = (np.repeat(a[edges], len(_SUBRAYS)) for a in (soft, surface[0], depth[0]))
    # Where the surface is not that of the pixel's centre, its light is asked for anew.
    other = np.flatnonzero(
        (_surfaces(world, sub_key)[0] != sub_surface)
        | (np.abs(sub_depth[0] - centre_depth) > _FOLD_PX / f * centre_depth)
    )
    # Of one pixel they ask for points of the lamp far apart.
    spot = lamp_spots(width, height)[edges, None] + len(_SUBRAYS) * np.arange(len(_SUBRAYS))
    sub_spot = spot.ravel() % len(grid.directions)
    light_rays(sub_soft, other, world.solids, world.meshes, grid, sub_spot, sub_key[0], sub.u, sub.v, sub_depth[0])
    sub_rgb = shade_rays(world, f, sub_key[0], sub.u, sub.v, sub_depth[0], sub_soft, np.ones(len(sub.u), np.bool_))
    rgb[edges] = sub_rgb.reshape(-1, len(_SUBRAYS), 3).mean(axis=1)
    return Frame(
        rgb.reshape(height, width, 3),
        depth[0].astype(np.float32).reshape(height, width),
        hidden_rgb.reshape(height, width, 3),
        hidden_depth.reshape(height, width),
    )


def _shadow_grid(world: World, corners_m: NDArray[np.float64]) -> ShadowGrid:
    """The grid of the world's shadows; of no solids where the lamp casts none."""
    light = world.light[0]
    casting = world.solids if light["shadows"] > 0 else world.solids[:0]
    return shadow_grid(casting, world.meshes, light["direction"], float(light["lamp_radius"]), corners_m)


def _pixel_boxes(solids: NDArray[np.void], width: int, height: int, intrinsics: Intrinsics) -> NDArray[np.int64]:
    """First and last column and row (n, 4) that each solid may touch, clipped to the frame."""
    box = solids["box_uv"] * intrinsics.fx_px + np.array([intrinsics.cx_px] * 2 + [intrinsics.cy_px] * 2)
    low, high = np.floor(box[:, [0, 2]]) - 1, np.ceil(box[:, [1, 3]]) + 1
    last = np.array([width - 1, height - 1])
    clipped = np.stack([np.clip(low, 0, last + 1), np.clip(high, -1, last)], axis=-1)
    return clipped.reshape(len(solids), 4).astype(np.int64)


@kernel
def _cast_rays(world: World, boxes: NDArray[np.int64], rays: Rays) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Depth (2, n) and key (2, n) of the visible and the next surface of each ray."""
    u, v, first, n = rays.u, rays.v, rays.first, len(rays.u)
    depth, key, group = np.empty((2, n)), np.empty((2, n), np.int32), np.full(n, -1, np.int32)
    backdrop = world.backdrop[0]
    for i in range(n):
        w, wall = backdrop_hit(backdrop, u[i], v[i])
        # The backdrop holds the second place too, so that nothing behind it is ever taken.
        depth[0, i] = depth[1, i] = 1.0 / w
        key[0, i] = key[1, i] = -1 - int(wall)
    for k in range(len(world.solids)):
        solid = world.solids[k]
        if solid.kind == MESH:
            draw_mesh(solid, k, world.meshes, rays, Hits(depth, key, group))
            continue
        x0, x1, y0, y1 = boxes[k, 0], boxes[k, 1], boxes[k, 2], boxes[k, 3]
        for y in range(y0, y1 + 1):
            for i in range(first[y * rays.width + x0], first[y * rays.width + max(x1 + 1, x0)]):
                z, face = solid_hit(solid, u[i], v[i])
                if z < depth[0, i]:
                    if group[i] != solid.group:
                        depth[1, i], key[1, i], group[i] = depth[0, i], key[0, i], solid.group
                    depth[0, i], key[0, i] = z, k * FACES + face
                elif z < depth[1, i] and group[i] != solid.group:
                    depth[1, i], key[1, i] = z, k * FACES + face
    return depth, key


@kernel
def _surfaces(world: World, key: NDArray[np.int32]) -> NDArray[np.int32]:
    """``key`` (2, n) with the patch in place of the triangle on meshes: equal on one smooth surface."""
    surface = key.copy()
    for layer in range(len(key)):
        for i in range(key.shape[1]):
            k = key[layer, i]
            if k >= 0 and world.solids[k // FACES].kind == MESH:
                triangle = world.meshes.first[world.solids[k // FACES].mesh, 0] + k % FACES
                surface[layer, i] = k - k % FACES + world.meshes.triangles[triangle].patch
    return surface


@kernel
def _edge_mask(
    surface: NDArray[np.int32], depth: NDArray[np.float64], width: int, focal_px: float
) -> NDArray[np.bool_]:
    """(H * W,) pixels with another surface, or a fold of their own, among their eight neighbours."""
    height = len(surface) // width
    mask = np.zeros(height * width, np.bool_)
    for y in range(height):
        for dy in range(max(-1, -y), min(2, height - y)):
            for dx in range(-1, 2):
                first, last = y * width + max(-dx, 0), (y + 1) * width - max(dx, 0)
                at, to = slice(first, last), slice(first + dy * width + dx, last + dy * width + dx)
                _mark_edges(surface[at], depth[at], surface[to], depth[to], _FOLD_PX / focal_px, mask[at])
    return mask


@kernel
def _mark_edges(
    surface: NDArray[np.int32],
    depth: NDArray[np.float64],
    next_surface: NDArray[np.int32],
    next_depth: NDArray[np.float64],
    steepest: float,
    mask: NDArray[np.bool_],
) -> None:
    """Apart from all else, so that the compiler finds a vector form."""
    for i in range(len(mask)):
        folded = (surface[i] >= 0) & (abs(next_depth[i] - depth[i]) > steepest * depth[i])
        mask[i] |= (next_surface[i] != surface[i]) | folded
