"""Hashes and band-limited value noise, the ground of all procedural texture (fBm: Musgrave 1994)."""

from __future__ import annotations

from math import floor

from focalsim.sources.synthetic.kernel import kernel
from focalsim.sources.synthetic.lattice import SEED_STEP, STEPS, between_corners

MAX_OCTAVES = 8
_LACUNARITY = 2.03


@kernel
def hash01(ix: int, iy: int, iz: int, seed: int) -> float:
    """Uniform number in [0, 1) of an integer lattice point."""
    h = ix * 5871781006564002453 + iy * 3935559000370003845 + iz * 2862933555777941757 + seed * 3202034522624059733
    h = (h ^ (h >> 32)) * 7046029254386353131
    return float((h >> 36) & 0xFFFFFF) * (1.0 / 16777216.0)


@kernel
def value_noise(x: float, y: float, z: float, seed: int) -> float:
    """Smoothly interpolated lattice noise in [-1, 1], one cell per unit."""
    fx, fy, fz = floor(x), floor(y), floor(z)
    ix, iy, iz = int(fx), int(fy), int(fz)
    tx, ty, tz = x - fx, y - fy, z - fz
    tx = tx * tx * (3.0 - 2.0 * tx)
    ty = ty * ty * (3.0 - 2.0 * ty)
    tz = tz * tz * (3.0 - 2.0 * tz)
    value: float = between_corners(ix * STEPS[0] + iy * STEPS[1] + iz * STEPS[2] + seed * SEED_STEP, tx, ty, tz)
    return value


@kernel
def fbm_bands(x: float, y: float, z: float, gain: float, footprint: float, seed: int) -> tuple[float, float]:
    """Fractal noise split into (its first three octaves, the finer rest), each roughly in [-1, 1].

    Octaves whose cells approach ``footprint`` (the pixel's width in cells of the first octave) fade out: the
    average of such noise over the pixel is near zero, and a point sample of it would alias.
    """
    coarse, fine = 0.0, 0.0
    frequency, amplitude = 1.0, 1.0
    for octave in range(MAX_OCTAVES):
        width = frequency * footprint
        if width > 1.1:
            break
        fade = 1.0 if width < 0.5 else (1.1 - width) / 0.6
        value = fade * amplitude * value_noise(x, y, z, seed + octave)
        if octave < 3:
            coarse += value
        else:
            fine += value
        # Turning the axes between octaves hides the lattice.
        turned = 0.8 * y - 0.6 * x
        x, y, z = (
            _LACUNARITY * (0.8 * x + 0.6 * y) + 17.3,
            _LACUNARITY * (0.88 * turned + 0.475 * z) - 5.1,
            _LACUNARITY * (0.88 * z - 0.475 * turned) + 9.7,
        )
        frequency *= _LACUNARITY
        amplitude *= gain
    return coarse / (1.0 + gain + gain * gain), fine / (gain * gain * gain * 2.0 + 1e-9)


@kernel
def smoothstep(low: float, high: float, x: float) -> float:
    """0 below ``low``, 1 above ``high``, cubic between."""
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)
