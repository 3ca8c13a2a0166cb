"""Stacks rendered on demand are those that a bundle would hold, and go on without end."""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest

import focalsim
from focalsim.errors import ConfigError, ProfileError, RenderError, SourceError
from focalsim.job import plan_job
from focalsim.pipeline import render_bundle
from focalsim.sources import open_source

SMALL = {"width": 40, "height": 32, "slices": 3, "seed": 4}


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


@pytest.fixture
def frames(tmp_path):
    """A folder of two RGB-D frames of 60 x 48."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "frames"
    for kind in ("rgb", "depth"):
        (folder / kind).mkdir(parents=True)
    for i in range(2):
        cv2.imwrite(str(folder / f"rgb/{i}.png"), rng.integers(0, 255, (48, 60, 3), np.uint8))
        cv2.imwrite(str(folder / f"depth/{i}.png"), rng.integers(300, 900, (48, 60)).astype(np.uint16))
    return folder


def test_they_are_the_samples_of_a_bundle(tmp_path):
    stacks = focalsim.RenderedStacks(phones=("pixel4", "pixel6"), effects="typical", samples=2, **SMALL)
    job = plan_job(stacks.config, open_source(None), 2)
    render_bundle(job, tmp_path / "bundle")
    with focalsim.ShardReader(tmp_path / "bundle" / "shard-00000.h5") as reader:
        assert reader.config == stacks.config
        assert reader.reference_slice == stacks.reference_slice
        assert len(stacks) == len(reader) == 2
        for ours, stored in zip(stacks, reader, strict=True):
            same(ours, pickle.loads(pickle.dumps(ours)))
            np.testing.assert_array_equal(ours.images, stored.images)
            np.testing.assert_array_equal(ours.depth_m, stored.depth_m)
            assert ours.exposure_ev == pytest.approx(stored.exposure_ev)


def test_frames_come_again_as_another_camera_sees_them(frames):
    stacks = focalsim.RenderedStacks(frames, **SMALL)
    assert len(stacks) == 2
    again = stacks[2]
    assert [stacks.source_id(i) for i in range(3)] == ["frames/rgb/0.png", "frames/rgb/1.png", "frames/rgb/0.png"]
    assert again.source_id == stacks.source_id(2)
    assert again.sample_index == 2
    assert np.any(again.principal_point_px != stacks[0].principal_point_px)
    same(again, pickle.loads(pickle.dumps(stacks))[2])
    assert "frames" in stacks.config.source
    with pytest.raises(IndexError):
        stacks[-1]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("effects", [None, "typical"])
def test_a_device_renders_the_same_stacks(frames, effects, device):
    ours, theirs = (focalsim.RenderedStacks(frames, effects=effects, device=d, **SMALL) for d in (None, device))
    assert ours.config == theirs.config
    for index in range(3):
        ours_i, theirs_i = ours[index], pickle.loads(pickle.dumps(theirs))[index]
        assert theirs_i.images.dtype == np.uint8
        difference = np.abs(ours_i.images.astype(int) - theirs_i.images)
        assert difference.mean() < 0.01  # codes: light on the border between two may be rounded either way
        for name in set(ours_i) - {"images"}:
            np.testing.assert_array_equal(ours_i[name], theirs_i[name])


def test_made_scenes_never_come_again():
    stacks = focalsim.RenderedStacks(samples=2, **SMALL)
    assert len({stacks.source_id(i) for i in range(5)}) == 5
    assert np.any(stacks[0].depth_m != stacks[2].depth_m)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"phones": ("nokia",)}, ProfileError, "unknown phone 'nokia'"),
        ({"effects": "grainy"}, ProfileError, "unknown effects 'grainy'"),
        ({"source": "/nowhere"}, SourceError, "no such file or folder"),
        ({"device": "gpu"}, RenderError, "device must be one of PyTorch"),
        ({"near_m": 2.0}, ConfigError, "near must be smaller than far"),
        ({"colour": 2}, ConfigError, "unknown option of rendering: .*'colour'"),
    ],
)
def test_mistakes(given, error, message):
    with pytest.raises(error, match=message):
        focalsim.RenderedStacks(**given)
