"""The breathing warp: one separable resampling, area-exact, for zoom, shift and change of size together.

A pixel is the average of the scene over its area, so the sums of pixels along a row are exact samples of the scene's
primitive at the pixel borders. The primitive is interpolated (Lanczos, 4 lobes, normalised) and differenced over each
output pixel's own footprint: the result is again the average over the pixel's area, whatever the scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

LOBES = 4
_ROWS = 8  # rows handled together in the horizontal pass


@dataclass(frozen=True, slots=True)
class AxisMap:
    """Source coordinate of output pixel j along one axis:  x = slope j + offset  (pixel centres at integers)."""

    slope: float
    offset: float
    n_out: int
    n_in: int

    @property
    def identity(self) -> bool:
        """True where nothing moves."""
        return self.slope == 1.0 and self.offset == 0.0 and self.n_out == self.n_in

    def nearest(self) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Index of the source pixel nearest to each output pixel's centre, and whether it lies inside the source."""
        x = np.rint(self.slope * np.arange(self.n_out) + self.offset).astype(np.intp)
        return np.clip(x, 0, self.n_in - 1), (x >= 0) & (x < self.n_in)

    def weights(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Source indices and weights, both (n_out, taps); borders are replicated."""
        x = self.slope * np.arange(self.n_out) + self.offset
        half = self.slope / 2
        first = np.floor(x - half).astype(int) - LOBES
        taps = int(np.ceil(self.slope)) + 2 * LOBES + 2
        pixels = first[:, None] + np.arange(taps)
        borders = first[:, None] + np.arange(taps + 1) - 0.5
        rise = _lanczos((x + half)[:, None] - borders) - _lanczos((x - half)[:, None] - borders)
        # The primitive at border i holds all pixels before it, so pixel k takes the rise of every border after it.
        after = np.cumsum(rise[:, ::-1], axis=1)[:, ::-1][:, 1:]
        weights = after / after.sum(axis=1, keepdims=True)
        return np.clip(pixels, 0, self.n_in - 1).astype(np.int32), weights.astype(np.float32)


def _lanczos(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """Lanczos kernel at border distances (n, taps), normalised so that each row sums to one."""
    values = np.where(np.abs(x) < LOBES, np.sinc(x) * np.sinc(x / LOBES), 0.0)
    normalised: NDArray[np.float64] = values / values.sum(axis=1, keepdims=True)
    return normalised


def breathing_map(
    source_size: tuple[int, int],
    output_size: tuple[int, int],
    magnification: float,
    principal_point_px: tuple[float, float],
) -> tuple[AxisMap, AxisMap]:
    """Maps of the two axes (x, y) for sizes (W, H): the source, reduced to the output's scale, is zoomed about its
    centre by ``magnification`` and moved by ``principal_point_px`` output pixels. One scale serves both axes.
    """
    scale = source_scale(source_size, output_size)
    slope = scale / magnification
    x, y = (
        AxisMap(slope, (n_in - 1) / 2 - slope * ((n_out - 1) / 2 + shift), n_out, n_in)
        for n_in, n_out, shift in zip(source_size, output_size, principal_point_px, strict=True)
    )
    return x, y


def source_scale(source_size: tuple[int, int], output_size: tuple[int, int]) -> float:
    """Source pixels per output pixel, the same along both axes."""
    return min(source_size[0] / output_size[0], source_size[1] / output_size[1])


def resample(image: NDArray[np.float32], x: AxisMap, y: AxisMap) -> NDArray[np.float32]:
    """Resample linear light (H, W, 3) float32 to (y.n_out, x.n_out, 3)."""
    if x.identity and y.identity:
        return image
    result: NDArray[np.float32] = _resample(np.ascontiguousarray(image), *x.weights(), *y.weights())
    return result


@njit(cache=True, nogil=True, parallel=True)
def _resample(image, index_x, weight_x, index_y, weight_y):
    width = image.shape[1]
    n_y, n_x = len(index_y), len(index_x)
    result = np.empty((n_y, n_x, 3), np.float32)
    for block in prange((n_y + _ROWS - 1) // _ROWS):
        start = block * _ROWS
        rows = min(_ROWS, n_y - start)
        row = np.empty(3 * width, np.float32)
        columns = np.zeros((width, 3 * _ROWS), np.float32)
        for r in range(rows):
            row[:] = 0.0
            for t in range(index_y.shape[1]):
                weight = weight_y[start + r, t]
                source = image[index_y[start + r, t]].reshape(-1)
                for i in range(3 * width):
                    row[i] += weight * source[i]
            for i in range(width):
                for c in range(3):
                    columns[i, 3 * r + c] = row[3 * i + c]
        total = np.empty(3 * _ROWS, np.float32)
        for j in range(n_x):
            total[:] = 0.0
            for t in range(index_x.shape[1]):
                weight = weight_x[j, t]
                column = columns[index_x[j, t]]
                for i in range(3 * _ROWS):
                    total[i] += weight * column[i]
            for r in range(rows):
                for c in range(3):
                    result[start + r, j, c] = total[3 * r + c]
    return result
