"""Frames that come again are read once, the samples are the same, and memory is bounded."""

import pickle
from dataclasses import replace

import cv2
import numpy as np
import pytest

import focalsim
from focalsim.camera import load_profile
from focalsim.config import RenderConfig
from focalsim.errors import FrameError
from focalsim.job import plan_job, render_sample
from focalsim.sources import open_source
from focalsim.sources.base import FileSource
from focalsim.sources.folder import FolderSource
from focalsim.sources.kept import KeptScenes

PHONES = tuple(load_profile(name).to_dict() for name in ("pixel4", "pixel6"))
SIZE = {"width": 40, "height": 32, "slices": 2}


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in "abc":
        cv2.imwrite(str(tmp_path / f"{name}_rgb.png"), rng.integers(0, 256, (64, 80, 3), np.uint8))
        depth = np.full((64, 80), 300, np.uint16)
        depth[20:40, 30:50] = 150
        depth[10, 10] = 0  # a hole
        cv2.imwrite(str(tmp_path / f"{name}_depth.png"), depth)
    return tmp_path


@pytest.fixture
def loads(monkeypatch):
    """Indices of the frames that were read."""
    read = []
    load = FolderSource.load

    def counted(self, index, *args):
        read.append(index)
        return load(self, index, *args)

    monkeypatch.setattr(FolderSource, "load", counted)
    return read


def job_of(folder, samples, phones=PHONES[:1]):
    return plan_job(RenderConfig(phones=phones, **SIZE), open_source(str(folder)), samples)


def test_frames_that_come_again_are_read_once_and_give_the_same_samples(folder, loads):
    job = job_of(folder, samples=7, phones=PHONES)
    loads.clear()
    kept = [render_sample(job, index) for index in range(12)]
    assert sorted(loads) == [0, 0, 1, 1, 2, 2]  # once for each phone, which sees another part of it
    fresh = replace(job, kept=None)
    for index, sample in enumerate(kept):
        other = render_sample(fresh, index)
        for name in sample:
            np.testing.assert_array_equal(sample[name], other[name])
    assert len(loads) == 6 + 12


def test_frames_are_kept_only_where_they_come_again(folder):
    assert job_of(folder, samples=3).kept is None
    assert job_of(folder, samples=None).kept is None
    assert job_of(folder, samples=4).kept is not None
    assert plan_job(RenderConfig(phones=PHONES, **SIZE), open_source(None), 4, again=True).kept is None  # made scenes


def test_a_second_round_of_live_stacks_does_not_touch_the_disk(folder, loads):
    stacks = focalsim.RenderedStacks(folder, **SIZE)
    list(stacks)
    loads.clear()
    [stacks[index] for index in range(3, 6)]
    assert loads == []


def test_what_does_not_fit_is_prepared_each_time(folder, loads):
    job = job_of(folder, samples=6)
    render_sample(job, 0)
    one = job.kept._room_bytes - job.kept._left_bytes
    assert one == 80 * 64 * (4 * 3 + 4 + 1)
    job = replace(job, kept=KeptScenes(2 * one))
    loads.clear()
    for index in range(9):
        render_sample(job, index)
    assert loads == [0, 1, 2, 2, 2]


def test_what_cannot_be_used_is_not_kept():
    def torn():
        raise FrameError("torn")

    kept = KeptScenes()
    for _ in range(2):
        with pytest.raises(FrameError, match="torn"):
            kept.get(0, None, torn)


def test_every_process_keeps_its_own(folder, loads):
    job = job_of(folder, samples=6)
    render_sample(job, 0)
    assert isinstance(job.source, FileSource)
    other = pickle.loads(pickle.dumps(job))
    loads.clear()
    render_sample(other, 0)
    assert loads == [0]
