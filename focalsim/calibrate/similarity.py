"""Similarities of the plane as complex numbers: z = a w + b, |a| the scale, arg a the rotation, b the shift."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex128]
_ROUNDS = 5
_LEAST_SHARED = 4
_UNSEEN = complex(np.nan, np.nan)
_GROSS = 6.0  # a point this many median residuals off is misplaced, not noisy


def fit_similarity(source: Complex, target: Complex) -> tuple[complex, complex, float]:
    """a, b of the least squares |a source + b - target|^2, and the residual's rms, without grossly misplaced points."""
    keep = np.ones(len(source), bool)
    for _ in range(2):
        centre, middle = source[keep].mean(), target[keep].mean()
        w, z = source[keep] - centre, target[keep] - middle
        a = complex(np.vdot(w, z) / np.vdot(w, w).real)
        b = complex(middle - a * centre)
        residual = np.abs(a * source + b - target)
        keep = residual <= max(_GROSS * float(np.median(residual)), 1e-9)
    return a, b, float(np.sqrt(np.mean(residual[keep] ** 2)))


def common_geometry(
    index: Sequence[NDArray[np.intp]], places: Sequence[Complex], count: int
) -> tuple[Complex, Complex, Complex, NDArray[np.float64]]:
    """One geometry (count,) whose similar copies all captures show, their a and b (N,), and the residuals' rms (N,).

    Capture n shows the points ``index[n]`` at ``places[n]``. Unseen points are NaN. The geometry is the median of all
    captures brought back, in the place and size of the one that shows the most points. A residual is infinite where
    a capture shares too few points with the others.
    """
    n = len(index)
    a, b = np.ones(n, np.complex128), np.zeros(n, np.complex128)
    rms = np.zeros(n)
    first = int(np.argmax([len(i) for i in index]))
    geometry = np.full(count, _UNSEEN)
    geometry[index[first]] = places[first]
    for _ in range(_ROUNDS):
        back = np.full((n, count), _UNSEEN)
        for k in range(n):
            known = ~np.isnan(geometry[index[k]])
            if known.sum() < _LEAST_SHARED:  # it may share more in the next round, else it stays unfitted
                rms[k] = np.inf
                continue
            a[k], b[k], rms[k] = fit_similarity(geometry[index[k]][known], places[k][known])
            back[k, index[k]] = (places[k] - b[k]) / a[k]
        seen = ~np.isnan(back).all(axis=0)
        middle = np.nanmedian(back.real[:, seen], axis=0) + 1j * np.nanmedian(back.imag[:, seen], axis=0)
        # Place and size would drift a little; those of the first capture hold them.
        geometry[seen] = a[first] * middle + b[first]
    return geometry, a, b, rms


def chain_similarities(pairs: NDArray[np.intp], a: Complex, b: Complex, weights: NDArray[np.float64]) -> Complex:
    """A, B (2, N) of z_n = A_n z_0 + B_n that agree best with z_j = a z_i + b, (i, j) the rows of ``pairs``.

    log A_j - log A_i = log a is linear, and so is B_j - a B_i = b. Both are solved for the least weighted sum
    of absolute residuals, so that a few wrong pairs do no harm. The pairs must connect all slices.
    """
    n, m = int(pairs.max()) + 1, len(pairs)
    rows = np.arange(m)
    design = np.zeros((m, n), np.complex128)
    design[rows, pairs[:, 1]] = 1
    design[rows, pairs[:, 0]] = -1
    scale = np.exp(np.concatenate([[0], _least_absolute(design[:, 1:], np.log(a), weights)]))
    design[rows, pairs[:, 0]] = -a
    shift = np.concatenate([[0], _least_absolute(design[:, 1:], b, weights)])
    return np.stack([scale, shift])


def _least_absolute(design: Complex, value: Complex, weights: NDArray[np.float64]) -> Complex:
    solution = np.zeros(design.shape[1], np.complex128)
    w = weights.copy()
    for _ in range(20):
        root = np.sqrt(w)
        solution[:] = np.linalg.lstsq(root[:, None] * design, root * value, rcond=None)[0]
        residual = np.abs(design @ solution - value)
        w = weights / np.maximum(residual, max(0.1 * float(np.median(residual)), 1e-9))
    return solution
