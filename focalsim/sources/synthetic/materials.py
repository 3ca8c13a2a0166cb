"""Materials: what a surface is made of, how it is drawn at random, and its albedo at a point.

Scale and colour of a material are drawn without regard to its depth: neither may tell the depth.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from focalsim.sources.synthetic import patterns
from focalsim.sources.synthetic.noise import fbm_bands
from focalsim.sources.synthetic.patterns import chart_pattern, solid_pattern
from focalsim.sources.synthetic.photos import photo_colour

MATERIAL_DTYPE = np.dtype(
    [
        ("kind", "i4"),
        ("seed", "i4"),
        ("photo", "i4"),  # index into the photos, -1 for none
        ("scale_m", "f8"),  # size of one cell
        ("stretch", "f8", (3,)),  # cells per scale along each axis
        ("offset", "f8", (3,)),
        ("gain", "f8"),  # amplitude ratio of successive octaves
        ("warp", "f8"),  # displacement of the pattern by noise, in cells
        ("duty", "f8"),  # filled share of stripes, dots, glyphs; contrast of clouds
        ("grain", "f8"),  # fine brightness variation
        ("stain", "f8"),  # coarse brightness variation
        ("gloss", "f8"),  # strength of the highlight
        ("emission", "f8"),  # linear light of bright spots, 0 for none
        ("ramp", "f8", (4, 3)),  # colours of tones 0, 1/3, 2/3, 1 in linear light
    ]
)


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours that the materials of one scene share: hue centre and spread, saturation, brightness."""

    hue: float
    hue_spread: float
    saturation: float
    brightness: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Palette:
        return cls(
            hue=rng.uniform(),
            hue_spread=rng.choice([0.03, 0.12, 0.5]),
            saturation=rng.beta(1.3, 1.8),
            brightness=rng.uniform(0.35, 0.95),
        )

    def colour(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """One linear RGB colour."""
        hue = self.hue + self.hue_spread * rng.uniform(-1, 1)
        saturation = np.clip(self.saturation * rng.uniform(0.2, 1.5), 0, 0.95)
        value = np.clip(self.brightness * rng.uniform(0.15, 1.3), 0.03, 1.0)
        return np.array(colorsys.hsv_to_rgb(hue % 1.0, float(saturation), float(value))) ** 2.2


_WEIGHTS = {
    patterns.PLAIN: 3.0,
    patterns.CLOUDS: 4.0,
    patterns.MARBLE: 1.5,
    patterns.WOOD: 2.0,
    patterns.STRIPES: 1.0,
    patterns.CHECKER: 0.7,
    patterns.MOSAIC: 0.8,
    patterns.CELLS: 1.2,
    patterns.DOTS: 1.2,
    patterns.BRICK: 1.0,
    patterns.GLYPHS: 1.8,
    patterns.RIDGES: 1.2,
}


def draw_material(
    rng: np.random.Generator, palette: Palette, metres_per_pixel: float, photos: int = 0
) -> np.void:
    """One random material (a ``MATERIAL_DTYPE`` record) for a surface seen at about ``metres_per_pixel``.

    Its cells are 5 to 250 px wide there; with ``photos`` > 0 half of the materials show one of them.
    """
    material = np.zeros((), MATERIAL_DTYPE)
    kinds = np.array(list(_WEIGHTS))
    weights = np.array(list(_WEIGHTS.values()))
    kind = int(rng.choice(kinds, p=weights / weights.sum()))
    smooth = rng.uniform() < 0.15  # regions with little texture exist in every photo
    flat = kind in (patterns.CHECKER, patterns.MOSAIC, patterns.GLYPHS)
    # Cells of glyphs are strokes, far finer than the cells of the rest.
    cell_px = np.exp(rng.uniform(np.log(2.5), np.log(12))) if kind == patterns.GLYPHS else np.exp(
        rng.uniform(np.log(5), np.log(250))
    )
    material["kind"] = kind
    material["seed"] = rng.integers(1 << 30)
    material["photo"] = -1
    if photos and rng.uniform() < 0.5:
        material["photo"] = rng.integers(photos)
        cell_px = np.exp(rng.uniform(np.log(0.5), np.log(3)))  # the cell of a photo is its texel
    material["scale_m"] = cell_px * metres_per_pixel
    material["stretch"] = np.exp(rng.normal(0, 0.25, 3))
    if kind == patterns.WOOD:
        material["stretch"][2] = rng.uniform(0.08, 0.3)
    material["offset"] = rng.uniform(-50, 50, 3)
    material["gain"] = rng.uniform(0.5, 0.85)
    material["warp"] = 0.0 if flat else rng.choice([0.0, 0.1, 0.5]) * rng.uniform()
    material["duty"] = rng.uniform(0.2, 0.8)
    material["grain"] = 0.03 * rng.uniform() if smooth else rng.choice([0.08, 0.2, 0.5]) * rng.uniform(0.3, 1)
    material["stain"] = (0.1 if smooth else 0.4) * rng.uniform()
    material["gloss"] = rng.choice([0.0, 0.0, 0.3, 1.5])
    material["emission"] = rng.uniform(1.5, 10) if rng.uniform() < 0.04 else 0.0
    material["ramp"] = _draw_ramp(rng, palette, contrast=0.15 if smooth else rng.uniform(0.3, 1.0))
    return material[()]


def _draw_ramp(rng: np.random.Generator, palette: Palette, contrast: float) -> NDArray[np.float64]:
    """Four colours; ``contrast`` 0 leaves the first alone. Glyphs and seams use its two ends."""
    ramp = np.stack([palette.colour(rng) for _ in range(4)])
    if rng.uniform() < 0.3:  # ink on paper or its inverse
        ramp[0], ramp[3] = (ramp[0] * 0.1, 0.3 + 0.7 * ramp[3]) if rng.uniform() < 0.5 else (0.9, 0.05)
    return ramp[:1] + contrast * (ramp - ramp[:1])


@njit(cache=True, nogil=True)
def albedo(material, photos, sizes, x, y, z, s, t, footprint_m):  # type: ignore[no-untyped-def]
    """Linear RGB (and emitted light, added to it by the caller) of a material.

    (x, y, z) metres in the object's frame, (s, t) metres on its surface, ``footprint_m`` the pixel's width there.
    Returns (r, g, b, emitted).
    """
    scale = material.scale_m
    footprint = footprint_m / scale
    px = x / scale * material.stretch[0] + material.offset[0]
    py = y / scale * material.stretch[1] + material.offset[1]
    pz = z / scale * material.stretch[2] + material.offset[2]
    coarse, fine = fbm_bands(px, py, pz, material.gain, footprint, material.seed)
    kind, duty, warp = material.kind, material.duty, material.warp
    if material.photo >= 0:
        r, g, b = photo_colour(photos, sizes, material.photo, s / scale + material.offset[0],
                               t / scale + material.offset[1], footprint)
        return r, g, b, 0.0
    if kind in (0, 1, 2, 3, 11):
        # Rings are centred on the object, not on the far offset of the noise.
        tone = solid_pattern(kind, px - material.offset[0], py - material.offset[1], pz, coarse, fine, duty, warp,
                             footprint)
    else:
        tone = chart_pattern(kind, s / scale * material.stretch[0] + material.offset[0] + warp * coarse,
                             t / scale * material.stretch[1] + material.offset[1] + warp * fine,
                             duty, footprint * max(material.stretch[0], material.stretch[1]), material.seed)
    position = 3.0 * min(max(tone, 0.0), 1.0)
    k = min(int(position), 2)
    f = position - k
    ramp = material.ramp
    shade = max(1.0 + material.stain * coarse + material.grain * fine, 0.05)
    r = shade * (ramp[k, 0] + f * (ramp[k + 1, 0] - ramp[k, 0]))
    g = shade * (ramp[k, 1] + f * (ramp[k + 1, 1] - ramp[k, 1]))
    b = shade * (ramp[k, 2] + f * (ramp[k + 1, 2] - ramp[k, 2]))
    emitted = material.emission * max(tone - 0.75, 0.0) * 4.0 if material.emission > 0.0 else 0.0
    return r, g, b, emitted
