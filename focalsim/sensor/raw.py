"""The sensor: a colour filter on every pixel, photons, electronics, rounding; and the way back to colour.

Noise (Foi, Trimeche, Katkovnik, Egiazarian, "Practical Poissonian-Gaussian noise modeling and fitting for single-image
raw-data", IEEE TIP 17(10), 2008): a raw value of expectation y has  z = y + noise,  variance  a y + b.
Demosaicing (Malvar, He, Cutler, "High-quality linear interpolation for demosaicing of Bayer-patterned color images",
ICASSP 2004): bilinear interpolation corrected by the gradient of the colour that was measured.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from focalsim.camera.effects import Adc

Raw = NDArray[np.float32]

# The paper's filters in eighths.
_Filter = Sequence[Sequence[float]]
_GREEN_AT_OTHER: _Filter = [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]]
_RED_IN_RED_ROW: _Filter = [
    [0, 0, 0.5, 0, 0],
    [0, -1, 0, -1, 0],
    [-1, 4, 5, 4, -1],
    [0, -1, 0, -1, 0],
    [0, 0, 0.5, 0, 0],
]
_RED_AT_BLUE: _Filter = [
    [0, 0, -1.5, 0, 0],
    [0, 2, 0, 2, 0],
    [-1.5, 0, 6, 0, -1.5],
    [0, 2, 0, 2, 0],
    [0, 0, -1.5, 0, 0],
]


def add_noise(light: Raw, shot: float, read: float, rng: np.random.Generator) -> Raw:
    """Photon and read noise of variance  shot y + read^2  on expected values ``light`` y (any shape; white is 1).

    Photons are counted (Poisson), so the noise of few of them is skewed as it should be.
    """
    photons = rng.poisson(np.maximum(light, 0.0).astype(np.float64) / shot)
    noisy: Raw = (shot * photons + read * rng.standard_normal(light.shape)).astype(np.float32)
    return noisy


def digitise(raw: Raw, adc: Adc) -> Raw:
    """Round to the codes of a converter: black is ``adc.black_level``, white the largest code."""
    white = 2**adc.bits - 1
    scale = white - adc.black_level
    codes = np.clip(np.rint(raw * scale + adc.black_level), 0, white)
    return np.asarray((codes - adc.black_level) / scale, np.float32)


def mosaic(light: Raw, pattern: str) -> Raw:
    """(H, W) of what each pixel measures of ``light`` (H, W, 3) behind its filter; ``pattern`` as in "RGGB"."""
    raw = np.empty(light.shape[:2], np.float32)
    for (row, column), letter in _places(pattern).items():
        raw[row::2, column::2] = light[row::2, column::2, "RGB".index(letter)]
    return raw


def demosaic(raw: Raw, pattern: str) -> Raw:
    """The missing two colours of every pixel of ``raw`` (H, W): (H, W, 3). What was measured stays."""

    def filtered(kernel: _Filter, transposed: bool = False) -> Raw:
        weights = np.array(kernel, np.float32) / 8
        # Reflected about the border pixel, the filters keep their places.
        return np.asarray(
            cv2.filter2D(raw, -1, weights.T if transposed else weights, borderType=cv2.BORDER_REFLECT_101), np.float32
        )

    green, opposite = filtered(_GREEN_AT_OTHER), filtered(_RED_AT_BLUE)
    along, across = filtered(_RED_IN_RED_ROW), filtered(_RED_IN_RED_ROW, transposed=True)
    colour = np.empty((*raw.shape, 3), np.float32)
    places = _places(pattern)
    for (row, column), letter in places.items():
        here = np.s_[row::2, column::2]
        if letter == "G":
            beside = places[row, 1 - column]  # the other colour of this row
            for k, c in enumerate("RGB"):
                colour[here][..., k] = (raw if c == "G" else along if c == beside else across)[here]
        else:
            for k, c in enumerate("RGB"):
                colour[here][..., k] = (raw if c == letter else green if c == "G" else opposite)[here]
    return colour


def _places(pattern: str) -> dict[tuple[int, int], str]:
    """(row, column) in the cell of 2 x 2 pixels -> letter of its filter."""
    return {(k // 2, k % 2): letter for k, letter in enumerate(pattern)}
