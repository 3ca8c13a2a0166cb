"""What lies beside the manifest, and the documents of the format: true, and runnable."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from focalsim.config import RenderConfig
from focalsim.shards import Manifest, ShardReader, describe_bundle, plan_shards, verify_bundle
from focalsim.shards.bundle import open_bundle, shard_attributes, write_shards
from focalsim.shards.card import READ_EXAMPLE, is_side_file
from focalsim.shards.schema import ATTRIBUTES, EFFECT_DATA_SETS, markdown_table

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "shard_format.md").read_text("utf-8")


@pytest.fixture
def bundle(tmp_path, make_sample):
    return write(tmp_path / "bundle", make_sample)


def write(folder, make_sample, **options):
    config = RenderConfig(slices=3, width=24, height=16, seed=7, samples=3, shard_size=2, source="nyu")
    skipped = (("a", "too many holes"), ("b", "too many holes"), ("c", "unreadable"))
    planned = Manifest(config, "CC-BY-4.0", "Lab “Köln” <lab>", {"focalsim": "0.1.0"}, plan_shards(3, 2), skipped)
    with open_bundle(folder, planned, **{"resume": False, "overwrite": False, **options}) as manifest:
        samples = iter([make_sample(i) for i in range(3)])
        write_shards(folder, manifest, shard_attributes(manifest, 2), samples)
    return folder


def test_the_card_carries_license_and_attribution(bundle):
    card = (bundle / "README.md").read_text("utf-8")
    assert "| **license** | CC-BY-4.0 |" in card
    assert "| **attribution** | Lab “Köln” <lab> |" in card
    assert "2 too many holes, 1 unreadable" in card
    assert markdown_table() in card
    with ShardReader(bundle / "shard-00001.h5") as reader:
        assert (reader.license, reader.attribution) == ("CC-BY-4.0", "Lab “Köln” <lab>")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the libraries that it uses
def test_croissant_is_valid(bundle):
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    metadata = mlcroissant.Dataset(jsonld=bundle / "croissant.json").metadata
    assert not metadata.ctx.issues.errors
    assert metadata.name == "Focal stacks of nyu"
    listed = {file.name: file.sha256 for file in metadata.distribution}
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert {s["file"]: s["sha256"] for s in manifest["shards"]}.items() <= listed.items()
    records = list(mlcroissant.Dataset(jsonld=bundle / "croissant.json").records("shards"))
    assert [record["shards/samples"] for record in records] == [2, 1]


def test_side_files_follow_from_the_manifest(bundle, tmp_path, make_sample):
    names = sorted(os.listdir(bundle))
    assert names == ["README.md", "croissant.json", "manifest.json", "shard-00000.h5", "shard-00001.h5"]
    before = {name: (bundle / name).read_bytes() for name in names}
    assert list(verify_bundle(bundle)) == []
    (bundle / "README.md").unlink()
    for options in ({"resume": True}, {"overwrite": True}):
        write(bundle, make_sample, **options)
        assert {name: (bundle / name).read_bytes() for name in os.listdir(bundle)} == before
    other = write(tmp_path / "other", make_sample)
    assert {name: (other / name).read_bytes() for name in os.listdir(other)} == before


def test_a_readme_of_ones_own_is_kept(tmp_path, make_sample):
    (tmp_path / "README.md").write_text("my notes on focalsim")
    assert not is_side_file(tmp_path / "README.md")
    write(tmp_path, make_sample)
    write(tmp_path, make_sample, overwrite=True)
    assert (tmp_path / "README.md").read_text() == "my notes on focalsim"
    assert is_side_file(tmp_path / "croissant.json")


def test_the_document_holds_the_schema():
    assert markdown_table() in DOCUMENT
    assert markdown_table(EFFECT_DATA_SETS) in DOCUMENT
    for name, (_, meaning) in ATTRIBUTES.items():
        assert re.search(rf"\| `{name}` \| .* \| {re.escape(meaning)} \|", DOCUMENT), name


def test_the_documents_example_runs_and_aligns(tmp_path, monkeypatch, write_shard):
    assert f"```python\n{READ_EXAMPLE}```" in DOCUMENT
    assert len(READ_EXAMPLE.split("\n")) - 2 == 10  # without the blank one and the end
    # A ramp: the colour tells the place it came from.
    y, x = np.mgrid[:16, :24].astype(float)
    m, shift = [0.8, 0.9, 1.0], [[1, 2], [-1, 0], [0, 0]]
    images = np.stack(
        [
            np.stack([8 * ((x - 11.5 - sx) / k + 11.5), 8 * ((y - 7.5 - sy) / k + 7.5), 0 * x], axis=-1)
            for k, (sx, sy) in zip(m, shift, strict=True)
        ]
    )
    changes = {
        "images": np.rint(images.clip(0, 255)).astype(np.uint8),
        "magnification": np.array(m, np.float32),
        "principal_point_px": np.array(shift, np.float32),
    }
    write_shard(tmp_path / "shard-00000.h5", n=1, **changes)
    monkeypatch.chdir(tmp_path)
    variables: dict[str, np.ndarray] = {}
    exec(READ_EXAMPLE, variables)
    inner = np.s_[:, 4:-4, 4:-4, :2]
    error = np.abs(variables["aligned"].astype(float)[inner] - variables["images"][2].astype(float)[None][inner])
    assert error.max() <= 8 * 0.5 / 0.8 + 1  # half a pixel of the ramp


def test_histograms_count_every_known_pixel(bundle):
    described = describe_bundle(bundle)
    assert described["skipped"] == {"too many holes": 2, "unreadable": 1}
    assert described["phones"] == {"pixel4": 3}
    samples = [sample for i in range(2) for sample in ShardReader(bundle / f"shard-0000{i}.h5")]
    depths = np.concatenate([s.depth_m[::4, ::4][s.valid[::4, ::4]] for s in samples])
    known = len(depths)
    depth, blur = described["histograms"]["depth_m"], described["histograms"]["blur_px"]
    assert sum(depth["counts"]) == known
    assert sum(blur["counts"]) == 3 * known
    assert len(depth["edges"]) == len(depth["counts"]) + 1
    np.testing.assert_array_equal(depth["counts"], np.histogram(depths, depth["edges"])[0])
    assert depth["edges"][0] <= depths.min() < depth["edges"][1]
    json.dumps(described, allow_nan=False)


def test_blur_of_a_plane(tmp_path, write_shard):
    """All depth in the plane of one slice: a third of the blur is 0, the rest by the formula."""
    depth = np.full((16, 24), 0.2, np.float32)
    path = write_shard(tmp_path / "shard.h5", n=1, depth_m=depth, valid=np.ones((16, 24), bool))
    from focalsim.shards.histograms import histograms

    blur = histograms([ShardReader(path)])["blur_px"]
    f, n, w = 0.0044, 1.7, 0.0056
    expected = [f / n * (f * s / (s - f)) * abs(1 / s - 1 / 0.2) * 24 / w for s in (1.0, 0.2, 0.1)]
    assert blur["edges"][0] == 0
    counts = np.histogram(np.repeat(expected, 24), [*blur["edges"]])[0]
    np.testing.assert_array_equal(blur["counts"], counts)
