"""Once per scene: split the frame into what is seen (front) and what stands behind it at depth edges (back).

An all-in-focus pixel at a depth edge mixes two surfaces, while its depth names one. Left mixed, a blurred edge carries
the other surface's colour with it. So each edge pixel is un-mixed into a front colour F with coverage a and a back
colour B

    C = a F + (1 - a) B                                   (compositing equation, exact: in focus nothing changes)

with F and B estimated from the pixels around it on either side, and a by maximum a posteriori between what the colours
say and what the shape of the depth edge says: the mean coverage of the straight edges that part the 3 x 3 depth samples
around as they are. Two rounds: first the pure pixels around tell the colours, then also the mixed ones, by what the
first round has found them to be made of; they are nearer. Behind front pixels that a lens can see past, the back is the
source's own hidden surface where it knows one, else an average of the nearest farther pixels (highlights damped, since
an invented highlight shows as a bokeh disc).

Disparity here is q = g/d, in pixels of blur per dioptre of defocus times gain: the blur of a point is |g/s - q|.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

# Neighbours whose blur differs by more than this (pixels of diameter) belong to different surfaces.
EDGE_PX = 0.5
MIXED = 0.02  # what a mixed pixel counts before it is known what it is made of
COVERAGE_STD = 0.083  # how far the true coverage lies from edge_coverage, root mean square over straight edges
NOISE_VARIANCE = 1e-4  # of linear colour: keeps flat, equal colours from deciding a coverage


@dataclass(frozen=True, slots=True)
class Layers:
    """Front and back samples of every pixel; coverage 0 = no sample. H x W, all float32.

    front_rgb, back_rgb            (H, W, 3) linear light
    front_coverage, back_coverage  (H, W) share of the pixel, 0..1
    front_disparity_px, back_disparity_px  (H, W) q = g/d
    """

    front_rgb: NDArray[np.float32]
    front_coverage: NDArray[np.float32]
    front_disparity_px: NDArray[np.float32]
    back_rgb: NDArray[np.float32]
    back_coverage: NDArray[np.float32]
    back_disparity_px: NDArray[np.float32]


def lens_reach_px(low_px: float, high_px: float) -> int:
    """How far behind the edge of a surface at disparity ``high_px`` some part of the lens sees one at ``low_px``."""
    return int(np.ceil((high_px - low_px) / 2)) + 1


def split_layers(
    rgb: NDArray[np.float32],
    disparity_px: NDArray[np.float32],
    hidden_rgb: NDArray[np.float32] | None = None,
    hidden_disparity_px: NDArray[np.float32] | None = None,
    reach_px: int | None = None,
) -> Layers:
    """Split a frame (H, W, 3), (H, W) into front and back. ``hidden_disparity_px`` is NaN where nothing is known.

    Backs are sought as far as ``reach_px``, for a part of a frame that of the whole (:func:`lens_reach_px`).
    """
    box = np.ones((3, 3), np.uint8)
    low, high = cv2.erode(disparity_px, box), cv2.dilate(disparity_px, box)
    edge = high - low > EDGE_PX
    layers = Layers(
        rgb.copy(),
        np.ones_like(disparity_px),
        disparity_px.copy(),
        np.zeros_like(rgb),
        np.zeros_like(disparity_px),
        np.zeros_like(disparity_px),
    )
    if hidden_rgb is not None and hidden_disparity_px is not None:
        known = np.flatnonzero(hidden_disparity_px < disparity_px)  # which NaN is not
        layers.back_rgb.reshape(-1, 3)[known] = hidden_rgb.reshape(-1, 3)[known]
        layers.back_coverage.ravel()[known] = 1.0
        layers.back_disparity_px.ravel()[known] = hidden_disparity_px.ravel()[known]
    if edge.any():
        fields = [getattr(layers, name) for name in Layers.__slots__]
        places = np.flatnonzero(edge)
        behind = layers.back_coverage.ravel()[places] > 0, layers.back_rgb.reshape(-1, 3)[places]
        samples = fields[:4] + fields[5:]
        scene = rgb, disparity_px, low, high, edge, edge_coverage(), *behind
        for first in (True, False):
            found = _unmix_edges(places, *scene, first, *samples)
            _take_over(places, found, *fields)
        if reach_px is None:
            reach_px = lens_reach_px(float(disparity_px.min()), float(disparity_px.max()))
        window = np.ones((2 * reach_px + 1, 2 * reach_px + 1), np.uint8)
        farthest = cv2.erode(disparity_px, window)
        _fill_back(disparity_px, farthest, edge, layers.front_rgb, *fields[3:])
    return layers


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
def _add(sums, color, disparity, weight, lowest, middle, highest):
    """Add a sample to the sums of what is near or of what is far, unless it is neither surface's."""
    if lowest < disparity < highest:
        side = sums[0 if disparity > middle else 1]
        side[0] += weight
        side[1] += weight**2
        side[2] += weight * disparity
        side[3] += weight * (color[0] ** 2 + color[1] ** 2 + color[2] ** 2)
        for c in range(3):
            side[4 + c] += weight * color[c]


@njit(cache=True, nogil=True)
def _variance(sums):
    """Of a colour yet unseen among those that are summed up, a channel."""
    scatter = sums[3] / sums[0]
    for c in range(3):
        scatter -= (sums[4 + c] / sums[0]) ** 2
    # A sum of weights says less than as many colours: too little scatter was seen, and the mean is uncertain itself.
    share = min(sums[1] / sums[0] ** 2, np.float32(0.5))
    return max(scatter, np.float32(0.0)) / 3 * (1 + share) / (1 - share) + NOISE_VARIANCE


@njit(cache=True, nogil=True, parallel=True)
def _unmix_edges(places, rgb, q, low, high, edge, shapes, known, known_rgb, first, f_rgb, f_cov, f_q, b_rgb, b_q):
    """What the pixels at ``places`` are made of, (n, 9): front colour, coverage and disparity, back colour and
    disparity; coverage NaN where nothing is found. It is told by the layers so far, in the ``first`` round the frame.
    """
    height, width = q.shape
    found = np.full((len(places), 9), np.nan, np.float32)
    for n in prange(len(places)):
        y, x = places[n] // width, places[n] % width
        lowest, highest = low[y, x] - EDGE_PX, high[y, x] + EDGE_PX
        middle = 0.5 * (low[y, x] + high[y, x])
        code = 0
        # Of what is near and of what is far: weights, their squares, disparity, squared colour, colour.
        sums = np.zeros((2, 7), np.float32)
        for dy in range(-2, 3):
            for dx in range(-2, 3):
                yy, xx = min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)
                if abs(dy) < 2 and abs(dx) < 2 and q[yy, xx] > middle:
                    code |= 1 << (3 * dy + dx + 4)
                if dy == 0 and dx == 0:
                    continue
                near_by = np.float32(1.0) / np.float32((dy * dy + dx * dx) ** 2)
                covered = np.float32(MIXED) if first and edge[yy, xx] else f_cov[yy, xx]
                _add(sums, f_rgb[yy, xx], f_q[yy, xx], covered * near_by, lowest, middle, highest)
                if not first and covered < 1:
                    _add(sums, b_rgb[yy, xx], b_q[yy, xx], (1 - covered) * near_by, lowest, middle, highest)
        near, far = sums
        if near[0] == 0.0 or far[0] == 0.0:
            continue
        own_near = q[y, x] > middle
        variance_f, variance_b = _variance(near), _variance(far)
        f, b = near[4:] / near[0], far[4:] / far[0]
        if own_near and known[n]:
            b[:] = known_rgb[n]
            variance_b = NOISE_VARIANCE
        prior = float(shapes[code])
        along = 0.0
        contrast = 0.0
        for c in range(3):
            along += (rgb[y, x, c] - b[c]) * (f[c] - b[c])
            contrast += (f[c] - b[c]) ** 2
        trust = float(prior**2 * variance_f + (1.0 - prior) ** 2 * variance_b)
        coverage = (along / trust + prior / COVERAGE_STD**2) / (contrast / trust + 1.0 / COVERAGE_STD**2)
        # The depth sample at the pixel's centre says which surface holds about half of it or more.
        coverage = min(max(coverage, 0.3), 1.0) if own_near else min(max(coverage, 0.0), 0.7)
        # Share the misfit by the variances, then make the compositing equation exact with both colours >= 0.
        spread = coverage**2 * variance_f + (1.0 - coverage) ** 2 * variance_b
        for c in range(3):
            misfit = rgb[y, x, c] - coverage * f[c] - (1.0 - coverage) * b[c]
            front = max(f[c] + coverage * variance_f / spread * misfit, 0.0)
            if coverage > 0.0:
                front = min(front, max(rgb[y, x, c], 0.0) / coverage)
            found[n, c] = front
            found[n, 5 + c] = (rgb[y, x, c] - coverage * front) / (1.0 - coverage) if coverage < 0.999 else b[c]
        found[n, 3] = coverage
        found[n, 4] = q[y, x] if own_near else near[2] / near[0]
        found[n, 8] = q[y, x] if not own_near else b_q[y, x] if known[n] else far[2] / far[0]
    return found


@njit(cache=True, nogil=True, parallel=True)
def _take_over(places, found, f_rgb, f_cov, f_q, b_rgb, b_cov, b_q):
    width = f_q.shape[1]
    for n in prange(len(places)):
        y, x = places[n] // width, places[n] % width
        if not np.isnan(found[n, 3]):
            for c in range(3):
                f_rgb[y, x, c], b_rgb[y, x, c] = found[n, c], found[n, 5 + c]
            f_cov[y, x], f_q[y, x] = found[n, 3], found[n, 4]
            b_cov[y, x], b_q[y, x] = np.float32(1.0), found[n, 8]


@njit(cache=True, nogil=True, parallel=True)
def _fill_back(q, farthest, edge, f_rgb, b_rgb, b_cov, b_q):
    """Give every front pixel that some part of the lens sees past a back sample, where it has none yet."""
    height, width = q.shape
    had_back = b_cov > 0.0
    for y in prange(height):
        for x in range(width):
            if had_back[y, x] or q[y, x] - farthest[y, x] <= EDGE_PX:
                continue
            # A sample t pixels behind an edge is seen by no point of the lens if t > (q - q_far) / 2.
            reach = int((q[y, x] - farthest[y, x]) / 2 + 1.0)
            best = reach * reach + 1
            q_near = np.float32(0.0)
            for dy in range(-reach, reach + 1):
                yy = y + dy
                if yy < 0 or yy >= height:
                    continue
                for dx in range(-reach, reach + 1):
                    xx = x + dx
                    if xx < 0 or xx >= width or dy * dy + dx * dx >= best:
                        continue
                    behind = b_q[yy, xx] if edge[yy, xx] and had_back[yy, xx] else q[yy, xx]
                    if behind < q[y, x] - EDGE_PX:
                        best = dy * dy + dx * dx
                        q_near = behind
            if best > reach * reach:
                continue
            radius = int(np.sqrt(best) + 1.5)
            total = np.float32(0.0)
            weights = np.float32(0.0)
            for dy in range(-radius, radius + 1):
                yy = y + dy
                if yy < 0 or yy >= height:
                    continue
                for dx in range(-radius, radius + 1):
                    xx = x + dx
                    square = dy * dy + dx * dx
                    if xx < 0 or xx >= width or square == 0 or square > radius * radius:
                        continue
                    mixed = edge[yy, xx] and had_back[yy, xx]
                    behind = b_q[yy, xx] if mixed else q[yy, xx]
                    if behind >= q[y, x] - EDGE_PX or abs(behind - q_near) >= 2 * EDGE_PX:
                        continue
                    color = b_rgb[yy, xx] if mixed else f_rgb[yy, xx]
                    weight = np.float32(1.0 / square)
                    weight /= 1 + max(color[0], max(color[1], color[2]))
                    weights += weight
                    total += weight * behind
                    for c in range(3):
                        b_rgb[y, x, c] += weight * color[c]
            if weights > 0.0:
                for c in range(3):
                    b_rgb[y, x, c] /= weights
                b_q[y, x] = total / weights
                b_cov[y, x] = 1.0
