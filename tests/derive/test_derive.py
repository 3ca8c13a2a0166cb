"""Split, merge and subset: every stack once and as it was, no scene on two sides, nothing half done."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from focalsim.cli import main
from focalsim.config import RenderConfig
from focalsim.derive import merge_bundles, split_bundle, subset_bundle
from focalsim.derive.split import assign
from focalsim.errors import ConfigError, OutputError, ShardError
from focalsim.repair import repair_bundle
from focalsim.shards import Manifest, ShardReader, plan_shards, read_manifest, shard_paths, verify_bundle
from focalsim.shards.bundle import open_bundle, shard_attributes, write_shards
from focalsim.shards.files import sha256_of
from focalsim.shards.lock import hold
from focalsim.shards.schema import DATA_SETS

THIRDS = {"train": 0.6, "val": 0.2, "test": 0.2}
PIXELS = [data_set.name for data_set in DATA_SETS if data_set.is_map]


@pytest.fixture
def make_bundle(make_sample, tmp_path):
    """``make_bundle(name, n, seed, ...)``: a bundle in shards of 4; samples i and i + 10 show the same scene."""

    def make(name, n=15, seed=7, source=None, license_="CC0-1.0", compression="none", **changes):
        folder = tmp_path / name
        config = RenderConfig(
            slices=3, width=24, height=16, seed=seed, samples=n, shard_size=4, source=source or name,
            source_format="folder", compression=compression,
            phones=tuple({**_profile(), "name": phone} for phone in ("pixel4", "pixel6")),
        )  # fmt: skip
        planned = Manifest(
            config, license_, f"who made {name}", {"focalsim": "0.1.0"}, plan_shards(n, 4), (("torn", "unreadable"),)
        )
        samples = (
            replace(
                make_sample(i + 100 * seed),
                sample_index=i,
                source_id=f"{source or name}/{i % 10 // 2}/{i % 10}",
                phone=("pixel4", "pixel6")[i % 3 == 0],
                **changes,
            )
            for i in range(n)
        )
        with open_bundle(folder, planned, resume=False, overwrite=False) as manifest:
            write_shards(folder, manifest, shard_attributes(manifest, 2), samples)
        assert list(verify_bundle(folder)) == []
        return folder

    return make


def _profile():
    from focalsim.camera import load_profile

    return load_profile("pixel4").to_dict()


def stacks(folder):
    """(seed, sample_index) -> sample."""
    found = {}
    for path in shard_paths([folder]):
        with ShardReader(path) as reader:
            for sample in reader:
                key = (reader.seed, sample.sample_index)
                assert key not in found
                found[key] = sample
    return found


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def scenes(folder):
    return {sample.source_id for sample in stacks(folder).values()}


def test_split_loses_nothing_and_shares_no_scene(make_bundle, tmp_path):
    bundle, out = make_bundle("a"), tmp_path / "out"
    before = contents(bundle)
    manifests = split_bundle(bundle, out, THIRDS)
    everything = stacks(bundle)
    together = {}
    for name, manifest in manifests.items():
        assert list(verify_bundle(out / name)) == []
        assert read_manifest(out / name) == manifest
        part = stacks(out / name)
        assert len(part) == manifest.config.samples
        assert not together.keys() & part.keys()
        together |= part
    assert together.keys() == everything.keys()
    assert all(same(together[key], everything[key]) for key in everything)
    assert [manifest.config.samples for manifest in manifests.values()] == [9, 3, 3]
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        assert not scenes(out / one) & scenes(out / other)
    assert contents(bundle) == before


def test_split_is_decided_by_its_seed(make_bundle, tmp_path):
    bundle = make_bundle("a")
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        split_bundle(bundle, tmp_path / name, THIRDS, seed=seed)
    assert contents(tmp_path / "one") == contents(tmp_path / "again")
    assert scenes(tmp_path / "one" / "test") != scenes(tmp_path / "other" / "test")


def test_split_by_place(make_bundle, tmp_path):
    """Two frames show each place: a group that leaves out the frame keeps them together."""
    bundle = make_bundle("a")
    split_bundle(bundle, tmp_path / "out", THIRDS, group="^a/([0-9]+)")
    places = [{s.split("/")[1] for s in scenes(tmp_path / "out" / name)} for name in THIRDS]
    assert sum(map(len, places)) == len(set.union(*places)) == 5
    with pytest.raises(ConfigError, match="finds nothing in the source id 'a/0/0'"):
        split_bundle(bundle, tmp_path / "none", THIRDS, group="room")
    with pytest.raises(ConfigError, match="is not a regular expression"):
        split_bundle(bundle, tmp_path / "none", THIRDS, group="(")
    assert not (tmp_path / "none").exists()


@given(
    st.dictionaries(st.text(max_size=3), st.integers(1, 50), min_size=3, max_size=40),
    st.lists(st.floats(0.01, 1), min_size=1, max_size=3),
    st.integers(0, 5),
)
def test_every_part_gets_its_share_to_a_scene(sizes, weights, seed):
    fractions = {str(i): weight / sum(weights) for i, weight in enumerate(weights)}
    part_of = assign(sizes, fractions, seed)
    assert part_of.keys() == sizes.keys()
    got = Counter()
    for scene, part in part_of.items():
        got[part] += sizes[scene]
    assert set(got) == set(fractions)
    for part, fraction in fractions.items():
        # Each part misses its share by less than the largest scene, and by one for every part kept from being empty.
        assert abs(got[part] - fraction * sum(sizes.values())) <= len(fractions) * max(sizes.values())


def test_pixels_are_copied_as_they_are_stored(make_bundle, tmp_path):
    bundle = make_bundle("a", compression="gzip")
    subset_bundle(bundle, tmp_path / "out", phones=["pixel6"])
    path = tmp_path / "out" / "shard-00000.h5"
    with h5py.File(path) as new:
        for row, index in enumerate([0, 3, 6, 9]):
            with h5py.File(bundle / f"shard-{index // 4:05d}.h5") as old:
                for name in PIXELS:
                    rest = (0,) * (old[name].ndim - 1)
                    here = new[name].id.read_direct_chunk((row, *rest))
                    assert here == old[name].id.read_direct_chunk((index % 4, *rest))


def test_whole_shards_are_the_same_files(make_bundle, tmp_path):
    a, b = make_bundle("a"), make_bundle("b", seed=8)
    manifest = merge_bundles([a, b], tmp_path / "copied")
    sources = [*shard_paths([a]), *shard_paths([b])]
    assert [shard.sha256 for shard in manifest.shards] == [sha256_of(path) for path in sources]
    merge_bundles([a, b], tmp_path / "linked", link=True)
    assert contents(tmp_path / "copied") == contents(tmp_path / "linked")
    for path, source in zip(shard_paths([tmp_path / "linked"]), sources, strict=True):
        assert path.samefile(source)
    for path, source in zip(shard_paths([tmp_path / "copied"]), sources, strict=True):
        assert not path.samefile(source)


def test_merge_adds_up_and_keeps_where_all_comes_from(make_bundle, tmp_path):
    a, b = make_bundle("a"), make_bundle("b", n=5, seed=8, license_="MIT")
    hashes = {folder.name: sha256_of(folder / "manifest.json") for folder in (a, b)}
    split_bundle(a, tmp_path / "parts", {"train": 0.8, "val": 0.2})
    merged = merge_bundles([tmp_path / "parts" / "train", tmp_path / "parts" / "val", b], tmp_path / "all")
    assert list(verify_bundle(tmp_path / "all")) == []
    everything = stacks(a) | stacks(b)
    together = stacks(tmp_path / "all")
    assert together.keys() == everything.keys()
    assert all(same(together[key], everything[key]) for key in everything)
    data = json.loads((tmp_path / "all" / "manifest.json").read_text())
    assert data["totals"]["samples"] == data["config"]["samples"] == 20
    assert data["totals"]["bytes"] == sum(path.stat().st_size for path in shard_paths([tmp_path / "all"]))
    assert (data["license"], data["attribution"]) == ("CC0-1.0 AND MIT", "who made a; who made b")
    assert (data["config"]["source"], data["config"]["compression"]) == ("a + b", "none")
    origins = data["derived_from"]["origins"]
    assert {o["name"]: o["manifest_sha256"] for o in origins} == hashes
    assert [o["config"]["seed"] for o in origins] == [7, 8]
    assert [step["operation"] for step in data["derived_from"]["history"]] == ["split", "split", "merge"]
    assert data["derived_from"]["history"][0]["inputs"] == [{"name": "a", "manifest_sha256": hashes["a"]}]
    for entry, path in zip(merged.shards, shard_paths([tmp_path / "all"]), strict=True):
        with ShardReader(path) as reader:
            origin = origins[entry.origin]
            assert (reader.seed, reader.license) == (origin["config"]["seed"], origin["license"])
            assert list(entry.sample_indices) == reader.column("sample_index").tolist()
    card = (tmp_path / "all" / "README.md").read_text()
    assert "| made by | merge of train, val, b |" in card
    assert "| seed | 7, 8 |" in card
    assert hashes["b"] in card


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the libraries that it uses
def test_croissant_of_a_merged_bundle(make_bundle, tmp_path):
    import mlcroissant

    merge_bundles([make_bundle("a"), make_bundle("b", seed=8, license_="MIT")], tmp_path / "all")
    dataset = mlcroissant.Dataset(jsonld=tmp_path / "all" / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    assert len(list(dataset.records("shards"))) == 8


def test_subset(make_bundle, tmp_path):
    bundle = make_bundle("a")
    everything = stacks(bundle)

    def indices(name, **which):
        subset_bundle(bundle, tmp_path / name, **which)
        assert list(verify_bundle(tmp_path / name)) == []
        found = stacks(tmp_path / name)
        assert all(same(found[key], everything[key]) for key in found)
        assert read_manifest(tmp_path / name).config.samples == len(found)
        return [index for _, index in found]

    assert indices("phone", phones=["pixel6"]) == [0, 3, 6, 9, 12]
    assert [p["name"] for p in read_manifest(tmp_path / "phone").config.phones] == ["pixel6"]
    assert indices("both", phones=["pixel6", "pixel4"]) == list(range(15))
    assert indices("scene", scenes=["a/0/*", "a/4/9"]) == [0, 1, 9, 10, 11]
    assert indices("phone in scene", phones=["pixel6"], scenes=["a/0/*"]) == [0]
    assert indices("first", samples=6) == [0, 1, 2, 3, 4, 5]
    some = indices("some", samples=6, seed=3)
    assert some == sorted(some) != [0, 1, 2, 3, 4, 5]
    assert some == indices("again", samples=6, seed=3) != indices("other", samples=6, seed=4)


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ({"phones": ["nokia"]}, "has no stack of 'nokia'; it has pixel4, pixel6"),
        ({"scenes": ["b/*"]}, "has no scene 'b/[*]'; it has a/0/0"),
        ({"phones": ["pixel6"], "scenes": ["a/0/1"]}, "no stack of these phones in these scenes"),
        ({"samples": 16}, "16 samples were asked for, 15 are there"),
    ],
)
def test_subsets_that_cannot_be(make_bundle, tmp_path, which, message):
    with pytest.raises(ConfigError, match=message):
        subset_bundle(make_bundle("a"), tmp_path / "out", **which)
    assert not (tmp_path / "out").exists()


def test_merges_that_cannot_be(make_bundle, tmp_path):
    a, out = make_bundle("a"), tmp_path / "out"
    with pytest.raises(ShardError, match=r"hold the same stack: sample 0 of a"):
        merge_bundles([a, a], out)
    again = make_bundle("other_seed", seed=8, source="a")
    with pytest.raises(ShardError, match="both hold the scene a/0/0; --same-scenes"):
        merge_bundles([a, again], out)
    assert merge_bundles([a, again], tmp_path / "both", same_scenes=True).config.samples == 30
    with pytest.raises(ShardError, match="hold the same stack"):
        merge_bundles([tmp_path / "both", a], out, same_scenes=True)
    fewer = make_bundle("fewer")
    data = json.loads((fewer / "manifest.json").read_text())
    forged = replace(read_manifest(fewer), config=replace(read_manifest(fewer).config, slices=4))
    forged.write(fewer)
    with pytest.raises(ShardError, match=r"fewer: holds stacks of 4 slices, 24 x 16 pixels, but .*a holds stacks of 3"):
        merge_bundles([a, fewer], out)
    (fewer / "manifest.json").write_text(json.dumps(data | {"schema_version": 2}))
    with pytest.raises(ShardError, match="has schema version 2; this program reads version 1"):
        merge_bundles([a, fewer], out)
    shards = [{**shard, "sha256": "", "bytes": 0} if i else shard for i, shard in enumerate(data["shards"])]
    (fewer / "manifest.json").write_text(json.dumps(data | {"shards": shards}))
    with pytest.raises(ShardError, match="incomplete; finish it with focalsim render --resume"):
        merge_bundles([a, fewer], out)
    with pytest.raises(ShardError, match="none: no such bundle"):
        merge_bundles([a, tmp_path / "none"], out)
    with pytest.raises(ConfigError, match="two bundles or more"):
        merge_bundles([a], out)
    assert not out.exists()


@pytest.mark.parametrize(("shards", "row"), [("all", 0), ("some", 1)])
def test_damaged_inputs_are_refused(make_bundle, tmp_path, shards, row):
    """Also where the damage lies in a shard of which just some samples are taken, and not in those."""
    bundle = make_bundle("a")
    with ShardReader(bundle / "shard-00001.h5") as reader:
        pixels = reader[row].images.tobytes()
    data = bytearray((bundle / "shard-00001.h5").read_bytes())
    data[data.find(pixels[:100])] ^= 1
    (bundle / "shard-00001.h5").write_bytes(data)
    with pytest.raises(ShardError, match=r"shard-00001\.h5: sha256 differs from its manifest's"):
        subset_bundle(bundle, tmp_path / "out", samples=15 if shards == "all" else 5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_outputs_that_are_there(make_bundle, tmp_path):
    a, out = make_bundle("a"), tmp_path / "out"
    split_bundle(a, out, THIRDS)
    before = contents(out)
    with pytest.raises(OutputError, match="out: already holds a bundle; use --overwrite"):
        subset_bundle(a, out, samples=1)
    assert contents(out) == before
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt: does not belong to a bundle"):
        subset_bundle(a, out, samples=1, overwrite=True)
    (out / "notes.txt").unlink()
    subset_bundle(a, out, samples=1, overwrite=True)
    assert sorted(contents(out)) == ["README.md", "croissant.json", "manifest.json", "shard-00000.h5"]
    with pytest.raises(OutputError, match="is read; use another folder"):
        subset_bundle(a, a, samples=1, overwrite=True)
    with pytest.raises(OutputError, match="is read; use another folder"):
        subset_bundle(a, tmp_path, samples=1, overwrite=True)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="is there already and is no folder"):
        subset_bundle(a, tmp_path / "file", samples=1, overwrite=True)
    (tmp_path / "link").symlink_to(out)
    with pytest.raises(OutputError, match="is there already and is no folder"):
        subset_bundle(a, tmp_path / "link", samples=1, overwrite=True)
    with hold(tmp_path / ".new.lock"), pytest.raises(OutputError, match="new: another run is writing this bundle"):
        subset_bundle(a, tmp_path / "new", samples=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "file", "link", "out"]


@pytest.mark.parametrize("name", ["../x", "/x", ".x", "", "a/b", "x\n"])
def test_parts_stay_in_the_folder(make_bundle, tmp_path, name):
    with pytest.raises(ConfigError, match="cannot be the name of a folder"):
        split_bundle(make_bundle("a"), tmp_path / "out", {name: 1.0})


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ({"a": 0.5, "b": 0.4}, "must add up to 1, got 0.9"),
        ({"a": 1.5, "b": -0.5}, r"the fraction of a must lie in \(0, 1\], got 1.5"),
        ({"a": float("nan"), "b": 1.0}, "the fraction of a must lie in"),
        ({str(i): 1 / 11 for i in range(11)}, "11 parts need as many scenes, the bundle has 10"),
    ],
)
def test_fractions_that_cannot_be(make_bundle, tmp_path, fractions, message):
    with pytest.raises(ConfigError, match=message):
        split_bundle(make_bundle("a"), tmp_path / "out", fractions)


def test_what_cannot_be_done_to_a_derived_bundle(make_bundle, tmp_path):
    subset_bundle(make_bundle("a"), tmp_path / "out", samples=5)
    with pytest.raises(ConfigError, match=r"put together.*subset of a \(samples 5\).* from a \(manifest sha256"):
        repair_bundle(tmp_path / "out", None)
    planned = read_manifest(tmp_path / "out")
    with (
        pytest.raises(OutputError, match="was put together from other bundles"),
        open_bundle(tmp_path / "out", planned, resume=True, overwrite=False),
    ):
        pass


def test_verify_notices_a_shard_of_another_origin(make_bundle, tmp_path):
    merge_bundles([make_bundle("a", n=4), make_bundle("b", n=4, seed=8)], tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    first, second = manifest.shards
    replace(manifest, shards=(replace(first, origin=1), second)).write(tmp_path / "out")
    (problem,) = verify_bundle(tmp_path / "out")
    assert "does not come from b, as the manifest says" in problem


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"index_ranges": [[0, 10**12]]}, "do not add up to its samples"),
        ({"samples": 10**12, "index_ranges": [[0, 10**12]]}, None),
        ({"origin": 7}, "has no origin"),
        ({"index_ranges": "x"}, "is damaged"),
        ({"file": "../shard-00000.h5"}, "is not the name of a shard"),
    ],
)
def test_forged_manifests(make_bundle, tmp_path, change, message):
    subset_bundle(make_bundle("a"), tmp_path / "out", samples=4)
    data = json.loads((tmp_path / "out" / "manifest.json").read_text())
    data["shards"][0] |= change
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(data))
    problems = list(verify_bundle(tmp_path / "out"))
    assert any((message or "holds other samples than the manifest says") in problem for problem in problems)


KILLED = """
import os, sys
from pathlib import Path
from focalsim.derive import split_bundle
calls = 0
def killed(event, args):
    global calls
    if event in ("os.rename", "os.mkdir", "os.remove", "open", "shutil.rmtree"):
        calls += 1
        if calls == int(sys.argv[3]):
            os.kill(os.getpid(), 9)
import focalsim.derive.assemble, focalsim.shards, focalsim.camera, tqdm, h5py
sys.addaudithook(killed)
split_bundle(Path(sys.argv[1]), Path(sys.argv[2]), {"train": 0.8, "val": 0.2}, overwrite=True)
"""


def test_killed_at_any_moment(make_bundle, tmp_path):
    """Either the old bundle or the new one is there, or none in between two renames; the next run cleans up."""
    bundle, out, expected = make_bundle("a"), tmp_path / "out", tmp_path / "expected"
    fractions = {"train": 0.8, "val": 0.2}
    split_bundle(bundle, expected, fractions)
    after, moment, states = contents(expected), 1, set()
    while True:
        subset_bundle(bundle, out, samples=2, overwrite=True)
        before = contents(out)
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(bundle), str(out), str(moment)], capture_output=True, check=False
        )
        if done.returncode == 0:
            break
        assert done.returncode == -9, done.stderr
        found = contents(out) if out.exists() else {}
        states.add("old" if found == before else "new" if found == after else "none" if not found else "HALF")
        split_bundle(bundle, out, fractions, overwrite=True)
        assert contents(out) == after
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "expected", "out"]
        moment += 47
    assert "HALF" not in states
    assert "old" in states


def test_command_line(make_bundle, tmp_path):
    def run(*args):
        return CliRunner().invoke(main, [str(arg) for arg in args])

    bundle, other = make_bundle("a"), make_bundle("b", seed=8)
    done = run("split", bundle, "--out", tmp_path / "s", "--fractions", "train=0.8,val=0.1,test=0.1")
    assert done.exit_code == 0, done.output
    assert done.stdout.split() == [str(tmp_path / "s" / name) for name in ("train", "val", "test")]
    assert re.match(r"12 samples copied: .*, 3 shards, .* MB in ", done.stderr)
    done = run("merge", tmp_path / "s" / "val", tmp_path / "s" / "test", other, "--out", tmp_path / "m", "--link")
    assert done.stdout == f"{tmp_path / 'm'}\n", done.output
    done = run("subset", tmp_path / "m", "--phone", "pixel4", "--scene", "b/*", "--samples", 2, "--out", tmp_path / "p")
    assert done.exit_code == 0, done.output
    assert list(stacks(tmp_path / "p")) == [(8, 1), (8, 2)]
    assert run("verify", tmp_path / "m", tmp_path / "p").exit_code == 0
    shown = run("inspect", tmp_path / "p").stdout
    assert "subset of m (phones pixel4, samples 2, scenes b/*)" in shown
    assert "samples from    b: seed 8" in shown
    for bad in (
        ["subset", bundle, "--out", tmp_path / "x"],
        ["subset", bundle, "--out", tmp_path / "x", "--phone", "pixel4", "--seed", 1],
        ["split", bundle, "--out", tmp_path / "x", "--fractions", "0.8,0.2"],
        ["split", bundle, "--out", tmp_path / "x", "--fractions", "a=0.5,a=0.5"],
        ["merge", "--out", tmp_path / "x"],
        ["subset", "s3://bucket/a", "--samples", 1, "--out", tmp_path / "x"],
        ["split", bundle, "--out", "s3://bucket/a"],
    ):
        assert run(*bad).exit_code == 2, bad
    for bad in (
        ["split", bundle, "--out", tmp_path / "x", "--fractions", "../a=0.5,b=0.5"],
        ["split", bundle / "shard-00000.h5", "--out", tmp_path / "x"],
        ["merge", bundle, bundle, "--out", tmp_path / "x"],
    ):
        done = run(*bad)
        assert done.exit_code == 1, bad
        assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_a_full_disk(make_bundle, tmp_path):
    bundle = make_bundle("a")
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))\n"
        "from focalsim.cli import main; main()"
    )
    args = ["split", str(bundle), "--out", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-B", "-c", code, *args], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert line.endswith("cannot be written: File too large")
    assert os.listdir(tmp_path) == ["a"]
