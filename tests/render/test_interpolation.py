"""Light between pixels, told from the pixels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import convolve
from scipy.special import j1

from focalsim.render.aperture import Aperture, aperture_kernels
from focalsim.render.interpolation import best_kernels, keys6

FINE = 8  # a pixel is so many of the fine picture's


def test_keys_kernel_reproduces_cubics():
    taps = np.arange(-4, 6)
    for shift in np.linspace(0, 1, 11):
        weights = keys6(taps - shift)
        for power in range(4):
            assert (weights * taps.astype(float) ** power).sum() == pytest.approx(shift**power, abs=1e-12)


@pytest.mark.parametrize("diameter_px", [0.2, 1.0, 3.7, 12.0])
def test_best_kernels_keep_light_and_width_and_the_symmetries_of_the_disc(diameter_px):
    radius = int(diameter_px / 2 + 2)
    kernels = best_kernels(np.array([diameter_px]), radius)[0]
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    np.testing.assert_allclose(kernels.sum(axis=(1, 2)), [1, 0, 0, 0, 0, 0], atol=1e-9)
    spread = diameter_px**2 * np.array([1 / 8, 0, 0, 0, 0, 1 / 48])
    np.testing.assert_allclose((kernels * (x**2 + y**2)).sum(axis=(1, 2)), spread, atol=1e-8)
    whole, along_x, along_y, diagonal, across, _ = kernels
    np.testing.assert_array_equal(whole, whole[::-1])
    np.testing.assert_array_equal(whole, whole.T)
    np.testing.assert_array_equal(along_x, -along_x[:, ::-1])
    np.testing.assert_array_equal(along_x, along_y.T)
    np.testing.assert_array_equal(diagonal, diagonal[::-1, ::-1])
    np.testing.assert_array_equal(across, -across.T)
    # Half a lens, V(u) about 1/2 + u_x, sends its light to its own side: the mean of u_x^2 is 1/4.
    assert (along_x * x).sum() == pytest.approx(diameter_px / 8, rel=0.05)


def pictures(count, side, rng):
    """Light of the power spectrum |f|^-3, on a grid FINE times as fine as the pixels."""
    f = np.fft.fftfreq(side * FINE)
    distance = np.hypot(f, f[:, None])
    distance[0, 0] = np.inf
    noise = np.fft.fft2(rng.standard_normal((count, side * FINE, side * FINE)))
    return np.fft.ifft2(noise * distance**-1.5).real


def averaged(fine):
    count, side = len(fine), fine.shape[1] // FINE
    return fine.reshape(count, side, FINE, side, FINE).mean(axis=(2, 4))


def blurred(fine, diameter_px):
    """Through the disc, at the fine pictures' resolution; borders are the other side's."""
    f = np.fft.fftfreq(fine.shape[1], 1 / FINE)  # cycles a pixel
    z = np.maximum(np.pi * diameter_px * np.hypot(f, f[:, None]), 1e-9)
    return np.fft.ifft2(np.fft.fft2(fine) * 2 * j1(z) / z).real


@pytest.mark.parametrize("diameter_px", [0.8, 1.5, 3.0])
def test_best_kernels_predict_such_light_better_than_keys(diameter_px):
    fine = pictures(4, 64, np.random.default_rng(3))
    pixels, truth = averaged(fine), averaged(blurred(fine, diameter_px))
    best = best_kernels(np.array([diameter_px]), int(diameter_px / 2 + 3))[0, :1]
    keys = aperture_kernels(Aperture(5, curvature=1.0), diameter_px)[:1]
    error_best, error_keys = (np.mean((convolve(pixels, kernel, mode="wrap") - truth) ** 2) for kernel in (best, keys))
    assert error_best < 0.96 * error_keys
