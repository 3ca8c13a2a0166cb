"""What lies between pixels, told from the pixels: the part of the renderer that knows no optics.

An all-in-focus pixel is already an average over its area, a second box would blur it again. So what a lens gathers
from between the pixels is interpolated: :func:`best_kernels` is how to do it with the least squared error, for a disc
of pixels at once; :func:`keys6` moves single points of light, for openings of any shape and size.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import j0, j1

SUPPORT_PX = 3  # half width of keys6
_PERIOD_PX = 48  # of what stands for the plane; must hold the largest kernel twice
_HIGHEST = 1.5  # frequency, cycles a pixel: what lies above adds nothing
_SPECTRUM_POWER = 3.0
_EVEN_X = np.array([1, -1, 1, -1, 1, 1])[:, None, None]  # signs of the six kernels mirrored in x,
_EVEN_Y = np.array([1, 1, -1, -1, 1, 1])[:, None, None]  # in y,
_TURNED = np.array([1, 1, 1, 1, -1, 1])[:, None, None]  # and with x and y changed, when the second and third change too


def keys6(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """Six-point cubic convolution kernel of fourth order (Keys 1981, eq. 32), support |x| < 3."""
    t = np.abs(x)
    return np.select(
        [t < 1, t < 2, t < 3],
        [
            4 / 3 * t**3 - 7 / 3 * t**2 + 1,
            -7 / 12 * t**3 + 3 * t**2 - 59 / 12 * t + 15 / 6,
            1 / 12 * t**3 - 2 / 3 * t**2 + 21 / 12 * t - 3 / 2,
        ],
        0.0,
    )


def best_kernels(diameters_px: NDArray[np.floating], radius: int) -> NDArray[np.float64]:
    """Weights (n, 6, 2 radius + 1, 2 radius + 1) of the pixels around, [diameter, basis, dy, dx], that best predict

        1/pi  integral over |u| <= 1 of  b_k(u) p(c/2 u) du,      p(x) the mean light of the pixel at x,

    for discs of these diameters c (n,), pixels, and kernels.lens_basis b_k: the best linear unbiased prediction, or
    kriging (Matheron 1963; Cressie 1993, section 3.2), of light with the power spectrum |f|^-3, which scenes of
    sharply bounded surfaces have (Lee, Mumford and Huang 2001), averaged over pixels:

        S(f) = |f|^-3 sinc(fx)^2 sinc(fy)^2,    R(n) = integral of S(f) e^(2 pi i f n) df,
        sum_m R(n - m) w_k(m) + l_k + l'_k |n|^2  =  integral of S(f) B_k(f) e^(2 pi i f n) df,

    B_k the Fourier transform of b_k over the disc (Noll 1976, eq. 8). The multipliers l, l' hold the sum over w_k and
    that over w_k |n|^2 at what they are for the disc: 1 and c^2 / 8 for the first, 0 and c^2 / 48 for the last, 0 for
    the others. So light is kept, and the width of the smallest blur.
    """
    c = np.asarray(diameters_px, np.float64)
    f, spectrum = _spectrum()
    taps = np.arange(-radius, radius + 1)
    cos, sin = (wave(2 * np.pi * np.outer(taps, f)) for wave in (np.cos, np.sin))
    distance: NDArray[np.float64] = np.hypot(f, f[:, None])
    cx, cy = f / distance, f[:, None] / distance
    one, two, three = _disc_transforms(np.pi * c[:, None, None] * distance)
    sides = np.stack(
        [
            cos @ (spectrum * one) @ cos.T,
            cos @ (spectrum * two * cx) @ sin.T,
            sin @ (spectrum * two * cy) @ cos.T,
            sin @ (spectrum * three * cx * cy) @ sin.T,
            cos @ (spectrum * three * (cy**2 - cx**2)) @ cos.T,
            cos @ (spectrum * three / -2) @ cos.T,
        ],
        axis=1,
    )
    moments = np.zeros((2, len(c), sides.shape[1]))
    moments[0, :, 0] = 1
    moments[1, :, 0], moments[1, :, 5] = c**2 / 8, c**2 / 48
    right = np.concatenate([sides.reshape(-1, len(taps) ** 2).T, moments.reshape(2, -1)])
    weights = np.linalg.solve(_system(radius), right)[: len(taps) ** 2]
    kernels = weights.T.reshape(sides.shape)
    # Symmetric to the last bit, whatever the solver rounded.
    kernels = (kernels + _EVEN_X * kernels[..., ::-1]) / 2
    kernels = (kernels + _EVEN_Y * kernels[..., ::-1, :]) / 2
    kernels += _TURNED * kernels.swapaxes(-1, -2)[:, [0, 2, 1, 3, 4, 5]]
    symmetric: NDArray[np.float64] = kernels / 2
    return symmetric


@cache
def _spectrum() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies along an axis (F,) and S at pairs of them (F, F), of a quarter of the plane; none is 0."""
    f = (np.arange(int(_HIGHEST * _PERIOD_PX)) + 0.5) / _PERIOD_PX
    aperture = np.sinc(f) ** 2
    return f, aperture * aperture[:, None] / np.hypot(f, f[:, None]) ** _SPECTRUM_POWER


def _system(radius: int) -> NDArray[np.float64]:
    """The left side of the equations for the pixels of a square, row by row, then those of the multipliers."""
    f, spectrum = _spectrum()
    cos = np.cos(2 * np.pi * np.outer(np.arange(2 * radius + 1), f))
    covariance = cos @ spectrum @ cos.T
    y, x = (offset.ravel() for offset in np.mgrid[-radius : radius + 1, -radius : radius + 1])
    count = len(x)
    system = np.zeros((count + 2, count + 2))
    system[:count, :count] = covariance[np.abs(y[:, None] - y), np.abs(x[:, None] - x)]
    system[count, :count] = system[:count, count] = 1
    system[count + 1, :count] = system[:count, count + 1] = x**2 + y**2
    return system


def _disc_transforms(z: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """2 J_n(z) / z for n = 1, 2, 3 at z > 0."""
    first = j1(z)
    second = np.where(z < 0.05, z**2 / 8, 2 * first / z - j0(z))  # a series for the smallest
    third = np.where(z < 0.05, z**3 / 48, 4 * second / z - first)
    return 2 * first / z, 2 * second / z, 2 * third / z
