"""Triangle meshes: closed surfaces in the local cube [-1, 1]^3, with what shading and rays ask of them.

A mesh is closed and outward: each edge belongs to two triangles that run along it in opposite directions, and
triangles turn anticlockwise seen from outside. Its box tree (``nodes``) lists it for shadow rays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from focalsim.sources.synthetic.kernel import kernel

TRIANGLE_DTYPE = np.dtype(
    [
        ("corners", "f8", (3, 3)),
        ("normals", "f8", (3, 3)),  # of the smooth surface at each corner: gradients in the local frame, any length
        ("chart", "f8", (3, 2)),  # surface chart (s, t) at each corner, in lengths of the mesh's proportions
        ("edges", "i4", (3,)),  # 1 + the mesh's edge from corner k to k + 1, negative where that runs backwards
        ("patch", "i4"),  # smooth part of the surface, bounded by creases
    ]
)
NODE_DTYPE = np.dtype(
    [
        ("low", "f8", (3,)),
        ("high", "f8", (3,)),
        ("first", "i4"),  # triangles of a leaf
        ("count", "i4"),  # 0 within the tree
        ("skip", "i4"),  # node after this one's branch; its own first child comes next
        ("branch", "i4"),  # 1 at the roots of branches of up to _BRANCH triangles, which together hold all
    ]
)
_LEAF, _BRANCH = 4, 48


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """One closed mesh; it touches all sides of the local cube."""

    triangles: NDArray[np.void]  # (m,) TRIANGLE_DTYPE, leaf by leaf
    edges: NDArray[np.float64]  # (e, 2, 3) ends of each edge
    nodes: NDArray[np.void]  # NODE_DTYPE
    extent: NDArray[np.float64]  # (3,) proportions: half extents for a size of 1, the largest is 1


class MeshTable(NamedTuple):
    """The meshes of a world, one after the other, as the kernels read them."""

    triangles: NDArray[np.void]
    edges: NDArray[np.float64]
    nodes: NDArray[np.void]
    first: NDArray[np.int64]  # (n + 1, 3) first triangle, edge and node of each mesh


def build_mesh(
    points: NDArray[np.float64],
    triangles: NDArray[np.int64],
    chart: NDArray[np.float64],
    crease_deg: float = 180.0,
) -> Mesh:
    """A mesh of ``points`` (n, 3), ``triangles`` (m, 3) and their ``chart`` (m, 3, 2), in any size and either turn.

    Normals are smooth across edges whose triangles meet at less than ``crease_deg``.
    Raises ValueError where the surface is not closed.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    size = 0.5 * float((high - low).max())
    points, chart = (points - 0.5 * (low + high)) / size, chart / size
    if _volume(points[triangles]) < 0.0:
        triangles, chart = triangles[:, ::-1], chart[:, ::-1]
    extent = 0.5 * (high - low) / size
    local = np.clip(points / extent, -1.0, 1.0)
    triangles = np.ascontiguousarray(triangles)
    order, nodes = _tree(local[triangles])
    triangles, chart = triangles[order], chart[order]
    ends, sides, neighbours = _link(triangles, len(points))
    if len(ends) == 0:
        raise ValueError(
            f"expected a closed mesh, each edge between two triangles; got an open one of {len(triangles)} triangles"
        )
    corners = points[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])  # as long as twice the area
    records = np.zeros(len(triangles), TRIANGLE_DTYPE)
    records["corners"], records["chart"], records["edges"] = local[triangles], chart, sides
    records["patch"] = _patches(neighbours, normals, float(np.cos(np.radians(crease_deg))))
    records["normals"] = _corner_normals(triangles, normals, records["patch"], len(points)) * extent
    return Mesh(records, local[ends], nodes, extent)


def pack_meshes(meshes: list[Mesh]) -> MeshTable:
    """The table that the kernels read."""
    tables = [(mesh.triangles, mesh.edges, mesh.nodes) for mesh in meshes]
    none = np.zeros(0, TRIANGLE_DTYPE), np.zeros((0, 2, 3)), np.zeros(0, NODE_DTYPE)
    joined = [np.concatenate(parts) for parts in zip(none, *tables, strict=True)]
    counts = np.array([(0, 0, 0), *([len(part) for part in table] for table in tables)], np.int64)
    return MeshTable(joined[0], joined[1], joined[2], counts.cumsum(axis=0))


def _volume(corners: NDArray[np.float64]) -> float:
    """Signed volume of a closed surface (m, 3, 3): positive where triangles turn anticlockwise from outside."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    return float(np.einsum("ij,ij->", a, np.cross(b, c))) / 6.0


@kernel
def _around(triangles: NDArray[np.int64], points: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(first, corners): 3 * triangle + corner of all corners at point p stand at first[p] to first[p + 1]."""
    first = np.zeros(points + 1, np.int64)
    for t in range(len(triangles)):
        for c in range(3):
            first[triangles[t, c] + 1] += 1
    first = np.cumsum(first)
    place, corners = first.copy(), np.empty(3 * len(triangles), np.int64)
    for t in range(len(triangles)):
        for c in range(3):
            p = triangles[t, c]
            corners[place[p]] = 3 * t + c
            place[p] += 1
    return first, corners


@kernel
def _link(triangles: NDArray[np.int64], points: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """(ends (e, 2), edges of each triangle as in TRIANGLE_DTYPE, its neighbours (m, 3)); no ends if it is open."""
    first, corners = _around(triangles, points)
    sides = np.zeros((len(triangles), 3), np.int32)
    neighbours = np.full((len(triangles), 3), -1, np.int64)
    ends = np.empty((3 * len(triangles) // 2, 2), np.int64)
    count = 0
    for t in range(len(triangles)):
        for c in range(3):
            a, b = triangles[t, c], triangles[t, (c + 1) % 3]
            for j in range(first[b], first[b + 1]):
                other, corner = corners[j] // 3, corners[j] % 3
                if triangles[other, (corner + 1) % 3] == a:
                    if neighbours[t, c] >= 0:
                        return ends[:0], sides, neighbours  # three triangles at one edge
                    neighbours[t, c] = other
                    if a < b:
                        if count == len(ends):
                            return ends[:0], sides, neighbours
                        ends[count] = a, b
                        count += 1
                        sides[t, c], sides[other, corner] = count, -count
            if neighbours[t, c] < 0:
                return ends[:0], sides, neighbours
    return ends[:count], sides, neighbours


@kernel
def _patches(neighbours: NDArray[np.int64], normals: NDArray[np.float64], smooth: float) -> NDArray[np.int32]:
    """Number of the patch of each triangle; patches part where the cosine between normals is below ``smooth``."""
    patch = np.full(len(neighbours), -1, np.int32)
    stack = np.empty(len(neighbours), np.int64)
    count = 0
    for start in range(len(neighbours)):
        if patch[start] >= 0:
            continue
        patch[start], stack[0], height = count, start, 1
        while height > 0:
            height -= 1
            t = stack[height]
            for c in range(3):
                other = neighbours[t, c]
                if patch[other] >= 0:
                    continue
                n, m = normals[t], normals[other]
                cosine = n[0] * m[0] + n[1] * m[1] + n[2] * m[2]
                squares = (n[0] ** 2 + n[1] ** 2 + n[2] ** 2) * (m[0] ** 2 + m[1] ** 2 + m[2] ** 2)
                if smooth <= -1.0 or cosine >= smooth * np.sqrt(squares):
                    patch[other] = count
                    stack[height] = other
                    height += 1
        count += 1
    return patch


@kernel
def _corner_normals(
    triangles: NDArray[np.int64], normals: NDArray[np.float64], patch: NDArray[np.int32], points: int
) -> NDArray[np.float64]:
    """(m, 3, 3) unit: at each corner the mean of the triangles of its patch there, weighted by area."""
    first, corners = _around(triangles, points)
    smooth = np.zeros((len(triangles), 3, 3))
    for t in range(len(triangles)):
        for c in range(3):
            p, own = triangles[t, c], smooth[t, c]
            for j in range(first[p], first[p + 1]):
                if patch[corners[j] // 3] == patch[t]:
                    own += normals[corners[j] // 3]
            own /= np.sqrt(own[0] ** 2 + own[1] ** 2 + own[2] ** 2) + 1e-30
    return smooth


@kernel
def _put_off(entry: NDArray[np.int64], start: int, stop: int, parent: int, around: int) -> None:
    """Fill an entry of the stack; a tuple assigned to it takes Numba two seconds to compile."""
    entry[0], entry[1], entry[2], entry[3] = start, stop, parent, around


@kernel
def _tree(corners: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.void]]:
    """(order, nodes) of a box tree over triangles (m, 3, 3); split at the middle of the longest side of the centres."""
    n = len(corners)
    order = np.arange(n)
    nodes = np.zeros(2 * n, NODE_DTYPE)
    right = np.zeros(2 * n, np.int64)  # second child
    stack = np.empty((n + 1, 4), np.int64)  # first, last + 1, whose second child this is, triangles of the parent
    _put_off(stack[0], 0, n, -1, n + _BRANCH)
    height, count = 1, 0
    while height > 0:
        height -= 1
        start, stop, parent, around = stack[height, 0], stack[height, 1], stack[height, 2], stack[height, 3]
        node = nodes[count]
        if parent >= 0:
            right[parent] = count
        node.branch = stop - start <= _BRANCH and around > _BRANCH
        axis, middle, longest = 0, 0.0, -1.0
        for a in range(3):
            low, high, centre_low, centre_high = np.inf, -np.inf, np.inf, -np.inf
            for j in range(start, stop):
                x, y, z = corners[order[j], 0, a], corners[order[j], 1, a], corners[order[j], 2, a]
                low, high = min(low, min(x, min(y, z))), max(high, max(x, max(y, z)))
                centre_low, centre_high = min(centre_low, x + y + z), max(centre_high, x + y + z)
            node.low[a], node.high[a] = low, high
            if centre_high - centre_low > longest:
                axis, middle, longest = a, 0.5 * (centre_low + centre_high), centre_high - centre_low
        if stop - start <= _LEAF:
            node.first, node.count = start, stop - start
        else:
            split = start
            for j in range(start, stop):
                t = order[j]
                if corners[t, 0, axis] + corners[t, 1, axis] + corners[t, 2, axis] < middle:
                    order[j], order[split] = order[split], t
                    split += 1
            if split in (start, stop):
                split = (start + stop) // 2
            _put_off(stack[height], split, stop, count, stop - start)
            _put_off(stack[height + 1], start, split, -1, stop - start)
            height += 2
        count += 1
    nodes[0].skip = count
    for k in range(count):
        if nodes[k].count == 0:
            nodes[k + 1].skip, nodes[right[k]].skip = right[k], nodes[k].skip
    return order, nodes[:count]
