"""What the pixels at depth edges are made of: front and back colour, coverage, disparities (layers.py says why).

Sixteen neighbours in a row at a time, wherever there is an edge among them.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import get_num_threads, get_thread_id, njit, prange  # type: ignore[attr-defined]
from numpy.typing import NDArray

from focalsim.simd import BYTES, LANES, address, choose, fill, fma_each, larger, load, load_pixels, smaller, store, zero

EDGE_PX = 0.5  # neighbours whose blur differs by more (pixels of diameter) belong to different surfaces
MIXED = 0.02  # what a mixed pixel counts before it is known what it is made of
COVERAGE_STD = 0.083  # how far the true coverage lies from edge_coverage, root mean square over straight edges
NOISE_VARIANCE = 1e-4  # of linear colour: keeps flat, equal colours from deciding a coverage
_SHARE_ROWS = 16  # of a picture, that a thread takes at a time
_AROUND = 2  # pixels on either side tell what one is made of
_ROWS, _COLUMNS = 2 * _AROUND + 1, LANES + 2 * _AROUND  # that tell of sixteen neighbours
_PLANES = 11  # of the frame and the layers so far, see unmix
_FOUND = 9  # front red, green, blue, coverage, disparity; back red, green, blue, disparity
_ONE, _HALF, _THIRD = np.float32(1.0), np.float32(0.5), np.float32(1 / 3)
_TRUST = np.float32(1 / COVERAGE_STD**2)
# The depth sample at a pixel's centre says which surface holds about half of it or more.
_LEAST_NEAR, _MOST_FAR = np.float32(0.3), np.float32(0.7)
_ALL = np.float32(0.999)  # a pixel that is covered more has nothing of a back


def find_edges(
    disparity_px: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Lowest and highest disparity of the 3 x 3 pixels around each (H, W), and where they are different surfaces'."""
    low, high = np.empty_like(disparity_px), np.empty_like(disparity_px)
    edge = np.empty(disparity_px.shape, np.bool_)
    _find_edges(disparity_px, low, high, edge)
    return low, high, edge


@njit(cache=True, nogil=True, parallel=True)
def _find_edges(q, low, high, edge):
    height, width = q.shape
    for part in prange((height + _SHARE_ROWS - 1) // _SHARE_ROWS):
        lows, highs = np.empty(width + 2, np.float32), np.empty(width + 2, np.float32)
        for y in range(_SHARE_ROWS * part, min(_SHARE_ROWS * (part + 1), height)):
            _ends_of_columns(q[max(y - 1, 0)], q[y], q[min(y + 1, height - 1)], lows[1:], highs[1:])
            lows[0], lows[width + 1], highs[0], highs[width + 1] = lows[1], lows[width], highs[1], highs[width]
            _ends_of_rows(lows, highs, low[y], high[y])
            _fill_edges(low[y], high[y], edge[y])


@njit(cache=True, nogil=True)
def _ends_of_columns(above, here, below, lows, highs):
    """The lowest and the highest of three neighbours above each other."""
    width = len(here)
    for n in range(width // LANES):
        at = BYTES * n
        a, b, c = load(address(above) + at), load(address(here) + at), load(address(below) + at)
        store(address(lows) + at, smaller(smaller(a, b), c))
        store(address(highs) + at, larger(larger(a, b), c))
    for x in range(width // LANES * LANES, width):
        lows[x], highs[x] = min(above[x], here[x], below[x]), max(above[x], here[x], below[x])


@njit(cache=True, nogil=True)
def _ends_of_rows(lows, highs, low, high):
    """The lowest and the highest of three neighbours beside each other, from the one before."""
    width = len(low)
    for n in range(width // LANES):
        at = BYTES * n
        a, b = address(lows) + at, address(highs) + at
        store(address(low) + at, smaller(smaller(load(a), load(a + 4)), load(a + 8)))
        store(address(high) + at, larger(larger(load(b), load(b + 4)), load(b + 8)))
    for x in range(width // LANES * LANES, width):
        low[x], high[x] = min(lows[x], lows[x + 1], lows[x + 2]), max(highs[x], highs[x + 1], highs[x + 2])


@njit(cache=True, nogil=True)
def _fill_edges(low, high, edge):
    """Apart from all else, so that the compiler finds a vector form."""
    for x in range(len(edge)):
        edge[x] = high[x] - low[x] > np.float32(EDGE_PX)


@njit(cache=True, nogil=True, parallel=True)
def _begin(edge, b_cov):
    """Whether there is an edge among sixteen neighbours in a row; what a pixel counts for before it is known what it is
    made of; and where (1, else 0) there is a back already.
    """
    height, width = edge.shape
    some = np.zeros((height, (width + LANES - 1) // LANES), np.bool_)
    pure, known = np.empty(edge.shape, np.float32), np.empty(edge.shape, np.float32)
    for y in prange(height):
        row = edge[y]
        for block in range(width // LANES):
            found = False
            for lane in range(LANES):  # of a fixed length, for the compiler to find a vector form
                found |= row[LANES * block + lane]
            some[y, block] = found
        for x in range(width // LANES * LANES, width):
            some[y, -1] |= row[x]
        for x in range(width):
            pure[y, x] = np.float32(MIXED) if row[x] else _ONE
            known[y, x] = _ONE if b_cov[y, x] > 0 else np.float32(0.0)
    return some, pure, known


def unmix(
    rgb: NDArray[np.float32],
    disparity_px: NDArray[np.float32],
    low_px: NDArray[np.float32],
    high_px: NDArray[np.float32],
    edge: NDArray[np.bool_],
    hidden_rgb: NDArray[np.float32] | None,
    *layers: NDArray[np.float32],
) -> None:
    """Un-mix the pixels of ``edge`` (H, W) in ``layers``, the fields of layers.Layers, in two rounds.

    What :func:`find_edges` found comes before ``hidden_rgb``, the colour of the back where layers have one already.
    """
    f_rgb, f_cov, f_q, b_rgb, b_cov, b_q = layers
    some, pure, known = _begin(edge, b_cov)
    blocks = np.flatnonzero(some)  # of sixteen neighbours in a row, counted row by row
    behind = rgb if hidden_rgb is None else hidden_rgb
    found = np.empty((len(blocks), _FOUND, LANES), np.float32)
    patches = np.empty((get_num_threads(), _PLANES, _ROWS, 3 * _COLUMNS), np.float32)
    places = np.empty((get_num_threads(), _PLANES, _ROWS), np.int64)
    for coverage in (pure, f_cov):
        planes = _flat(disparity_px, coverage, f_q, b_q, f_rgb, b_rgb, low_px, high_px, known, rgb, behind)
        _unmix(blocks, edge.shape[1], planes, edge_coverage(), coverage is pure, patches, places, found)
        _take_over(blocks, edge, found, *layers)


def _flat(*planes: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Rows of all values of a pixel, as one type."""
    return tuple(plane.reshape(len(plane), -1) for plane in planes)


@cache
def edge_coverage() -> NDArray[np.float32]:
    """How much of a pixel is near, (512,), by which of the 3 x 3 depth samples around it are: row by row, the first is
    bit 0.

    The mean over all straight edges, of any direction and place, that give these samples; where none does, thin things
    and corners, every sample stands for a part of the pixel.
    """
    # Nearer is what lies at x cos(angle) + y sin(angle) < offset.
    angles, offsets = np.pi / 100 * (np.arange(200) + 0.5), np.linspace(-2, 2, 200)
    angle, offset = (grid.ravel() for grid in np.meshgrid(angles, offsets))
    cos, sin = np.cos(angle), np.sin(angle)
    labels = [x * cos + y * sin < offset for y in (-1, 0, 1) for x in (-1, 0, 1)]
    code = np.sum([label << bit for bit, label in enumerate(labels)], axis=0)
    # The square's area before a line, by the integral of the ramp that its sides make of it.
    wide, narrow = (np.abs(cos) + np.abs(sin)) / 2, (np.abs(cos) - np.abs(sin)) / 2
    steps = [np.maximum(offset + end, 0) ** 2 for end in (wide, narrow, -narrow, -wide)]
    area = (steps[0] - steps[1] - steps[2] + steps[3]) / np.abs(2 * cos * sin)
    count = np.bincount(code, minlength=512)
    axis = np.array([1 / 8, 3 / 4, 1 / 8])
    parts = np.bitwise_and(np.arange(512)[:, None] >> np.arange(9), 1) @ np.outer(axis, axis).ravel()
    mean = np.where(count > 0, np.bincount(code, area) / np.maximum(count, 1), parts)
    return np.round(mean, 6).astype(np.float32)  # nothing is left of how another machine rounds


@njit(cache=True, nogil=True)
def _find_rows(plane, values, y, x, rows, patch, places):
    """Addresses (5,) from which on rows y - 2 to y + 2 of ``plane``, or some of them, hold columns x - 2 to x + 17, so
    many values each: within it, or, where they leave the frame and its border is replicated, in ``patch``.
    """
    height, width = len(plane), plane.shape[1] // values
    left = x - _AROUND
    inside = left >= 0 and values * (left + _COLUMNS) <= plane.shape[1]
    for k in rows:
        source = min(max(y + k - _AROUND, 0), height - 1)
        if inside:
            places[k] = address(plane) + 4 * (plane.shape[1] * source + values * left)
            continue
        row = plane[source]
        first, last = max(-left, 0), min(width - left, _COLUMNS)  # columns of the patch that are in the frame
        for i in range(values * first):
            patch[k, i] = row[i % values]
        for i in range(values * first, values * last):
            patch[k, i] = row[values * left + i]
        for i in range(values * last, values * _COLUMNS):
            patch[k, i] = row[values * (width - 1) + i % values]
        places[k] = address(patch[k])


@njit(cache=True, nogil=True)
def _add(sums, weight, q, color):
    """Add samples of this weight to a surface's sums: of weights, their squares, disparity, squared colour, colour."""
    weights, squares, disparity, square, red, green, blue = sums
    return (
        weights + weight,
        fma_each(squares, weight, weight),
        fma_each(disparity, weight, q),
        fma_each(square, weight, _dot(color, color)),
        fma_each(red, weight, color[0]),
        fma_each(green, weight, color[1]),
        fma_each(blue, weight, color[2]),
    )


@njit(cache=True, nogil=True)
def _add_sample(near, far, weight, q, color, lowest, middle, highest):
    """Add samples to the sums of what is near or of what is far, unless they are neither surface's."""
    counts = choose((lowest < q) & (q < highest), weight, zero())
    is_near = q > middle
    return _add(near, choose(is_near, counts, zero()), q, color), _add(far, choose(is_near, zero(), counts), q, color)


@njit(cache=True, nogil=True)
def _variance(sums):
    """Of a colour yet unseen among those that are summed up, a channel."""
    weights, squares, square = sums[0], sums[1], sums[3]
    r, g, b = _color(sums)
    scatter = square / weights - (r * r + g * g + b * b)
    # A sum of weights says less than as many colours: too little scatter was seen, and the mean is uncertain itself.
    share = smaller(squares / (weights * weights), fill(_HALF))
    one = fill(_ONE)
    uncertain = (one + share) / (one - share)
    return larger(scatter, zero()) * fill(_THIRD) * uncertain + fill(np.float32(NOISE_VARIANCE))


@njit(cache=True, nogil=True)
def _color(sums):
    return sums[4] / sums[0], sums[5] / sums[0], sums[6] / sums[0]


@njit(cache=True, nogil=True)
def _dot(a, b):
    return fma_each(fma_each(a[0] * b[0], a[1], b[1]), a[2], b[2])


@njit(cache=True, nogil=True)
def _differ(a, b):
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


@njit(cache=True, nogil=True)
def _one_of(mask, a, b):
    return choose(mask, a[0], b[0]), choose(mask, a[1], b[1]), choose(mask, a[2], b[2])


@njit(cache=True, nogil=True, parallel=True)
def _unmix(blocks, width, planes, shapes, first, patches, places, found):
    """What the pixels of the blocks are made of (n, 9, 16); coverage NaN where nothing is found.

    It is told by the layers so far, in the ``first`` round the frame: its pixels have no backs.
    """
    across = (width + LANES - 1) // LANES
    edge_px = np.float32(EDGE_PX)
    for n in prange(len(blocks)):
        y, x = blocks[n] // across, blocks[n] % across * LANES
        thread = get_thread_id()
        at, patch, to = places[thread], patches[thread], address(found[n])
        # Not by a loop, which would look for the plane at run time.
        every, own = range(_ROWS), range(_AROUND, _AROUND + 1)
        behind = own if first else every
        _find_rows(planes[0], 1, y, x, every, patch[0], at[0])
        _find_rows(planes[1], 1, y, x, every, patch[1], at[1])
        _find_rows(planes[2], 1, y, x, every, patch[2], at[2])
        _find_rows(planes[3], 1, y, x, behind, patch[3], at[3])
        _find_rows(planes[4], 3, y, x, every, patch[4], at[4])
        _find_rows(planes[5], 3, y, x, behind, patch[5], at[5])
        _find_rows(planes[6], 1, y, x, own, patch[6], at[6])
        _find_rows(planes[7], 1, y, x, own, patch[7], at[7])
        _find_rows(planes[8], 1, y, x, own, patch[8], at[8])
        _find_rows(planes[9], 3, y, x, own, patch[9], at[9])
        _find_rows(planes[10], 3, y, x, own, patch[10], at[10])
        low, high = load(at[6, _AROUND] + 4 * _AROUND), load(at[7, _AROUND] + 4 * _AROUND)
        lowest, highest = low - fill(edge_px), high + fill(edge_px)
        middle = fill(_HALF) * (low + high)
        none = zero()
        near = far = (none, none, none, none, none, none, none)
        code, bit = zero(), _ONE
        for dy in range(_ROWS):
            for dx in range(_ROWS):
                j, i = dy - _AROUND, dx - _AROUND
                if abs(j) < 2 and abs(i) < 2:
                    code = code + choose(load(at[0, dy] + 4 * dx) > middle, fill(bit), zero())
                    bit *= np.float32(2.0)
                if j == 0 and i == 0:
                    continue
                near_by = fill(np.float32(1.0) / np.float32((j * j + i * i) ** 2))
                covered = load(at[1, dy] + 4 * dx)
                q, color = load(at[2, dy] + 4 * dx), load_pixels(at[4, dy] + 12 * dx)
                near, far = _add_sample(near, far, covered * near_by, q, color, lowest, middle, highest)
                if not first:
                    q, color = load(at[3, dy] + 4 * dx), load_pixels(at[5, dy] + 12 * dx)
                    left = (fill(_ONE) - covered) * near_by
                    near, far = _add_sample(near, far, left, q, color, lowest, middle, highest)
        store(to, code)
        for lane in range(LANES):
            found[n, 0, lane] = shapes[int(found[n, 0, lane])]
        prior, one = load(to), fill(_ONE)
        here = load(at[0, _AROUND] + 4 * _AROUND)
        known = load(at[8, _AROUND] + 4 * _AROUND) > zero()
        color, behind = load_pixels(at[9, _AROUND] + 12 * _AROUND), load_pixels(at[10, _AROUND] + 12 * _AROUND)
        own_near = here > middle
        f, b = _color(near), _one_of(own_near & known, behind, _color(far))
        variance_f = _variance(near)
        variance_b = choose(own_near & known, fill(np.float32(NOISE_VARIANCE)), _variance(far))
        apart, rest = _differ(f, b), one - prior
        trust = prior * prior * variance_f + rest * rest * variance_b
        coverage = (_dot(_differ(color, b), apart) / trust + prior * fill(_TRUST)) / (
            _dot(apart, apart) / trust + fill(_TRUST)
        )
        least, most = choose(own_near, fill(_LEAST_NEAR), zero()), choose(own_near, one, fill(_MOST_FAR))
        coverage = smaller(larger(coverage, least), most)
        # Share the misfit by the variances, then make the compositing equation exact with both colours >= 0.
        rest = one - coverage
        spread = coverage * coverage * variance_f + rest * rest * variance_b
        share = coverage * variance_f / spread
        for c in range(3):
            misfit = color[c] - coverage * f[c] - rest * b[c]
            front = larger(f[c] + share * misfit, zero())
            front = choose(coverage > zero(), smaller(front, larger(color[c], zero()) / coverage), front)
            store(to + BYTES * c, front)
            back = choose(coverage < fill(_ALL), (color[c] - coverage * front) / rest, b[c])
            store(to + BYTES * (5 + c), back)
        both = (near[0] > zero()) & (far[0] > zero())
        store(to + 3 * BYTES, choose(both, coverage, fill(np.float32(np.nan))))
        store(to + 4 * BYTES, choose(own_near, here, near[2] / near[0]))
        back_q = choose(known, load(at[3, _AROUND] + 4 * _AROUND), far[2] / far[0])
        store(to + 8 * BYTES, choose(own_near, back_q, here))


@njit(cache=True, nogil=True, parallel=True)
def _take_over(blocks, edge, found, f_rgb, f_cov, f_q, b_rgb, b_cov, b_q):
    width = edge.shape[1]
    across = (width + LANES - 1) // LANES
    for n in prange(len(blocks)):
        y, left = blocks[n] // across, blocks[n] % across * LANES
        for lane in range(min(LANES, width - left)):
            x = left + lane
            if edge[y, x] and not np.isnan(found[n, 3, lane]):
                for c in range(3):
                    f_rgb[y, x, c], b_rgb[y, x, c] = found[n, c, lane], found[n, 5 + c, lane]
                f_cov[y, x], f_q[y, x] = found[n, 3, lane], found[n, 4, lane]
                b_cov[y, x], b_q[y, x] = np.float32(1.0), found[n, 8, lane]
