"""A bundle of schema version 1, made once, stays readable with every value it had."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from focalsim.shards import ShardReader, describe_bundle, read_manifest, verify_bundle
from focalsim.shards.schema import DATA_SETS

GOLDEN = Path(__file__).with_name("golden") / "v1"
SHARD = GOLDEN / "shard-00000.h5"
EXPECTED = json.loads(GOLDEN.with_name("v1_expected.json").read_text("utf-8"))


def check(name, values):
    if isinstance(EXPECTED[name], str):
        little = values.astype(values.dtype.newbyteorder("<"))
        assert hashlib.sha256(little.tobytes()).hexdigest() == EXPECTED[name], name
    else:
        assert np.asarray(values).tolist() == EXPECTED[name], name


def test_every_value():
    with ShardReader(SHARD) as reader:
        samples = list(reader)
        assert (reader.schema_version, reader.reference_slice, reader.seed) == (1, 2, 1)
        assert reader.config == read_manifest(GOLDEN).config
        assert reader.license
        assert reader.attribution
    assert {data_set.name for data_set in DATA_SETS} >= set(EXPECTED)
    for name in EXPECTED:
        check(name, np.stack([sample[name] for sample in samples]))


def test_with_plain_h5py():
    with h5py.File(SHARD) as file:
        assert isinstance(file.attrs["license"], str)
        assert json.loads(file.attrs["config"])["samples"] == 2
        for name in EXPECTED:
            stored = file[name]
            check(name, stored.asstr()[()] if stored.dtype.kind == "S" else stored[()])


def test_verifies():
    assert list(verify_bundle(GOLDEN)) == []
    assert describe_bundle(GOLDEN)["totals"]["samples"] == 2


def test_without_the_digest_of_its_attributes(tmp_path):
    """The first shards had none."""
    shard = tmp_path / SHARD.name
    shutil.copy(SHARD, shard)
    with h5py.File(shard, "a") as file:
        del file.attrs["attributes_sha256"]
    with ShardReader(shard) as reader:
        assert len(list(reader)) == 2


def test_a_manifest_whose_config_knows_less(tmp_path):
    """Options that came later have their defaults; the hash is of the config as it was written."""
    data = json.loads((GOLDEN / "manifest.json").read_text("utf-8"))
    del data["config"]["compression"]
    written = json.dumps(data["config"], sort_keys=True)
    (tmp_path / "manifest.json").write_text(
        json.dumps(data | {"config_sha256": hashlib.sha256(written.encode()).hexdigest()})
    )
    assert read_manifest(tmp_path).config.compression == "none"


@pytest.mark.parametrize("name", ["README.md", "croissant.json"])
def test_side_files_are_there(name):
    assert (GOLDEN / name).stat().st_size > 1000
