"""Bundles in object storage: the same bytes, whole or not at all, resumed by what is there; against a real server."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytest.importorskip("s3fs", reason="needs s3fs")
pytest.importorskip("moto", reason="needs moto's server")

from commands import ok, run
from s3_server import s3_server

from focalsim import ShardReader, shard_paths
from focalsim.errors import ConfigError, OutputError, ShardError
from focalsim.shards import plan_shards, read_manifest, verify_bundle
from focalsim.shards.bundle import open_bundle, shard_attributes, write_shard
from focalsim.shards.cache import cache_folder, local_copy
from focalsim.shards.remote import RemotePath, location
from focalsim.shards.staging import announced

OPTIONS = ("--samples", "5", "--shard-size", "2", "--size", "48x32", "--slices", "3", "--workers", "1")


@pytest.fixture(scope="module")
def server():
    with s3_server() as address:
        yield address


@pytest.fixture(autouse=True)
def account(server, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("FOCALSIM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def store(account):  # noqa: ARG001
    import s3fs

    return s3fs.S3FileSystem(use_listings_cache=False)


@pytest.fixture
def bucket(store, request):
    name = f"bucket-{abs(hash(request.node.name))}"
    store.mkdir(name)
    return RemotePath(f"s3://{name}/data")


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The bundle of OPTIONS on disk."""
    folder = tmp_path_factory.mktemp("local")
    ok("render", *OPTIONS, "--out", folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def uploaded(bucket):
    ok("render", *OPTIONS, "--out", bucket)
    return bucket


def objects(store, folder):
    found = store.find(str(folder).removeprefix("s3://"))
    return {name.rpartition("/")[2]: store.cat_file(name) for name in found}


def test_the_bytes_are_those_of_a_folder(store, uploaded, local):
    assert objects(store, uploaded) == local
    again = run("render", *OPTIONS, "--out", uploaded)
    assert again.exit_code == 1
    assert "already holds a bundle" in again.output


def test_resume_renders_what_is_missing_or_half_uploaded(store, uploaded, local):
    store.rm_file(str(uploaded / "shard-00000.h5"))
    store.pipe_file(str(uploaded / "shard-00001.h5"), local["shard-00001.h5"][:1000])
    assert list(verify_bundle(uploaded)) != []
    done = ok("render", *OPTIONS, "--out", uploaded, "--resume")
    assert "4 samples rendered, 1 kept" in done.output
    assert objects(store, uploaded) == local


def test_resume_takes_over_what_the_manifest_does_not_know_of_yet(store, uploaded, local):
    """As after a kill between an upload and the next manifest. An object without our hash is not trusted."""
    text = json.loads(local["manifest.json"])
    for shard in text["shards"]:
        del shard["sha256"], shard["bytes"]
    store.pipe_file(str(uploaded / "manifest.json"), json.dumps(text).encode())
    store.pipe_file(str(uploaded / "shard-00001.h5"), local["shard-00001.h5"])
    done = ok("render", *OPTIONS, "--out", uploaded, "--resume")
    assert "2 samples rendered, 3 kept" in done.output
    assert objects(store, uploaded) == local


def test_overwrite_replaces_the_bundle_and_nothing_else(store, uploaded):
    store.pipe_file(str(uploaded / "notes.txt"), b"mine")
    ok(
        "render",
        "--samples",
        "1",
        "--size",
        "48x32",
        "--slices",
        "3",
        "--workers",
        "1",
        "--out",
        uploaded,
        "--overwrite",
    )
    assert set(objects(store, uploaded)) == {
        "README.md", "croissant.json", "manifest.json", "notes.txt", "shard-00000.h5"
    }  # fmt: skip
    assert list(verify_bundle(uploaded)) == []


def test_a_run_that_was_overtaken_stops_at_its_next_shard(uploaded, make_sample):
    planned = read_manifest(uploaded)
    attributes = shard_attributes(planned, 2)
    shard = plan_shards(1, 1)[0]
    with announced(uploaded) as token, open_bundle(uploaded, planned, resume=False, overwrite=True):
        before = uploaded.sizes()
        with pytest.raises(OutputError, match="another run has taken over"):
            write_shard(uploaded, shard, planned, attributes, iter([make_sample(0)]), token=token)
        assert uploaded.sizes() == before


def test_verify_inspect_and_preview_read_urls(store, uploaded, local, tmp_path):
    assert ok("verify", uploaded, uploaded / "shard-00002.h5").output.count(": ok") == 2
    assert f"bundle          {uploaded} (complete" in ok("inspect", uploaded).output
    assert json.loads(ok("inspect", uploaded / "shard-00001.h5", "--json").stdout)["samples"] == 2
    ok("preview", uploaded, "--samples", "1", "--out", tmp_path / "sheet.png")
    damaged = bytearray(local["shard-00001.h5"])
    damaged[len(damaged) // 2] ^= 1
    store.pipe_file(str(uploaded / "shard-00001.h5"), bytes(damaged))
    found = run("verify", uploaded)
    assert found.exit_code == 1
    assert f"{uploaded}/shard-00001.h5: sha256 differs" in found.output


def test_a_shard_is_fetched_once_and_again_when_it_changes(uploaded, local, monkeypatch):
    fetched = []
    download = RemotePath.download
    monkeypatch.setattr(RemotePath, "download", lambda self, file: (fetched.append(self.name), download(self, file)))
    paths = shard_paths([str(uploaded)])
    for path in [*paths, *paths]:
        with ShardReader(str(path)) as reader:
            assert reader[0].images.shape == (3, 32, 48, 3)
    assert fetched == ["shard-00000.h5", "shard-00001.h5", "shard-00002.h5"]
    (uploaded / "shard-00000.h5").write_bytes(local["shard-00001.h5"])
    with ShardReader(uploaded / "shard-00000.h5") as reader:
        assert reader.column("sample_index").tolist() == [2, 3]
    assert len(fetched) == 4


def test_the_cache_keeps_to_its_limit(uploaded, local, monkeypatch):
    size = len(local["shard-00000.h5"])
    monkeypatch.setenv("FOCALSIM_CACHE_GB", str(2.5 * size / 1e9))
    copies = [local_copy(uploaded / "shard-00000.h5"), local_copy(uploaded / "shard-00001.h5")]
    os.utime(copies[0], (1, 1))
    with open(copies[0], "rb") as reading:
        copies.append(local_copy(uploaded / "shard-00002.h5"))
        assert [copy.exists() for copy in copies] == [False, True, True]
        assert reading.read() == local["shard-00000.h5"]
    assert not list(cache_folder().glob("*.partial"))
    monkeypatch.setenv("FOCALSIM_CACHE_GB", "much")
    with pytest.raises(ConfigError, match="FOCALSIM_CACHE_GB must be a number"):
        local_copy(uploaded / "shard-00000.h5")


def test_training_data_by_url(uploaded):
    shards = pytest.importorskip("dffnet.data.shards")
    stacks = shards.ShardStacks(shards.shard_files([str(uploaded), f"{uploaded}/shard-00001.h5"]))
    assert len(stacks) == 5
    assert stacks.name(3) == "shard-00001.h5[1]"


@pytest.mark.parametrize(
    ("url", "changes", "message"),
    [
        ("s3://no-such-bucket/x", {}, "s3://no-such-bucket/x: not a folder that can be read: no such bucket"),
        ("s3://any/x", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "no credentials that the store accepts"),
        ("s3://any/x", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "the store does not answer"),
        ("s3:///x", {}, "s3:///x: names no bucket; expected s3://bucket/folder"),
        ("warp://any/x", {}, "warp://any/x: "),
    ],
)
def test_what_cannot_be_is_said_in_one_line(url, changes, message, monkeypatch):
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name, value in changes.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    failed = run("render", *OPTIONS, "--out", url)
    assert failed.exit_code == 1
    assert message in failed.output
    assert len(failed.output.strip().splitlines()) == 1
    s3fs.S3FileSystem.clear_instance_cache()


def test_nothing_there(bucket):
    with pytest.raises(ShardError, match=r"data: not a bundle: it has no manifest\.json"):
        read_manifest(bucket)
    with pytest.raises(ShardError, match=r"shard-00000\.h5: no such file"):
        ShardReader(bucket / "shard-00000.h5")


def test_locations(tmp_path):
    assert location("a/b") == Path("a/b")
    assert location(f"file://{tmp_path}") == tmp_path
    assert location("file:///a%20b") == Path("/a b")
    assert location("s3://bucket/a/") == RemotePath("s3://bucket/a")
    assert (RemotePath("s3://bucket/a") / "b.h5").parent == RemotePath("s3://bucket/a")
    with pytest.raises(ConfigError, match="names the machine 'host'"):
        location("file://host/a")


def test_a_file_url_is_a_folder(tmp_path, local):
    ok("render", *OPTIONS, "--out", f"file://{tmp_path}/out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == local


def test_a_store_without_metadata(local):
    """fsspec's store in memory: shards are known by the manifest alone."""
    ok("render", *OPTIONS, "--out", "memory://somewhere/out")
    folder = RemotePath("memory://somewhere/out")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == local
    (folder / "shard-00002.h5").unlink()
    done = ok("render", *OPTIONS, "--out", folder, "--resume")
    assert "1 sample rendered, 4 kept" in done.output
    assert list(verify_bundle(folder)) == []
