"""Say what a shard or a bundle holds, as plain values that go into JSON or onto the screen."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from typing import Any

import h5py
import numpy as np

from focalsim.shards.cache import local_copy
from focalsim.shards.card import provenance_rows
from focalsim.shards.histograms import histograms
from focalsim.shards.manifest import read_manifest
from focalsim.shards.reader import ShardReader
from focalsim.shards.remote import Location


def describe_shard(path: Location) -> dict[str, Any]:
    """Sizes, attributes, data sets, the ranges of the small ones, histograms of depth and blur. Raises ShardError."""
    with ShardReader(path) as reader:
        columns = {d.name: reader.column(d.name) for d in reader.data_sets if not d.is_map}
        ranges = {
            # NaN: the phone of the sample has no such effect
            name: [float(np.nanmin(values)), float(np.nanmax(values))]
            for name, values in columns.items()
            if values.dtype.kind in "fi"
        }
        local = local_copy(path)
        with h5py.File(local, "r") as file:
            data_sets = {d.name: _storage(file[d.name], d.meaning) for d in reader.data_sets}
        n, slices, height, width = data_sets["images"]["shape"][:4]
        return {
            "path": str(path),
            "bytes": local.stat().st_size,
            "schema_version": reader.schema_version,
            "focalsim_version": reader.focalsim_version,
            "samples": n,
            "slices": slices,
            "height": height,
            "width": width,
            "reference_slice": reader.reference_slice,
            "seed": reader.seed,
            "license": reader.license,
            "attribution": reader.attribution,
            "phones": dict(sorted(Counter(columns["phone"].tolist()).items())),
            "source_frames": len(set(columns["source_id"].tolist())),
            "focus_distance_m": columns["focus_distance_m"][0].tolist(),
            "ranges": ranges,
            "histograms": histograms([reader]),
            "data_sets": data_sets,
            "config": json.loads(reader.config.to_json()),
            "config_sha256": reader.config.fingerprint,
        }


def describe_bundle(folder: Location) -> dict[str, Any]:
    """The manifest as plain values, frames skipped by reason, and what its complete shards hold. Raises ShardError."""
    manifest = read_manifest(folder)
    described: dict[str, Any] = json.loads(manifest.to_json())
    phones: Counter[str] = Counter()
    with ExitStack() as stack:
        readers = [stack.enter_context(ShardReader(folder / s.file)) for s in manifest.shards if s.complete]
        for reader in readers:
            phones.update(reader.column("phone").tolist())
        return {
            "path": str(folder),
            **described,
            "skipped": dict(sorted(Counter(reason for _, reason in manifest.skipped_frames).items())),
            "phones": dict(sorted(phones.items())),
            "seeds": list(dict.fromkeys(config.seed for config in manifest.configs)),
            "provenance": provenance_rows(manifest),
            "histograms": histograms(readers),
        }


def _storage(data_set: Any, meaning: str) -> dict[str, Any]:
    return {
        "shape": list(data_set.shape),
        "dtype": str(data_set.dtype),
        "chunks": list(data_set.chunks) if data_set.chunks else None,
        "compression": data_set.compression,
        "fletcher32": data_set.fletcher32,
        "stored_bytes": data_set.id.get_storage_size(),
        "meaning": meaning,
    }
