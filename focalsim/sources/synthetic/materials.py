"""Materials: what a surface is made of, how it is drawn at random, and its albedo at a point.

Scale and colour of a material are drawn without regard to its depth: neither may tell the depth.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.sources.synthetic import patterns
from focalsim.sources.synthetic.kernel import kernel
from focalsim.sources.synthetic.noise import fbm_bands
from focalsim.sources.synthetic.patterns import chart_pattern, is_solid, solid_pattern

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
        ("emission", "f8"),  # linear light given off at tone 1, 0 for none
        ("ramp", "f8", (4, 3)),  # colours of tones 0, 1/3, 2/3, 1 in linear light
    ]
)


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours that the materials of one scene share; most things are greyish, some are strongly coloured."""

    hues: NDArray[np.float64]
    grey_share: float
    saturation: float
    brightness: tuple[float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Palette:
        # Earth, wood and skin are frequent in photos, then sky and leaves; anything is possible.
        usual = rng.normal([0.09, 0.09, 0.58, 0.28], [0.03, 0.05, 0.06, 0.08])
        dark = rng.uniform(0.05, 0.4)
        return cls(
            hues=np.array([*rng.choice(usual, 2), rng.choice(usual) + rng.uniform(-0.1, 0.1), rng.uniform()]),
            grey_share=rng.uniform(0.1, 0.8),
            saturation=rng.uniform(0.15, 0.9),
            brightness=(dark, rng.uniform(dark + 0.3, 1.0)),
        )

    def colour(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """One linear RGB colour."""
        hue = float(rng.choice(self.hues) + rng.normal(0, 0.02)) % 1.0
        grey = rng.uniform() < self.grey_share
        saturation = rng.uniform(0, 0.15) if grey else min(self.saturation * rng.uniform(0.3, 1.2), 0.95)
        return np.array(colorsys.hsv_to_rgb(hue, saturation, rng.uniform(*self.brightness))) ** 2.2


_WEIGHTS = {
    patterns.PLAIN: 2.5,
    patterns.CLOUDS: 4.0,
    patterns.MARBLE: 1.2,
    patterns.WOOD: 1.8,
    patterns.RIDGES: 1.2,
    patterns.STRIPES: 0.8,
    patterns.CHECKER: 0.6,
    patterns.MOSAIC: 0.8,
    patterns.CELLS: 1.2,
    patterns.DOTS: 1.2,
    patterns.BRICK: 0.8,
    patterns.GLYPHS: 1.8,
}
_KINDS = np.array(list(_WEIGHTS))
_CHANCES = np.array(list(_WEIGHTS.values())) / sum(_WEIGHTS.values())
_TWO_COLOURED = (patterns.STRIPES, patterns.CHECKER, patterns.DOTS, patterns.GLYPHS)
_MANY_TONED = (patterns.MOSAIC, patterns.CELLS, patterns.BRICK)
# Cell sizes in pixels where the surface is seen: strokes of glyphs, texels of photos, cells of all else.
_STROKE_PX, _TEXEL_PX, _CELL_PX = (2.5, 12.0), (0.5, 3.0), (5.0, 250.0)


def draw_material(rng: np.random.Generator, palette: Palette, pixel_m: float, photos: int = 0) -> NDArray[np.void]:
    """One random material (0-d, ``MATERIAL_DTYPE``) for a surface whose pixels are about ``pixel_m`` wide.

    With ``photos`` > 0 half of the materials show one of them.
    """
    kind = int(rng.choice(_KINDS, p=_CHANCES))
    photo = int(rng.integers(photos)) if photos and rng.uniform() < 0.5 else -1
    smooth = rng.uniform() < 0.12  # regions with little texture exist in every photo
    straight = kind in (patterns.CHECKER, patterns.MOSAIC, patterns.GLYPHS)
    low, high = _TEXEL_PX if photo >= 0 else _STROKE_PX if kind == patterns.GLYPHS else _CELL_PX
    material = np.zeros((), MATERIAL_DTYPE)
    material["kind"], material["photo"] = kind, photo
    material["seed"] = rng.integers(1 << 30)
    material["scale_m"] = np.exp(rng.uniform(np.log(low), np.log(high))) * pixel_m
    material["stretch"] = np.exp(rng.normal(0, 0.25, 3))
    if kind == patterns.WOOD:
        material["stretch"][2] = rng.uniform(0.08, 0.3)
    material["offset"] = rng.uniform(-50, 50, 3)
    material["gain"] = rng.uniform(0.5, 0.9)
    material["warp"] = 0.0 if straight else rng.choice([0.0, 0.1, 0.5]) * rng.uniform()
    material["duty"] = rng.uniform(0.2, 0.8)
    material["grain"] = 0.04 * rng.uniform() if smooth else rng.choice([0.15, 0.4, 0.9]) * rng.uniform(0.4, 1)
    material["stain"] = (0.1 if smooth else 0.5) * rng.uniform()
    material["gloss"] = rng.choice([0.0, 0.0, 0.3, 1.5])
    glowing = kind in (patterns.DOTS, patterns.GLYPHS) and rng.uniform() < 0.25
    material["emission"] = rng.uniform(1.5, 10) if glowing else 0.0
    ramp = _draw_ramp(rng, palette, contrast=0.15 if smooth else rng.uniform(0.3, 1.0))
    if kind in _TWO_COLOURED:  # colour linear in tone: the mean tone of a pixel then gives its mean colour
        ramp = np.linspace(ramp[0], ramp[3], 4)
    elif kind in _MANY_TONED:  # edges between cells then pass through no colour brighter or darker than both
        ramp = ramp[np.argsort(ramp.sum(axis=1))]
    material["ramp"] = ramp
    return material


def _draw_ramp(rng: np.random.Generator, palette: Palette, contrast: float) -> NDArray[np.float64]:
    """Four colours of which ``contrast`` 0 leaves the first alone."""
    ramp = np.stack([palette.colour(rng) for _ in range(4)])
    style = rng.uniform()
    if style < 0.15:  # dark marks on a light ground
        ramp[0], ramp[3] = 0.3 + 0.6 * ramp[0], 0.1 * ramp[3]
    elif style < 0.3:  # light marks on a dark ground
        ramp[0], ramp[3] = 0.15 * ramp[0], 0.2 + 0.7 * ramp[3]
    return ramp[:1] + contrast * (ramp - ramp[:1])


@kernel
def albedo(material: Any, x: Any, y: Any, z: Any, s: Any, t: Any, footprint_m: Any) -> tuple[Any, Any, Any, Any]:
    """Linear RGB (and emitted light, added to it by the caller) of a material, of lanes.

    (x, y, z) metres in the object's frame, (s, t) metres on its surface, ``footprint_m`` the pixel's width.
    Returns (r, g, b, emitted).
    """
    per_m = 1.0 / material.scale_m
    stretch, offset = material.stretch, material.offset
    footprint = footprint_m * per_m
    px, py, pz = x * per_m * stretch[0], y * per_m * stretch[1], z * per_m * stretch[2]
    coarse, fine = fbm_bands(px + offset[0], py + offset[1], pz + offset[2], material.gain, footprint, material.seed)
    kind, duty, warp = material.kind, material.duty, material.warp
    if is_solid(kind):
        tone = solid_pattern(kind, px, py, pz, coarse, fine, duty, warp, footprint)
    else:
        tone = chart_pattern(
            kind,
            s * per_m * stretch[0] + offset[0] + warp * coarse,
            t * per_m * stretch[1] + offset[1] + warp * fine,
            duty,
            footprint * max(stretch[0], stretch[1]),
            material.seed,
        )
    position = 3.0 * min(max(tone, 0.0), 1.0)
    low, middle, high = min(position, 1.0), min(max(position - 1.0, 0.0), 1.0), max(position - 2.0, 0.0)
    shade = max(1.0 + material.stain * coarse + material.grain * fine, 0.05)
    r = shade * _ramp(material.ramp, 0, low, middle, high)
    g = shade * _ramp(material.ramp, 1, low, middle, high)
    b = shade * _ramp(material.ramp, 2, low, middle, high)
    return r, g, b, material.emission * tone


@kernel
def _ramp(ramp: Any, channel: int, low: Any, middle: Any, high: Any) -> Any:
    """One channel of the colour that lies these shares along the three parts of the ramp."""
    a, b, c, d = ramp[0, channel], ramp[1, channel], ramp[2, channel], ramp[3, channel]
    return a + low * (b - a) + middle * (c - b) + high * (d - c)
