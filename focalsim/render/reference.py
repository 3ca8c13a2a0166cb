"""The slow path, to be read: the same light, one lens point at a time.

Every lens point sees a pinhole view: a sample of blur c lands at x + u c / 2 unless something nearer stands on its ray.
The slice is the mean of the views. No kernel table, no polynomial, no levels; the fast path is tested against this.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.render.interpolation import SUPPORT_PX, keys6
from focalsim.render.layers import Layers
from focalsim.render.scatter import ENOUGH, LEAST
from focalsim.render.unmix import EDGE_PX
from focalsim.render.visibility import ALL


def render_slice(layers: Layers, focus_disparity_px: float, lens_points: NDArray[np.float64]) -> NDArray[np.float64]:
    """One slice (H, W, 3) of ``layers`` as seen through ``lens_points`` (n, 2) on the unit disc; borders replicated."""
    height, width = layers.front_coverage.shape
    reach = max(
        float(np.ptp(layers.front_disparity_px)),
        *(float(np.abs(focus_disparity_px - q).max()) for q in (layers.front_disparity_px, layers.back_disparity_px)),
    )
    pad = int(np.ceil(reach / 2)) + SUPPORT_PX + 1

    def grow(a: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.pad(a.astype(np.float64), [(pad, pad), (pad, pad)] + [(0, 0)] * (a.ndim - 2), mode="edge")

    f_q, f_cov = grow(layers.front_disparity_px), grow(layers.front_coverage)

    def spread(color: NDArray[Any], coverage: NDArray[Any], q: NDArray[Any], seen: list[NDArray[Any]]) -> NDArray[Any]:
        light = np.concatenate([color, np.ones_like(color[..., :1])], axis=-1) * coverage[..., None]
        total, blur = np.zeros_like(light), focus_disparity_px - q
        for u, share in zip(lens_points, seen, strict=True):
            _splat(total, light * share[..., None], u[0] * blur / 2, u[1] * blur / 2)
        within: NDArray[Any] = total[pad : pad + height, pad : pad + width] / len(lens_points)
        return within

    f_rgb, b_rgb, b_cov, b_q = (
        grow(a) for a in (layers.front_rgb, layers.back_rgb, layers.back_coverage, layers.back_disparity_px)
    )
    seen = [_unblocked(f_q, f_q, f_cov, u) for u in lens_points]
    by_all = np.min(seen, axis=0) >= ALL
    mixed = spread(f_rgb, np.where(by_all, f_cov, 0.0), f_q, seen)
    past = spread(f_rgb, np.where(by_all, 0.0, f_cov), f_q, seen)
    back = spread(b_rgb, b_cov, b_q, [_unblocked(b_q, f_q, f_cov, u) for u in lens_points])
    # The shares of scatter.shares.
    mixed = mixed + np.clip(_left(mixed) / np.maximum(past[..., 3:], LEAST), 0.0, 1.0) * past
    behind = back[..., 3:]
    mixed = mixed + np.where(behind > ENOUGH, _left(mixed) / np.maximum(behind, ENOUGH), 0.0) * back
    color: NDArray[np.float64] = mixed[..., :3] / np.maximum(mixed[..., 3:], ENOUGH)
    return color


def _left(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """What light and coverage (H, W, 4) leave uncovered (H, W, 1)."""
    return np.clip(1.0 - sums[..., 3:], 0.0, None)


def _unblocked(
    q: NDArray[np.float64], f_q: NDArray[np.float64], f_cov: NDArray[np.float64], u: NDArray[np.float64]
) -> NDArray[np.float64]:
    """V(u) of every sample: one minus the front's coverage where the sample's ray crosses the front."""
    height, width = q.shape
    reach = int(np.ceil(np.ptp(f_q) / 2)) + 1
    blocked = np.zeros_like(q)
    rows, columns = np.mgrid[:height, :width]
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            pick = np.clip(rows + dy, 0, height - 1), np.clip(columns + dx, 0, width - 1)
            gap = f_q[pick] - q
            tent_x = np.clip(1 - np.abs(dx - u[0] * gap / 2), 0, None)
            tent_y = np.clip(1 - np.abs(dy - u[1] * gap / 2), 0, None)
            blocked += np.where(gap > EDGE_PX, f_cov[pick] * tent_x * tent_y, 0.0)
    return np.clip(1.0 - blocked, 0.0, None)


def _splat(
    total: NDArray[np.float64], light: NDArray[np.float64], x_px: NDArray[np.float64], y_px: NDArray[np.float64]
) -> None:
    """Add light (H, W, 4), moved by (x_px, y_px), through the interpolating kernel; the rest is dropped."""
    height, width = x_px.shape
    some = light[..., 3] > 0
    light, x_px, y_px = light[some], x_px[some], y_px[some]
    rows, columns = np.nonzero(some)
    base_x, base_y = np.floor(x_px).astype(int), np.floor(y_px).astype(int)
    for j in range(1 - SUPPORT_PX, SUPPORT_PX + 1):
        for i in range(1 - SUPPORT_PX, SUPPORT_PX + 1):
            weight = keys6(base_x + i - x_px) * keys6(base_y + j - y_px)
            y, x = rows + base_y + j, columns + base_x + i
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            np.add.at(total, (y[inside], x[inside]), (light * weight[..., None])[inside])
