"""Files of strangers: each asks the reader for something that it must not do, and is refused."""

from __future__ import annotations

import json
import os
import pickle
import struct

import h5py
import numpy as np
import pytest

from focalsim.errors import ShardError
from focalsim.shards import ShardReader, describe_bundle, shard_paths, verify_bundle, verify_shard
from focalsim.shards.schema import ATTRIBUTES_SHA256


@pytest.fixture
def shard(tmp_path, write_shard):
    return write_shard(tmp_path / "shard.h5")


def replaced(shard, name, make):
    """``shard`` with what ``make(file)`` puts in the place of ``name``."""
    with h5py.File(shard, "a") as file:
        del file[name]
        make(file)
    return shard


def refused(shard, match):
    with pytest.raises(ShardError, match=match):
        list(ShardReader(shard))


def test_an_external_link(shard, tmp_path, write_shard):
    other = write_shard(tmp_path / "other.h5")
    replaced(shard, "depth_m", lambda f: f.__setitem__("depth_m", h5py.ExternalLink(other.name, "/depth_m")))
    refused(shard, "'depth_m' is a link to elsewhere")


def test_soft_links(shard):
    for target in ("/all_in_focus", "/nowhere"):
        replaced(shard, "images", lambda f, t=target: f.__setitem__("images", h5py.SoftLink(t)))
        refused(shard, "'images' is a link to elsewhere")


def test_a_link_beside_the_data_sets(shard):
    with h5py.File(shard, "a") as file:
        file["extra"] = h5py.ExternalLink("/etc/hostname", "/")
    refused(shard, "'extra' is a link to elsewhere")


def test_a_virtual_data_set(shard, tmp_path, write_shard):
    other = write_shard(tmp_path / "other.h5")

    def make(file):
        layout = h5py.VirtualLayout((4, 16, 24), "f4")
        layout[:] = h5py.VirtualSource(str(other), "depth_m", (4, 16, 24))
        file.create_virtual_dataset("depth_m", layout)

    refused(replaced(shard, "depth_m", make), "'depth_m' keeps its data in another file")


def test_external_storage(shard, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(4 * 4))
    options = {"external": [(str(secret), 0, 16)]}
    replaced(shard, "f_number", lambda f: f.create_dataset("f_number", (4,), "f4", **options))
    refused(shard, "'f_number' keeps its data in another file")


def test_a_filter_that_needs_a_plugin(shard):
    """An optional filter of an unknown number: HDF5 would look for a library to load."""

    def make(file):
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((4, 3))
        properties.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple((4, 3))
        h5py.h5d.create(file.id, b"fov_error", h5py.h5t.IEEE_F32LE, space, properties)

    refused(replaced(shard, "fov_error", make), "'fov_error' uses filter 32015 .*, which needs a plugin")


def test_pickles_and_references(shard):
    pickled = np.frombuffer(pickle.dumps({"a": 1}), np.uint8)
    replaced(shard, "f_number", lambda f: f.create_dataset("f_number", data=np.void(pickled.tobytes())))
    refused(shard, "'f_number' must have type")
    references = h5py.special_dtype(ref=h5py.Reference)
    replaced(shard, "f_number", lambda f: f.create_dataset("f_number", (4,), references))
    refused(shard, "'f_number' must have type")
    objects = h5py.vlen_dtype(np.uint8)
    replaced(shard, "f_number", lambda f: f.create_dataset("f_number", (4,), objects))
    refused(shard, "'f_number' must have type")


def test_a_group_or_a_type_in_the_place_of_a_data_set(shard):
    replaced(shard, "valid", lambda f: f.create_group("valid"))
    refused(shard, "missing data set 'valid'")
    replaced(shard, "valid", lambda f: f.__setitem__("valid", np.dtype("f8")))
    refused(shard, "missing data set 'valid'")


def test_attributes_that_were_changed(shard):
    with h5py.File(shard, "a") as file:
        assert len(file.attrs[ATTRIBUTES_SHA256]) == 64
        file.attrs["license"] = "do as you like"
    refused(shard, "the attributes are damaged or have been changed")


@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
def test_a_forged_size(shard, compression):
    """One small chunk stored, terabytes claimed: refused before anything is allocated."""
    shape = (4, 3, 2**16, 2**16, 3)

    def make(file):
        file.create_dataset("images", shape, "u1", chunks=(4, 3, 8, 8, 3), compression=compression)
        file["images"][:, :, :8, :8] = 1

    refused(replaced(shard, "images", make), "'images' holds 1 of 67108864 chunks")


def test_a_compressed_chunk_that_claims_to_grow_without_end(shard):
    """A chunk of some bytes that HDF5 would give 200 MB to unpack."""

    def make(file):
        images = file.create_dataset("images", (4, 3, 4096, 4096, 3), "u1", chunks=(4, 1, 4096, 4096, 3), compression=1)
        for i in range(3):
            images.id.write_direct_chunk((0, i, 0, 0, 0), b"x" * 16)

    refused(replaced(shard, "images", make), "'images' is damaged: its chunks are not those of its shape")


def test_strings_of_a_forged_length(shard):
    kind = h5py.string_dtype("utf-8", 2**30)
    replaced(shard, "phone", lambda f: f.create_dataset("phone", (4,), kind))
    refused(shard, "'phone' claims more data than the file holds")


@pytest.mark.parametrize("size", [0, 2**64 - 1, 2**40, 5])
@pytest.mark.parametrize("what", ["heap", "object"])
def test_a_string_heap_that_does_not_add_up(shard, what, size):
    """A size of 0 makes HDF5 step through the heap forever."""
    data = bytearray(shard.read_bytes())
    heap = data.index(b"GCOL")
    if what == "heap":
        data[heap + 8 : heap + 16] = struct.pack("<Q", size)
    else:  # the first object becomes free space of that size
        data[heap + 16 : heap + 32] = struct.pack("<HHIQ", 0, 0, 0, size)
    shard.write_bytes(data)
    refused(shard, "is damaged")


def test_an_index_that_lists_chunks_under_wrong_keys(shard):
    """HDF5 does not find such a chunk, and reads zeros in its place."""
    data = bytearray(shard.read_bytes())
    with h5py.File(shard) as file:
        address = file["depth_m"].id.get_chunk_info(2).byte_offset
    # A key is the chunk's size, its filter mask and its place, and stands before the chunk's address.
    at = data.index(struct.pack("<Q", address)) - 32
    assert data[at : at + 8] == struct.pack("<Q", 2)
    data[at : at + 8] = struct.pack("<Q", 1)
    shard.write_bytes(data)
    refused(shard, "'depth_m' is damaged: its chunks are not those of its shape")


@pytest.mark.parametrize(
    "name", ["../shard.h5", "/etc/passwd", "..\\shard.h5", "shard.h5\x00", "sub/shard.h5", "~/a.h5"]
)
def test_a_manifest_that_leads_out_of_its_folder(tmp_path, write_shard, name):
    write_shard(tmp_path / "shard.h5")
    folder = tmp_path / "bundle"
    folder.mkdir()
    entry = {"file": name, "first_sample": 0, "samples": 4, "sha256": "0" * 64, "bytes": 1}
    data = {
        "format": "focalsim bundle", "schema_version": 1, "shards": [entry], "skipped_frames": [], "config": {},
        "license": "", "attribution": "", "made_with": {},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(data))
    for use in (describe_bundle, lambda f: shard_paths([f])):
        with pytest.raises(ShardError, match="is not the name of a shard in the bundle's own folder"):
            use(folder)
    (problem,) = verify_bundle(folder)
    assert "is not the name of a shard" in problem


def test_chunks_that_share_their_bytes(shard):
    """A sample could show the pixels of another, whose checksum is right."""
    with h5py.File(shard) as file:
        first, second = (file["all_in_focus"].id.get_chunk_info_by_coord((i, 0, 0, 0)).byte_offset for i in (0, 1))
    data = shard.read_bytes()
    assert data.count(struct.pack("<Q", second)) == 1
    shard.write_bytes(data.replace(struct.pack("<Q", second), struct.pack("<Q", first)))
    refused(shard, "'all_in_focus' is damaged: its chunks are not those of its shape")


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_has_no_end(shard, kind):
    shard.unlink()
    if kind == "pipe":
        os.mkfifo(shard)
    else:
        shard.symlink_to("/dev/zero")
    refused(shard, "is neither a file nor a folder")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"samples": Infinity}',
        '{"samples": 1e400}',
        '{"samples": ' + "9" * 5000 + "}",
        '{"slices": 1000000000000}',
        '{"phones": [1]}',
        '{"near_m": NaN}',
        "null",
    ],
)
def test_configs_that_would_break_a_parser_or_ask_for_memory(tmp_path, write_shard, text):
    """In a shard, whose pixels are still read, and in a manifest."""
    shard = write_shard(tmp_path / "shard.h5", attribute_changes={"config": text})
    with ShardReader(shard) as reader:
        assert len(list(reader)) == 4
        with pytest.raises(ShardError, match="attribute 'config'"):
            reader.config  # noqa: B018
    assert any("attribute 'config'" in problem for problem in verify_shard(shard))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"format": "focalsim bundle", "schema_version": 1, "shards": ' + "[" * 100_000,
        '{"format": "focalsim bundle", "schema_version": 1, "config": {}, "license": "", "attribution": "", '
        '"made_with": {}, "skipped_frames": [], "shards": [{"file": "a.h5", "first_sample": 0, "samples": Infinity}]}',
    ],
)
def test_manifests_that_would_break_a_parser(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    (problem,) = verify_bundle(tmp_path)
    assert "manifest.json: cannot be read" in problem or "manifest.json: is damaged" in problem


def test_a_manifest_that_is_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "manifest.json")
    (problem,) = verify_bundle(tmp_path)
    assert "is not a file that can be read" in problem
