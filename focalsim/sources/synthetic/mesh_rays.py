"""Rays and meshes: what the camera sees is drawn triangle by triangle, what keeps light off is found by the box tree.

A triangle seen from the origin is a cone of rays (u, v, 1) bounded by three planes p_i x p_j through its edges; its
own plane gives 1/z as an affine function of (u, v). Both are exact, and the plane of an edge is computed once for the
two triangles that share it, so that no ray slips between them (Olano & Greer, Graphics Hardware 1997).
"""

from __future__ import annotations

from math import ceil, floor, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.sources.synthetic.kernel import kernel
from focalsim.sources.synthetic.meshes import MeshTable
from focalsim.sources.synthetic.primitives import FACES, Shading, camera_normal, local_point
from focalsim.sources.synthetic.rays import Hits, Rays

# Two hits of one mesh nearer to each other than this share of the depth are one, on an edge of two triangles.
_SAME_DEPTH = 1e-9


@kernel
def _to_camera(solid: Any, p: NDArray[np.float64]) -> tuple[float, float, float]:
    """Camera coordinates in metres of a local point."""
    m = solid.to_camera
    x, y, z = p[0] - solid.origin[0], p[1] - solid.origin[1], p[2] - solid.origin[2]
    return (
        m[0, 0] * x + m[0, 1] * y + m[0, 2] * z,
        m[1, 0] * x + m[1, 1] * y + m[1, 2] * z,
        m[2, 0] * x + m[2, 1] * y + m[2, 2] * z,
    )


@kernel
def _edge_planes(solid: Any, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """(e, 3) normal of the plane through the camera and each edge."""
    planes = np.empty((len(edges), 3))
    for e in range(len(edges)):
        ax, ay, az = _to_camera(solid, edges[e, 0])
        bx, by, bz = _to_camera(solid, edges[e, 1])
        planes[e, 0], planes[e, 1], planes[e, 2] = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    return planes


@kernel
def draw_mesh(solid: Any, number: int, meshes: MeshTable, rays: Rays, hits: Hits) -> None:
    """Enter a mesh, solid ``number`` of the world, into the ``hits`` of ``rays``.

    Every surface of the mesh that faces the camera counts by itself: a fold stands behind the one before it.
    """
    u, v, first, width = rays.u, rays.v, rays.first, rays.width
    f, spread, (cx, cy) = rays.focal_px, rays.spread_px, rays.centre_px
    depth, key = hits.depth, hits.key
    height = len(first) // width
    t0, t1 = meshes.first[solid.mesh, 0], meshes.first[solid.mesh + 1, 0]
    planes = _edge_planes(solid, meshes.edges[meshes.first[solid.mesh, 1] : meshes.first[solid.mesh + 1, 1]])
    for t in range(t0, t1):
        triangle = meshes.triangles[t]
        ax, ay, az = _to_camera(solid, triangle.corners[0])
        bx, by, bz = _to_camera(solid, triangle.corners[1])
        gx, gy, gz = _to_camera(solid, triangle.corners[2])
        nx = (by - ay) * (gz - az) - (bz - az) * (gy - ay)
        ny = (bz - az) * (gx - ax) - (bx - ax) * (gz - az)
        nz = (bx - ax) * (gy - ay) - (by - ay) * (gx - ax)
        facing = nx * ax + ny * ay + nz * az
        if facing >= 0.0:
            continue
        nx, ny, nz = nx / facing, ny / facing, nz / facing
        nearest, farthest = min(az, bz, gz), max(az, bz, gz)
        x0 = max(ceil(cx + f * min(ax / az, bx / bz, gx / gz) - spread), 0)
        x1 = min(floor(cx + f * max(ax / az, bx / bz, gx / gz) + spread), width - 1)
        y0 = max(ceil(cy + f * min(ay / az, by / bz, gy / gz) - spread), 0)
        y1 = min(floor(cy + f * max(ay / az, by / bz, gy / gz) + spread), height - 1)
        if x0 > x1:
            continue
        face = number * FACES + t - t0
        j, k, m = triangle.edges[0], triangle.edges[1], triangle.edges[2]
        jx, jy, jz = _side(planes, j)
        kx, ky, kz = _side(planes, k)
        mx, my, mz = _side(planes, m)
        for y in range(y0, y1 + 1):
            for i in range(first[y * width + x0], first[y * width + x1 + 1]):
                # One multiplication to an addition: however they are fused, both triangles of an edge get one result.
                if jx * u[i] + (jy * v[i] + jz) > 0.0 or kx * u[i] + (ky * v[i] + kz) > 0.0:
                    continue
                if mx * u[i] + (my * v[i] + mz) > 0.0:
                    continue
                w = nx * u[i] + (ny * v[i] + nz)
                # Seen along its plane a triangle's depth is uncertain, but never outside that of its corners.
                z = min(max(1.0 / w, nearest), farthest) if w > 0.0 else farthest
                if z >= depth[1, i]:
                    continue
                if key[0, i] // FACES == number and abs(z - depth[0, i]) <= _SAME_DEPTH * z:
                    continue
                if z < depth[0, i]:
                    depth[1, i], key[1, i] = depth[0, i], key[0, i]
                    depth[0, i], key[0, i], hits.group[i] = z, face, solid.group
                else:
                    depth[1, i], key[1, i] = z, face


@kernel
def _side(planes: NDArray[np.float64], edge: int) -> tuple[float, float, float]:
    """Plane of an edge as its triangle runs along it."""
    k, sign = abs(edge) - 1, (1.0 if edge > 0 else -1.0)
    return sign * planes[k, 0], sign * planes[k, 1], sign * planes[k, 2]


@kernel
def mesh_blocks(
    meshes: MeshTable,
    mesh: int,
    branch: int,
    ox: float,
    oy: float,
    oz: float,
    dx: float,
    dy: float,
    dz: float,
    start: float,
) -> bool:
    """Whether the local ray from (ox, oy, oz) along (dx, dy, dz) enters a mesh farther than ``start`` steps away.

    Only triangles below the node ``branch`` are looked at. Leaving does not count: light that would come from within
    a solid is kept off by Lambert's cosine, which is smooth where the triangles are not.
    """
    first, root = meshes.first[mesh, 0], meshes.first[mesh, 2]
    node = root + branch
    end = root + meshes.nodes[node].skip
    qx, qy, qz = 1.0 / dx, 1.0 / dy, 1.0 / dz
    while node < end:
        box = meshes.nodes[node]
        x0, x1 = (box.low[0] - ox) * qx, (box.high[0] - ox) * qx
        y0, y1 = (box.low[1] - oy) * qy, (box.high[1] - oy) * qy
        z0, z1 = (box.low[2] - oz) * qz, (box.high[2] - oz) * qz
        enter = max(min(x0, x1), min(y0, y1), min(z0, z1))
        leave = min(max(x0, x1), max(y0, y1), max(z0, z1))
        if leave < max(enter, start):
            node = root + box.skip
            continue
        for t in range(first + box.first, first + box.first + box.count):
            c = meshes.triangles[t].corners
            ex, ey, ez = c[1, 0] - c[0, 0], c[1, 1] - c[0, 1], c[1, 2] - c[0, 2]
            fx, fy, fz = c[2, 0] - c[0, 0], c[2, 1] - c[0, 1], c[2, 2] - c[0, 2]
            # Moeller & Trumbore (JGT 1997)
            px, py, pz = dy * fz - dz * fy, dz * fx - dx * fz, dx * fy - dy * fx
            det = ex * px + ey * py + ez * pz
            if det <= 0.0:
                continue
            tx, ty, tz = ox - c[0, 0], oy - c[0, 1], oz - c[0, 2]
            a = tx * px + ty * py + tz * pz
            if a < 0.0 or a > det:
                continue
            rx, ry, rz = ty * ez - tz * ey, tz * ex - tx * ez, tx * ey - ty * ex
            b = dx * rx + dy * ry + dz * rz
            if b < 0.0 or a + b > det:
                continue
            if fx * rx + fy * ry + fz * rz > start * det:
                return True
        node += 1
    return False


@kernel
def mesh_frame(solid: Any, triangle: Any, u: float, v: float, z: float) -> Shading:
    """As surface_frame, of a hit on a triangle; the normal is that of the smooth surface."""
    size = solid.size_m
    x, y, h = local_point(solid, u, v, z)
    c, n, chart = triangle.corners, triangle.normals, triangle.chart
    ex, ey, ez = c[1, 0] - c[0, 0], c[1, 1] - c[0, 1], c[1, 2] - c[0, 2]
    fx, fy, fz = c[2, 0] - c[0, 0], c[2, 1] - c[0, 1], c[2, 2] - c[0, 2]
    px, py, pz = x - c[0, 0], y - c[0, 1], h - c[0, 2]
    ee, ef, ff = ex * ex + ey * ey + ez * ez, ex * fx + ey * fy + ez * fz, fx * fx + fy * fy + fz * fz
    pe, pf = px * ex + py * ey + pz * ez, px * fx + py * fy + pz * fz
    det = ee * ff - ef * ef + 1e-30
    b = min(max((ff * pe - ef * pf) / det, 0.0), 1.0)
    g = min(max((ee * pf - ef * pe) / det, 0.0), 1.0 - b)
    a = 1.0 - b - g
    s = a * chart[0, 0] + b * chart[1, 0] + g * chart[2, 0]
    t = a * chart[0, 1] + b * chart[1, 1] + g * chart[2, 1]
    nx = a * n[0, 0] + b * n[1, 0] + g * n[2, 0]
    ny = a * n[0, 1] + b * n[1, 1] + g * n[2, 1]
    nz = a * n[0, 2] + b * n[1, 2] + g * n[2, 2]
    wx, wy, wz = camera_normal(solid, nx, ny, nz)
    norm = sqrt(wx * wx + wy * wy + wz * wz) + 1e-30
    scale = solid.shape[0]
    return x * size[0], y * size[1], h * size[2], s * scale, t * scale, wx / norm, wy / norm, wz / norm
