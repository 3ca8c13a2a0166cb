"""The light that comes from what rays hit: material, lamp, surroundings, highlight."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.sources.synthetic.kernel import kernel
from focalsim.sources.synthetic.lanes import LANES, load, store
from focalsim.sources.synthetic.materials import albedo
from focalsim.sources.synthetic.mesh_rays import mesh_frame
from focalsim.sources.synthetic.noise import smoothstep, value_noise
from focalsim.sources.synthetic.photos import photo_colour
from focalsim.sources.synthetic.primitives import FACES, MESH, surface_frame
from focalsim.sources.synthetic.walls import MAX_WALLS, backdrop_frame
from focalsim.sources.synthetic.world import World

# Rows of the table in which eight rays pass from one kernel to the next.
_U, _V, _Z, _REACHED, _FRAME = 0, 1, 2, 3, 4
_RED, _ROWS = 12, 15


@kernel
def _lit(
    light: Any,
    material: Any,
    u: Any,
    v: Any,
    z: Any,
    nx: Any,
    ny: Any,
    nz: Any,
    r: Any,
    g: Any,
    b: Any,
    emitted: Any,
    reached: Any,
) -> tuple[Any, Any, Any]:
    """Linear RGB of a surface: albedo times (Lambert lamp plus surroundings), a highlight, emitted light.

    ``reached`` is the share of the lamp's light that no solid keeps off.
    """
    lx, ly, lz = light.direction[0], light.direction[1], light.direction[2]
    lambert = max(0.15 + 0.85 * (nx * lx + ny * ly + nz * lz), 0.0)
    shine = 0.0 * u
    if material.gloss > 0.0:  # Blinn-Phong
        nearness = 1.0 / sqrt(u * u + v * v + 1.0)  # z over the length of the ray
        hx, hy, hz = lx - u * nearness, ly - v * nearness, lz - nearness
        half = max(nx * hx + ny * hy + nz * hz, 0.0) / sqrt(hx * hx + hy * hy + hz * hz + 1e-12)
        half8 = half * half
        half8 *= half8
        half8 *= half8
        half16 = half8 * half8
        shine = material.gloss * (half16 * half16 * half8)
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
def _by_surface(
    world: World, key: NDArray[np.int32], asked: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """(first, order): the ``asked`` rays in ``order``, those of wall or solid k from first[k] on, walls first."""
    first = np.zeros(MAX_WALLS + len(world.solids) + 1, np.int64)
    for i in range(len(key)):
        if asked[i]:
            first[(key[i] // FACES + MAX_WALLS if key[i] >= 0 else -1 - key[i]) + 1] += 1
    first = np.cumsum(first)
    place, order = first.copy(), np.empty(first[-1], np.int32)
    for i in range(len(key)):
        if asked[i]:
            k = key[i] // FACES + MAX_WALLS if key[i] >= 0 else -1 - key[i]
            order[place[k]] = i
            place[k] += 1
    return first, order


@kernel
def _frame(rows: NDArray[np.float64]) -> Any:
    """The eight numbers of a surface's frame, as lanes."""
    x, y, z, s = load(rows, _FRAME), load(rows, _FRAME + 1), load(rows, _FRAME + 2), load(rows, _FRAME + 3)
    t, nx, ny, nz = load(rows, _FRAME + 4), load(rows, _FRAME + 5), load(rows, _FRAME + 6), load(rows, _FRAME + 7)
    return x, y, z, s, t, nx, ny, nz


@kernel
def shade_rays(
    world: World,
    focal_px: float,
    key: NDArray[np.int32],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    depth: NDArray[np.float64],
    lit: NDArray[np.float32],
    asked: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Linear RGB (n, 3) float32 of each hit ``asked``, band-limited to the pixel; else 0.

    ``lit`` is the share of the lamp seen there. Rays are taken eight at a time, of one surface.
    """
    rgb = np.zeros((len(u), 3), np.float32)
    first, order = _by_surface(world, key, asked)
    rows = np.empty((_ROWS, LANES))
    # Records are handed down, not the world: copying its array descriptors per call costs more than noise.
    backdrop, light = world.backdrop[0], world.light[0]
    for surface in range(len(first) - 1):
        for start in range(first[surface], first[surface + 1], LANES):
            last = first[surface + 1] - 1
            for j in range(LANES):  # where there are fewer the last one is taken again
                i = order[min(start + j, last)]
                rows[_U, j], rows[_V, j], rows[_Z, j] = u[i], v[i], depth[i]
                rows[_REACHED, j] = 1.0 - light.shadows * (1.0 - lit[i])
            if surface < MAX_WALLS:
                frame = backdrop_frame(backdrop, load(rows, _U), load(rows, _V), load(rows, _Z), surface)
                material = world.materials[backdrop.materials[surface]]
            else:
                solid = world.solids[surface - MAX_WALLS]
                material = world.materials[solid.material]
                for j in range(LANES):
                    face = key[order[min(start + j, last)]] % FACES
                    if solid.kind == MESH:
                        triangle = world.meshes.triangles[world.meshes.first[solid.mesh, 0] + face]
                        point = mesh_frame(solid, triangle, rows[_U, j], rows[_V, j], rows[_Z, j])
                    else:
                        point = surface_frame(solid, rows[_U, j], rows[_V, j], rows[_Z, j], face)
                    for k in range(8):
                        rows[_FRAME + k, j] = point[k]
                frame = _frame(rows)
            _shade(world.texels, world.texel_sizes, light, material, focal_px, frame, rows)
            for j in range(min(LANES, last + 1 - start)):
                i = order[start + j]
                for c in range(3):
                    rgb[i, c] = rows[_RED + c, j]
    return rgb


@kernel
def _shade(
    texels: NDArray[np.float32],
    texel_sizes: NDArray[np.int64],
    light: Any,
    material: Any,
    focal_px: float,
    frame: Any,
    rows: NDArray[np.float64],
) -> None:
    """Write the colour of the eight rays in ``rows``, which meet one surface in ``frame``."""
    u, v, z = load(rows, _U), load(rows, _V), load(rows, _Z)
    x, y, h, s, t, nx, ny, nz = frame
    facing = max(-(nx * u + ny * v + nz) / sqrt(u * u + v * v + 1.0), 0.1)
    footprint_m = z / (focal_px * sqrt(facing))
    if material.photo >= 0:
        texels_per_m = 1.0 / material.scale_m
        store(rows, _FRAME, s * texels_per_m + material.offset[0])
        store(rows, _FRAME + 1, t * texels_per_m + material.offset[1])
        store(rows, _FRAME + 2, footprint_m * texels_per_m)
        for j in range(LANES):
            rows[_RED, j], rows[_RED + 1, j], rows[_RED + 2, j] = photo_colour(
                texels, texel_sizes, material.photo, rows[_FRAME, j], rows[_FRAME + 1, j], rows[_FRAME + 2, j]
            )
        r, g, b, emitted = load(rows, _RED), load(rows, _RED + 1), load(rows, _RED + 2), 0.0 * u
    else:
        r, g, b, emitted = albedo(material, x, y, h, s, t, footprint_m)
    r, g, b = _lit(light, material, u, v, z, nx, ny, nz, r, g, b, emitted, load(rows, _REACHED))
    store(rows, _RED, r)
    store(rows, _RED + 1, g)
    store(rows, _RED + 2, b)
