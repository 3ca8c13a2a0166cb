"""Averages over areas are OpenCV's, whatever the scale, and parts of an axis do not touch each other."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from focalsim.color import srgb_to_linear
from focalsim.sources.reduce import Part, average_area


def light(height, width, channels=3):
    return np.random.default_rng(height).random((height, width, channels), np.float32)


def reduced(image, width, height):
    return average_area(image, [Part(0, image.shape[0], height)], [Part(0, image.shape[1], width)])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("size", "smaller"),
    [((720, 1131), (448, 704)), ((97, 131), (31, 130)), ((50, 51), (49, 20)), ((7, 5), (1, 2)), ((3, 3), (2, 1))],
)
def test_it_is_that_of_opencv(size, smaller, channels):
    image = light(*size, channels)
    theirs = cv2.resize(image, smaller[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(
        reduced(image, smaller[1], smaller[0]), theirs.reshape(*smaller, channels), rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_whole_scales_average_whole_pixels(factor):
    image = light(4 * factor, 6 * factor)
    blocks = image.reshape(4, factor, 6, factor, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(reduced(image, 6, 4), blocks, rtol=1e-6)


def test_the_mean_is_kept():
    image = light(61, 83)
    assert reduced(image, 29, 17).mean() == pytest.approx(image.mean(), rel=1e-5)


def test_parts_are_reduced_as_if_they_were_alone():
    image = light(40, 60)
    parts = [Part(3, 10, 4), Part(10, 45, 20), Part(45, 60, 8)]
    rows = [Part(0, 40, 25)]
    whole = average_area(image, rows, parts)
    apart = [
        average_area(image[:, part.start : part.stop], rows, [Part(0, part.stop - part.start, part.pixels)])
        for part in parts
    ]
    np.testing.assert_array_equal(whole, np.concatenate(apart, axis=1))


@pytest.mark.parametrize("turned", [False, True])
def test_codes_are_decoded_before_they_are_averaged(turned):
    codes = np.random.default_rng(1).integers(0, 256, (50, 61, 3), np.uint8)
    codes = codes.transpose(1, 0, 2) if turned else codes
    np.testing.assert_array_equal(reduced(codes, 20, 31), reduced(srgb_to_linear(codes), 20, 31))
