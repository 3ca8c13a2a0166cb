"""Verify shards and bundles: hashes, checksums, and values that a camera could have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import h5py
import numpy as np

from focalsim.errors import ShardError
from focalsim.sample import Sample
from focalsim.shards.cache import local_copy
from focalsim.shards.files import PARTIAL, sha256_of
from focalsim.shards.manifest import MANIFEST_NAME, ShardEntry, read_manifest
from focalsim.shards.provenance import Origin
from focalsim.shards.reader import ShardReader
from focalsim.shards.remote import Location
from focalsim.shards.schema import DATA_SETS

Tick = Callable[[], None]


def verify_bundle(folder: Location, tick: Tick = lambda: None) -> Iterator[str]:
    """Problems of a bundle and of every shard in it, each as one line; none for a good one.

    ``tick`` is called after each sample read.
    """
    try:
        manifest = read_manifest(folder)
    except ShardError as error:
        yield str(error)
        return
    if not manifest.complete:
        yield f"{folder}: the bundle is incomplete; finish it with --resume"
    listed = {entry.file for entry in manifest.shards}
    try:
        there: list[Location] = sorted(folder.glob("*.h5*"), key=str)
    except OSError as error:
        yield f"{folder}: cannot be read: {error.strerror or error}"
        return
    for path in there:
        if path.name.endswith(PARTIAL):
            yield f"{path}: left over from a run that did not finish"
        elif path.name not in listed:
            yield f"{path}: not in the manifest"
    following = 0
    for entry in manifest.shards:
        if entry.first_sample != following or entry.samples < 1:
            yield f"{folder / MANIFEST_NAME}: sample range of {entry.file} does not follow the one before"
        following = entry.first_sample + entry.samples
        if entry.complete:
            yield from verify_shard(folder / entry.file, entry, tick)
            if manifest.history:
                yield from _origin_problems(folder / entry.file, manifest.origins[entry.origin])
    if following != manifest.config.samples:
        planned = manifest.config.samples
        yield f"{folder / MANIFEST_NAME}: lists {following} samples, the config asks for {planned}"


def verify_shard(path: Location, entry: ShardEntry | None = None, tick: Tick = lambda: None) -> Iterator[str]:
    """Problems of one shard, each as one line; ``entry`` is what a manifest says of it."""
    try:
        local = local_copy(path, fresh=True)
        if entry is not None and local.is_file() and sha256_of(local) != entry.sha256:
            yield f"{path}: sha256 differs from the manifest's: the file has been changed"
        reader = ShardReader(path)
    except OSError as error:
        yield str(error)
        return
    with reader:
        yield from _unchecked_data_sets(path, local)
        yield from _indices(reader, entry)
        for i in range(len(reader)):
            try:
                sample = reader[i]
            except ShardError as error:
                yield str(error)
            else:
                for problem in sample_problems(sample, reader.reference_slice):
                    yield f"{path}: sample {i}: {problem}"
            tick()


def _origin_problems(path: Location, origin: Origin) -> Iterator[str]:
    """A shard carries the config, license and attribution of the bundle that its samples come from."""
    try:
        with ShardReader(path) as reader:
            of_shard = (reader.config, reader.license, reader.attribution)
    except OSError:
        return  # verify_shard has said so
    if of_shard != (origin.config, origin.license, origin.attribution):
        yield f"{path}: does not come from {origin.name}, as the manifest says: another config, license or attribution"


def find_entry(path: Location) -> ShardEntry | None:
    """What the manifest beside a shard says of it; None where there is no manifest or it does not list it."""
    if not (path.parent / MANIFEST_NAME).exists():
        return None
    entries = {entry.file: entry for entry in read_manifest(path.parent).shards if entry.complete}
    return entries.get(path.name)


def _unchecked_data_sets(path: Location, local: Path) -> Iterator[str]:
    with h5py.File(local, "r") as file:
        for data_set in DATA_SETS:
            if data_set.name in file and not file[data_set.name].fletcher32:
                yield f"{path}: data set '{data_set.name}' has no fletcher32 checksum"


def _indices(reader: ShardReader, entry: ShardEntry | None) -> Iterator[str]:
    """The samples are those planned, each once, and rendered by the config the shard carries."""
    try:
        index = reader.column("sample_index")
        config = reader.config
    except ShardError as error:
        yield str(error)
        return
    if len(np.unique(index)) != len(index) or index.min() < 0:
        yield f"{reader.path}: sample_index must be unique and at least 0, got {index.tolist()}"
    # One more than there are: a forged number of samples must not decide how much is allocated.
    if entry is not None and index.tolist() != list(islice(entry.sample_indices, len(index) + 1)):
        yield f"{reader.path}: holds other samples than the manifest says"
    if reader.seed != config.seed:
        yield f"{reader.path}: attribute 'seed' is {reader.seed}, the config's is {config.seed}"


def sample_problems(sample: Sample, reference: int) -> Iterator[str]:
    """What is wrong with the values of one sample, each as one line."""
    focus, magnification = sample.focus_distance_m, sample.magnification
    for name in ("focal_length_m", "f_number", "sensor_width_m", "depth_scale"):
        if not 0 < sample[name] < np.inf:
            yield f"{name} must be positive, got {sample[name]}"
    if not np.all(np.isfinite(focus) & (focus > sample.focal_length_m)):
        yield f"focus distances must exceed the focal length, got {focus.tolist()} m"
    if not np.all(np.diff(focus) < 0):
        yield f"focus distances must go from far to near, got {focus.tolist()} m"
    if not np.all(np.isfinite(magnification) & (magnification > 0)):
        yield f"magnification must be positive, got {magnification.tolist()}"
    if magnification[reference] != 1:
        yield f"magnification must be 1 at the reference slice {reference}, got {magnification[reference]}"
    if not np.all(np.isfinite(sample.principal_point_px)):
        yield "principal point shifts must be finite"
    if np.any(sample.principal_point_px[reference] != 0):
        shift = sample.principal_point_px[reference].tolist()
        yield f"principal point shift must be 0 at the reference slice {reference}, got {shift}"
    if not np.all(np.isfinite(sample.fov_error)):
        yield "field-of-view errors must be finite"
    for name in ("shot_noise", "read_noise"):
        if sample[name] is not None and not 0 <= sample[name] < np.inf:
            yield f"{name} must not be negative, got {sample[name]}"
    if sample.exposure_ev is not None and not np.isfinite(sample.exposure_ev):
        yield f"exposure_ev must be finite, got {sample.exposure_ev}"
    if sample.jpeg_quality is not None and not 1 <= sample.jpeg_quality <= 100:
        yield f"jpeg_quality must lie in 1..100, got {sample.jpeg_quality}"
    depth = sample.depth_m[sample.valid]
    bad = np.count_nonzero(~(np.isfinite(depth) & (depth > 0)))
    if bad:
        yield f"depth must be finite and positive where valid; {bad} pixels are not"
