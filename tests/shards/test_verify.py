"""Verification finds each fault that is put in, says which it is, and finds none in a good bundle."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from focalsim.config import RenderConfig
from focalsim.shards import Manifest, find_entry, plan_shards, verify_bundle, verify_shard
from focalsim.shards.bundle import finished_entry

NAN = float("nan")


def test_a_good_shard(tmp_path, write_shard):
    ticks = []
    assert list(verify_shard(write_shard(tmp_path / "shard.h5"), tick=lambda: ticks.append(1))) == []
    assert len(ticks) == 4


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"focus_distance_m": [0.1, 0.2, 1.0]}, "must go from far to near"),
        ({"focus_distance_m": [1.0, 0.2, 0.2]}, "must go from far to near"),
        ({"focus_distance_m": [1.0, 0.2, 0.004]}, "must exceed the focal length"),
        ({"focus_distance_m": [NAN, 0.2, 0.1]}, "must exceed the focal length"),
        ({"magnification": [0.9, 0.0, 1.0]}, "magnification must be positive"),
        ({"magnification": [0.9, NAN, 1.0]}, "magnification must be positive"),
        ({"magnification": [1.0, 1.1, 1.2]}, "magnification must be 1 at the reference slice 2, got 1.2"),
        ({"principal_point_px": [[0, 0], [0, 0], [0, 1]]}, "shift must be 0 at the reference slice 2"),
        ({"principal_point_px": [[NAN, 0], [0, 0], [0, 0]]}, "shifts must be finite"),
        ({"fov_error": [0, np.inf, 0]}, "field-of-view errors must be finite"),
        ({"depth_m": np.zeros((16, 24))}, "depth must be finite and positive where valid"),
        ({"depth_m": np.full((16, 24), NAN)}, "depth must be finite and positive where valid"),
        ({"f_number": 0.0}, "f_number must be positive"),
        ({"sensor_width_m": -1.0}, "sensor_width_m must be positive"),
        ({"depth_scale": NAN}, "depth_scale must be positive"),
    ],
)
def test_values_that_no_camera_has(tmp_path, write_shard, changes, problem):
    arrays = {k: np.array(v, np.float32) if not isinstance(v, float) else v for k, v in changes.items()}
    found = list(verify_shard(write_shard(tmp_path / "shard.h5", n=1, **arrays)))
    assert any(problem in line for line in found), found
    assert all("sample 0: " in line for line in found)


def test_depth_may_be_anything_where_not_valid(tmp_path, write_shard):
    hole = {"depth_m": np.full((16, 24), np.nan, np.float32), "valid": np.zeros((16, 24), bool)}
    assert list(verify_shard(write_shard(tmp_path / "shard.h5", **hole))) == []


def test_samples_that_are_there_twice(tmp_path, write_shard):
    found = list(verify_shard(write_shard(tmp_path / "shard.h5", n=2, sample_index=5)))
    assert found == [f"{tmp_path / 'shard.h5'}: sample_index must be unique and at least 0, got [5, 5]"]


def test_seed_that_is_not_the_configs(tmp_path, write_shard):
    (problem,) = verify_shard(write_shard(tmp_path / "shard.h5", attribute_changes={"seed": 8}))
    assert "attribute 'seed' is 8, the config's is 7" in problem


def test_every_damaged_sample_is_named(tmp_path, write_shard, make_sample):
    path = write_shard(tmp_path / "shard.h5")
    data = bytearray(path.read_bytes())
    for index in (1, 3):
        data[data.find(make_sample(index).all_in_focus.tobytes())] ^= 255
    path.write_bytes(data)
    first, second = verify_shard(path)
    assert "data set 'all_in_focus', sample 1 is damaged" in first
    assert "data set 'all_in_focus', sample 3 is damaged" in second


def test_a_data_set_without_checksum(tmp_path, write_shard):
    import h5py

    path = write_shard(tmp_path / "shard.h5")
    with h5py.File(path, "a") as file:
        f_number = file["f_number"][()]
        del file["f_number"]
        file["f_number"] = f_number
    assert list(verify_shard(path)) == [f"{path}: data set 'f_number' has no fletcher32 checksum"]


def test_what_is_no_shard(tmp_path):
    path = tmp_path / "text.h5"
    path.write_text("no")
    (problem,) = verify_shard(path)
    assert "not a complete HDF5 file" in problem
    (problem,) = verify_shard(tmp_path / "none.h5")
    assert "no such file" in problem


@pytest.fixture
def bundle(tmp_path, write_shard):
    """A bundle of one shard of four samples."""
    config = RenderConfig(slices=3, width=24, height=16, seed=7, samples=4, shard_size=4)
    write_shard(tmp_path / "shard-00000.h5")
    manifest = Manifest(config, "CC0-1.0", "nobody", {}, plan_shards(4, 4))
    manifest = manifest.with_shard(finished_entry(tmp_path, manifest.shards[0]))
    manifest.write(tmp_path)
    return tmp_path, manifest


def test_a_good_bundle(bundle):
    folder, manifest = bundle
    assert list(verify_bundle(folder)) == []
    assert find_entry(folder / "shard-00000.h5") == manifest.shards[0]


def test_a_bundle_whose_shard_was_exchanged(bundle, write_shard):
    folder, _ = bundle
    write_shard(folder / "shard-00000.h5", f_number=2.0)
    (problem,) = verify_bundle(folder)
    assert "sha256 differs from the manifest's" in problem


def test_a_bundle_without_its_shard(bundle):
    folder, _ = bundle
    (folder / "shard-00000.h5").unlink()
    (problem,) = verify_bundle(folder)
    assert "no such file" in problem


def test_an_incomplete_bundle(bundle):
    folder, manifest = bundle
    replace(manifest, shards=plan_shards(4, 4)).write(folder)
    assert any("incomplete; finish it with --resume" in line for line in verify_bundle(folder))


def test_files_that_do_not_belong(bundle):
    folder, _ = bundle
    (folder / "shard-00001.h5").write_bytes(b"")
    (folder / "shard-00002.h5.partial").write_bytes(b"")
    first, second = verify_bundle(folder)
    assert "shard-00001.h5: not in the manifest" in first
    assert "left over from a run that did not finish" in second


def test_sample_ranges_that_do_not_fit(bundle):
    folder, _ = bundle
    data = json.loads((folder / "manifest.json").read_text())
    data["shards"][0]["first_sample"] = 1
    (folder / "manifest.json").write_text(json.dumps(data))
    problems = list(verify_bundle(folder))
    assert any("sample range of shard-00000.h5 does not follow" in line for line in problems)
    assert any("holds other samples than the manifest says" in line for line in problems)
    assert any("lists 5 samples, the config asks for 4" in line for line in problems)
