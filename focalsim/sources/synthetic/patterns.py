"""Texture patterns: functions of surface coordinates that give a tone in [0, 1], of lanes throughout.

``footprint`` is the pixel's width in the pattern's own units. Edges are as wide as the pixel (a box
average of a step), and a pattern finer than the pixel fades to its mean, so that no pattern aliases.
"""

from __future__ import annotations

from math import floor, sqrt
from typing import Any

from focalsim.sources.synthetic.kernel import kernel
from focalsim.sources.synthetic.lanes import choose
from focalsim.sources.synthetic.lattice import hash01
from focalsim.sources.synthetic.noise import sine, smoothstep

PLAIN, CLOUDS, MARBLE, WOOD, RIDGES, STRIPES, CHECKER, MOSAIC, CELLS, DOTS, BRICK, GLYPHS = range(12)


@kernel
def is_solid(kind: int) -> bool:
    """Whether a pattern is a function of the solid; the others need a surface chart."""
    return kind <= RIDGES


@kernel
def _covered(signed_distance: Any, footprint: Any) -> Any:
    """Share of a pixel inside an edge at ``signed_distance`` (> 0 inside)."""
    return min(max(signed_distance / max(footprint, 1e-9) + 0.5, 0.0), 1.0)


@kernel
def _fade(footprint: Any) -> Any:
    """How much of a pattern of unit period is left at this footprint."""
    return 1.0 - smoothstep(0.6, 1.1, footprint)


@kernel
def _pulse(x: Any, duty: float, footprint: Any) -> Any:
    """Square wave of unit period that is 1 on the fraction ``duty``."""
    d = 0.5 * duty - abs(x - floor(x) - 0.5)
    keep = _fade(footprint)
    return keep * _covered(d, footprint) + (1.0 - keep) * duty


@kernel
def _glyph(ix: Any, iy: Any, duty: float, seed: int) -> Any:
    """Tone of one cell of glyphs (5 x 7 cells with gaps): 0 or 1."""
    letter, line = floor((ix + 0.5) * 0.2), floor(iy * 0.125)
    bit_x, bit_y = ix - 5.0 * letter, iy - 8.0 * line
    drawn = (bit_x < 3.5) & (bit_y < 4.5) & (hash01(letter, line, 1, seed) >= 0.18)
    drawn = drawn & (hash01(line, floor(letter * 0.0625), 2, seed) >= 0.2)
    return choose(drawn & (hash01(letter * 4.0 + bit_x, line * 5.0 + bit_y, 3, seed) < duty), 1.0, 0.0)


@kernel
def _lattice_value(ix: Any, iy: Any, kind: int, duty: float, seed: int) -> Any:
    """Tone of one cell: checker parity, a random tone, or the bit of a glyph."""
    if kind == CHECKER:
        return ix + iy - 2.0 * floor(0.5 * (ix + iy))
    if kind == MOSAIC:
        return hash01(ix, iy, 0, seed)
    return _glyph(ix, iy, duty, seed)


@kernel
def _lattice(x: Any, y: Any, kind: int, duty: float, footprint: Any, seed: int) -> Any:
    """Piecewise constant cells, box-averaged over the pixel."""
    ix, iy = floor(x - 0.5), floor(y - 0.5)
    wx, wy = _covered(x - ix - 1.0, footprint), _covered(y - iy - 1.0, footprint)
    value = 0.0 * x
    for row in range(2):
        share = wy if row == 1 else 1.0 - wy
        near, far = (
            _lattice_value(ix + 0.0, iy + row, kind, duty, seed),
            _lattice_value(ix + 1.0, iy + row, kind, duty, seed),
        )
        value += share * (near + wx * (far - near))
    keep = _fade(footprint)
    mean = 0.33 * duty if kind == GLYPHS else 0.5
    return keep * value + (1.0 - keep) * mean


@kernel
def _cells(x: Any, y: Any, duty: float, footprint: Any, seed: int) -> Any:
    """Voronoi cells of random tone with dark seams of width ``duty`` / 4 (Worley 1996)."""
    ix, iy = floor(x), floor(y)
    first, second = 9.0 + 0.0 * x, 9.0 + 0.0 * x
    first_x, first_y, second_x, second_y = ix, iy, ix, iy
    for k in range(9):
        jx, jy = ix + (k % 3 - 1), iy + (k // 3 - 1)
        dx = jx + 0.1 + 0.8 * hash01(jx, jy, 0, seed) - x
        dy = jy + 0.1 + 0.8 * hash01(jx, jy, 1, seed) - y
        distance = dx * dx + dy * dy
        nearest, nearer = distance < first, distance < second
        second_x = choose(nearest, first_x, choose(nearer, jx, second_x))
        second_y = choose(nearest, first_y, choose(nearer, jy, second_y))
        second = choose(nearest, first, min(distance, second))
        first_x, first_y = choose(nearest, jx, first_x), choose(nearest, jy, first_y)
        first = min(distance, first)
    gap = 0.5 * (sqrt(second) - sqrt(first))
    share = _covered(gap, footprint)
    tone = share * hash01(first_x, first_y, 2, seed) + (1.0 - share) * hash01(second_x, second_y, 2, seed)
    if duty > 0.3:
        tone *= _covered(gap - 0.12 * duty, footprint)
    keep = _fade(footprint)
    return keep * tone + (1.0 - keep) * 0.5


@kernel
def _dots(x: Any, y: Any, duty: float, footprint: Any, seed: int) -> Any:
    """One dot of random place and size in a share ``duty`` of the cells."""
    ix, iy = floor(x), floor(y)
    radius = 0.08 + 0.3 * hash01(ix, iy, 1, seed)
    free = 1.0 - 2.0 * radius
    dx = x - ix - radius - free * hash01(ix, iy, 2, seed)
    dy = y - iy - radius - free * hash01(ix, iy, 3, seed)
    value = _covered(radius - sqrt(dx * dx + dy * dy), footprint) * (0.4 + 0.6 * hash01(ix, iy, 4, seed))
    value = choose(hash01(ix, iy, 0, seed) > duty, 0.0, value)
    keep = _fade(footprint)
    return keep * value + (1.0 - keep) * 0.12 * duty


@kernel
def _brick(x: Any, y: Any, duty: float, footprint: Any, seed: int) -> Any:
    """Running bond: bricks of random tone (0.4 to 1), mortar 0."""
    row = floor(y)
    x = 0.5 * x + 0.5 * (row - 2.0 * floor(0.5 * row))
    column = floor(x)
    mortar = 0.02 + 0.08 * duty
    inside = _covered(0.5 - mortar - abs(y - row - 0.5), footprint)
    inside *= _covered(0.5 - 0.5 * mortar - abs(x - column - 0.5), 0.5 * footprint)
    keep = _fade(footprint)
    return keep * inside * (0.4 + 0.6 * hash01(column, row, 0, seed)) + (1.0 - keep) * 0.6


@kernel
def chart_pattern(kind: int, s: Any, t: Any, duty: float, footprint: Any, seed: int) -> Any:
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
    kind: int, x: Any, y: Any, z: Any, coarse: Any, fine: Any, duty: float, warp: float, footprint: Any
) -> Any:
    """Tone of a three-dimensional pattern at (x, y, z) cells, warped by the noise bands there."""
    if kind == CLOUDS:
        return 0.5 + (0.9 * coarse + 0.25 * fine) * (0.6 + 2.5 * duty * duty)
    if kind == RIDGES:
        return 1.0 - 1.8 * abs(coarse + 0.15 * fine)
    keep = _fade(0.5 * footprint)
    if kind == MARBLE:
        return 0.5 + 0.5 * keep * sine(3.0 * x + (2.0 + 6.0 * warp) * coarse + 0.7 * fine)
    if kind == WOOD:
        rings = 2.0 * sqrt(x * x + y * y) + (0.3 + warp) * coarse
        saw = rings - floor(rings)
        return keep * saw * saw + (1.0 - keep) * 0.33 + 0.15 * fine
    return 0.5 + 0.2 * sine(0.7 * x + 0.4 * y + 0.2 * z)
