"""Repair brings back the bytes that the manifest promises, and touches nothing else."""

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from focalsim.camera import load_profile
from focalsim.cli import main
from focalsim.config import RenderConfig
from focalsim.errors import ConfigError, OutputError
from focalsim.job import plan_job
from focalsim.pipeline import render_bundle
from focalsim.repair import repair_bundle
from focalsim.shards import verify_bundle
from focalsim.sources import open_source

SMALL = RenderConfig(phones=(load_profile("pixel4").to_dict(),), samples=3, width=40, height=32, slices=2, shard_size=1)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """RGB-D frames, the last of which has no depth."""
    folder = tmp_path_factory.mktemp("frames")
    rng = np.random.default_rng(0)
    for i in range(4):
        cv2.imwrite(str(folder / f"{i}_rgb.jpg"), rng.integers(0, 256, (48, 64, 3), np.uint8))
        depth = np.full((48, 64), 0 if i == 3 else 500 + 50 * i, np.uint16)
        cv2.imwrite(str(folder / f"{i}_depth.png"), depth)
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def damage(folder):
    """Flip a bit in the first shard, remove the second, leave a foreign one."""
    data = bytearray((folder / "shard-00000.h5").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "shard-00000.h5").write_bytes(data)
    (folder / "shard-00001.h5").unlink()
    (folder / "shard-00007.h5").write_bytes(b"foreign")


@pytest.mark.parametrize("kind", ["made", "frames"])
def test_the_same_bytes_come_back(kind, frames, tmp_path):
    source = open_source(None if kind == "made" else frames)
    samples = 3 if kind == "made" else None  # all usable frames; the skipped one stays in the manifest
    render_bundle(plan_job(SMALL, source, samples), tmp_path)
    good = contents(tmp_path)
    whole = os.stat(tmp_path / "shard-00002.h5")
    damage(tmp_path)
    assert len(list(verify_bundle(tmp_path))) >= 3
    assert repair_bundle(tmp_path, source) == ["shard-00000.h5", "shard-00001.h5"]
    assert contents(tmp_path) == good
    assert os.stat(tmp_path / "shard-00002.h5").st_mtime_ns == whole.st_mtime_ns
    assert repair_bundle(tmp_path, source) == []


def test_another_source_is_refused_and_nothing_lost(frames, tmp_path):
    render_bundle(plan_job(SMALL, open_source(frames), 3), tmp_path / "bundle")
    damage(tmp_path / "bundle")
    before = contents(tmp_path / "bundle")
    with pytest.raises(ConfigError, match="was made from frames0"):
        repair_bundle(tmp_path / "bundle", open_source(None))
    other = tmp_path / frames.name
    other.mkdir()
    for path in frames.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    cv2.imwrite(str(other / "1_depth.png"), np.full((48, 64), 700, np.uint16))
    with pytest.raises(OutputError, match="source_digest was"):
        repair_bundle(tmp_path / "bundle", open_source(other))
    assert contents(tmp_path / "bundle") == before


def test_command_line(tmp_path):
    def run(*args):
        return CliRunner().invoke(main, [str(arg) for arg in args])

    render_bundle(plan_job(SMALL, open_source(None), 3), tmp_path / "b")
    good = contents(tmp_path / "b")
    damage(tmp_path / "b")
    assert run("verify", tmp_path / "b").exit_code == 1
    done = run("verify", "--repair", tmp_path / "b")
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'b'}: ok\n")
    assert "shard-00000.h5: sha256 differs from the manifest's" in done.stderr
    assert "shard-00001.h5: rendered again" in done.stderr
    assert contents(tmp_path / "b") == good
    assert run("verify", "--repair", tmp_path / "b" / "shard-00000.h5").exit_code == 2
    assert run("verify", "--source", tmp_path, tmp_path / "b").exit_code == 2
