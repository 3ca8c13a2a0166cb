"""Similarities found again from noisy, partial and partly wrong points."""

from __future__ import annotations

import numpy as np
import pytest

from focalsim.calibrate.features import _match
from focalsim.calibrate.similarity import chain_similarities, common_geometry, fit_similarity

RNG = np.random.default_rng(0)
POINTS = RNG.uniform(-200, 200, 30) + 1j * RNG.uniform(-150, 150, 30)


def test_a_similarity_in_spite_of_a_misplaced_point():
    a, b = 1.04 * np.exp(0.01j), 3 - 2j
    target = a * POINTS + b + 0.01 * RNG.normal(size=30)
    target[4] += 40
    found_a, found_b, rms = fit_similarity(POINTS, target)
    assert found_a == pytest.approx(a, abs=1e-4)
    assert found_b == pytest.approx(b, abs=0.02)
    assert rms < 0.05


def test_captures_that_show_parts_share_one_geometry():
    """The middle capture ties together two that share nothing; a fourth has all its points wrong."""
    a = np.array([1.0, 1.02 * np.exp(0.002j), 1.05])
    b = np.array([0, 4 + 1j, -3j])
    parts = [np.arange(15), np.arange(8, 24), np.arange(15, 30)]
    places = [a[k] * POINTS[part] + b[k] for k, part in enumerate(parts)]
    parts.append(np.arange(10, 24))
    places.append(RNG.permutation(POINTS[10:24]))
    geometry, found_a, _, rms = common_geometry(parts, places, 30)
    assert not np.isnan(geometry).any()
    np.testing.assert_allclose(found_a[1:3] / found_a[0], a[1:] / a[0], atol=1e-6)
    assert (rms[:3] < 1e-6).all()
    assert rms[3] > 10


def test_a_capture_that_shares_nothing_is_not_fitted():
    parts = [np.arange(16), np.arange(20, 30)]
    _, _, _, rms = common_geometry(parts, [POINTS[part] for part in parts], 30)
    assert rms[0] == 0
    assert np.isinf(rms[1])


def test_a_chain_of_pairs_in_spite_of_wrong_ones():
    scale = np.exp(np.linspace(0, 0.06, 6) + 1j * RNG.normal(0, 1e-3, 6))
    scale /= scale[0]
    shift = RNG.normal(size=6) + 1j * RNG.normal(size=6)
    shift -= shift[0]
    pairs = np.array([(i, j) for i in range(6) for j in range(i + 1, 6)])
    a = scale[pairs[:, 1]] / scale[pairs[:, 0]]
    b = shift[pairs[:, 1]] - a * shift[pairs[:, 0]]
    a[3] *= 1.05
    b[7] += 20
    found = chain_similarities(pairs, a, b, np.ones(len(pairs)))
    np.testing.assert_allclose(found[0], scale, atol=1e-3)
    np.testing.assert_allclose(found[1], shift, atol=0.1)


def test_a_pair_that_collapses_is_no_pair():
    """Where many features of a photo are taken for a single one of the other, shrinking all to it fits best."""
    rng = np.random.default_rng(0)
    places = rng.uniform(-300, 300, 60) + 1j * rng.uniform(-200, 200, 60)
    descriptors = np.zeros((60, 128), np.float32)
    descriptors[:, :60] = 100 * np.eye(60)
    # 40 of 60 look like feature 0 of the second photo, whose other features lie far away in feature space.
    many = descriptors.copy()
    many[:40] = descriptors[0] + rng.normal(0, 1, (40, 128))
    assert _match((places, many), (1.05 * places, descriptors), 1.0) is None
    same = _match((places, descriptors), (1.05 * places, descriptors), 1.0)
    assert abs(same[0]) == pytest.approx(1.05)
