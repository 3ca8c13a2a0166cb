"""The manifest: canonical, complete, and no way out of its folder."""

from __future__ import annotations

import json

import pytest

from focalsim.camera import load_profile
from focalsim.config import RenderConfig
from focalsim.errors import ShardError
from focalsim.shards import Manifest, ShardEntry, plan_shards, read_manifest, shard_paths


@pytest.fixture
def manifest():
    return Manifest(
        config=RenderConfig(samples=10, shard_size=4, phones=(load_profile("pixel4").to_dict(),)),
        license="CC0-1.0",
        attribution="nobody",
        made_with={"numpy": "2.0"},
        shards=plan_shards(10, 4),
        skipped_frames=(("room/ü", "no valid depth"),),
    )


@pytest.mark.parametrize(
    ("samples", "size", "expected"),
    [
        (10, 4, [(0, 4), (4, 4), (8, 2)]),
        (4, 4, [(0, 4)]),
        (1, 64, [(0, 1)]),
        (3, 1, [(0, 1), (1, 1), (2, 1)]),
    ],
)
def test_plan(samples, size, expected):
    shards = plan_shards(samples, size)
    assert [(s.first_sample, s.samples) for s in shards] == expected
    assert [s.file for s in shards] == [f"shard-{i:05d}.h5" for i in range(len(expected))]


def test_round_trip(manifest, tmp_path):
    done = manifest.with_shard(ShardEntry("shard-00001.h5", 4, 4, "ab" * 32, 123))
    for written in (manifest, done):
        written.write(tmp_path)
        assert read_manifest(tmp_path) == written
        assert read_manifest(tmp_path).to_json() == written.to_json()


def test_state_and_totals(manifest):
    for i, shard in enumerate(manifest.shards):
        data = json.loads(manifest.to_json())
        assert data["state"] == "incomplete"
        assert data["totals"] == {"shards": i, "samples": 4 * i, "bytes": 100 * i}
        manifest = manifest.with_shard(ShardEntry(shard.file, shard.first_sample, shard.samples, "ab" * 32, 100))
    data = json.loads(manifest.to_json())
    assert data["state"] == "complete"
    assert data["totals"] == {"shards": 3, "samples": 10, "bytes": 300}
    assert data["skipped_frames"] == [{"source_id": "room/ü", "reason": "no valid depth"}]
    assert data["config_sha256"] == manifest.config.fingerprint


@pytest.mark.parametrize("name", ["../shard.h5", "/etc/shard.h5", "a/b.h5", "..", "", ".h5", "x.h5\n", 3, None])
def test_names_that_leave_the_folder_are_refused(manifest, tmp_path, name):
    data = json.loads(manifest.to_json())
    data["shards"][1]["file"] = name
    (tmp_path / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(ShardError, match="is not the name of a shard in the bundle's own folder"):
        read_manifest(tmp_path)


def test_what_is_no_manifest(manifest, tmp_path):
    with pytest.raises(ShardError, match=r"not a bundle: it has no manifest\.json"):
        read_manifest(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text("{")
    with pytest.raises(ShardError, match="cannot be read"):
        read_manifest(tmp_path)
    for other in ('{"name": "some web app"}', "[]", "3"):
        path.write_text(other)
        with pytest.raises(ShardError, match="not the manifest of a focalsim bundle"):
            read_manifest(tmp_path)
    data = json.loads(manifest.to_json())
    path.write_text(json.dumps(data | {"schema_version": 2}))
    with pytest.raises(ShardError, match="schema version 2; this program reads version 1"):
        read_manifest(tmp_path)
    for key in ("shards", "config", "made_with", "license"):
        path.write_text(json.dumps({k: v for k, v in data.items() if k != key}))
        with pytest.raises(ShardError, match=f"is damaged: KeyError '{key}'"):
            read_manifest(tmp_path)


def test_a_config_changed_by_hand_is_noticed(manifest, tmp_path):
    data = json.loads(manifest.to_json())
    data["config"]["seed"] = 1
    (tmp_path / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(ShardError, match="config_sha256 does not fit"):
        read_manifest(tmp_path)


def test_shard_paths(manifest, tmp_path, write_shard):
    alone = write_shard(tmp_path / "alone.h5")
    manifest.write(tmp_path)
    with pytest.raises(ShardError, match="no complete shard"):
        shard_paths([tmp_path])
    manifest.with_shard(ShardEntry("shard-00001.h5", 4, 4, "ab" * 32, 123)).write(tmp_path)
    assert shard_paths([alone, str(tmp_path)]) == [alone, tmp_path / "shard-00001.h5"]
    with pytest.raises(ShardError, match="none: no such file or folder"):
        shard_paths([tmp_path / "none"])
