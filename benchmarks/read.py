"""How fast are stacks read in random order? ShardReader against numpy.fromfile of the same bytes and against PNG files.

    focalsim render --samples 32 --out demo/read
    python benchmarks/read.py demo/read --runs 9 --out benchmarks/results

All files lie in the page cache: what is compared is the work of reading, not the disk. Ways are timed in turn, in
random order. The raw bandwidth is that of numpy.fromfile on as many bytes at the same places of the uncompressed
shard; a bare file, written in one go, is faster, for the cache holds it in larger pieces. PNG files hold the same
images, and depth as .npy. Checksums are compared when a sample is first read: the rows "first" open the file anew for
every pass, and the row "first, with opening" has a new reader for every pass, which also validates the file. The last
rows read four copies of the shard in random order in two workers of a DataLoader, which are started afresh for every
pass and hand over nothing but the number of bytes: one pass over the data, every byte checked.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from pathlib import Path

import cv2
import h5py
import numpy as np
from common import environment, markdown_table, summary
from torch.utils.data import DataLoader, Dataset

from focalsim.config import COMPRESSIONS
from focalsim.shards import ShardReader, ShardWriter, shard_paths
from focalsim.shards.bundle import shard_attributes
from focalsim.shards.manifest import read_manifest
from focalsim.shards.schema import DATA_SETS

RAW = "numpy.fromfile, the shard's bytes"
MAPS = [data_set.name for data_set in DATA_SETS if data_set.is_map]


def write_raw(samples, path):
    with path.open("wb") as stream:
        for sample in samples:
            for name in MAPS:
                stream.write(np.ascontiguousarray(sample[name]).tobytes())


def write_png(samples, folder):
    for k, sample in enumerate(samples):
        place = folder / f"{k:05d}"
        place.mkdir(parents=True)
        for i, image in enumerate([*sample.images, sample.all_in_focus]):
            cv2.imwrite(str(place / f"{i:02d}.png"), image[..., ::-1])
        np.save(place / "depth_m.npy", sample.depth_m)
        cv2.imwrite(str(place / "valid.png"), sample.valid.astype(np.uint8))


def read_png(place, slices):
    return (
        np.stack([cv2.imread(str(place / f"{i:02d}.png"))[..., ::-1] for i in range(slices + 1)]),
        np.load(place / "depth_m.npy"),
        cv2.imread(str(place / "valid.png"), cv2.IMREAD_UNCHANGED),
    )


class InWorkers(Dataset):
    """Reads a sample in a worker and hands over its size."""

    def __init__(self, read, places):
        self.read, self.places = read, places

    def __len__(self):
        return len(self.places)

    def __getitem__(self, index):
        return self.read(*self.places[index])


def pass_in_workers(read, places):
    """Seconds a sample of one pass of two fresh workers, from the first sample that arrives to the last."""
    loader = DataLoader(InWorkers(read, places), batch_size=8, shuffle=True, num_workers=2)
    batches = iter(loader)
    arrived = len(next(batches))
    started = time.perf_counter()
    for batch in batches:
        arrived += len(batch)
    assert arrived == len(places)
    return (time.perf_counter() - started) / (arrived - 8)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    samples = [sample for path in shard_paths([arguments.bundle]) for sample in ShardReader(path)]
    sample_bytes = sum(np.asarray(samples[0][name]).nbytes for name in MAPS)
    slices = len(samples[0].images)
    attributes = shard_attributes(read_manifest(arguments.bundle), slices - 1)
    order = np.random.default_rng(0).permutation(len(samples)).tolist()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_raw(samples, folder / "raw")
        write_png(samples, folder / "png")
        png_bytes = sum(path.stat().st_size for path in (folder / "png").rglob("*.*"))
        ways = {
            "numpy.fromfile, bare file": lambda i: np.fromfile(
                folder / "raw", np.uint8, sample_bytes, offset=i * sample_bytes
            ),
            "PNG files": lambda i: read_png(folder / "png" / f"{i:05d}", slices),
        }
        sizes = {"numpy.fromfile, bare file": sample_bytes * len(samples), "PNG files": png_bytes}
        writing = {}
        for codec in COMPRESSIONS:
            path, started = folder / f"{codec}.h5", time.perf_counter()
            with ShardWriter(path, len(samples), attributes, codec) as writer:
                for sample in samples:
                    writer.write(sample)
            name = f"ShardReader, {codec}"
            writing[name] = (time.perf_counter() - started) / len(samples) * 1e3
            sizes[name] = path.stat().st_size
            for kind in ("", ", first", ", first, with opening"):  # a reader each, which know what they have checked
                ways[name + kind] = ShardReader(path).__getitem__
            if codec == "none":
                with h5py.File(path) as file:
                    images = file["images"].id
                    starts = [images.get_chunk_info_by_coord((i, 0, 0, 0, 0)).byte_offset for i in range(len(samples))]
                ways[RAW] = lambda i, path=path, starts=starts: np.fromfile(
                    path, np.uint8, sample_bytes, offset=starts[i]
                )
        copies = [folder / f"copy{i}.h5" for i in range(4)]
        for copy in copies:
            shutil.copy(folder / "none.h5", copy)
        readers = [ShardReader(copy) for copy in copies]
        places = [(k, i) for k in range(len(copies)) for i in range(len(samples))]
        in_workers = {
            "numpy.fromfile, in two workers": lambda k, i: (
                np.fromfile(copies[k], np.uint8, sample_bytes, offset=starts[i]).nbytes
            ),
            "ShardReader, none, first, in two workers": lambda k, i: readers[k][i].images.nbytes,
        }
        times = {name: [] for name in (*ways, *in_workers)}
        shuffle = random.Random(0)
        for run in range(arguments.runs + 1):
            # In another order each time: what a way leaves in the processor's caches helps or hinders the next.
            for name in shuffle.sample(list(ways), len(ways)):
                read = ways[name]
                reader = read.__self__ if "first" in name else None
                if reader:
                    reader.close()
                    reader.column("phone")
                started = time.perf_counter()
                if name.endswith("opening"):
                    read = ShardReader(reader.path).__getitem__
                for index in order:
                    read(index)
                if run:  # the first is for warming up
                    times[name].append((time.perf_counter() - started) / len(samples))
            for name, read in in_workers.items():
                times[name].append(pass_in_workers(read, places))
    raw_ms, png_ms = (summary(times[name])[0] for name in (RAW, "PNG files"))
    rows = []
    for name, seconds in times.items():
        median, low, high = summary(seconds)
        size_mb = sizes.get(name, 0) / len(samples) / 1e6 or ""
        raw = summary(times["numpy.fromfile, in two workers"])[0] if name.endswith("workers") else raw_ms
        rows.append([name, median, low, high, raw / median, png_ms / median, size_mb, writing.get(name, "")])
    header = ["way", "ms a sample", "min", "max", "of raw bandwidth", "times PNG", "MB a sample", "ms to write"]
    table = markdown_table(header, rows, 2)
    print(table)
    arguments.out.mkdir(parents=True, exist_ok=True)
    result = {"environment": environment(), "samples": len(samples), "sample_bytes": sample_bytes, "seconds": times}
    (arguments.out / "read.json").write_text(json.dumps(result, indent=1) + "\n")
    (arguments.out / "read.md").write_text(table)


if __name__ == "__main__":
    main()
