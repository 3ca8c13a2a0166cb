"""Ray casting of a packed world: exact depth and hidden surface at pixel centres, colour averaged.

Single-threaded on purpose: the pipeline runs one process per core, and the bytes depend on no schedule.
"""

from __future__ import annotations

from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from focalsim.scene import Intrinsics
from focalsim.sources.synthetic.kernel import kernel
from focalsim.sources.synthetic.materials import albedo
from focalsim.sources.synthetic.noise import smoothstep, value_noise
from focalsim.sources.synthetic.photos import photo_colour
from focalsim.sources.synthetic.primitives import FACES, solid_hit, surface_frame
from focalsim.sources.synthetic.shadows import ShadowGrid, frustum_corners, lamp_spots, light_rays, shadow_grid, soften
from focalsim.sources.synthetic.walls import backdrop_frame, backdrop_hit

LIGHT_DTYPE = np.dtype(
    [
        ("direction", "f8", (3,)),  # unit, towards the lamp
        ("lamp", "f8", (3,)),  # linear RGB of the lamp and of the surroundings
        ("ambient", "f8", (3,)),
        ("sky", "f8", (3,)),  # unit, towards the brighter side of the surroundings
        ("lamp_radius", "f8"),  # tangent of half the angle that the lamp fills
        ("shadows", "f8"),  # share of the lamp's light that solids keep off, 0..1
        ("patches", "f8"),  # strength of the light patches that something outside the frame casts, 0..1
        ("patch_size_m", "f8"),
        ("patch_edge", "f8"),  # softness of their edges
        ("seed", "i4"),
    ]
)
# Sub-rays of a pixel at a silhouette: a rotated grid, so that edges of any direction get 4 steps.
_SUBRAYS = np.array([(-0.375, -0.125), (0.125, -0.375), (0.375, 0.125), (-0.125, 0.375)])


class World(NamedTuple):
    """Everything the kernels read, as tables of records."""

    backdrop: NDArray[np.void]  # BACKDROP_DTYPE, one record
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
    f, cx, cy = intrinsics.fx_px, intrinsics.cx_px, intrinsics.cy_px
    y, x = (a.ravel().astype(np.float64) for a in np.indices((height, width)))
    row_start = np.arange(height + 1) * width
    u, v = (x - cx) / f, (y - cy) / f
    depth, key = _cast_rays(world, boxes, x, row_start, u, v)
    grid = _shadow_grid(world, frustum_corners(width, height, intrinsics, float(depth.max())))
    spot = lamp_spots(width, height)
    seen = light_rays(world.solids, grid, spot, key[0], u, v, depth[0])
    soft = soften(seen, key[0], width)
    rgb = _shade_rays(world, f, key[0], u, v, depth[0], soft)

    behind = np.flatnonzero(key[0] >= 0)  # nothing stands behind the backdrop
    at = u[behind], v[behind], depth[1, behind]
    hidden_rgb, hidden_depth = np.zeros_like(rgb), np.full(len(u), np.nan, np.float32)
    hidden_depth[behind] = at[2]
    seen[behind] = light_rays(world.solids, grid, spot[behind], key[1, behind], *at)
    hidden_rgb[behind] = _shade_rays(world, f, key[1, behind], *at, soften(seen, key[1], width)[behind])

    edges = np.flatnonzero(_edge_mask(key[0].reshape(height, width)))
    sub_x, sub_y = ((a[edges, None] + _SUBRAYS[:, k]).ravel() for k, a in enumerate((x, y)))
    sub_start = np.searchsorted(edges, row_start) * len(_SUBRAYS)
    u, v = (sub_x - cx) / f, (sub_y - cy) / f
    sub_depth, sub_key = _cast_rays(world, boxes, sub_x, sub_start, u, v)
    sub_lit = np.repeat(soft[edges], len(_SUBRAYS))
    other = np.flatnonzero(
        sub_key[0] != np.repeat(key[0, edges], len(_SUBRAYS))
    )  # not the surface of the pixel's centre
    at = u[other], v[other], sub_depth[0, other]
    # Of one pixel they ask for points of the lamp far apart.
    sub_spot = (spot[edges, None] + len(_SUBRAYS) * np.arange(len(_SUBRAYS))).ravel() % len(grid.directions)
    sub_lit[other] = light_rays(world.solids, grid, sub_spot[other], sub_key[0, other], *at)
    sub_rgb = _shade_rays(world, f, sub_key[0], u, v, sub_depth[0], sub_lit)
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
    return shadow_grid(casting, light["direction"], float(light["lamp_radius"]), corners_m)


def _pixel_boxes(solids: NDArray[np.void], width: int, height: int, intrinsics: Intrinsics) -> NDArray[np.int64]:
    """First and last column and row (n, 4) that each solid may touch, clipped to the frame."""
    box = solids["box_uv"] * intrinsics.fx_px + np.array([intrinsics.cx_px] * 2 + [intrinsics.cy_px] * 2)
    low, high = np.floor(box[:, [0, 2]]) - 1, np.ceil(box[:, [1, 3]]) + 1
    last = np.array([width - 1, height - 1])
    clipped = np.stack([np.clip(low, 0, last + 1), np.clip(high, -1, last)], axis=-1)
    return clipped.reshape(len(solids), 4).astype(np.int64)


@kernel
def _cast_rays(
    world: World,
    boxes: NDArray[np.int64],
    x: NDArray[np.float64],
    row_start: NDArray[np.int64],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Depth (2, n) and key (2, n) of the visible and the next surface of each ray; rays are sorted by row."""
    n = len(u)
    depth = np.empty((2, n))
    key = np.empty((2, n), np.int32)
    group = np.full(n, -1, np.int32)
    backdrop = world.backdrop[0]
    for i in range(n):
        w, wall = backdrop_hit(backdrop, u[i], v[i])
        # The backdrop holds the second place too, so that nothing behind it is ever taken.
        depth[0, i] = depth[1, i] = 1.0 / w
        key[0, i] = key[1, i] = -1 - wall
    for k in range(len(world.solids)):
        solid = world.solids[k]
        x0, x1, y0, y1 = boxes[k, 0], boxes[k, 1], boxes[k, 2], boxes[k, 3]
        for i in range(row_start[y0], row_start[max(y1 + 1, y0)]):
            if x[i] < x0 or x[i] > x1:
                continue
            z, face = solid_hit(solid, u[i], v[i])
            if z < depth[0, i]:
                if group[i] != solid.group:
                    depth[1, i], key[1, i], group[i] = depth[0, i], key[0, i], solid.group
                depth[0, i], key[0, i] = z, k * FACES + face
            elif z < depth[1, i] and group[i] != solid.group:
                depth[1, i], key[1, i] = z, k * FACES + face
    return depth, key


@kernel
def _edge_mask(key: NDArray[np.int32]) -> NDArray[np.bool_]:
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


@kernel
def _lit(
    light: Any,
    material: Any,
    u: float,
    v: float,
    z: float,
    nx: float,
    ny: float,
    nz: float,
    r: float,
    g: float,
    b: float,
    emitted: float,
    reached: float,
) -> tuple[float, float, float]:
    """Linear RGB of a surface: albedo times (Lambert lamp plus surroundings), a highlight, emitted light.

    ``reached`` is the share of the lamp's light that no solid keeps off.
    """
    nearness = 1.0 / sqrt(u * u + v * v + 1.0)  # z over the length of the ray
    lx, ly, lz = light.direction[0], light.direction[1], light.direction[2]
    lambert = max(0.15 + 0.85 * (nx * lx + ny * ly + nz * lz), 0.0)
    shine = 0.0
    if material.gloss > 0.0:  # Blinn-Phong
        hx, hy, hz = lx - u * nearness, ly - v * nearness, lz - nearness
        half = (nx * hx + ny * hy + nz * hz) / sqrt(hx * hx + hy * hy + hz * hz + 1e-12)
        if half > 0.0:
            shine = material.gloss * half**40
    if light.patches > 0.0:  # projected along the light, as shadows are
        along = z * (u * lx + v * ly + lz)
        q = 1.0 / light.patch_size_m
        n = value_noise(q * (z * u - along * lx), q * (z * v - along * ly), q * (z - along * lz), light.seed)
        reached *= 1.0 - light.patches * smoothstep(-light.patch_edge, light.patch_edge, n)
    lambert *= reached
    shine *= reached
    sky = 0.75 + 0.25 * (nx * light.sky[0] + ny * light.sky[1] + nz * light.sky[2])
    r = r * (lambert * light.lamp[0] + sky * light.ambient[0]) + shine * light.lamp[0] + emitted
    g = g * (lambert * light.lamp[1] + sky * light.ambient[1]) + shine * light.lamp[1] + emitted
    b = b * (lambert * light.lamp[2] + sky * light.ambient[2]) + shine * light.lamp[2] + emitted
    return r, g, b


@kernel
def _shade_rays(
    world: World,
    focal_px: float,
    key: NDArray[np.int32],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    depth: NDArray[np.float64],
    lit: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Linear RGB (n, 3) float32 of each hit, band-limited to the pixel; ``lit`` is the share of the lamp seen there."""
    rgb = np.empty((len(u), 3), np.float32)
    # Records are handed down, not the world: copying its array descriptors per call costs more than noise.
    backdrop, light = world.backdrop[0], world.light[0]
    for i in range(len(u)):
        k, z = key[i], depth[i]
        if k < 0:
            x, y, h, s, t, nx, ny, nz = backdrop_frame(backdrop, u[i], v[i], z, -1 - k)
            material = world.materials[backdrop.materials[-1 - k]]
        else:
            solid = world.solids[k // FACES]
            x, y, h, s, t, nx, ny, nz = surface_frame(solid, u[i], v[i], z, k % FACES)
            material = world.materials[solid.material]
        facing = max(-(nx * u[i] + ny * v[i] + nz) / sqrt(u[i] * u[i] + v[i] * v[i] + 1.0), 0.1)
        footprint_m = z / (focal_px * sqrt(facing))
        if material.photo >= 0:
            texels_per_m = 1.0 / material.scale_m
            r, g, b = photo_colour(
                world.texels,
                world.texel_sizes,
                material.photo,
                s * texels_per_m + material.offset[0],
                t * texels_per_m + material.offset[1],
                footprint_m * texels_per_m,
            )
            emitted = 0.0
        else:
            r, g, b, emitted = albedo(material, x, y, h, s, t, footprint_m)
        reached = 1.0 - light.shadows * (1.0 - lit[i])
        rgb[i] = _lit(light, material, u[i], v[i], z, nx, ny, nz, r, g, b, emitted, reached)
    return rgb
