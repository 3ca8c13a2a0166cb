"""The schema table, held against the contract and against what stands in a written file."""

from __future__ import annotations

from dataclasses import fields

import h5py
import pytest

from focalsim.sample import Sample
from focalsim.shards.schema import DATA_SETS, markdown_table

# Schema version 1, written out by hand: shape of a shard of n=4 samples, S=3, H=16, W=24.
VERSION_1 = {
    "images": ((4, 3, 16, 24, 3), "uint8"),
    "all_in_focus": ((4, 16, 24, 3), "uint8"),
    "depth_m": ((4, 16, 24), "float32"),
    "valid": ((4, 16, 24), "bool"),
    "focus_distance_m": ((4, 3), "float32"),
    "magnification": ((4, 3), "float32"),
    "principal_point_px": ((4, 3, 2), "float32"),
    "fov_error": ((4, 3), "float32"),
    "focal_length_m": ((4,), "float32"),
    "f_number": ((4,), "float32"),
    "sensor_width_m": ((4,), "float32"),
    "phone": ((4,), "str"),
    "source_id": ((4,), "str"),
    "depth_scale": ((4,), "float32"),
    "sample_index": ((4,), "int64"),
}


def test_sample_has_the_data_sets_as_fields_in_order():
    assert [d.name for d in DATA_SETS] == [field.name for field in fields(Sample)]


@pytest.mark.parametrize("name", VERSION_1)
def test_a_written_shard_is_schema_version_1(name, tmp_path, write_shard):
    shape, kind = VERSION_1[name]
    with h5py.File(write_shard(tmp_path / "shard.h5")) as file:
        assert set(file) == set(VERSION_1)
        stored = file[name]
        assert stored.shape == shape
        if kind == "str":
            assert h5py.check_string_dtype(stored.dtype).encoding == "utf-8"
        else:
            assert stored.dtype == kind
        assert stored.fletcher32
        assert stored.compression is None


def test_one_slice_and_one_sample_are_read_without_their_neighbours(tmp_path, write_shard):
    with h5py.File(write_shard(tmp_path / "shard.h5")) as file:
        assert file["images"].chunks == (1, 1, 16, 24, 3)
        assert file["all_in_focus"].chunks == (1, 16, 24, 3)
        assert file["depth_m"].chunks == file["valid"].chunks == (1, 16, 24)


def test_the_table_for_the_documents_names_every_data_set():
    table = markdown_table(DATA_SETS)
    for data_set in DATA_SETS:
        assert f"| `{data_set.name}` | (n" in table
        assert data_set.meaning in table
