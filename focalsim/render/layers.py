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

import cv2
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from focalsim.render.unmix import EDGE_PX, find_edges, unmix

_BESIDE_EDGE_PX = 3.0  # an edge is two pixels wide, and the surface before it may slope


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
    low, high, edge = find_edges(disparity_px)
    layers = Layers(*(np.empty_like(like) for like in 2 * (rgb, disparity_px, disparity_px)))
    fields = [getattr(layers, name) for name in Layers.__slots__]
    _all_in_front(*(rows.reshape(len(rows), -1) for rows in (rgb, disparity_px, *fields)))
    if hidden_rgb is not None and hidden_disparity_px is not None:
        # What lies nearer behind it nothing would hide: visibility.py takes both for one surface. And what lies farther
        # from the edge of what hides it than any ray reaches takes longest to be looked at, in vain.
        gap = disparity_px - hidden_disparity_px
        away = cv2.distanceTransform((~edge).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
        known = np.flatnonzero((gap > EDGE_PX) & (away <= gap / 2 + _BESIDE_EDGE_PX))
        layers.back_rgb.reshape(-1, 3)[known] = hidden_rgb.reshape(-1, 3)[known]
        layers.back_coverage.ravel()[known] = 1.0
        layers.back_disparity_px.ravel()[known] = hidden_disparity_px.ravel()[known]
    if edge.any():
        unmix(rgb, disparity_px, low, high, edge, hidden_rgb, *fields)
        if reach_px is None:
            reach_px = lens_reach_px(float(disparity_px.min()), float(disparity_px.max()))
        window = np.ones((2 * reach_px + 1, 2 * reach_px + 1), np.uint8)
        farthest = cv2.erode(disparity_px, window)
        _fill_back(disparity_px, farthest, edge, layers.front_rgb, *fields[3:])
    return layers


@njit(cache=True, nogil=True, parallel=True)
def _all_in_front(rgb, q, f_rgb, f_cov, f_q, b_rgb, b_cov, b_q):
    for y in prange(len(q)):
        _one_surface(rgb[y], f_rgb[y], b_rgb[y])
        _one_surface(q[y], f_q[y], b_q[y])
        for x in range(q.shape[1]):
            f_cov[y, x], b_cov[y, x] = np.float32(1.0), np.float32(0.0)


@njit(cache=True, nogil=True)
def _one_surface(row, front, back):
    """By a loop: an assignment minds that the two might overlap, and takes three times as long."""
    for i in range(len(row)):
        front[i], back[i] = row[i], np.float32(0.0)


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
