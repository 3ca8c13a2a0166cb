"""Depth edges that something has smoothed, made steps again.

Depth that was averaged over pixels, enlarged, filtered, or estimated by a network runs from one surface to the next
over some pixels, through depths at which nothing is. Rendered as it is, every edge grows a rim of its own blur. So such
a ramp becomes a step: each of its pixels takes the depth of that end which it is nearer to (in disparity, in which
blur is linear), what a shock filter does in the limit (Osher and Rudin, Feature-oriented image enhancement using
shock filters, 1990).

A surface's blur changes by (A/d) tan(incidence) pixels a pixel, A the lens's diameter, for a phone a hundredth of the
tangent: its own slopes are no ramps but at the very limb. Still a pixel between two others can be a thing of its own.
The map as a whole tells: of the edges of point-sampled maps hardly any are ramps, of smoothed ones most. Such maps
alone are changed.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from focalsim.render.unmix import find_edges

LEAST_STEP = 0.1  # of the difference of a pixel's two neighbours: where neighbours differ less, a ramp has its end
LONGEST_PX = 8  # from a pixel to an end; what goes on for longer is a slope
LEAST_PX = 1.0  # of blur between the ends of a ramp
# A map is smoothed where so many pixels lie on short ramps, for each at edges, both of more blur than this.
SMOOTHED_SHARE, CLEAR_PX, SHORT_PX = 0.2, 2.0, 4
# The neighbours of a pixel on the lines through it, and what their difference counts: they are not all equally far.
DIRECTIONS = ((0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.5**0.5), (1, -1, 0.5**0.5))


def with_steps(depth_m: NDArray[np.float32], gain_px_m: float) -> NDArray[np.float32]:
    """Depth (H, W) with the ramps of a smoothed map made steps; any other is returned as it came.

    ``gain_px_m`` over depth is disparity in pixels (layers.py).
    """
    found = step_sources((gain_px_m / depth_m).astype(np.float32, copy=False))
    if found is None:
        return depth_m
    places, sources = found
    stepped = depth_m.copy()
    stepped.flat[places] = depth_m.ravel()[sources]
    return stepped


def step_sources(disparity_px: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """Places of the pixels on ramps of a smoothed map (H, W), and of those whose depth they take; None for any other.

    Places count pixels row by row.
    """
    low, high, edge = find_edges(disparity_px)
    places = np.flatnonzero(edge)
    sources, short = _ends_of_ramps(places, disparity_px, np.array(DIRECTIONS, np.float32))
    clear = high.ravel()[places] - low.ravel()[places] > CLEAR_PX
    if np.count_nonzero(short) <= SMOOTHED_SHARE * np.count_nonzero(clear):
        return None
    moved = sources != places
    return places[moved], sources[moved]


@njit(cache=True, nogil=True, parallel=True)
def _ends_of_ramps(places, q, directions):
    """The end (n,) of the ramp that each place is on, which is nearer to it, or the place; and if it is short."""
    height, width = q.shape
    sources, short = places.copy(), np.zeros(len(places), np.bool_)
    for n in prange(len(places)):
        y, x = places[n] // width, places[n] % width
        steepest = np.float32(0.0)
        dy, dx = 0, 0
        for k in range(len(directions)):
            gy, gx = int(directions[k, 0]), int(directions[k, 1])
            if min(y - gy, x - gx, x + gx) < 0 or y + gy >= height or max(x - gx, x + gx) >= width:
                continue
            slope = (q[y + gy, x + gx] - q[y - gy, x - gx]) * directions[k, 2]
            if abs(slope) > steepest:
                steepest = abs(slope)
                dy, dx = (gy, gx) if slope > 0 else (-gy, -gx)
        if steepest == 0:
            continue
        least = np.float32(LEAST_STEP) * (q[y + dy, x + dx] - q[y - dy, x - dx])
        up = _length(y, x, dy, dx, q, least, 1)
        down = _length(y, x, -dy, -dx, q, least, -1)
        if not 0 < up <= LONGEST_PX or not 0 < down <= LONGEST_PX:
            continue
        high, low = q[y + up * dy, x + up * dx], q[y - down * dy, x - down * dx]
        if high - low > LEAST_PX:
            along = up if q[y, x] - low > high - q[y, x] else -down
            sources[n] += along * (dy * width + dx)
            short[n] = max(up, down) <= SHORT_PX and high - low > CLEAR_PX
    return sources, short


@njit(cache=True, nogil=True)
def _length(y, x, dy, dx, q, least, sign):
    """How many pixels it goes on by over ``least`` a pixel, up or, with ``sign`` -1, down; LONGEST_PX + 1 at most."""
    length = 0
    while length <= LONGEST_PX:
        to_y, to_x = y + dy, x + dx
        if not (0 <= to_y < q.shape[0] and 0 <= to_x < q.shape[1]) or sign * (q[to_y, to_x] - q[y, x]) <= least:
            break
        y, x = to_y, to_x
        length += 1
    return length
