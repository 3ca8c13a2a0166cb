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
from focalsim.sources.synthetic.rays import Rays
from focalsim.sources.synthetic.world import World

_CELLS = 192  # of the grid, along each axis
_TILE = 4
# Rays to the lamp start this share of a mesh's size off it, or they would meet the triangle that they come from.
_OFF_SURFACE = 1e-3
_PIECES = 16  # that a rod is cut into at most
# Neighbours in this order (a Bayer matrix) ask for points far apart on the lamp.
_ORDER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])
_EARLY = np.array([0, 2, 1, 3])  # the pixel of each row of a tile that asks first: near, middling and far points


BLOCKER_DTYPE = np.dtype(
    [
        ("low", "f8", (3,)),  # bounds along the axes of the light
        ("high", "f8", (3,)),
        ("solid", "i4"),
        ("node", "i4"),  # of a MESH: root of the branch that it holds
    ]
)


class ShadowGrid(NamedTuple):
    """Which parts of solids may stand between a place and the lamp."""

    axes: NDArray[np.float64]  # (3, 3) rows: two axes across the light, the unit vector towards the lamp
    start: NDArray[np.float64]  # (2,) of the grid, metres along the first two axes
    cells_per_m: NDArray[np.float64]  # (2,)
    first: NDArray[np.int64]  # (_CELLS^2 + 1,) where each cell's blockers begin in ``listed``
    listed: NDArray[np.int32]
    blockers: NDArray[np.void]  # BLOCKER_DTYPE
    slopes: NDArray[np.float64]  # (16, 2) metres across the light per metre towards each point of the lamp
    directions: NDArray[np.float64]  # (16, 3) unit vectors towards them


def shadow_grid(
    solids: NDArray[np.void],
    meshes: MeshTable,
    direction: NDArray[np.float64],
    radius: float,
    corners_m: NDArray[np.float64],
) -> ShadowGrid:
    """The grid over all places within ``corners_m`` (n, 3), for a lamp of ``radius`` (tangent) in ``direction``."""
    axes = frame_along(direction).T
    spots = np.arange(_TILE**2)
    r, turn = radius * np.sqrt((spots + 0.5) / _TILE**2), spots * np.pi * (3 - np.sqrt(5))  # Vogel's spiral
    slopes = np.stack([r * np.cos(turn), r * np.sin(turn)], axis=1)
    directions = np.c_[slopes, np.ones(len(spots))] @ axes
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)

    along = corners_m @ axes.T
    start, span = along[:, :2].min(axis=0), np.maximum(np.ptp(along[:, :2], axis=0), 1e-9)
    blockers = _blockers(solids, meshes, axes)
    # Slanted rays reach a solid from places beside it, the farther the deeper they start.
    reach = radius * np.maximum(blockers["high"][:, 2:] - along[:, 2].min(), 0.0)
    low = np.floor((blockers["low"][:, :2] - reach - start) / span * _CELLS)
    high = np.floor((blockers["high"][:, :2] + reach - start) / span * _CELLS)
    boxes = np.concatenate([np.maximum(low, 0), np.minimum(high, _CELLS - 1)], axis=1).astype(np.int64)
    return ShadowGrid(axes, start, _CELLS / span, *_list_cells(boxes), blockers, slopes, directions)


def _blockers(solids: NDArray[np.void], meshes: MeshTable, axes: NDArray[np.float64]) -> NDArray[np.void]:
    """Solids in parts about as long as wide: branches of meshes, pieces of the local cubes of the rest."""
    parts = [(np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros((0, 3)))]  # (node, low, high) in the local frame
    for solid in solids:
        if solid["kind"] == MESH:
            nodes = meshes.nodes[meshes.first[solid["mesh"], 2] : meshes.first[solid["mesh"] + 1, 2]]
            at = np.flatnonzero(nodes["branch"])
            parts.append((at, nodes["low"][at], nodes["high"][at]))
        else:
            size = np.sort(solid["size_m"])
            count = int(np.clip(size[2] / size[1], 1, _PIECES))
            ends = np.linspace(-1.0, 1.0, count + 1)
            lower, upper = np.full((count, 3), -1.0), np.ones((count, 3))
            longest = solid["size_m"].argmax()
            lower[:, longest], upper[:, longest] = ends[:-1], ends[1:]
            parts.append((np.zeros(count, np.int64), lower, upper))
    node, low, high = (np.concatenate(column) for column in zip(*parts, strict=True))
    table = np.zeros(len(node), BLOCKER_DTYPE)
    table["solid"], table["node"] = np.repeat(np.arange(len(solids)), [len(part[0]) for part in parts[1:]]), node
    of = solids[table["solid"]]
    turn = axes @ of["to_camera"]
    middle = np.einsum("nij,nj->ni", turn, 0.5 * (low + high) - of["origin"])
    half = np.einsum("nij,nj->ni", np.abs(turn), 0.5 * (high - low))
    table["low"], table["high"] = middle - half, middle + half
    return table


@kernel
def _list_cells(boxes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """(first, listed) of the grid from the first and last column and row (x0, y0, x1, y1) of each blocker."""
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


def soft_light(
    world: World,
    grid: ShadowGrid,
    rays: Rays,
    surface: NDArray[np.int32],
    key: NDArray[np.int32],
    depth: NDArray[np.float64],
    lit: NDArray[np.float32],
    asked: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """(H * W,) float32: share of the lamp seen from each pixel's surface, ``key`` at ``depth``.

    ``lit`` holds the light of single points of the lamp and gets that of the pixels ``asked``. Where a quarter of the
    rays around agree, the rest are taken to agree as well.
    """
    height = len(key) // rays.width
    spot = lamp_spots(rays.width, height)
    pattern = np.arange(_TILE) == _EARLY[np.arange(height) % _TILE, None]
    early = np.tile(pattern, -(-rays.width // _TILE))[:, : rays.width].ravel()
    light_rays(lit, np.flatnonzero(asked & early), world.solids, world.meshes, grid, spot, key, rays.u, rays.v, depth)
    states, rest = _settle(lit, surface, early | ~asked, rays.width)
    light_rays(lit, np.flatnonzero(rest), world.solids, world.meshes, grid, spot, key, rays.u, rays.v, depth)
    return _soften(lit, surface, states, rays.width)


@kernel
def _settle(
    lit: NDArray[np.float32], surface: NDArray[np.int32], known: NDArray[np.bool_], width: int
) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Fill ``lit`` where all that is known around agrees. Returns (states of tiles, pixels that are left to ask).

    The state of a tile is 1 or 2 where it and its neighbours are all light or all dark and it is of one surface.
    """
    height = len(lit) // width
    rows, columns = (height - 1) // _TILE + 1, (width - 1) // _TILE + 1
    own = np.zeros((rows + 2, columns + 2), np.int8)
    for y in range(height):
        for x in range(width):
            p, j, i = y * width + x, y // _TILE, x // _TILE
            if known[p]:
                own[j + 1, i + 1] |= 1 if lit[p] > 0.0 else 2
            if surface[p] != surface[j * _TILE * width + i * _TILE]:
                own[j + 1, i + 1] = 3
    states = np.zeros_like(own)
    rest = np.zeros(len(lit), np.bool_)
    for j in range(rows):
        for i in range(columns):
            state = _around(own, j, i)
            states[j + 1, i + 1] = state
            for y in range(j * _TILE, min((j + 1) * _TILE, height)):
                for x in range(i * _TILE, min((i + 1) * _TILE, width)):
                    if not known[y * width + x]:
                        if state == 2:
                            lit[y * width + x] = 0.0
                        elif state != 1:
                            rest[y * width + x] = True
    return states, rest


@kernel
def _around(states: NDArray[np.int8], j: int, i: int) -> int:
    """What a tile and its eight neighbours are together; ``states`` has one more tile on every side."""
    state = 0
    for k in range(3):
        state |= states[j + k, i] | states[j + k, i + 1] | states[j + k, i + 2]
    return state


@kernel
def light_rays(
    lit: NDArray[np.float32],
    chosen: NDArray[np.int64],
    solids: NDArray[np.void],
    meshes: MeshTable,
    grid: ShadowGrid,
    spot: NDArray[np.int64],
    key: NDArray[np.int32],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    depth: NDArray[np.float64],
) -> None:
    """Set ``lit`` of the ``chosen`` rays: 1 where point ``spot`` of the lamp is seen from the hit, else 0."""
    a, first = grid.axes, grid.first
    for i in chosen:
        lit[i] = 1.0
        px, py, pz = depth[i] * u[i], depth[i] * v[i], depth[i]
        # The same place along the axes of the light.
        x = a[0, 0] * px + a[0, 1] * py + a[0, 2] * pz
        y = a[1, 0] * px + a[1, 1] * py + a[1, 2] * pz
        h = a[2, 0] * px + a[2, 1] * py + a[2, 2] * pz
        column = min(max(int((x - grid.start[0]) * grid.cells_per_m[0]), 0), _CELLS - 1)
        row = min(max(int((y - grid.start[1]) * grid.cells_per_m[1]), 0), _CELLS - 1)
        cell = row * _CELLS + column
        own = key[i] // FACES if key[i] >= 0 else -1
        sx, sy = grid.slopes[spot[i], 0], grid.slopes[spot[i], 1]
        dx, dy, dz = grid.directions[spot[i], 0], grid.directions[spot[i], 1], grid.directions[spot[i], 2]
        for j in range(first[cell], first[cell + 1]):
            blocker = grid.blockers[grid.listed[j]]
            far = blocker.high[2] - h
            if far <= 0.0:
                continue
            near = max(blocker.low[2] - h, 0.0)
            x0, x1, y0, y1 = x + sx * near, x + sx * far, y + sy * near, y + sy * far
            if min(x0, x1) > blocker.high[0] or max(x0, x1) < blocker.low[0]:
                continue
            if min(y0, y1) > blocker.high[1] or max(y0, y1) < blocker.low[1]:
                continue
            solid = solids[blocker.solid]
            if blocker.solid == own and solid.kind != MESH:  # of all solids meshes alone shade themselves
                continue
            if _blocks(solid, blocker.node, meshes, px, py, pz, dx, dy, dz):
                lit[i] = 0.0
                break


@kernel
def _blocks(
    solid: Any, node: int, meshes: MeshTable, px: float, py: float, pz: float, dx: float, dy: float, dz: float
) -> bool:
    """Whether a solid (of a MESH a branch) stands on the ray from (px, py, pz) metres along (dx, dy, dz)."""
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
        return mesh_blocks(meshes, solid.mesh, node, ox, oy, oz, lx, ly, lz, _OFF_SURFACE * solid.shape[0])
    return local_hit(solid, ox, oy, oz, lx, ly, lz)[0] < inf


def lamp_spots(width: int, height: int) -> NDArray[np.int64]:
    """(H * W,) which point of the lamp each pixel asks for."""
    return np.tile(_ORDER, (-(-height // _TILE), -(-width // _TILE)))[:height, :width].ravel()


@kernel
def _soften(
    lit: NDArray[np.float32], surface: NDArray[np.int32], states: NDArray[np.int8], width: int
) -> NDArray[np.float32]:
    """Mean of ``lit`` (H * W,) over the 4 x 4 pixels around each, of the same ``surface`` alone."""
    height = len(lit) // width
    soft = lit.copy()
    total, count = np.empty(width, np.float32), np.empty(width, np.float32)
    unlike = np.zeros(states.shape[1] - 2, np.bool_)
    for y in range(height):
        j, here = y // _TILE, y * width
        if y % _TILE == 0:
            # All around are alike where no tile that the 4 x 4 pixels may reach says otherwise.
            for i in range(len(unlike)):
                unlike[i] = _around(states, j, i) == 3
        if not unlike.any():
            continue
        total[:], count[:] = np.float32(0.0), np.float32(0.0)
        for row in range(max(y - 2, 0), min(y + 2, height)):
            for dx in range(-2, 2):
                first, last = max(-dx, 0), width - max(dx, 0)
                at = slice(first, last)
                there = slice(row * width + first + dx, row * width + last + dx)
                _add_like(total[at], count[at], surface[here + first : here + last], surface[there], lit[there])
        for x in range(width):
            if unlike[x // _TILE]:
                soft[here + x] = total[x] / count[x]
    return soft


@kernel
def _add_like(
    total: NDArray[np.float32],
    count: NDArray[np.float32],
    surface: NDArray[np.int32],
    other: NDArray[np.int32],
    lit: NDArray[np.float32],
) -> None:
    """Add what is ``lit`` of the same surface. Apart from all else, so that the compiler finds a vector form."""
    for i in range(len(total)):
        total[i] += lit[i] if other[i] == surface[i] else np.float32(0.0)
        count[i] += np.float32(1.0) if other[i] == surface[i] else np.float32(0.0)


def frustum_corners(width: int, height: int, intrinsics: Intrinsics, farthest_m: float) -> NDArray[np.float64]:
    """(5, 3): the camera and the corners of what it sees at ``farthest_m``; all that is seen lies between."""
    u = (np.array([-0.5, width - 0.5]) - intrinsics.cx_px) / intrinsics.fx_px
    v = (np.array([-0.5, height - 0.5]) - intrinsics.cy_px) / intrinsics.fy_px
    rays = [(a, b, 1.0) for a in u for b in v]
    return farthest_m * np.array([(0.0, 0.0, 0.0), *rays])
