"""Solids in a local frame that spans [-1, 1]^3: boxes, ellipsoids, frustums, sheets; meshes are in mesh_rays.

A ray is (0, 0, 0) + z (u, v, 1): its parameter IS the depth, so every hit below is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import atan2, floor, inf, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.sources.synthetic.kernel import kernel
from focalsim.sources.synthetic.noise import value_noise

BOX, ELLIPSOID, FRUSTUM, SHEET, MESH = range(5)  # kinds of solids
FACES = 1 << 14  # a key is solid * FACES + face (of a MESH its triangle), or -1 - wall on the backdrop
RECTANGLE, DISC, LEAF, RING, GRID, BARS, RAGGED, HOLES = range(8)  # outlines of a SHEET

SOLID_DTYPE = np.dtype(
    [
        ("kind", "i4"),
        ("outline", "i4"),  # of a SHEET
        ("mesh", "i4"),  # of a MESH: which
        ("group", "i4"),  # solids of one group are one object: they do not stand behind each other
        ("material", "i4"),
        ("origin", "f8", (3,)),  # the camera in the local frame
        ("to_local", "f8", (3, 3)),  # camera directions -> local frame (rotation and 1/size)
        ("to_camera", "f8", (3, 3)),  # its inverse
        ("size_m", "f8", (3,)),
        ("shape", "f8", (2,)),  # FRUSTUM: taper, open > 0; SHEET: curvature, count or filled share; MESH: see Solid
        ("box_uv", "f8", (4,)),  # u0, u1, v0, v1 that the solid may cover in the image
    ]
)


# Local (x, y, z) in metres, surface chart (s, t) in metres, unit normal towards the camera.
Shading = tuple[float, float, float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Solid:
    """One primitive. ``rotation`` has the local axes as columns; ``size_m`` are half extents along them.

    shape: FRUSTUM (taper in [-1, 1]: radius at local z is (1 + taper z) / (1 + |taper|); open > 0: no caps)
           SHEET z = curvature x^2 with an outline (curvature in [-1, 1]; a count of bars, holes, or a share)
           MESH (metres per length of its chart, unused); ``mesh`` says which, and no other solid is of its group
    """

    kind: int
    centre_m: NDArray[np.float64]
    rotation: NDArray[np.float64]
    size_m: NDArray[np.float64]
    material: int
    group: int
    outline: int = RECTANGLE
    shape: tuple[float, float] = (0.0, 0.0)
    mesh: int = 0


def frame_along(axis: NDArray[np.float64], turn: float = 0.0) -> NDArray[np.float64]:
    """Rotation whose third column is along ``axis``, turned about it by ``turn`` radians."""
    z = axis / np.linalg.norm(axis)
    helper = np.array([1.0, 0.0, 0.0]) if abs(z[0]) < 0.8 else np.array([0.0, 1.0, 0.0])
    x = np.cross(helper, z)
    x /= np.linalg.norm(x)
    y = np.cross(z, x)
    cos, sin = np.cos(turn), np.sin(turn)
    return np.stack([cos * x + sin * y, cos * y - sin * x, z], axis=1)


def pack_solids(solids: list[Solid]) -> NDArray[np.void]:
    """The table (``SOLID_DTYPE``) that the kernels read."""
    table = np.zeros(len(solids), SOLID_DTYPE)
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
    for row, solid in zip(table, solids, strict=True):
        to_local = (solid.rotation / solid.size_m).T
        row["kind"], row["outline"] = solid.kind, solid.outline
        row["group"], row["material"], row["mesh"] = solid.group, solid.material, solid.mesh
        row["origin"], row["to_local"] = -to_local @ solid.centre_m, to_local
        row["to_camera"] = solid.rotation * solid.size_m
        row["size_m"], row["shape"] = solid.size_m, solid.shape
        points = solid.centre_m + (corners * solid.size_m) @ solid.rotation.T
        u, v = points[:, 0] / points[:, 2], points[:, 1] / points[:, 2]
        row["box_uv"] = u.min(), u.max(), v.min(), v.max()
    return table


@kernel
def _inside_outline(outline: int, x: float, y: float, count: float, seed: int) -> bool:
    """Whether local (x, y) lies on the sheet."""
    if abs(x) > 1.0 or abs(y) > 1.0:
        return False
    if outline == DISC:
        return x * x + y * y <= 1.0
    if outline == LEAF:
        return abs(y) <= (1.0 - x * x) * (0.75 - 0.25 * x)
    if outline == RING:
        r2 = x * x + y * y
        return count * count <= r2 <= 1.0
    if outline in (GRID, BARS):
        cx, cy = 0.5 * count * (x + 1.0), 0.5 * count * (y + 1.0)
        thin = abs(cx - floor(cx) - 0.5) > 0.36
        return thin or (outline == GRID and abs(cy - floor(cy) - 0.5) > 0.36)
    if outline == HOLES:
        cx, cy = 0.5 * count * (x + 1.0), 0.5 * count * (y + 1.0)
        dx, dy = cx - floor(cx) - 0.5, cy - floor(cy) - 0.5
        return dx * dx + dy * dy > 0.11
    if outline == RAGGED:
        ripple = value_noise(2.0 * x, 2.0 * y, 0.5, seed) + 0.5 * value_noise(5.0 * x, 5.0 * y, 2.5, seed)
        inside: bool = x * x + y * y + 0.45 * ripple < 0.6
        return inside
    return True


@kernel
def solid_hit(solid: Any, u: float, v: float) -> tuple[float, int]:
    """(z, face) of the first surface of a solid on the ray (u, v, 1); z = inf where it misses."""
    m, o = solid.to_local, solid.origin
    dx, dy, dz = (
        m[0, 0] * u + m[0, 1] * v + m[0, 2],
        m[1, 0] * u + m[1, 1] * v + m[1, 2],
        m[2, 0] * u + m[2, 1] * v + m[2, 2],
    )
    return local_hit(solid, o[0], o[1], o[2], dx, dy, dz)


@kernel
def local_hit(solid: Any, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> tuple[float, int]:
    """As solid_hit, on the ray from (ox, oy, oz) along (dx, dy, dz) in the solid's frame: distance in that vector."""
    if solid.kind == BOX:
        return _box_hit(ox, oy, oz, dx, dy, dz)
    if solid.kind == ELLIPSOID:
        a, b = dx * dx + dy * dy + dz * dz, ox * dx + oy * dy + oz * dz
        root = b * b - a * (ox * ox + oy * oy + oz * oz - 1.0)
        if root < 0.0:
            return inf, 0
        z = (-b - sqrt(root)) / a
        return (z, 0) if z > 0.0 else (inf, 0)
    if solid.kind == FRUSTUM:
        return _frustum_hit(ox, oy, oz, dx, dy, dz, solid.shape[0], solid.shape[1] > 0.0)
    return _sheet_hit(ox, oy, oz, dx, dy, dz, solid.outline, solid.shape[0], solid.shape[1], solid.group)


@kernel
def _box_hit(ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> tuple[float, int]:
    enter, leave, face = -inf, inf, 0
    for axis in range(3):
        o, d = (ox, dx) if axis == 0 else ((oy, dy) if axis == 1 else (oz, dz))
        if d == 0.0:
            if abs(o) > 1.0:
                return inf, 0
            continue
        near, far = (-1.0 - o) / d, (1.0 - o) / d
        if near > far:
            near, far = far, near
        if near > enter:
            enter, face = near, axis
        leave = min(leave, far)
    return (enter, face) if 0.0 < enter <= leave else (inf, 0)


@kernel
def _frustum_hit(
    ox: float, oy: float, oz: float, dx: float, dy: float, dz: float, taper: float, is_open: bool
) -> tuple[float, int]:
    """x^2 + y^2 = (p + q z)^2 between z = -1 and 1, with caps unless open (then the inside shows: face 1)."""
    p, q = 1.0 / (1.0 + abs(taper)), taper / (1.0 + abs(taper))
    r = p + q * oz
    a, b, c = dx * dx + dy * dy - q * q * dz * dz, ox * dx + oy * dy - q * r * dz, ox * ox + oy * oy - r * r
    root = b * b - a * c
    best, face = inf, 0
    if root >= 0.0 and abs(a) > 1e-12:
        root = sqrt(root)
        for sign in (-1.0, 1.0):
            z = (-b + sign * root) / a
            if 0.0 < z < best and abs(oz + z * dz) <= 1.0:
                best = z
                x, y, h = ox + z * dx, oy + z * dy, oz + z * dz
                face = 1 if x * dx + y * dy - q * (p + q * h) * dz > 0.0 else 0
    if not is_open and dz != 0.0:
        for side in (-1.0, 1.0):
            z = (side - oz) / dz
            x, y, limit = ox + z * dx, oy + z * dy, p + q * side
            if 0.0 < z < best and x * x + y * y <= limit * limit:
                best, face = z, 2
    return best, face


@kernel
def _sheet_hit(
    ox: float,
    oy: float,
    oz: float,
    dx: float,
    dy: float,
    dz: float,
    outline: int,
    curvature: float,
    count: float,
    seed: int,
) -> tuple[float, int]:
    """z = curvature x^2 inside the outline; both sides show."""
    a, b, c = curvature * dx * dx, curvature * ox * dx - 0.5 * dz, curvature * ox * ox - oz
    if abs(a) < 1e-12:
        z = -0.5 * c / b if b != 0.0 else inf
        return (z, 0) if 0.0 < z < inf and _inside_outline(outline, ox + z * dx, oy + z * dy, count, seed) else (inf, 0)
    root = b * b - a * c
    if root < 0.0:
        return inf, 0
    root = sqrt(root)
    low, high = (-b - root) / a, (-b + root) / a
    if low > high:
        low, high = high, low
    for z in (low, high):
        if z > 0.0 and _inside_outline(outline, ox + z * dx, oy + z * dy, count, seed):
            return z, 0
    return inf, 0


@kernel
def local_point(solid: Any, u: float, v: float, z: float) -> tuple[float, float, float]:
    """The point at depth z on the ray (u, v, 1), in the solid's frame."""
    m, o = solid.to_local, solid.origin
    return (
        o[0] + z * (m[0, 0] * u + m[0, 1] * v + m[0, 2]),
        o[1] + z * (m[1, 0] * u + m[1, 1] * v + m[1, 2]),
        o[2] + z * (m[2, 0] * u + m[2, 1] * v + m[2, 2]),
    )


@kernel
def camera_normal(solid: Any, nx: float, ny: float, nz: float) -> tuple[float, float, float]:
    """A normal in the solid's frame as one in the camera's, of any length."""
    m = solid.to_local
    return (
        m[0, 0] * nx + m[1, 0] * ny + m[2, 0] * nz,
        m[0, 1] * nx + m[1, 1] * ny + m[2, 1] * nz,
        m[0, 2] * nx + m[1, 2] * ny + m[2, 2] * nz,
    )


@kernel
def surface_frame(solid: Any, u: float, v: float, z: float, face: int) -> Shading:
    """Of a hit: local metres (x, y, z), surface chart (s, t) in metres, unit normal to the camera."""
    size = solid.size_m
    x, y, h = local_point(solid, u, v, z)
    s, t = x * size[0], y * size[1]
    nx, ny, nz = x, y, h
    if solid.kind == BOX:
        nx, ny, nz = 0.0, 0.0, 1.0
        if face == 0:
            nx, nz, s, t = 1.0, 0.0, y * size[1], h * size[2]
        elif face == 1:
            ny, nz, s, t = 1.0, 0.0, x * size[0], h * size[2]
    elif solid.kind == SHEET:
        nx, ny, nz = -2.0 * solid.shape[0] * x, 0.0, 1.0
    elif solid.kind == ELLIPSOID or face < 2:
        s, t = atan2(y, x) * size[0], h * size[2]
        if solid.kind == FRUSTUM:
            taper = solid.shape[0]
            nz = -taper * (1.0 + taper * h) / ((1.0 + abs(taper)) * (1.0 + abs(taper)))
    else:
        nx, ny, nz = 0.0, 0.0, 1.0
    wx, wy, wz = camera_normal(solid, nx, ny, nz)
    norm = sqrt(wx * wx + wy * wy + wz * wz)
    if wx * u + wy * v + wz > 0.0:
        norm = -norm
    return x * size[0], y * size[1], h * size[2], s, t, wx / norm, wy / norm, wz / norm
