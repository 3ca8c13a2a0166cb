"""Texture patterns: functions of surface coordinates that give a tone in [0, 1].

``footprint`` is the pixel's width in the pattern's own units. Edges are as wide as the pixel (a box
average of a step), and a pattern finer than the pixel fades to its mean, so that no pattern aliases.
"""

from __future__ import annotations

from math import floor, sin, sqrt

from focalsim.sources.synthetic.kernel import kernel
from focalsim.sources.synthetic.noise import hash01, smoothstep

PLAIN, CLOUDS, MARBLE, WOOD, RIDGES, STRIPES, CHECKER, MOSAIC, CELLS, DOTS, BRICK, GLYPHS = range(12)


@kernel
def is_solid(kind: int) -> bool:
    """Whether a pattern is a function of the solid; the others need a surface chart."""
    return kind <= RIDGES


@kernel
def _covered(signed_distance: float, footprint: float) -> float:
    """Share of a pixel inside an edge at ``signed_distance`` (> 0 inside)."""
    return min(max(signed_distance / max(footprint, 1e-9) + 0.5, 0.0), 1.0)


@kernel
def _fade(footprint: float) -> float:
    """How much of a pattern of unit period is left at this footprint."""
    return 1.0 - smoothstep(0.6, 1.1, footprint)


@kernel
def _pulse(x: float, duty: float, footprint: float) -> float:
    """Square wave of unit period that is 1 on the fraction ``duty``."""
    d = 0.5 * duty - abs(x - floor(x) - 0.5)
    keep = _fade(footprint)
    return keep * _covered(d, footprint) + (1.0 - keep) * duty


@kernel
def _lattice_value(ix: int, iy: int, kind: int, duty: float, seed: int) -> float:
    """Tone of one cell: checker parity, a random tone, or the bit of a glyph (5 x 7 cells with gaps)."""
    if kind == CHECKER:
        return float((ix + iy) & 1)
    if kind == MOSAIC:
        return hash01(ix, iy, 0, seed)
    letter, bit_x = ix // 5, ix % 5
    line, bit_y = iy // 8, iy % 8
    if bit_x == 4 or bit_y > 4 or hash01(letter, line, 1, seed) < 0.18 or hash01(line, letter >> 4, 2, seed) < 0.2:
        return 0.0
    return 1.0 if hash01(letter * 4 + bit_x, line * 5 + bit_y, 3, seed) < duty else 0.0


@kernel
def _lattice(x: float, y: float, kind: int, duty: float, footprint: float, seed: int) -> float:
    """Piecewise constant cells, box-averaged over the pixel."""
    fx, fy = floor(x - 0.5), floor(y - 0.5)
    wx, wy = _covered(x - fx - 1.0, footprint), _covered(y - fy - 1.0, footprint)
    ix, iy = int(fx), int(fy)
    if wx == 0.0 or wx == 1.0:  # away from an edge one cell decides
        ix += int(wx)
        if wy == 0.0 or wy == 1.0:
            value = _lattice_value(ix, iy + int(wy), kind, duty, seed)
        else:
            low, high = _lattice_value(ix, iy, kind, duty, seed), _lattice_value(ix, iy + 1, kind, duty, seed)
            value = low + wy * (high - low)
    else:
        low = (1.0 - wx) * _lattice_value(ix, iy, kind, duty, seed) + wx * _lattice_value(ix + 1, iy, kind, duty, seed)
        high = (1.0 - wx) * _lattice_value(ix, iy + 1, kind, duty, seed) + wx * _lattice_value(
            ix + 1, iy + 1, kind, duty, seed
        )
        value = low + wy * (high - low)
    keep = _fade(footprint)
    mean = 0.33 * duty if kind == GLYPHS else 0.5
    return keep * value + (1.0 - keep) * mean


@kernel
def _cells(x: float, y: float, duty: float, footprint: float, seed: int) -> float:
    """Voronoi cells of random tone with dark seams of width ``duty`` / 4 (Worley 1996)."""
    ix, iy = floor(x), floor(y)
    first, second = 9.0, 9.0
    tone_first, tone_second = 0.0, 0.0
    for jy in range(iy - 1, iy + 2):
        for jx in range(ix - 1, ix + 2):
            px = jx + 0.1 + 0.8 * hash01(jx, jy, 0, seed)
            py = jy + 0.1 + 0.8 * hash01(jx, jy, 1, seed)
            distance = (px - x) * (px - x) + (py - y) * (py - y)
            if distance < first:
                second, tone_second = first, tone_first
                first, tone_first = distance, hash01(jx, jy, 2, seed)
            elif distance < second:
                second, tone_second = distance, hash01(jx, jy, 2, seed)
    gap = 0.5 * (sqrt(second) - sqrt(first))
    share = _covered(gap, footprint)
    tone = share * tone_first + (1.0 - share) * tone_second
    seam = 1.0 - _covered(gap - 0.12 * duty, footprint) if duty > 0.3 else 0.0
    keep = _fade(footprint)
    return keep * tone * (1.0 - seam) + (1.0 - keep) * 0.5


@kernel
def _dots(x: float, y: float, duty: float, footprint: float, seed: int) -> float:
    """One dot of random place and size in a share ``duty`` of the cells."""
    ix, iy = floor(x), floor(y)
    if hash01(ix, iy, 0, seed) > duty:
        value = 0.0
    else:
        radius = 0.08 + 0.3 * hash01(ix, iy, 1, seed)
        free = 1.0 - 2.0 * radius
        dx = x - ix - radius - free * hash01(ix, iy, 2, seed)
        dy = y - iy - radius - free * hash01(ix, iy, 3, seed)
        value = _covered(radius - sqrt(dx * dx + dy * dy), footprint) * (0.4 + 0.6 * hash01(ix, iy, 4, seed))
    keep = _fade(footprint)
    return keep * value + (1.0 - keep) * 0.12 * duty


@kernel
def _brick(x: float, y: float, duty: float, footprint: float, seed: int) -> float:
    """Running bond: bricks of random tone (0.4 to 1), mortar 0."""
    row = floor(y)
    x = 0.5 * x + 0.5 * (int(row) & 1)
    column = floor(x)
    mortar = 0.02 + 0.08 * duty
    inside = _covered(0.5 - mortar - abs(y - row - 0.5), footprint)
    inside *= _covered(0.5 - 0.5 * mortar - abs(x - column - 0.5), 0.5 * footprint)
    keep = _fade(footprint)
    return keep * inside * (0.4 + 0.6 * hash01(int(column), int(row), 0, seed)) + (1.0 - keep) * 0.6


@kernel
def chart_pattern(kind: int, s: float, t: float, duty: float, footprint: float, seed: int) -> float:
    """Tone of a two-dimensional pattern at surface coordinates (s, t), one cell per unit."""
    if kind == STRIPES:
        return _pulse(s, duty, footprint)
    if kind in (CHECKER, MOSAIC, GLYPHS):
        return _lattice(s, t, kind, duty, footprint, seed)
    if kind == CELLS:
        return _cells(s, t, duty, footprint, seed)
    if kind == DOTS:
        return _dots(s, t, duty, footprint, seed)
    return _brick(s, t, duty, footprint, seed)


@kernel
def solid_pattern(
    kind: int,
    x: float,
    y: float,
    z: float,
    coarse: float,
    fine: float,
    duty: float,
    warp: float,
    footprint: float,
) -> float:
    """Tone of a three-dimensional pattern at (x, y, z) cells, warped by the noise bands there."""
    if kind == CLOUDS:
        return 0.5 + (0.9 * coarse + 0.25 * fine) * (0.6 + 2.5 * duty * duty)
    if kind == RIDGES:
        return 1.0 - 1.8 * abs(coarse + 0.15 * fine)
    keep = _fade(0.5 * footprint)
    if kind == MARBLE:
        return 0.5 + 0.5 * keep * sin(3.0 * x + (2.0 + 6.0 * warp) * coarse + 0.7 * fine)
    if kind == WOOD:
        rings = 2.0 * sqrt(x * x + y * y) + (0.3 + warp) * coarse
        saw = rings - floor(rings)
        return keep * saw * saw + (1.0 - keep) * 0.33 + 0.15 * fine
    return 0.5 + 0.2 * sin(0.7 * x + 0.4 * y + 0.2 * z)
