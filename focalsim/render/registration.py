"""Depth that lies beside the image, moved onto it.

Sensors see depth from another place than colour, stereo and networks make near things wider, and filters narrower.
Where depth edges then lie a pixel or two beside those of the image, a blurred edge carries a rim of the other surface.
One frame has hundreds of such edges, and all tell the same: contrast of the image, averaged along depth edges, is
highest at the distance to one side at which the edges of the image are. Four such distances, of edges whose near side
is right, left, below and above, are a shift along each axis and a growth of what is near:

    right = x + g,   left = g - x,   below = y + g,   above = g - y.

The whole frame is moved and grown so, if contrast at its depth edges is then clearly higher. Depth that fits is left as
it is, and so is depth of few edges.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor
from typing import NamedTuple

import cv2
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from focalsim.pick import pick

LEAST_PX = 1.0  # of blur between the sides of an edge that counts
FARTHEST_PX = 3  # that edges of depth and image are looked for beside each other
LARGEST = 128  # contrast that a single place counts with: few strong edges must not decide
_ENOUGH_ROWS = 224  # to be looked at
_FEWEST = 50  # edges of each of the four kinds
_CLEARLY, _WORTH = 1.2, 1.05  # times the contrast before: of any move, and of one that shrinks by more than another
# From the far to the near side of edges whose near side is right, left, below, above: (x, y).
_WAYS = np.array([(1, 0), (-1, 0), (0, 1), (0, -1)])
BESIDE = _WAYS[:, None] * np.arange(-FARTHEST_PX, FARTHEST_PX + 1)[:, None]  # (4, places, 2)

# Of depth that is shrunk by so many pixels: contrast, summed (4, n) over edges of the four kinds, n places (4, n, 2)
# beside them, and how many edges there are (4,).
Contrast = Callable[[int, NDArray[np.int64]], tuple[NDArray[np.int64], NDArray[np.int64]]]


class Move(NamedTuple):
    """How depth has to be changed: pixels to the right, down, and off the rim of what is near (negative: onto it)."""

    x: int
    y: int
    shrink: int


STAY = Move(0, 0, 0)


def registered(depth_m: NDArray[np.float32], rgb_linear: NDArray[np.float32], gain_px_m: float) -> NDArray[np.float32]:
    """Depth (H, W) moved onto the image (H, W, 3), or as it came. ``gain_px_m`` over depth is disparity in pixels."""

    disparity_px = (gain_px_m / depth_m).astype(np.float32, copy=False)
    seen = np.empty(rgb_linear.shape, np.uint8)
    _as_seen(rgb_linear.reshape(len(rgb_linear), -1), seen.reshape(len(seen), -1))

    def contrast(shrink: int, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        sums, counts = _contrast(seen, _shrunk(disparity_px, -shrink), places, rows_between(len(seen)))
        return sums.sum(axis=0), counts.sum(axis=0)

    move = find_move(*contrast(0, BESIDE), contrast)
    if move == STAY:
        return depth_m
    rows, columns = (
        np.clip(np.arange(size) - by, 0, size - 1) for size, by in zip(depth_m.shape, (move.y, move.x), strict=True)
    )
    return np.asarray(pick(_shrunk(depth_m, move.shrink), rows, columns), np.float32)


def find_move(sums: NDArray[np.int64], counts: NDArray[np.int64], contrast: Contrast) -> Move:
    """The move after which ``contrast`` at depth edges is highest, if it is clearly higher than before.

    Of depth as it came ``sums`` and ``counts`` are those of the places ``BESIDE``.
    """
    before = sums[:, FARTHEST_PX].sum()
    # What there is to gain is what each kind would have at its best.
    if counts.min() < _FEWEST or sums.max(axis=1).sum() <= _CLEARLY * before:
        return STAY
    right, left, below, above = (int(n) for n in sums.argmax(axis=1) - FARTHEST_PX)
    shrink = (right + left + below + above) / 4
    # Along an axis with few clear edges the peaks may be chance: 0 is tried as well.
    columns, rows = ({0, floor(by), ceil(by)} for by in ((right - left) / 2, (below - above) / 2))
    shifts = [(x, y) for x in sorted(columns, key=abs) for y in sorted(rows, key=abs)]
    best, least = STAY, _CLEARLY * before / counts.sum()
    # One less, too: round things shrink by more along the axes. More must be worth it, since it can cover edges.
    tries = {0, floor(shrink), ceil(shrink), int(shrink) - (shrink >= 1) + (shrink <= -1)}
    for pixels in sorted(tries, key=abs):
        sums, counts = contrast(pixels, np.array([shifts] * 4))
        heights = sums.sum(axis=0) / max(counts.sum(), 1)
        if heights.max() > least:
            best, least = Move(*shifts[int(heights.argmax())], pixels), _WORTH * heights.max()
    return best


def rows_between(height: int) -> int:
    """From one row of a picture that is looked at to the next."""
    return max(height // _ENOUGH_ROWS, 1)


def _shrunk(values: NDArray[np.float32], pixels: int) -> NDArray[np.float32]:
    """Areas of low values, of depth what is near, so many pixels smaller, or larger."""
    if pixels == 0:
        return values
    box = np.ones((2 * abs(pixels) + 1,) * 2, np.uint8)
    return np.asarray((cv2.dilate if pixels > 0 else cv2.erode)(values, box), np.float32)


@njit(cache=True, nogil=True, parallel=True)
def _as_seen(rgb, seen):
    """The square root of light, about as it is seen, to 255."""
    for y in prange(len(rgb)):
        _roots(rgb[y], seen[y])


@njit(cache=True, nogil=True)
def _roots(light, seen):
    """Of a row. Apart from all else, so that there is a vector form."""
    for i in range(len(light)):
        seen[i] = np.uint8(np.sqrt(min(light[i], np.float32(1.0))) * np.float32(255.0) + np.float32(0.5))


@njit(cache=True, nogil=True)
def _step(seen, y, x, dy, dx):
    """Contrast of two neighbours."""
    total = np.int64(0)
    for c in range(3):
        total += abs(np.int64(seen[y, x, c]) - np.int64(seen[y + dy, x + dx, c]))
    return min(total, LARGEST)


@njit(cache=True, nogil=True)
def _jumps(here, there, found):
    """Fill in where neighbours differ; whether any do. Apart from all else, so that there is a vector form."""
    some = False
    for x in range(len(found)):
        found[x] = abs(there[x] - here[x]) > np.float32(LEAST_PX)
        some |= found[x]
    return some


@njit(cache=True, nogil=True, parallel=True)
def _contrast(seen, q, places, every):
    """Of each row that is looked at what :data:`Contrast` gives; no edge is nearer to the border than the farthest
    place.
    """
    height, width = q.shape
    far = FARTHEST_PX
    rows = np.arange(far, height - 1 - far, every)
    sums, counts = np.zeros((len(rows), 4, places.shape[1]), np.int64), np.zeros((len(rows), 4), np.int64)
    for row in prange(len(rows)):
        y = rows[row]
        jumps = np.empty((2, width - 1), np.bool_)
        along, down = _jumps(q[y, :-1], q[y, 1:], jumps[0]), _jumps(q[y, :-1], q[y + 1, :-1], jumps[1])
        if not (along or down):
            continue
        for x in range(far, width - 1 - far):
            for axis in range(2):
                if jumps[axis, x]:
                    dx, dy = 1 - axis, axis
                    kind = 2 * axis + (q[y + dy, x + dx] < q[y, x])
                    counts[row, kind] += 1
                    for n in range(places.shape[1]):
                        at_x, at_y = x + places[kind, n, 0], y + places[kind, n, 1]
                        sums[row, kind, n] += _step(seen, at_y, at_x, dy, dx)
    return sums, counts
