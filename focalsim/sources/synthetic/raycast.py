"""Ray casting of a packed world: exact depth and hidden surface at pixel centres, colour averaged over the pixel.

Single-threaded on purpose: a frame has the same bytes on any machine load, and the pipeline runs one process per core.
"""

from __future__ import annotations

from math import floor, inf, sqrt
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from focalsim.scene import Intrinsics
from focalsim.sources.synthetic.materials import albedo
from focalsim.sources.synthetic.noise import smoothstep, value_noise
from focalsim.sources.synthetic.primitives import backdrop_hit, solid_hit, surface_frame

LIGHT_DTYPE = np.dtype(
    [
        ("direction", "f8", (3,)),  # unit, towards the lamp
        ("lamp", "f8", (3,)),  # linear RGB of the lamp and of the surroundings
        ("ambient", "f8", (3,)),
        ("sky", "f8", (3,)),  # unit, towards the brighter side of the surroundings
        ("patches", "f8"),  # strength of the light patches that something outside the frame casts, 0..1
        ("patch_size_m", "f8"),
        ("patch_edge", "f8"),  # softness of their edges
        ("seed", "i4"),
    ]
)
MAX_LINEAR = 12.0
# Sub-rays of a pixel at a silhouette: a rotated grid, so that edges of any direction get 4 steps.
_SUBRAYS = ((-0.375, -0.125), (0.125, -0.375), (0.375, 0.125), (-0.125, 0.375))
_FACES = 4  # a key is solid * _FACES + face, or -1 - wall on the backdrop


class World(NamedTuple):
    """Everything the kernels read."""

    walls: NDArray[np.float64]  # (n, 3)
    wall_frames: NDArray[np.float64]  # (n, 3, 3), rows: two axes in the wall, its normal
    wall_materials: NDArray[np.int32]  # (n,)
    ridge: int
    relief: tuple[float, float, float]
    solids: NDArray[np.void]  # SOLID_DTYPE
    materials: NDArray[np.void]  # MATERIAL_DTYPE
    light: NDArray[np.void]  # LIGHT_DTYPE, one record
    texels: NDArray[np.float32]  # photos, see photos.pack_photos
    texel_sizes: NDArray[np.int64]


class Frame(NamedTuple):
    """What a cast gives, (H, W, ...) float32; hidden depth is NaN where nothing stands behind."""

    rgb_linear: NDArray[np.float32]
    depth_m: NDArray[np.float32]
    hidden_rgb_linear: NDArray[np.float32]
    hidden_depth_m: NDArray[np.float32]


def cast_frame(world: World, width: int, height: int, intrinsics: Intrinsics) -> Frame:
    """Image of the world through a pinhole at the origin that looks along +z (x right, y down)."""
    boxes = _pixel_boxes(world.solids, width, height, intrinsics)
    shape = (height, width)
    f, cx, cy = intrinsics.fx_px, intrinsics.cx_px, intrinsics.cy_px
    y, x = (a.ravel().astype(np.float64) for a in np.indices(shape))
    row_start = np.arange(height + 1) * width
    depth, key = _cast_rays(world, boxes, x, row_start, (x - cx) / f, (y - cy) / f)
    edges = np.flatnonzero(_edge_mask(key.reshape(*shape, 2)[..., 0]))
    offset = np.array(_SUBRAYS)
    sub_x, sub_y = (x[edges, None] + offset[:, 0]).ravel(), (y[edges, None] + offset[:, 1]).ravel()
    sub_start = np.searchsorted(edges, row_start) * len(_SUBRAYS)
    sub_depth, sub_key = _cast_rays(world, boxes, sub_x, sub_start, (sub_x - cx) / f, (sub_y - cy) / f)
    rgb, hidden_rgb = _shade_frame(world, f, (x - cx) / f, (y - cy) / f, depth, key)
    _shade_edges(world, f, edges, (sub_x - cx) / f, (sub_y - cy) / f, sub_depth, sub_key, rgb)
    hidden_depth = np.where(key[:, 0] < 0, np.nan, depth[:, 1]).astype(np.float32)
    return Frame(
        rgb.reshape(*shape, 3), depth[:, 0].astype(np.float32).reshape(shape),
        hidden_rgb.reshape(*shape, 3), hidden_depth.reshape(shape),
    )


def _pixel_boxes(
    solids: NDArray[np.void], width: int, height: int, intrinsics: Intrinsics
) -> NDArray[np.int64]:
    """First and last column and row (n, 4) that each solid may touch, clipped to the frame, one pixel wider."""
    box = solids["box_uv"] * intrinsics.fx_px + np.array([intrinsics.cx_px] * 2 + [intrinsics.cy_px] * 2)
    low, high = np.floor(box[:, [0, 2]]) - 1, np.ceil(box[:, [1, 3]]) + 1
    last = np.array([width - 1, height - 1])
    clipped = np.stack([np.clip(low, 0, last + 1), np.clip(high, -1, last)], axis=-1)
    return clipped.reshape(len(solids), 4).astype(np.int64)


@njit(cache=True, nogil=True)
def _cast_rays(world, boxes, x, row_start, u, v):  # type: ignore[no-untyped-def]
    """Depth (n, 2) and key (n, 2) of the visible and the next surface of each ray; rays are sorted by row."""
    n = len(u)
    depth = np.empty((n, 2))
    key = np.empty((n, 2), np.int32)
    group = np.full(n, -1, np.int32)
    for i in range(n):
        w, wall = backdrop_hit(world.walls, world.ridge, world.relief, u[i], v[i])
        # The backdrop holds the second place too, so that nothing behind it is ever taken.
        depth[i, 0] = depth[i, 1] = 1.0 / w
        key[i, 0] = key[i, 1] = -1 - wall
    for k in range(len(world.solids)):
        solid = world.solids[k]
        x0, x1, y0, y1 = boxes[k, 0], boxes[k, 1], boxes[k, 2], boxes[k, 3]
        for i in range(row_start[y0], row_start[max(y1 + 1, y0)]):
            if x[i] < x0 or x[i] > x1:
                continue
            z, face = solid_hit(solid, u[i], v[i])
            if z < depth[i, 0]:
                if group[i] != solid.group:
                    depth[i, 1], key[i, 1], group[i] = depth[i, 0], key[i, 0], solid.group
                depth[i, 0], key[i, 0] = z, k * 4 + face
            elif z < depth[i, 1] and group[i] != solid.group:
                depth[i, 1], key[i, 1] = z, k * 4 + face
    return depth, key


@njit(cache=True, nogil=True)
def _edge_mask(key):  # type: ignore[no-untyped-def]
    """Pixels with another surface or face among their eight neighbours."""
    height, width = key.shape
    mask = np.zeros((height, width), np.bool_)
    for y in range(height):
        for x in range(width):
            for j in range(max(y - 1, 0), min(y + 2, height)):
                for i in range(max(x - 1, 0), min(x + 2, width)):
                    if key[j, i] != key[y, x]:
                        mask[y, x] = True
    return mask


@njit(cache=True, nogil=True)
def _backdrop_frame(world, u, v, z, wall):  # type: ignore[no-untyped-def]
    """As primitives.surface_frame, of the backdrop; relief tilts the normal."""
    frame = world.wall_frames[wall]
    s = z * (frame[0, 0] * u + frame[0, 1] * v + frame[0, 2])
    t = z * (frame[1, 0] * u + frame[1, 1] * v + frame[1, 2])
    h = z * (frame[2, 0] * u + frame[2, 1] * v + frame[2, 2])
    nx, ny, nz = -frame[2, 0], -frame[2, 1], -frame[2, 2]
    if world.relief[0] > 0.0:
        step = 1e-3 / world.relief[1]
        right, _ = backdrop_hit(world.walls, world.ridge, world.relief, u + step, v)
        below, _ = backdrop_hit(world.walls, world.ridge, world.relief, u, v + step)
        wu, wv = (right - 1.0 / z) / step, (below - 1.0 / z) / step
        nx, ny, nz = -wu, -wv, -(1.0 / z - u * wu - v * wv)
        norm = sqrt(nx * nx + ny * ny + nz * nz)
        nx, ny, nz = nx / norm, ny / norm, nz / norm
    return s, t, h, s, t, nx, ny, nz


@njit(cache=True, nogil=True)
def _shade(world, focal_px, key, u, v, z):  # type: ignore[no-untyped-def]
    """Linear RGB of a hit: albedo times (Lambert lamp, patched, plus surroundings), a highlight, emitted light."""
    if key < 0:
        x, y, h, s, t, nx, ny, nz = _backdrop_frame(world, u, v, z, -1 - key)
        material = world.materials[world.wall_materials[-1 - key]]
    else:
        solid = world.solids[key // 4]
        x, y, h, s, t, nx, ny, nz = surface_frame(solid, u, v, z, key % 4)
        material = world.materials[solid.material]
    distance = sqrt(u * u + v * v + 1.0)
    facing = max(-(nx * u + ny * v + nz) / distance, 0.1)
    r, g, b, emitted = albedo(material, world.texels, world.texel_sizes, x, y, h, s, t, z / focal_px / sqrt(facing))
    light = world.light[0]
    lx, ly, lz = light.direction[0], light.direction[1], light.direction[2]
    lambert = max(0.15 + 0.85 * (nx * lx + ny * ly + nz * lz), 0.0)
    shine = 0.0
    if material.gloss > 0.0:  # Blinn-Phong
        hx, hy, hz = lx - u / distance, ly - v / distance, lz - 1.0 / distance
        half = (nx * hx + ny * hy + nz * hz) / sqrt(hx * hx + hy * hy + hz * hz + 1e-12)
        if half > 0.0:
            shine = material.gloss * half**40
    if light.patches > 0.0:  # projected along the light, as shadows are
        along = z * (u * lx + v * ly + lz)
        q = 1.0 / light.patch_size_m
        n = value_noise(q * (z * u - along * lx), q * (z * v - along * ly), q * (z - along * lz), light.seed)
        lit = 1.0 - light.patches * smoothstep(-light.patch_edge, light.patch_edge, n)
        lambert *= lit
        shine *= lit
    sky = 0.75 + 0.25 * (nx * light.sky[0] + ny * light.sky[1] + nz * light.sky[2])
    r = r * (lambert * light.lamp[0] + sky * light.ambient[0]) + shine * light.lamp[0] + emitted
    g = g * (lambert * light.lamp[1] + sky * light.ambient[1]) + shine * light.lamp[1] + emitted
    b = b * (lambert * light.lamp[2] + sky * light.ambient[2]) + shine * light.lamp[2] + emitted
    return min(r, 12.0), min(g, 12.0), min(b, 12.0)


@njit(cache=True, nogil=True)
def _shade_frame(world, focal_px, u, v, depth, key):  # type: ignore[no-untyped-def]
    """Colour of the visible and of the hidden surface at pixel centres, band-limited to the pixel."""
    rgb = np.empty((len(u), 3), np.float32)
    hidden = np.zeros((len(u), 3), np.float32)
    for i in range(len(u)):
        rgb[i] = _shade(world, focal_px, key[i, 0], u[i], v[i], depth[i, 0])
        if key[i, 0] >= 0:
            hidden[i] = _shade(world, focal_px, key[i, 1], u[i], v[i], depth[i, 1])
    return rgb, hidden


@njit(cache=True, nogil=True)
def _shade_edges(world, focal_px, edges, u, v, depth, key, rgb):  # type: ignore[no-untyped-def]
    """Replace the colour of edge pixels by the mean of their four sub-rays; equal surfaces are shaded once."""
    for e in range(len(edges)):
        total_r, total_g, total_b = 0.0, 0.0, 0.0
        r, g, b = 0.0, 0.0, 0.0
        for i in range(4 * e, 4 * e + 4):
            if i == 4 * e or key[i, 0] != key[i - 1, 0]:
                r, g, b = _shade(world, focal_px, key[i, 0], u[i], v[i], depth[i, 0])
            total_r, total_g, total_b = total_r + r, total_g + g, total_b + b
        p = edges[e]
        rgb[p, 0], rgb[p, 1], rgb[p, 2] = 0.25 * total_r, 0.25 * total_g, 0.25 * total_b
