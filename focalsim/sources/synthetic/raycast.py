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
from focalsim.sources.synthetic.mesh_rays import draw_mesh, mesh_frame
from focalsim.sources.synthetic.meshes import MeshTable
from focalsim.sources.synthetic.noise import smoothstep, value_noise
from focalsim.sources.synthetic.photos import photo_colour
from focalsim.sources.synthetic.primitives import FACES, MESH, solid_hit, surface_frame
from focalsim.sources.synthetic.rays import Hits, Rays, rays_of
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
# Depth that differs by more pixel widths than this between neighbours is a fold of the surface, or nearly edge-on.
_FOLD_PX = 4.0


class World(NamedTuple):
    """Everything the kernels read, as tables of records."""

    backdrop: NDArray[np.void]  # BACKDROP_DTYPE, one record
    solids: NDArray[np.void]  # SOLID_DTYPE
    materials: NDArray[np.void]  # MATERIAL_DTYPE
    light: NDArray[np.void]  # LIGHT_DTYPE, one record
    meshes: MeshTable
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
    rays = rays_of(np.arange(height * width), np.zeros((1, 2)), width, height, intrinsics)
    depth, key = _cast_rays(world, boxes, rays)
    u, v, f = rays.u, rays.v, rays.focal_px
    surface = _surfaces(world, key)
    grid = _shadow_grid(world, frustum_corners(width, height, intrinsics, float(depth.max())))
    spot = lamp_spots(width, height)
    seen = light_rays(world.solids, world.meshes, grid, spot, key[0], u, v, depth[0])
    soft = soften(seen, surface[0], width)
    rgb = _shade_rays(world, f, key[0], u, v, depth[0], soft)

    behind = np.flatnonzero(key[0] >= 0)  # nothing stands behind the backdrop
    at = u[behind], v[behind], depth[1, behind]
    hidden_rgb, hidden_depth = np.zeros_like(rgb), np.full(len(u), np.nan, np.float32)
    hidden_depth[behind] = at[2]
    seen[behind] = light_rays(world.solids, world.meshes, grid, spot[behind], key[1, behind], *at)
    hidden_rgb[behind] = _shade_rays(world, f, key[1, behind], *at, soften(seen, surface[1], width)[behind])

    edges = np.flatnonzero(_edge_mask(surface[0], depth[0], width, f))
    sub = rays_of(edges, _SUBRAYS, width, height, intrinsics)
    sub_depth, sub_key = _cast_rays(world, boxes, sub)
    sub_soft, sub_surface, centre_depth = (np.repeat(a[edges], len(_SUBRAYS)) for a in (soft, surface[0], depth[0]))
    # Where the surface is not that of the pixel's centre, its light is asked for anew.
    other = np.flatnonzero(
        (_surfaces(world, sub_key)[0] != sub_surface)
        | (np.abs(sub_depth[0] - centre_depth) > _FOLD_PX / f * centre_depth)
    )
    at = sub.u[other], sub.v[other], sub_depth[0, other]
    # Of one pixel they ask for points of the lamp far apart.
    sub_spot = (spot[edges, None] + len(_SUBRAYS) * np.arange(len(_SUBRAYS))).ravel() % len(grid.directions)
    sub_soft[other] = light_rays(world.solids, world.meshes, grid, sub_spot[other], sub_key[0, other], *at)
    sub_rgb = _shade_rays(world, f, sub_key[0], sub.u, sub.v, sub_depth[0], sub_soft)
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
    world: World, boxes: NDArray[np.int64], rays: Rays
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Depth (2, n) and key (2, n) of the visible and the next surface of each ray."""
    u, v, first, n = rays.u, rays.v, rays.first, len(rays.u)
    depth, key, group = np.empty((2, n)), np.empty((2, n), np.int32), np.full(n, -1, np.int32)
    backdrop = world.backdrop[0]
    for i in range(n):
        w, wall = backdrop_hit(backdrop, u[i], v[i])
        # The backdrop holds the second place too, so that nothing behind it is ever taken.
        depth[0, i] = depth[1, i] = 1.0 / w
        key[0, i] = key[1, i] = -1 - wall
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
        for x in range(width):
            p = y * width + x
            jump = _FOLD_PX / focal_px * depth[p]
            for j in range(max(y - 1, 0), min(y + 2, height)):
                for q in range(j * width + max(x - 1, 0), j * width + min(x + 2, width)):
                    if surface[q] != surface[p] or (surface[p] >= 0 and abs(depth[q] - depth[p]) > jump):
                        mask[p] = True
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
            if solid.kind == MESH:
                triangle = world.meshes.triangles[world.meshes.first[solid.mesh, 0] + k % FACES]
                x, y, h, s, t, nx, ny, nz = mesh_frame(solid, triangle, u[i], v[i], z)
            else:
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
