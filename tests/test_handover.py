"""Samples that pass through shared memory are the samples that were put there."""

from __future__ import annotations

import pickle
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pytest

from focalsim.config import RenderConfig
from focalsim.handover import Places


@pytest.fixture
def samples(make_sample):
    return [make_sample(0), make_sample(1, jpeg_quality=90.0)]


@pytest.fixture
def config(samples):
    slices, height, width, _ = samples[0].images.shape
    return RenderConfig(phones=(), samples=2, width=width, height=height, slices=slices)


def test_what_is_taken_is_what_was_put(samples, config):
    places = Places(get_context("spawn"), 2, config)
    sent = [pickle.dumps(places.put(place, sample)) for place, sample in enumerate(samples)]
    pixels = b"".join(sample.images.tobytes() for sample in samples)
    assert not any(pixels[k : k + 16] in data for data in sent for k in range(0, len(pixels), 64))
    for place, sample in enumerate(samples):
        taken = places.take(place, pickle.loads(sent[place]))
        assert taken.keys() == sample.keys()
        for name in sample:
            np.testing.assert_array_equal(taken[name], sample[name])
            assert np.asarray(taken[name]).dtype == np.asarray(sample[name]).dtype


def test_what_was_rendered_there_is_left_there(samples, config):
    places = Places(get_context("spawn"), 2, config)
    places.images(1)[...] = samples[0].images
    rest = places.put(1, replace(samples[0], images=places.images(1)))
    for name in samples[0]:
        np.testing.assert_array_equal(places.take(1, rest)[name], samples[0][name])


def test_pixels_of_another_size_are_refused(samples, config):
    places = Places(get_context("spawn"), 1, replace(config, slices=config.slices + 1))
    with pytest.raises(ValueError, match="shape"):
        places.put(0, samples[0])
