"""Cast shadows: rays from what is seen to the points of a round lamp far away.

A grid across the lamp's light lists the solids over each cell, so that a ray meets few of them. Each pixel asks for
one of 16 points of the lamp and its neighbours for the others; the mean over 4 x 4 pixels of one surface is soft
without noise (interleaved sampling: Keller & Heidrich, EGWR 2001). Walls cast none: the lamp stands between them.
"""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from focalsim.scene import Intrinsics
from focalsim.sources.synthetic.kernel import kernel
from focalsim.sources.synthetic.mesh_rays import mesh_blocks
from focalsim.sources.synthetic.meshes import MeshTable
from focalsim.sources.synthetic.primitives import FACES, MESH, frame_along, local_hit

_CELLS = 192  # of the grid, along each axis
_TILE = 4
# Rays to the lamp start this share of a mesh's size off it, or they would meet the triangle that they come from.
_OFF_SURFACE = 1e-3
# Neighbours in this order (a Bayer matrix) ask for points far apart on the lamp.
_ORDER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])


class ShadowGrid(NamedTuple):
    """Which solids may stand between a place and the lamp."""

    axes: NDArray[np.float64]  # (3, 3) rows: two axes across the light, the unit vector towards the lamp
    start: NDArray[np.float64]  # (2,) of the grid, metres along the first two axes
    cells_per_m: NDArray[np.float64]  # (2,)
    first: NDArray[np.int64]  # (_CELLS^2 + 1,) where each cell's solids begin in ``solids``
    solids: NDArray[np.int32]
    top_m: NDArray[np.float64]  # (n,) how far each solid reaches towards the lamp
    directions: NDArray[np.float64]  # (16, 3) towards points of the lamp


def shadow_grid(
    solids: NDArray[np.void], direction: NDArray[np.float64], radius: float, corners_m: NDArray[np.float64]
) -> ShadowGrid:
    """The grid over all places within ``corners_m`` (n, 3), for a lamp of ``radius`` (tangent) in ``direction``."""
    axes = frame_along(direction).T
    spots = np.arange(_TILE**2)
    r, turn = radius * np.sqrt((spots + 0.5) / _TILE**2), spots * np.pi * (3 - np.sqrt(5))  # Vogel's spiral
    directions = np.stack([r * np.cos(turn), r * np.sin(turn), np.ones(len(spots))], axis=1) @ axes
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)

    along = corners_m @ axes.T
    start, span = along[:, :2].min(axis=0), np.maximum(np.ptp(along[:, :2], axis=0), 1e-9)
    to_world = solids["to_camera"]  # columns: the local axes, as long as the half extents
    middle = -np.einsum("nij,nj->ni", to_world, solids["origin"]) @ axes.T
    half = np.abs(axes @ to_world).sum(axis=2)
    top = middle[:, 2] + half[:, 2]
    # Slanted rays reach a solid from places beside it, the farther the deeper they start.
    reach = half[:, :2] + radius * np.maximum(top - along[:, 2].min(), 0.0)[:, None]
    low = np.floor((middle[:, :2] - reach - start) / span * _CELLS)
    high = np.floor((middle[:, :2] + reach - start) / span * _CELLS)
    boxes = np.concatenate([np.maximum(low, 0), np.minimum(high, _CELLS - 1)], axis=1).astype(np.int64)
    return ShadowGrid(axes, start, _CELLS / span, *_list_cells(boxes), top, directions)


@kernel
def _list_cells(boxes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """(first, solids) of the grid from the first and last column and row (x0, y0, x1, y1) of each solid."""
    count = np.zeros(_CELLS * _CELLS + 1, np.int64)
    for k in range(len(boxes)):
        for y in range(boxes[k, 1], boxes[k, 3] + 1):
            for x in range(boxes[k, 0], boxes[k, 2] + 1):
                count[y * _CELLS + x + 1] += 1
    first = np.cumsum(count)
    place, listed = first.copy(), np.empty(first[-1], np.int32)
    for k in range(len(boxes)):
        for y in range(boxes[k, 1], boxes[k, 3] + 1):
            for x in range(boxes[k, 0], boxes[k, 2] + 1):
                cell = y * _CELLS + x
                listed[place[cell]] = k
                place[cell] += 1
    return first, listed


@kernel
def light_rays(
    solids: NDArray[np.void],
    meshes: MeshTable,
    grid: ShadowGrid,
    spot: NDArray[np.int64],
    key: NDArray[np.int32],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    depth: NDArray[np.float64],
) -> NDArray[np.float32]:
    """(n,) float32: 1 where point ``spot`` of the lamp is seen from the hit of each ray, else 0."""
    lit = np.ones(len(u), np.float32)
    a, first, listed, top = grid.axes, grid.first, grid.solids, grid.top_m
    for i in range(len(u)):
        px, py, pz = depth[i] * u[i], depth[i] * v[i], depth[i]
        x = (a[0, 0] * px + a[0, 1] * py + a[0, 2] * pz - grid.start[0]) * grid.cells_per_m[0]
        y = (a[1, 0] * px + a[1, 1] * py + a[1, 2] * pz - grid.start[1]) * grid.cells_per_m[1]
        cell = min(max(int(y), 0), _CELLS - 1) * _CELLS + min(max(int(x), 0), _CELLS - 1)
        if first[cell] == first[cell + 1]:
            continue
        height = a[2, 0] * px + a[2, 1] * py + a[2, 2] * pz
        own = key[i] // FACES if key[i] >= 0 else -1
        dx, dy, dz = grid.directions[spot[i], 0], grid.directions[spot[i], 1], grid.directions[spot[i], 2]
        for j in range(first[cell], first[cell + 1]):
            k = listed[j]
            if top[k] <= height or (k == own and solids[k].kind != MESH):  # of all solids meshes alone shade themselves
                continue
            if _blocks(solids[k], meshes, px, py, pz, dx, dy, dz):
                lit[i] = 0.0
                break
    return lit


@kernel
def _blocks(
    solid: Any, meshes: MeshTable, px: float, py: float, pz: float, dx: float, dy: float, dz: float
) -> bool:
    """Whether a solid stands on the ray from (px, py, pz) metres along (dx, dy, dz)."""
    m, o = solid.to_local, solid.origin
    ox, oy, oz = (
        o[0] + m[0, 0] * px + m[0, 1] * py + m[0, 2] * pz,
        o[1] + m[1, 0] * px + m[1, 1] * py + m[1, 2] * pz,
        o[2] + m[2, 0] * px + m[2, 1] * py + m[2, 2] * pz,
    )
    lx, ly, lz = (
        m[0, 0] * dx + m[0, 1] * dy + m[0, 2] * dz,
        m[1, 0] * dx + m[1, 1] * dy + m[1, 2] * dz,
        m[2, 0] * dx + m[2, 1] * dy + m[2, 2] * dz,
    )
    if solid.kind == MESH:
        return mesh_blocks(meshes, solid.mesh, ox, oy, oz, lx, ly, lz, _OFF_SURFACE * solid.shape[0])
    return local_hit(solid, ox, oy, oz, lx, ly, lz)[0] < inf


def lamp_spots(width: int, height: int) -> NDArray[np.int64]:
    """(H * W,) which point of the lamp each pixel asks for."""
    return np.tile(_ORDER, (-(-height // _TILE), -(-width // _TILE)))[:height, :width].ravel()


@kernel
def soften(lit: NDArray[np.float32], key: NDArray[np.int32], width: int) -> NDArray[np.float32]:
    """Mean of ``lit`` (H * W,) over the 4 x 4 pixels around each, of the same ``key`` alone."""
    height = len(lit) // width
    soft = np.empty_like(lit)
    for y in range(height):
        for x in range(width):
            total, count, own = 0.0, 0, key[y * width + x]
            for j in range(max(y - 2, 0), min(y + 2, height)):
                for i in range(j * width + max(x - 2, 0), j * width + min(x + 2, width)):
                    if key[i] == own:
                        total += lit[i]
                        count += 1
            soft[y * width + x] = total / count
    return soft


def frustum_corners(width: int, height: int, intrinsics: Intrinsics, farthest_m: float) -> NDArray[np.float64]:
    """(5, 3): the camera and the corners of what it sees at ``farthest_m``; all that is seen lies between."""
    u = (np.array([-0.5, width - 0.5]) - intrinsics.cx_px) / intrinsics.fx_px
    v = (np.array([-0.5, height - 0.5]) - intrinsics.cy_px) / intrinsics.fy_px
    rays = [(a, b, 1.0) for a in u for b in v]
    return farthest_m * np.array([(0.0, 0.0, 0.0), *rays])
