"""The pipeline: same bytes whatever happens in between, and samples whose parts fit each other."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from terminal import in_terminal

from focalsim.camera import draw_camera, load_profile
from focalsim.config import RenderConfig
from focalsim.errors import FocalsimError, FrameError, OutputError
from focalsim.job import Job, plan_job, render_sample
from focalsim.pipeline import render_bundle
from focalsim.rng import sample_rng
from focalsim.scene import Scene
from focalsim.shards import ShardReader, read_manifest, verify_bundle
from focalsim.shards.lock import hold
from focalsim.sources import open_source

PHONE = load_profile("pixel4").to_dict()
SMALL = RenderConfig(
    phones=(PHONE, load_profile("pixel6").to_dict()), samples=5, width=40, height=32, slices=3, shard_size=2
)


@dataclass
class TwoPlanes:
    """A near red half before a far blue one; the frames named in ``bad`` cannot be read while rendering."""

    name: str = "planes"
    format: str = "planes"
    license: str = "CC0-1.0"
    attribution: str = "nobody"
    bad: tuple[int, ...] = ()

    def __len__(self):
        return 3

    def frame_id(self, index):
        return f"planes/{index}"

    def load(self, index, request, rng):  # noqa: ARG002
        if index in self.bad:
            raise FrameError(f"{self.frame_id(index)}: torn", "torn")
        height, width = 2 * request.height, 2 * request.width
        left = np.broadcast_to(np.arange(width) < width // 2, (height, width))
        rgb = np.where(left[..., None], np.float32([0.8, 0.1, 0.1]), np.float32([0.1, 0.1, 0.8]))
        depth_m = np.where(left, 0.12, 0.8).astype(np.float32)
        return Scene(rgb.astype(np.float32), depth_m, np.ones((height, width), bool), self.frame_id(index))


@pytest.fixture
def made():
    return plan_job(SMALL, open_source(None))


@pytest.fixture
def planes():
    return Job(replace(SMALL, source="planes", source_format="planes"), TwoPlanes(), (0, 1, 2))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_bundle_is_complete_and_verifies(made, tmp_path):
    report = render_bundle(made, tmp_path / "out")
    names = ["README.md", "croissant.json", "manifest.json", *(f"shard-0000{i}.h5" for i in range(3))]
    assert list(contents(tmp_path / "out")) == names
    assert list(verify_bundle(tmp_path / "out")) == []
    assert report.rendered == 5
    assert report.manifest == read_manifest(tmp_path / "out")
    readers = [ShardReader(tmp_path / "out" / f"shard-0000{i}.h5") for i in range(3)]
    assert [len(reader) for reader in readers] == [2, 2, 1]
    assert [sample.sample_index for reader in readers for sample in reader] == [0, 1, 2, 3, 4]
    assert all(reader.config == made.config for reader in readers)


def test_the_same_bytes_from_any_number_of_workers(made, tmp_path):
    for workers in (1, 2, 4):
        render_bundle(made, tmp_path / str(workers), workers=workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "2") == contents(tmp_path / "4")


def test_a_sample_does_not_depend_on_the_size_of_the_bundle(made):
    other = replace(made, config=replace(made.config, samples=9, shard_size=1))
    first, second = render_sample(made, 3), render_sample(other, 3)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_another_seed_is_another_sample(made):
    other = replace(made, config=replace(made.config, seed=1))
    assert not np.array_equal(render_sample(made, 0).images, render_sample(other, 0).images)


def test_the_camera_is_the_one_drawn_for_the_sample(planes):
    for index in range(4):
        sample = render_sample(planes, index)
        rng = sample_rng(SMALL.seed, index, "camera")
        profile = planes.profiles[rng.integers(2)]
        camera = draw_camera(profile, planes.focus_distances_m, SMALL.width, rng)
        magnification, shift = camera.relative_to(-1)
        assert sample.phone == profile.name
        assert sample.focal_length_m == profile.focal_length_m
        np.testing.assert_array_equal(sample.magnification, magnification.astype(np.float32))
        np.testing.assert_array_equal(sample.principal_point_px, shift.astype(np.float32))
        np.testing.assert_array_equal(sample.fov_error, camera.fov_error.astype(np.float32))
        np.testing.assert_allclose(sample.focus_distance_m, [1.0, 2 / 11, 0.1], rtol=1e-6)


def test_every_phone_is_drawn(planes):
    assert {render_sample(planes, index).phone for index in range(12)} == {"pixel4", "pixel6"}


def test_frames_are_used_in_turn(planes):
    job = replace(planes, usable=(0, 2))
    assert [render_sample(job, i).source_id for i in range(4)] == ["planes/0", "planes/2"] * 2


def test_colour_depth_and_reference_slice_fit_each_other(planes):
    """Red is near and blue is far, so the edge of depth, of the sharp image and of the slices must be one."""
    large = replace(planes, config=replace(planes.config, width=160, height=96, near_m=0.12))
    for index in range(3):
        sample = render_sample(large, index)
        red = sample.all_in_focus[..., 0].astype(int) > sample.all_in_focus[..., 2]
        near = sample.depth_m < 0.3
        assert 0.2 < near.mean() < 0.8
        assert np.count_nonzero((red != near) & sample.valid) <= 96  # at most one pixel a row
        # The nearest slice is focused on the red plane and is the reference: same edge again, unshifted.
        red_slice = sample.images[-1, ..., 0].astype(int) > sample.images[-1, ..., 2]
        assert np.count_nonzero((red_slice != near) & sample.valid) <= 2 * 96
        # In the farthest slice the edge lies where magnification and shift put it.
        x_edge = near.mean(1).mean() * 160 - 0.5
        centre = (160 - 1) / 2
        moved = centre + sample.magnification[0] * (x_edge - centre) + sample.principal_point_px[0, 0]
        red_far = sample.images[0, ..., 0].astype(int) > sample.images[0, ..., 2]
        assert red_far.mean(1).mean() * 160 - 0.5 == pytest.approx(moved, abs=1.0)


class Crashing(TwoPlanes):
    """A source that takes its process down, as the system does where memory is short."""

    def load(self, index, request, rng):  # noqa: ARG002
        os._exit(9)


def test_a_worker_that_dies(planes, tmp_path):
    with pytest.raises(FocalsimError, match="a worker process died, perhaps for want of memory"):
        render_bundle(replace(planes, source=Crashing()), tmp_path, workers=2)
    assert list(contents(tmp_path)) == ["manifest.json"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_frame_that_fails_is_named_and_leaves_complete_shards_only(planes, tmp_path, workers):
    job = replace(planes, source=TwoPlanes(bad=(2,)))
    with pytest.raises(FocalsimError, match=r"^sample 2, frame planes/2: planes/2: torn$"):
        render_bundle(job, tmp_path, workers=workers)
    assert sorted(contents(tmp_path)) == ["manifest.json", "shard-00000.h5"]
    assert not read_manifest(tmp_path).complete


def test_resume_renders_what_is_missing_or_damaged_and_nothing_else(made, tmp_path):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    render_bundle(made, whole)
    render_bundle(made, resumed)
    kept = (resumed / "shard-00000.h5").stat().st_mtime_ns
    (resumed / "shard-00001.h5").write_bytes(b"damaged")
    (resumed / "shard-00002.h5").unlink()
    (resumed / "shard-00002.h5.partial").write_bytes(b"half")
    report = render_bundle(made, resumed, resume=True)
    assert report.rendered == 3
    assert contents(resumed) == contents(whole)
    assert (resumed / "shard-00000.h5").stat().st_mtime_ns == kept
    assert render_bundle(made, resumed, resume=True).rendered == 0
    assert contents(resumed) == contents(whole)


def test_resume_of_nothing_begins(made, tmp_path):
    assert render_bundle(made, tmp_path / "new", resume=True).rendered == 5


def test_resume_of_another_plan_is_refused_key_by_key(made, tmp_path):
    render_bundle(made, tmp_path)
    before = contents(tmp_path)
    phones = (PHONE | {"f_number": 2.0},)
    other = replace(made, config=replace(made.config, seed=3, width=48, phones=phones))
    with pytest.raises(OutputError) as error:
        render_bundle(other, tmp_path, resume=True)
    for difference in (
        "seed was 0, is now 3", "width was 40, is now 48", "phones was pixel4, pixel6, is now pixel4",
        "pixel4.f_number was 1.7, is now 2.0", "pixel6.f_number was 1.9, is now absent",
    ):  # fmt: skip
        assert difference in str(error.value)
    assert "slices" not in str(error.value)
    assert contents(tmp_path) == before


def test_resume_with_other_libraries_is_refused(made, tmp_path, monkeypatch):
    render_bundle(made, tmp_path)
    monkeypatch.setattr(np, "__version__", "0.1")
    with pytest.raises(OutputError, match=r"numpy version was .*, is now 0\.1$"):
        render_bundle(made, tmp_path, resume=True)


def test_a_bundle_that_is_there_is_not_touched(made, tmp_path):
    render_bundle(made, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(OutputError, match="already holds a bundle; use --resume to finish it or --overwrite"):
        render_bundle(made, tmp_path)
    assert contents(tmp_path) == before


def test_overwrite_removes_the_bundle_and_nothing_else(made, tmp_path):
    render_bundle(replace(made, config=replace(made.config, shard_size=1)), tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "other.h5").write_text("mine")
    render_bundle(made, tmp_path, overwrite=True)
    assert sorted(contents(tmp_path)) == [
        "README.md", "croissant.json", "manifest.json", "notes.txt", "other.h5",
        *(f"shard-0000{i}.h5" for i in range(3)),
    ]  # fmt: skip


def test_another_programs_manifest_is_kept(made, tmp_path):
    (tmp_path / "manifest.json").write_text('{"name": "web app"}')
    for options in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(OutputError, match=r"its manifest\.json is not a bundle's"):
            render_bundle(made, tmp_path, **options)
    assert json.loads((tmp_path / "manifest.json").read_text()) == {"name": "web app"}


def test_two_runs_at_once(made, tmp_path):
    with hold(tmp_path / ".lock"), pytest.raises(OutputError, match="another run is writing this bundle"):
        render_bundle(made, tmp_path)
    assert list(contents(tmp_path)) == []
    (tmp_path / ".lock").touch()
    render_bundle(made, tmp_path)  # a lock file left behind does not matter
    assert ".lock" not in contents(tmp_path)


def test_a_full_disk_leaves_nothing_half_written(made, tmp_path, monkeypatch):
    real = os.fsync
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        # Manifest: file and folder, then the first shard: file and folder, manifest again, then the second.
        if len(calls) > 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"shard-00001\.h5: cannot be written: No space left on device"):
        render_bundle(made, tmp_path)
    monkeypatch.undo()
    assert sorted(contents(tmp_path)) == ["manifest.json", "shard-00000.h5"]
    render_bundle(made, tmp_path, resume=True)
    assert list(verify_bundle(tmp_path)) == []


def test_places_that_cannot_be_written(made, tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match="cannot be made a folder"):
            render_bundle(made, place)
    if os.geteuid() != 0:  # root may write anywhere
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(OutputError, match="cannot be written: Permission denied"):
            render_bundle(made, tmp_path / "closed")


def test_phones_that_cannot_be_told_apart():
    for phones in ((), (PHONE, PHONE | {"f_number": 2.0})):
        with pytest.raises(FocalsimError, match="needs phones of different names, got"):
            plan_job(replace(SMALL, phones=phones), open_source(None))


def command(out: Path, *options: str) -> list[str]:
    """A run of the command line in thirty shards: long enough to be interrupted."""
    size = ["--samples", "90", "--shard-size", "3", "--size", "48x32", "--slices", "3", "--workers", "2"]
    program = "from focalsim.cli import main; main()"
    return [sys.executable, "-c", program, "render", *size, "--out", str(out), *options]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    subprocess.run(command(folder), check=True, capture_output=True)
    return contents(folder)


@pytest.mark.parametrize(
    ("how", "when"),
    [
        pytest.param(signal.SIGKILL, "shard-00001.h5", id="killed"),
        pytest.param(signal.SIGINT, "shard-00001.h5", id="interrupted"),
        pytest.param(signal.SIGINT, "manifest.json", id="interrupted while workers start"),
    ],
)
def test_killed_and_resumed_is_the_same_as_undisturbed(tmp_path, undisturbed, how, when):
    with in_terminal(command(tmp_path)) as process:
        while not (tmp_path / when).exists():
            assert process.poll() is None, "finished too early"
            time.sleep(0.002)
        if when == "manifest.json":
            time.sleep(0.3)  # they import for about a second
        # Ctrl-C reaches the whole process group, kill -9 the one process.
        os.killpg(process.pid, how) if how == signal.SIGINT else process.kill()
        # Returns when the workers have closed the pipe too: none outlives the process they work for.
        _, errors = process.communicate()
    assert not read_manifest(tmp_path).complete
    if how == signal.SIGINT:
        assert process.returncode == 1
        assert errors.splitlines()[-1].startswith("Error: interrupted; finish ")
        assert "Traceback" not in errors
        assert not list(tmp_path.glob("*.partial"))
    subprocess.run(command(tmp_path, "--resume"), check=True, capture_output=True)
    assert contents(tmp_path) == undisturbed
