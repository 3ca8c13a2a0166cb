"""Whatever stops a run, and whenever: what it leaves resumes to the bytes of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from terminal import in_terminal

from focalsim.shards import verify_bundle

OPTIONS = ["--samples", "96", "--shard-size", "16", "--size", "48x32", "--slices", "3", "--workers", "2"]


def command(out: Path, *options: str) -> list[str]:
    program = "from focalsim.cli import main; main()"
    return [sys.executable, "-c", program, "render", *OPTIONS, "--out", str(out), *options]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The bundle's bytes, and how long the run took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    started = time.monotonic()
    subprocess.run(command(folder), check=True, capture_output=True)
    return contents(folder), time.monotonic() - started


@pytest.mark.slow
def test_killed_at_twenty_random_moments(tmp_path, undisturbed):
    expected, seconds = undisturbed
    moments = random.Random(0)
    states = set()
    for i in range(20):
        out = tmp_path / str(i)
        with subprocess.Popen(command(out), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            time.sleep(moments.uniform(0.2, 1) * seconds)
            process.kill()
            process.communicate()  # returns when the workers are gone too
        states.add(len(list(out.glob("*.h5"))) if out.is_dir() else -1)
        resumed = subprocess.run(command(out, "--resume"), capture_output=True, text=True, check=False)
        assert resumed.returncode == 0, resumed.stderr
        assert contents(out) == expected
    assert len(states) > 2, f"all kills met the same state: {states}"


@pytest.mark.slow
@pytest.mark.parametrize("way", [["--workers", "1"], ["--workers", "2"], ["--scheduler", "local"]], ids=" ".join)
def test_ctrl_c_at_ten_random_moments(tmp_path, way):
    """It reaches the whole process group, as on a terminal, and ends the run in one line."""
    moments, codes = random.Random(0), []
    started = time.monotonic()
    subprocess.run(command(tmp_path / "whole", *way), check=True, capture_output=True)
    seconds = time.monotonic() - started
    for i in range(10):
        with in_terminal(command(tmp_path / str(i), *way)) as process:
            time.sleep(moments.uniform(0.2, 1) * seconds)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            errors = process.communicate()[1]
        codes.append(process.returncode)
        assert "Traceback" not in errors
        assert process.returncode != 1 or errors.splitlines()[-1].startswith("Error: interrupted; finish ")
    assert codes.count(1) > 2, f"nothing was interrupted while it rendered: {codes}"


def test_two_runs_at_once(tmp_path, undisturbed):
    """One is refused in one line, or comes after the other and finds its bundle; nothing is harmed."""
    runs = [
        subprocess.Popen(command(tmp_path / "out"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [run.communicate()[1] for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 1], errors
    refused = next(error for run, error in zip(runs, errors, strict=True) if run.returncode == 1)
    assert "another run is writing this bundle" in refused or "already holds a bundle" in refused
    assert "Traceback" not in refused
    assert contents(tmp_path / "out") == undisturbed[0]


@pytest.mark.parametrize("moment", [0, 4_000_000_000])
def test_a_clock_that_jumps(tmp_path, undisturbed, moment):
    """Files of another time, of this run or of one before, are judged by their bytes alone."""
    subprocess.run(command(tmp_path), check=True, capture_output=True)
    (tmp_path / "shard-00003.h5").unlink()
    for path in tmp_path.iterdir():
        os.utime(path, (moment, moment))
    subprocess.run(command(tmp_path, "--resume"), check=True, capture_output=True)
    assert contents(tmp_path) == undisturbed[0]


UNWRITABLE = """
import os, sys
from focalsim.camera import load_profile
from focalsim.config import RenderConfig
from focalsim.errors import OutputError
from focalsim.job import plan_job
from focalsim.pipeline import render_bundle
from focalsim.sources import open_source

open_folder, *closed = sys.argv[1:]
config = RenderConfig(phones=(load_profile("pixel4").to_dict(),), samples=1, width=48, height=32, slices=2)
job = plan_job(config, open_source(None))
render_bundle(job, open_folder)  # loads all that is loaded late, which a user without rights may not read
os.setgid(65534)
os.setuid(65534)
for folder in closed:
    try:
        render_bundle(job, folder, overwrite=True)
    except OutputError as error:
        print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become a user without rights")
def test_an_unwritable_folder(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o755)
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o005:  # pytest's own folders are closed to others
            folder.chmod(0o755)
    places = [tmp_path / "open", closed, closed / "bundle"]
    done = subprocess.run(
        [sys.executable, "-c", UNWRITABLE, *map(str, places)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        f"{closed}: cannot be written: Permission denied",
        f"{closed / 'bundle'}: cannot be made a folder: Permission denied",
    ]
    assert list(closed.iterdir()) == []


MOUNTS = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=64k tmpfs "$0" && umount "$0"', "/mnt"]


@pytest.fixture(scope="module")
def may_mount():
    try:
        return subprocess.run(MOUNTS, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def test_a_full_disk_that_is_emptied(tmp_path, may_mount, undisturbed):
    """A file system of 200 kB, in a namespace of its own; then there is room, and the run is resumed."""
    if not may_mount:
        pytest.skip("a small file system cannot be mounted here")
    script = """
        mount -t tmpfs -o size=200k tmpfs "$0" || exit 9
        "$@" && exit 8
        ls "$0"
        mount -o remount,size=50m "$0"
        "$@" --resume && cp -r "$0" "$COPY"
    """
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    disk.mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, str(disk), *command(disk)],
        env={**os.environ, "COPY": str(copy)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "cannot be written: No space left on device" in done.stderr
    assert ".partial" not in done.stdout
    assert contents(copy) == undisturbed[0]
    assert list(verify_bundle(copy)) == []
