"""Band-limited value noise, the ground of all procedural texture (fBm: Musgrave 1994), and what else patterns share."""

from __future__ import annotations

from math import floor
from typing import Any

from focalsim.sources.synthetic.kernel import kernel
from focalsim.sources.synthetic.lanes import highest
from focalsim.sources.synthetic.lattice import lattice_noise

MAX_OCTAVES = 8
_LACUNARITY = 2.03
_PI_HIGH, _PI_LOW = 3.140625, 9.67653589793e-4  # their sum is pi; whole multiples of the first are exact


@kernel
def value_noise(x: Any, y: Any, z: Any, seed: int) -> Any:
    """Smoothly interpolated lattice noise in [-1, 1] at numbers or lanes, one cell per unit."""
    return lattice_noise(x, y, z, seed)


@kernel
def fbm_bands(x: Any, y: Any, z: Any, gain: float, footprint: Any, seed: int) -> tuple[Any, Any]:
    """Fractal noise at lanes, split into (its first three octaves, the finer rest), each roughly in [-1, 1].

    Octaves whose cells approach ``footprint`` (the pixel's width in cells of the first octave) fade out: the
    average of such noise over the pixel is near zero, and a point sample of it would alias.
    """
    coarse, fine = 0.0 * x, 0.0 * x
    frequency, amplitude = 1.0, 1.0
    for octave in range(MAX_OCTAVES):
        fade = min(max((1.1 - frequency * footprint) / 0.6, 0.0), 1.0)
        if highest(fade) == 0.0:
            break
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
def smoothstep(low: Any, high: Any, x: Any) -> Any:
    """0 below ``low``, 1 above ``high``, cubic between."""
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@kernel
def sine(x: Any) -> Any:
    """Sine of lanes, to 1e-9 (Taylor's series about the nearest multiple of pi)."""
    turns = floor(x * 0.3183098861837907 + 0.5)
    r = (x - turns * _PI_HIGH) - turns * _PI_LOW
    q = r * r
    series = 1.0 + q * (
        -1 / 6 + q * (1 / 120 + q * (-1 / 5040 + q * (1 / 362880 + q * (-1 / 39916800 + q / 6227020800))))
    )
    return (1.0 - 2.0 * (turns - 2.0 * floor(0.5 * turns))) * r * series
