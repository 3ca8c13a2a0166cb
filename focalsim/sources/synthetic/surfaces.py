"""Closed surfaces to make meshes of: stacks of rings, spheres of six square faces, hulls of points."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from focalsim.sources.synthetic.kernel import kernel
from focalsim.sources.synthetic.meshes import Mesh, build_mesh
from focalsim.sources.synthetic.noise import value_noise

Points = NDArray[np.float64]
# Rings seen more from above than this (sine of their slope) get a chart of (x, y), as lids have.
_LID = 0.8


def unit_circle(count: int) -> Points:
    """(count, 2) points of the unit circle, anticlockwise."""
    angle = 2 * np.pi * np.arange(count) / count
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def stack_rings(rings: Points, crease_deg: float = 180.0, *, looped: bool = False, lids: bool = True) -> Mesh:
    """Mesh of rings (r, k, 3) of points joined one to the next.

    Ends are closed at the middle of the first and last ring, or joined to each other if ``looped``. The chart runs
    around and along; with ``lids`` flat parts across z have (x, y) instead.
    """
    k = rings.shape[1]
    if looped:
        rings = np.concatenate([rings, rings[:1]])
    else:
        rings = np.concatenate([rings[:1].mean(axis=1, keepdims=True).repeat(k, 1), rings,
                                rings[-1:].mean(axis=1, keepdims=True).repeat(k, 1)])  # fmt: skip
    bands = len(rings) - 1
    # Number of each point: the ends are one point each, a loop ends where it starts.
    number = np.arange(bands + 1)[:, None] * k + np.arange(k)
    number[-1] = number[0] if looped else number[-1, 0]
    if not looped:
        number[0] = number[0, 0]
    wrapped = np.concatenate([rings, rings[:, :1]], axis=1)
    number = np.concatenate([number, number[:, :1]], axis=1)
    chart = np.broadcast_to(_chart(wrapped)[None], (2, *wrapped.shape[:2], 2)).copy()
    step_out, step_round = wrapped[1:, :-1] - wrapped[:-1, :-1], np.diff(wrapped, axis=1)
    normal = np.cross(step_out, step_round[1:] + step_round[:-1]).reshape(bands, k, 3)
    flat = np.abs(normal[..., 2]).sum(axis=1) > _LID * np.linalg.norm(normal, axis=2).sum(axis=1)
    lower, upper = chart[0][:-1].copy(), chart[1][1:].copy()
    if lids:
        lower[flat], upper[flat] = wrapped[:-1][flat][..., :2], wrapped[1:][flat][..., :2]
    quads = np.stack([number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]], axis=2)
    charts = np.stack([lower[:, :-1], lower[:, 1:], upper[:, 1:], upper[:, :-1]], axis=2)
    pick = np.array([[0, 1, 2], [0, 2, 3]])
    triangles, charts = quads[:, :, pick].reshape(-1, 3), charts[:, :, pick].reshape(-1, 3, 2)
    real = (triangles != np.roll(triangles, 1, axis=1)).all(axis=1)
    used, compact = np.unique(triangles[real], return_inverse=True)
    points = wrapped[:, :-1].reshape(-1, 3)[used]
    return build_mesh(points, compact.reshape(-1, 3), charts[real], crease_deg)


def _chart(wrapped: Points) -> Points:
    """(rings, k + 1, 2) of wrapped rings: lengths around (of a ring of middling length) and along."""
    around = np.linalg.norm(np.diff(wrapped, axis=1), axis=2)
    s = np.median(around.sum(axis=1)) * np.linspace(0.0, 1.0, wrapped.shape[1])
    along = np.linalg.norm(np.diff(wrapped, axis=0), axis=2).mean(axis=1)
    t = np.concatenate([[0.0], along.cumsum()])
    return np.stack(np.broadcast_arrays(s[None, :], t[:, None]), axis=2)


@lru_cache(maxsize=4)
def sphere(side: int) -> tuple[Points, NDArray[np.int64], Points]:
    """(points, triangles, chart) of the unit sphere: the faces of a cube, each of ``side``^2 quads."""
    a, b = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    quad = np.stack([np.stack([a + i, b + j], axis=-1) for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))], axis=2)
    lattice: list[NDArray[np.int64]] = []
    charts: list[Points] = []
    for axis in range(3):
        for end in (0, side):
            corners = np.insert(quad.reshape(-1, 4, 2), axis, end, axis=2)
            # Seen from outside each face turns the same way.
            lattice.append(corners[:, ::-1] if (end == 0) != (axis == 1) else corners)
            chart = np.asarray(quad.reshape(-1, 4, 2) * (0.5 * np.pi / side) + 3.0 * len(charts), np.float64)
            charts.append(chart[:, ::-1] if (end == 0) != (axis == 1) else chart)
    pick = np.array([[0, 1, 2], [0, 2, 3]])
    cells = np.concatenate(lattice)[:, pick].reshape(-1, 3)
    used, triangles = np.unique(cells, axis=0, return_inverse=True)
    points = np.tan(0.25 * np.pi * (2.0 * used / side - 1.0))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points, triangles.reshape(-1, 3), np.concatenate(charts)[:, pick].reshape(-1, 3, 2)


def hull(points: Points) -> Mesh:
    """Mesh of the convex hull of points (n, 3), with flat faces."""
    from scipy.spatial import ConvexHull  # slow to import, and few need it

    found = ConvexHull(points)
    triangles = found.simplices.astype(np.int64)
    corners = points[triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inward = (normal * (corners[:, 0] - points.mean(axis=0))).sum(axis=1) < 0
    triangles[inward] = triangles[inward][:, ::-1]
    drop = np.abs(found.equations[:, :3]).argmax(axis=1)  # the chart leaves out the axis that a face looks along
    kept = np.array([[1, 2], [0, 2], [0, 1]])[drop]
    chart = np.take_along_axis(points[triangles], kept[:, None, :].repeat(3, 1), axis=2)
    used, compact = np.unique(triangles, return_inverse=True)
    return build_mesh(points[used], compact.reshape(-1, 3), chart, 1.0)


def sweep(path: Points, radius: Points, sides: int, crease_deg: float = 180.0, *, looped: bool = False) -> Mesh:
    """Tube of ``sides`` along path (r, 3) with radius (r,); open ends are rounded."""
    if not looped:
        angle = np.radians([15.0, 45.0, 75.0])
        ends = []
        for end, inner in ((path[0], path[1]), (path[-1], path[-2])):
            ends.append((end, (end - inner) / np.linalg.norm(end - inner)))
        lid = np.array([ends[0][0] + radius[0] * np.cos(a) * ends[0][1] for a in angle])
        foot = np.array([ends[1][0] + radius[-1] * np.cos(a) * ends[1][1] for a in angle[::-1]])
        path = np.concatenate([lid, path, foot])
        radius = np.concatenate([radius[0] * np.sin(angle), radius, radius[-1] * np.sin(angle[::-1])])
    tangent = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    if not looped:
        tangent[0], tangent[-1] = path[1] - path[0], path[-1] - path[-2]
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    across = _carried(tangent)
    turn = np.zeros(len(path))
    if looped:  # spread the twist that the frame has gathered when it comes back
        last = across[-1] - (across[-1] @ tangent[0]) * tangent[0]
        turn = np.arctan2(np.cross(across[0], last) @ tangent[0], across[0] @ last) * np.arange(len(path)) / len(path)
    up = np.cross(tangent, across)
    across, up = (
        np.cos(turn)[:, None] * across - np.sin(turn)[:, None] * up,
        np.sin(turn)[:, None] * across + np.cos(turn)[:, None] * up,
    )
    circle = unit_circle(sides)
    offset = across[:, None] * circle[:, :1] + up[:, None] * circle[:, 1:]
    return stack_rings(path[:, None] + radius[:, None, None] * offset, crease_deg, looped=looped, lids=False)


def _carried(tangent: Points) -> Points:
    """(r, 3) unit vectors across each tangent, carried along without twist."""
    across = np.empty_like(tangent)
    start = np.eye(3)[np.abs(tangent[0]).argmin()]
    for k, t in enumerate(tangent):
        start = start - (start @ t) * t
        start = start / np.linalg.norm(start)
        across[k] = start
    return across


@kernel
def noise_at(points: Points, frequency: float, octaves: int, seed: int) -> NDArray[np.float64]:
    """(n,) fractal noise in about [-1, 1] at points (n, 3)."""
    values = np.zeros(len(points))
    for i in range(len(points)):
        q, amplitude, total = frequency, 1.0, 0.0
        for octave in range(octaves):
            x, y, z = points[i, 0] * q + 31.7, points[i, 1] * q + 11.3, points[i, 2] * q + 7.9
            values[i] += amplitude * value_noise(x, y, z, seed + octave)
            total += amplitude
            q, amplitude = 2.03 * q, 0.5 * amplitude
        values[i] /= total
    return values
