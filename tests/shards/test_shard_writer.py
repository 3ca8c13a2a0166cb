"""Writing a shard: the same bytes for the same samples, and all of it or nothing."""

from __future__ import annotations

import errno
import os
import pickle
import resource
import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest

from focalsim.errors import OutputError
from focalsim.shards import ShardReader, ShardWriter


def test_two_writes_are_equal(tmp_path, write_shard):
    first, second = write_shard(tmp_path / "first.h5"), write_shard(tmp_path / "second.h5")
    assert first.read_bytes() == second.read_bytes()


def test_data_sets_held_by_others_change_no_byte(tmp_path, write_shard, monkeypatch):
    """As a profiler does that looks at the writer's frames: without a flush, chunks would move to the file's end."""
    first, held = write_shard(tmp_path / "first.h5"), []
    create = ShardWriter._create

    def hold(self, *arguments):
        held.append(create(self, *arguments))
        return held[-1]

    monkeypatch.setattr(ShardWriter, "_create", hold)
    second = write_shard(tmp_path / "second.h5")
    assert len(held) > 10
    assert first.read_bytes() == second.read_bytes()


def test_only_the_shard_is_left(tmp_path, write_shard):
    write_shard(tmp_path / "shard.h5")
    assert os.listdir(tmp_path) == ["shard.h5"]


def test_nothing_has_the_shards_name_before_it_is_complete(tmp_path, make_sample, attributes):
    with ShardWriter(tmp_path / "shard.h5", 1, attributes) as writer:
        writer.write(make_sample(0))
        assert os.listdir(tmp_path) == ["shard.h5.partial"]


def test_a_failing_block_leaves_nothing(tmp_path, make_sample, attributes):
    def fail():
        with ShardWriter(tmp_path / "shard.h5", 2, attributes) as writer:
            writer.write(make_sample(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("given", [1, 3])
def test_another_number_of_samples_than_planned(tmp_path, make_sample, attributes, given):
    def write():
        with ShardWriter(tmp_path / "shard.h5", 2, attributes) as writer:
            for index in range(given):
                writer.write(make_sample(index))

    with pytest.raises(ValueError, match="planned for 2 samples, got"):
        write()
    assert os.listdir(tmp_path) == []


def test_a_sample_of_another_size(tmp_path, make_sample, attributes):
    def write():
        with ShardWriter(tmp_path / "shard.h5", 2, attributes) as writer:
            writer.write(make_sample(0))
            writer.write(make_sample(1, valid=make_sample(1).valid[:-1]))

    with pytest.raises(ValueError, match=r"sample 1: valid must have shape \(16, 24\), got \(15, 24\)"):
        write()
    assert os.listdir(tmp_path) == []


def test_unwritable_place(tmp_path, attributes):
    with (
        pytest.raises(OutputError, match="cannot be written: No such file or directory"),
        ShardWriter(tmp_path / "none" / "shard.h5", 1, attributes),
    ):
        pass


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_fails_at_the_end(tmp_path, write_shard, monkeypatch, step):
    def full(*_args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OutputError, match=r"shard\.h5: cannot be written: No space left on device"):
        write_shard(tmp_path / "shard.h5")
    monkeypatch.undo()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("limit", [0, 1_000, 40_000, 70_000])
def test_a_disk_that_is_full(tmp_path, make_sample, attributes, limit):
    """Writes beyond ``limit`` bytes are refused; in a process of its own, as HDF5 may crash at exit."""
    program = textwrap.dedent(f"""
        import pickle, resource, sys
        from focalsim.errors import OutputError
        from focalsim.shards import ShardReader, ShardWriter
        samples, attributes = pickle.loads(sys.stdin.buffer.read())
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {resource.RLIM_INFINITY}))
        try:
            with ShardWriter("shard.h5", len(samples), attributes) as writer:
                for sample in samples:
                    writer.write(sample)
        except OutputError as error:
            print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, ({resource.RLIM_INFINITY}, {resource.RLIM_INFINITY}))
        with ShardWriter("after.h5", len(samples), attributes) as writer:
            for sample in samples:
                writer.write(sample)
    """)
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=pickle.dumps(([make_sample(i) for i in range(12)], attributes)),
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    assert done.stdout.decode().startswith("shard.h5")
    assert "cannot be written: File too large" in done.stdout.decode()
    # The process is none the worse for it: the next shard is fine.
    assert os.listdir(tmp_path) == ["after.h5"]
    assert len(list(ShardReader(tmp_path / "after.h5"))) == 12


@pytest.mark.parametrize("compression", ["lzf", "gzip"])
def test_compression_is_lossless_and_needs_no_plugin(tmp_path, make_sample, attributes, compression):
    """Flat pictures, which shrink; noise would not."""
    flat = make_sample(0, images=np.full((3, 16, 24, 3), 7, np.uint8), all_in_focus=np.zeros((16, 24, 3), np.uint8))
    sizes = {}
    for codec in ("none", compression):
        path = tmp_path / f"{codec}.h5"
        with ShardWriter(path, 1, attributes, codec) as writer:
            writer.write(flat)
        with h5py.File(path) as file:
            sizes[codec] = sum(file[name].id.get_storage_size() for name in file)
        with ShardReader(path) as reader:
            for name in flat:
                np.testing.assert_array_equal(reader[0][name], flat[name], err_msg=name)
    assert sizes[compression] < 0.8 * sizes["none"]
    with h5py.File(tmp_path / f"{compression}.h5") as file:
        assert file["images"].compression == compression
        assert file["phone"].compression is None
        assert all(file[name].fletcher32 for name in file)
