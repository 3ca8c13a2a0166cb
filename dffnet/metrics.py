"""The measures, one definition each. All take one image (H, W) and are tested on wrong predictions too.

Let p be the prediction, t the truth, over the valid pixels of one image:

    mae       mean |p - t|                     abs_rel  mean |p - t| / t
    mse       mean (p - t)^2                   sq_rel   mean (p - t)^2 / t
    rmse      sqrt(mse)                        delta_k  fraction with p > 0 and max(p/t, t/p) < 1.25^k
    log_rmse  sqrt(mean (ln p - ln t)^2); infinite where any p <= 0, for no number would be right
    bumpiness 100 mean min(0.05, |Hessian of p - t|_F), Scharr twice (Honauer et al. 2016)

A data set is summed up twice: over images (each counts once) and over pixels. A non-finite prediction makes
the measures of its image, and so the averages, non-finite (delta counts it as wrong); ``non_finite`` and
``non_positive`` say how large a fraction of pixels that was.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

Floats = NDArray[np.floating]

MEASURES = (
    "mae", "mse", "rmse", "log_rmse", "abs_rel", "sq_rel", "delta_1", "delta_2", "delta_3", "bumpiness",
    "non_finite", "non_positive",
)  # fmt: skip
_ROOT_OF = {"rmse": "mse", "log_rmse": "log_mse"}  # measures that are roots of a mean over pixels

COVERAGES = tuple(k / 10 for k in range(1, 11))  # of the risk-coverage curve
_SSIM_WINDOW = 11
_BUMPINESS_CLIP, _BUMPINESS_FACTOR = 0.05, 100.0
# Scale of the 4D Light Field benchmark, whose numbers are the published ones: a slope of 1 per pixel gives 2.
_SCHARR = np.outer([3.0, 10.0, 3.0], [-1.0, 0.0, 1.0]) / 16.0


def depth_measures(prediction: Floats, truth: Floats, valid: NDArray[np.bool_]) -> dict[str, float]:
    """All ``MEASURES`` of one image, and its number of valid ``pixels``. Arrays (H, W), one unit.

    Raises ValueError as :func:`pixel_measures`.

    >>> truth = np.full((8, 8), 2.0)
    >>> measures = depth_measures(truth + 0.5, truth, truth > 0)
    >>> measures["mae"], measures["abs_rel"], measures["delta_1"], measures["pixels"]
    (0.5, 0.25, 0.0, 64.0)
    """
    return {**pixel_measures(prediction, truth, valid), "bumpiness": bumpiness(prediction, truth, valid)}


def pixel_measures(prediction: Floats, truth: Floats, valid: NDArray[np.bool_]) -> dict[str, float]:
    """As :func:`depth_measures`, without bumpiness, the one that looks at neighbours: for any set of pixels.

    Raises ValueError for arrays of different shapes, an empty mask, and a truth that is no depth where valid.
    """
    if not prediction.shape == truth.shape == valid.shape:
        raise ValueError(f"shapes differ: prediction {prediction.shape}, truth {truth.shape}, valid {valid.shape}")
    if not valid.any():
        raise ValueError("an image without valid pixels has no measures")
    p, t = np.asarray(prediction, np.float64)[valid], np.asarray(truth, np.float64)[valid]
    if not (np.isfinite(t) & (t > 0)).all():
        raise ValueError("the truth must be finite and positive where valid")
    finite, positive = np.isfinite(p), p > 0
    with np.errstate(all="ignore"):  # what cannot be computed comes out as inf or NaN, on purpose
        error = p - t
        ratio = np.where(finite & positive, np.maximum(p / t, t / p), np.inf)
        log_error = np.where(positive | np.isnan(p), np.log(np.where(positive, p, np.nan)) - np.log(t), np.inf)
        means = {
            "mae": np.abs(error).mean(),
            "mse": np.square(error).mean(),
            "log_mse": np.square(log_error).mean(),
            "abs_rel": (np.abs(error) / t).mean(),
            "sq_rel": (np.square(error) / t).mean(),
            **{f"delta_{k}": (ratio < 1.25**k).mean() for k in (1, 2, 3)},
            "non_finite": 1.0 - finite.mean(),
            "non_positive": (finite & ~positive).mean(),
        }
    return {**_with_roots(means), "pixels": float(valid.sum())}


def bumpiness(prediction: Floats, truth: Floats, valid: NDArray[np.bool_]) -> float:
    """100 * mean over valid of min(0.05, Frobenius norm of the Hessian of the error), Scharr twice.

    Invalid pixels take the error of the nearest valid one first, so that the rim of a hole is no bump.
    Non-finite predictions give NaN.
    """
    error = np.asarray(prediction, np.float64) - np.asarray(truth, np.float64)
    if not np.isfinite(error[valid]).all():
        return float("nan")
    if not valid.all():
        rows, columns = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
        error = error[rows, columns]
    dx, dy = _scharr(error, _SCHARR), _scharr(error, _SCHARR.T)
    hessian = [_scharr(d, kernel) for d in (dx, dy) for kernel in (_SCHARR, _SCHARR.T)]
    norm = np.sqrt(sum(np.square(h) for h in hessian))
    return float(_BUMPINESS_FACTOR * np.minimum(norm, _BUMPINESS_CLIP)[valid].mean())


def average(rows: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Sum up images: ``{"per_image": ..., "per_pixel": ...}`` of those MEASURES that the rows have.

    per_image  the mean over images of each measure.
    per_pixel  every valid pixel counts once; roots are taken after averaging.
    Raises ValueError for no images.
    """
    if not rows:
        raise ValueError("there are no images to average")
    pixels = np.array([row["pixels"] for row in rows])
    squares = {mean: root for root, mean in _ROOT_OF.items()}
    means = {}
    names = [name for name in MEASURES if name in rows[0]]
    for name in (_ROOT_OF.get(name, name) for name in names):
        root = squares.get(name)
        values = np.array([row[root] ** 2 if root else row[name] for row in rows])
        means[name] = float((values * pixels).sum() / pixels.sum())
    per_image = {name: float(np.mean([row[name] for row in rows])) for name in names}
    return {"per_image": per_image, "per_pixel": _with_roots(means)}


def risk_coverage(error: Floats, confidence: Floats) -> NDArray[np.float64]:
    """Mean error of the most confident 10, 20, .. 100 % of pixels, ``COVERAGES``; arrays (P,), P >= 1.

    A confidence that knows the error makes this rise from near 0. Pixels of equal confidence share their mean
    error, so that a constant confidence gives the mean error at every coverage.
    """
    order = np.argsort(-confidence, kind="stable")
    error, confidence = np.asarray(error, np.float64)[order], confidence[order]
    starts = np.flatnonzero(np.r_[True, confidence[1:] != confidence[:-1]])
    counts = np.diff(np.r_[starts, error.size])
    shared = np.repeat(np.add.reduceat(error, starts) / counts, counts)
    ends = np.maximum(1, np.rint(np.array(COVERAGES) * error.size).astype(int))
    risks: NDArray[np.float64] = np.cumsum(shared)[ends - 1] / ends
    return risks


def psnr(image: Floats, truth: Floats) -> float:
    """Peak signal-to-noise ratio in dB of (H, W, 3) sRGB images in [0, 1]; infinite for equal images."""
    return float(peak_signal_noise_ratio(_nchw(image), _nchw(truth), data_range=1.0))


def ssim(image: Floats, truth: Floats) -> float:
    """Structural similarity (Wang et al. 2004) of (H, W, 3) sRGB images in [0, 1], mean over whole windows.

    Gaussian window with sigma 1.5 cut at 11 x 11, K = 0.01, 0.03. NaN for images smaller than a window.
    """
    if min(image.shape[:2]) < _SSIM_WINDOW:
        return float("nan")
    value = structural_similarity_index_measure(
        _nchw(image), _nchw(truth), gaussian_kernel=True, sigma=1.5, kernel_size=_SSIM_WINDOW, data_range=1.0
    )
    assert isinstance(value, torch.Tensor)  # a pair where the full image of values is asked for
    return float(value)


def _with_roots(means: dict[str, float]) -> dict[str, float]:
    values = {name: means[_ROOT_OF.get(name, name)] for name in MEASURES if _ROOT_OF.get(name, name) in means}
    return {name: float(np.sqrt(value) if name in _ROOT_OF else value) for name, value in values.items()}


def _scharr(image: Floats, kernel: Floats) -> Floats:
    filtered: Floats = ndimage.correlate(image, kernel, mode="reflect")
    return filtered


def _nchw(image: Floats) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image, np.float64)).permute(2, 0, 1)[None]
