"""``focalsim render`` on RGB-D folders: small ones made here, and the real ones where they are at hand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import ok, run

from focalsim.shards import ShardReader, read_manifest

SHARED = Path(__file__).resolve().parents[2] / "../shared/data/rgbd"
REAL = (
    "motorcycle", "open3d_redwood", "metric3d_nyu", "slambook_kinect", "cleargrasp_d435", "icl_nuim_synth",
    "promptda_iphone",
)  # fmt: skip
SMALL = ["--size", "96x64", "--slices", "3", "--workers", "1"]


@pytest.fixture
def folder(tmp_path):
    """Three frames, depth a ramp of 200 to 800 mm in 16-bit PNG; the depth of one is all zero."""
    folder = tmp_path / "room"
    folder.mkdir()
    ramp = np.tile(np.linspace(200, 800, 120, dtype=np.uint16), (80, 1))
    for i, depth in enumerate([ramp, np.zeros_like(ramp), ramp + np.uint16(50)]):
        colour = np.random.default_rng(i).integers(0, 256, (80, 120, 3), np.uint8)
        cv2.imwrite(str(folder / f"color_{i}.png"), cv2.GaussianBlur(colour, (0, 0), 2))
        cv2.imwrite(str(folder / f"depth_{i}.png"), depth)
    return folder


def test_every_usable_frame_once_and_the_others_reported(folder, tmp_path):
    result = ok("render", folder, "--out", tmp_path / "b", *SMALL)
    assert "1 of 3 frames skipped" in result.stderr
    manifest = read_manifest(tmp_path / "b")
    assert [name for name, _ in manifest.skipped_frames] == ["room/color_1.png"]
    assert str(tmp_path) not in (tmp_path / "b" / "manifest.json").read_text()
    with ShardReader(tmp_path / "b" / "shard-00000.h5") as reader:
        assert [sample.source_id for sample in reader] == ["room/color_0.png", "room/color_2.png"]
        sample = reader[0]
        # Depth lies in the focus range, so its metres are kept.
        assert sample.depth_scale == 1
        known = sample.depth_m[sample.valid]
        assert 0.19 < known.min() < known.max() < 0.81
        assert sample.valid.mean() > 0.9
    ok("verify", tmp_path / "b")


def test_enlarged_depth_is_marked_in_the_shard(folder, tmp_path):
    """One frame of LiDAR-like depth among others; a bundle without any has neither the key nor the data set."""
    ok("render", folder, "--out", tmp_path / "plain", *SMALL)
    cv2.imwrite(str(folder / "depth_2.png"), np.full((20, 30), 500, np.uint16))
    result = ok("render", folder, "--out", tmp_path / "lidar", *SMALL)
    assert "depth maps are enlarged up to 4 times" in result.stderr
    with ShardReader(tmp_path / "lidar" / "shard-00000.h5") as shard:
        assert shard.config.depth_enlarged == 4
        assert {shard[k].source_id: shard[k].depth_enlarged for k in (0, 1)} == {
            "room/color_0.png": 1,
            "room/color_2.png": 4,
        }
    ok("verify", tmp_path / "lidar")
    for described in (tmp_path / "lidar", tmp_path / "lidar" / "shard-00000.h5"):
        assert "enlarged up to 4 times" in ok("inspect", described).stdout
    assert "depth maps" not in ok("inspect", tmp_path / "plain").stdout
    assert "depth_enlarged" in (tmp_path / "lidar" / "README.md").read_text()
    with ShardReader(tmp_path / "plain" / "shard-00000.h5") as shard:
        assert shard[0].depth_enlarged is None
        assert "depth_enlarged" not in shard.config.to_json()


def test_more_samples_than_frames_draw_new_cameras(folder, tmp_path):
    ok("render", folder, "--samples", 4, "--out", tmp_path / "b", *SMALL)
    with ShardReader(tmp_path / "b" / "shard-00000.h5") as reader:
        first, again = reader[0], reader[2]
    assert first.source_id == again.source_id
    assert not np.array_equal(first.principal_point_px, again.principal_point_px)


def test_a_scene_outside_the_focus_range_is_scaled_and_said_so(folder, tmp_path):
    result = ok("render", folder, "--depth-scale", 100, "--out", tmp_path / "b", *SMALL)
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("depth scaled to fit")]
    assert "0.1-1 m: 2 of 2 samples, factors 0." in line
    with ShardReader(tmp_path / "b" / "shard-00000.h5") as reader:
        for sample in reader:
            assert 0 < sample.depth_scale < 1
            assert sample.depth_m[sample.valid].max() <= 1.001
    kept = ok("render", folder, "--depth-scale", 100, "--depth", "keep", "--out", tmp_path / "k", *SMALL)
    assert "depth scaled" not in kept.stderr
    with ShardReader(tmp_path / "k" / "shard-00000.h5") as reader:
        assert reader[0].depth_scale == 1
        assert reader[0].depth_m.max() > 5


@pytest.mark.parametrize("change", ["pixels", "depth scale"])
def test_resume_notices_a_changed_source(folder, tmp_path, change):
    ok("render", folder, "--out", tmp_path / "b", *SMALL)
    options = []
    if change == "pixels":
        cv2.imwrite(str(folder / "color_0.png"), np.zeros((80, 120, 3), np.uint8))
    else:
        options = ["--depth-scale", 2000]
    result = run("render", folder, "--out", tmp_path / "b", "--resume", *options, *SMALL)
    assert result.exit_code == 1
    assert "source_digest was" in result.stderr


@pytest.mark.parametrize("fault", ["no depth", "other size", "all zero", "nan", "no image", "empty"])
def test_folders_that_cannot_be_used(tmp_path, fault):
    folder = tmp_path / "room"
    folder.mkdir()
    colour = np.full((80, 120, 3), 90, np.uint8)
    if fault != "empty":
        cv2.imwrite(str(folder / "color_0.png"), colour)
    if fault == "no depth":
        cv2.imwrite(str(folder / "color_1.png"), colour)
        cv2.imwrite(str(folder / "depth_1.png"), np.full((80, 120), 500, np.uint16))
    elif fault == "nan":
        np.save(folder / "depth_0.npy", np.full((80, 120), np.nan, np.float32))
    elif fault == "no image":
        (folder / "color_0.png").write_bytes(b"no png")
        cv2.imwrite(str(folder / "depth_0.png"), np.full((80, 120), 500, np.uint16))
    elif fault != "empty":
        shape, value = ((50, 120), 500) if fault == "other size" else ((80, 120), 0)
        cv2.imwrite(str(folder / "depth_0.png"), np.full(shape, value, np.uint16))
    result = run("render", folder, "--out", tmp_path / "b", *SMALL)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("name", REAL)
def test_real_folders_give_bundles_that_verify(name, tmp_path):
    if not (SHARED / name).is_dir():
        pytest.skip(f"the real RGB-D frames {SHARED / name} are not at hand")
    ok("render", SHARED / name, "--samples", 2, "--out", tmp_path / "b", *SMALL)
    ok("verify", tmp_path / "b")
    with ShardReader(tmp_path / "b" / "shard-00000.h5") as reader:
        assert len(reader) == 2
        for sample in reader:
            assert sample.valid.mean() > 0.5
            assert sample.all_in_focus.std() > 5
