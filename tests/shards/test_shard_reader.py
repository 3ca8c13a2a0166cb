"""Reading a shard: what was written comes back, in any process, and damage is named."""

from __future__ import annotations

import multiprocessing
import pickle

import h5py
import numpy as np
import pytest

import focalsim
from focalsim.errors import ShardError
from focalsim.shards import ShardReader

needs_fork = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system has no fork")


@pytest.fixture
def shard(tmp_path, write_shard):
    return write_shard(tmp_path / "shard.h5")


def rewritten(shard, name, data, **options):
    """Replace one data set of a shard."""
    with h5py.File(shard, "a") as file:
        del file[name]
        file.create_dataset(name, data=data, **options)
    return shard


def test_samples_come_back_as_written(shard, make_sample):
    with focalsim.ShardReader(shard) as reader:
        assert len(reader) == 4
        for index, sample in enumerate(reader):
            written = make_sample(index)
            for name in written:
                np.testing.assert_array_equal(sample[name], written[name], err_msg=name)
                if isinstance(written[name], np.ndarray):
                    assert sample[name].dtype == written[name].dtype
                else:
                    assert type(sample[name]) is type(written[name])


def test_attributes(shard):
    reader = ShardReader(shard)
    assert (reader.schema_version, reader.reference_slice, reader.seed) == (1, 2, 7)
    assert (reader.license, reader.attribution) == ("CC0-1.0", "nobody: “made up”")
    assert reader.focalsim_version == "0.1.0"
    assert reader.config.slices == 3


def test_indices_behave_as_those_of_a_list(shard):
    reader = ShardReader(shard)
    assert reader[-1].sample_index == 3
    assert reader[np.int64(2)].sample_index == 2
    for beyond in (4, -5):
        with pytest.raises(IndexError, match=f"sample {beyond} of 4"):
            reader[beyond]


def test_a_sample_is_the_callers_own(shard):
    reader = ShardReader(shard)
    reader[0].magnification[:] = -1
    assert reader[0].magnification[0] == np.float32(0.9)


def test_pickles_as_its_path_and_reads_on_after_close(shard):
    reader = ShardReader(shard)
    reader[1]
    copy = pickle.loads(pickle.dumps(reader))
    assert len(pickle.dumps(reader)) < 2000
    np.testing.assert_array_equal(copy[1].images, reader[1].images)
    reader.close()
    assert reader[2].sample_index == 2


def _read_in_child(reader, queue):
    queue.put(int(reader[3].images.sum()))


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_works_after_a_fork(shard):
    reader = ShardReader(shard)
    expected = int(reader[3].images.sum())
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=_read_in_child, args=(reader, queue)) for _ in range(2)]
    for child in children:
        child.start()
    assert [queue.get(timeout=30) for _ in children] == [expected, expected]
    for child in children:
        child.join()
    assert int(reader[3].images.sum()) == expected


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ShardError, match=r"none\.h5: no such file"):
        ShardReader(tmp_path / "none.h5")
    with pytest.raises(ShardError, match="is a folder"):
        ShardReader(tmp_path)


def test_text_file_named_h5(tmp_path):
    path = tmp_path / "text.h5"
    path.write_text("this is no HDF5\n" * 100)
    with pytest.raises(ShardError, match=r"text\.h5: not a complete HDF5 file"):
        ShardReader(path)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_truncated_shard(shard, part):
    data = shard.read_bytes()
    shard.write_bytes(data[: int(part * len(data))])
    with pytest.raises(ShardError, match="not a complete HDF5 file"):
        ShardReader(shard)


def test_foreign_hdf5(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"] = np.zeros(3)
    with pytest.raises(ShardError, match="not a focalsim shard: no attribute 'schema_version'"):
        ShardReader(tmp_path / "other.h5")


@pytest.mark.parametrize(("version", "what"), [(2, "a newer"), (0, "an unknown")])
def test_other_schema_versions_are_refused(tmp_path, write_shard, version, what):
    shard = write_shard(tmp_path / "shard.h5", attribute_changes={"schema_version": version})
    with pytest.raises(ShardError, match=f"{what} schema version {version}; this program reads version 1"):
        ShardReader(shard)


def test_missing_attribute_and_data_set(shard):
    with h5py.File(shard, "a") as file:
        del file["depth_scale"]
    with pytest.raises(ShardError, match="missing data set 'depth_scale'"):
        ShardReader(shard)
    with h5py.File(shard, "a") as file:
        del file.attrs["license"]
    with pytest.raises(ShardError, match="missing attribute 'license'"):
        ShardReader(shard)


def test_reference_slice_outside_the_stack(tmp_path, write_shard):
    with pytest.raises(ShardError, match=r"'reference_slice' must lie in 0\.\.2, got 3"):
        ShardReader(write_shard(tmp_path / "shard.h5", attribute_changes={"reference_slice": 3}))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("depth_m", np.ones((4, 16, 24), np.float64), "'depth_m' must have type <f4, got float64"),
        ("depth_m", np.ones((4, 16, 23), np.float32), r"'depth_m' must have shape \(4, 16, 24\)"),
        ("depth_m", np.ones((4, 16), np.float32), "'depth_m' must have 3 axes, got 2"),
        ("valid", np.ones((3, 16, 24), bool), r"'valid' must have shape \(4, 16, 24\)"),
        ("phone", np.zeros(4, np.int64), "'phone' must have type utf-8, got int64"),
    ],
)
def test_wrong_type_shape_or_rank(shard, name, data, message):
    with pytest.raises(ShardError, match=message):
        ShardReader(rewritten(shard, name, data))


def test_links_are_not_followed(shard, tmp_path, write_shard):
    other = write_shard(tmp_path / "other.h5")
    with h5py.File(shard, "a") as file:
        del file["valid"]
        file["valid"] = h5py.ExternalLink(str(other), "valid")
    with pytest.raises(ShardError, match="'valid' is a link to elsewhere"):
        ShardReader(shard)


def test_data_in_other_files_is_refused(shard, tmp_path):
    external = [(str(tmp_path / "raw.bin"), 0, h5py.h5f.UNLIMITED)]
    with h5py.File(shard, "a") as file:
        del file["depth_scale"]
        file.create_dataset("depth_scale", (4,), np.float32, external=external)
    with pytest.raises(ShardError, match="'depth_scale' keeps its data in another file"):
        ShardReader(shard)


def test_virtual_data_sets_are_refused(shard, tmp_path, write_shard):
    other = write_shard(tmp_path / "other.h5")
    layout = h5py.VirtualLayout((4,), np.float32)
    layout[:] = h5py.VirtualSource(str(other), "depth_scale", shape=(4,))
    with h5py.File(shard, "a") as file:
        del file["depth_scale"]
        file.create_virtual_dataset("depth_scale", layout)
    with pytest.raises(ShardError, match="'depth_scale' keeps its data in another file"):
        ShardReader(shard)


def test_filters_that_need_a_plugin_are_refused(shard):
    scaleoffset = {"chunks": (4, 16, 24), "scaleoffset": 3}
    with pytest.raises(ShardError, match=r"'depth_m' uses filter 6 .*needs a plugin"):
        ShardReader(rewritten(shard, "depth_m", np.ones((4, 16, 24), np.float32), **scaleoffset))


@pytest.mark.parametrize("compression", ["gzip", "lzf"])
def test_plain_codecs_are_read(shard, make_sample, compression):
    images = np.stack([make_sample(i).images for i in range(4)])
    rewritten(shard, "images", images, compression=compression, shuffle=True, fletcher32=True)
    np.testing.assert_array_equal(ShardReader(shard)[2].images, images[2])


def test_strings_of_any_length_are_read(shard):
    rewritten(shard, "source_id", ["a", "bb", "ü", ""], dtype=h5py.string_dtype("utf-8"))
    assert [sample.source_id for sample in ShardReader(shard)] == ["a", "bb", "ü", ""]


def test_a_size_without_pixels_behind_it_is_refused(shard):
    # A few bytes could otherwise ask for terabytes of memory.
    with h5py.File(shard, "a") as file:
        del file["images"]
        file.create_dataset("images", (4, 3, 16, 24, 3), np.uint8, chunks=(1, 1, 16, 24, 3))
    with pytest.raises(ShardError, match="'images' holds 0 of 12 chunks"):
        ShardReader(shard)


def damage(shard, array):
    """Flip a bit in the middle of an array's stored bytes."""
    data = bytearray(shard.read_bytes())
    at = data.find(array.tobytes())
    assert at > 0
    data[at + array.nbytes // 2] ^= 1
    shard.write_bytes(data)


def test_damaged_pixels_are_named_and_the_others_still_read(shard, make_sample):
    damage(shard, make_sample(2).images[1])
    reader = ShardReader(shard)
    assert reader[1].sample_index == 1
    with pytest.raises(ShardError, match=r"shard\.h5: data set 'images', sample 2 is damaged"):
        reader[2]


def test_damaged_column_is_named(shard, make_sample):
    damage(shard, np.concatenate([make_sample(i).fov_error for i in range(4)]))
    with pytest.raises(ShardError, match="data set 'fov_error', samples 0 to 3 are damaged"):
        ShardReader(shard)[0]


def test_damaged_metadata_is_a_shard_error(shard):
    """HDF5 reports it as KeyError, RuntimeError and others; a flipped byte in any object header must be noticed."""
    whole = shard.read_bytes()
    headers = [i for i in range(len(whole)) if whole.startswith((b"OHDR", b"TREE"), i)]
    assert len(headers) > 15
    for at in headers:
        data = bytearray(whole)
        data[at + 5] ^= 0x55
        shard.write_bytes(data)
        with pytest.raises(ShardError, match=r"shard\.h5"):
            list(ShardReader(shard))


def test_reading_again_gives_the_same_arrays(shard, make_sample):
    """The second time the checksum is not asked for, and the bytes come by another way."""
    with ShardReader(shard) as reader:
        for _ in range(3):
            for index in (2, 0, 3, 2):
                sample, written = reader[index], make_sample(index)
                for name in written:
                    np.testing.assert_array_equal(sample[name], written[name], err_msg=name)
                    assert np.asarray(sample[name]).dtype == np.asarray(written[name]).dtype
                sample.images[:] = 0  # a copy: nobody else sees it


def test_damage_is_found_however_often_one_reads(shard, make_sample):
    data = bytearray(shard.read_bytes())
    data[data.find(make_sample(1).depth_m.tobytes())] ^= 1
    shard.write_bytes(data)
    with ShardReader(shard) as reader:
        reader[0]
        for _ in range(3):
            with pytest.raises(ShardError, match="data set 'depth_m', sample 1 is damaged"):
                reader[1]
            reader[0]


def test_a_closed_reader_compares_checksums_anew(shard, make_sample):
    reader = ShardReader(shard)
    reader[1]
    reader.close()
    data = bytearray(shard.read_bytes())
    data[data.find(make_sample(1).all_in_focus.tobytes())] ^= 1
    shard.write_bytes(data)
    with pytest.raises(ShardError, match="data set 'all_in_focus', sample 1 is damaged"):
        reader[1]


def test_a_file_that_is_replaced_is_validated_anew(shard, write_shard):
    reader = ShardReader(shard)
    first = reader[0]
    write_shard(shard, n=2, f_number=2.0)
    assert reader[0].f_number == first.f_number  # the open file is still the old one
    reader.close()
    assert reader[0].f_number == 2.0
    assert len(reader) == 2
    reader.close()
    shard.write_text("no shard any more")
    with pytest.raises(ShardError, match="not a complete HDF5 file"):
        reader[0]


def _sample_is_damaged(reader, queue):
    try:
        reader[1]
    except ShardError as error:
        queue.put(str(error))
    else:
        queue.put("read")


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_every_process_compares_checksums(shard, make_sample):
    reader = ShardReader(shard)
    reader[1]
    data = shard.read_bytes()
    with shard.open("r+b") as file:
        at = data.find(make_sample(1).valid.tobytes())
        file.seek(at)
        file.write(bytes([data[at] ^ 1]))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_sample_is_damaged, args=(reader, queue))
    child.start()
    assert "data set 'valid', sample 1 is damaged" in queue.get(timeout=30)
    child.join()


def test_a_shard_that_becomes_shorter_while_it_is_open(shard):
    reader = ShardReader(shard)
    size = shard.stat().st_size
    with shard.open("r+b") as file:
        file.truncate(size // 8)
    with pytest.raises(ShardError, match=r"shard\.h5: data set '.*', sample 0 is damaged: "):
        list(reader)
