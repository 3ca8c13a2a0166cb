"""The light that comes from what rays hit: material, lamp, surroundings, highlight."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.sources.synthetic.kernel import kernel
from focalsim.sources.synthetic.materials import albedo
from focalsim.sources.synthetic.mesh_rays import mesh_frame
from focalsim.sources.synthetic.noise import smoothstep, value_noise
from focalsim.sources.synthetic.photos import photo_colour
from focalsim.sources.synthetic.primitives import FACES, MESH, surface_frame
from focalsim.sources.synthetic.walls import backdrop_frame
from focalsim.sources.synthetic.world import World


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
def shade_rays(
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
