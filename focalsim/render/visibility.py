"""Once per scene: which part of the lens sees each sample.

A sample at pixel x with disparity q is hidden from the lens point u (|u| <= 1) by a front sample at pixel x', q' > q,
that stands on the same ray, whatever the focus:  x' = x + u (q' - q) / 2.  So

    V(u) = 1 - sum over x' of  a(x') tent(x' - x - u (q' - q) / 2),   clipped to >= 0,

a the front's coverage, tent the bilinear kernel. V is sampled on 37 lens points and kept as the polynomial of second
order of kernels.lens_basis that fits best. Each ray is thereby counted once: slices are plain sums without an order.
"""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from focalsim.render.kernels import lens_basis
from focalsim.render.layers import EDGE_PX


def lens_points() -> NDArray[np.float64]:
    """37 points (37, 2) that share the unit disc evenly: the centre and rings of 6, 12 and 18."""
    points = [np.zeros((1, 2))]
    for ring in (1, 2, 3):
        angle = 2 * np.pi * (np.arange(6 * ring) + 0.5 * (ring % 2)) / (6 * ring)
        radius = np.sqrt((3 * ring * ring + 0.5) / 37.0)
        points.append(radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1))
    return np.concatenate(points)


def lens_visibility(
    disparity_px: NDArray[np.float32],
    present: NDArray[np.bool_],
    front_disparity_px: NDArray[np.float32],
    front_coverage: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Visibility (H, W, 6) of the samples ``present`` (H, W) as lens_basis coefficients, and where it is not all.

    ``disparity_px`` (H, W) belongs to the samples, ``front_*`` (H, W) to what may stand before them.
    """
    points = lens_points()
    fit = np.linalg.pinv(lens_basis(points)).astype(np.float32)  # (6, 37)
    coefficients = np.zeros((*disparity_px.shape, 6), np.float32)
    coefficients[..., 0] = 1.0
    partial = np.zeros(disparity_px.shape, np.bool_)
    if not present.any():
        return coefficients, partial
    reach = int(np.ceil((front_disparity_px.max() - disparity_px[present].min()) / 2)) + 1
    nearest = cv2.dilate(front_disparity_px, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    _visibility(
        disparity_px,
        present & (nearest - disparity_px > EDGE_PX),
        nearest,
        front_disparity_px,
        front_coverage,
        np.ascontiguousarray(points[:, 0] / 2, dtype=np.float32),
        np.ascontiguousarray(points[:, 1] / 2, dtype=np.float32),
        fit,
        coefficients,
        partial,
    )
    return coefficients, partial


@njit(cache=True, nogil=True, parallel=True)
def _visibility(q, todo, nearest, f_q, f_cov, ux, uy, fit, coefficients, partial):
    height, width = q.shape
    n = len(ux)
    one = np.float32(1.0)
    zero = np.float32(0.0)
    for y in prange(height):
        seen = np.empty(n, np.float32)
        for x in range(width):
            if not todo[y, x]:
                continue
            own = q[y, x]
            reach = int((nearest[y, x] - own) / 2 + 1.5)
            seen[:] = one
            blocked = False
            for yy in range(max(y - reach, 0), min(y + reach + 1, height)):
                for xx in range(max(x - reach, 0), min(x + reach + 1, width)):
                    gap = f_q[yy, xx] - own
                    if gap <= EDGE_PX:
                        continue
                    dx = np.float32(xx - x)
                    dy = np.float32(yy - y)
                    if dx * dx + dy * dy > (gap / 2 + 1.42) ** 2:
                        continue
                    blocked = True
                    coverage = f_cov[yy, xx]
                    for m in range(n):
                        tent_x = max(one - abs(dx - ux[m] * gap), zero)
                        tent_y = max(one - abs(dy - uy[m] * gap), zero)
                        seen[m] -= coverage * tent_x * tent_y
            if not blocked:
                continue
            for m in range(n):
                seen[m] = max(seen[m], zero)
                if seen[m] < np.float32(0.97):
                    partial[y, x] = True
            if partial[y, x]:
                for k in range(6):
                    value = zero
                    for m in range(n):
                        value += fit[k, m] * seen[m]
                    coefficients[y, x, k] = value
