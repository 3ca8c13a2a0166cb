"""The manifest of a bundle: which shards it has, what they hash to, and what made them.

It holds neither times nor paths of the machine, so that equal bundles have equal manifests.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from focalsim.config import RenderConfig
from focalsim.errors import ConfigError, ShardError
from focalsim.shards.files import write_bytes
from focalsim.shards.provenance import Origin, SkippedFrames, Step, frames_from_list, frames_to_list
from focalsim.shards.remote import Location, RemotePath, is_folder, location
from focalsim.shards.schema import SCHEMA_VERSION

MANIFEST_NAME = "manifest.json"
PART_NAME = re.compile(r"part-\d{5,}-\d{5,}\.json")  # of the shards of one run among several; see focalsim.shards.parts
_FORMAT = "focalsim bundle"
_SHARD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.h5")


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """One shard of a bundle; ``sha256`` and ``bytes`` are known once it is complete.

    In a bundle put together from others, ``origin`` is the place in ``Manifest.origins`` of the one that rendered the
    samples, and ``index_ranges`` their (first, count) of ``sample_index`` there, one after the other.
    """

    file: str
    first_sample: int
    samples: int
    sha256: str = ""
    bytes: int = 0
    origin: int = 0
    index_ranges: tuple[tuple[int, int], ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the shard has been written."""
        return bool(self.sha256)

    @property
    def sample_indices(self) -> Iterator[int]:
        """The ``sample_index`` that each sample must have, in order."""
        ranges = self.index_ranges or ((self.first_sample, self.samples),)
        return chain.from_iterable(range(first, first + count) for first, count in ranges)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in a manifest."""
        return (
            {"file": self.file, "first_sample": self.first_sample, "samples": self.samples}
            | ({"sha256": self.sha256, "bytes": self.bytes} if self.complete else {})
            | ({"origin": self.origin, "index_ranges": [*map(list, self.index_ranges)]} if self.index_ranges else {})
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle holds. ``skipped_frames`` are (source_id, reason) of frames the source could not give.

    A bundle put together from others has ``history``, and ``origins``, whose configs and seeds are those of its shards;
    its own config describes the whole.
    """

    config: RenderConfig
    license: str
    attribution: str
    made_with: dict[str, str]
    shards: tuple[ShardEntry, ...]
    skipped_frames: SkippedFrames = ()
    origins: tuple[Origin, ...] = ()
    history: tuple[Step, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every planned shard has been written."""
        return all(shard.complete for shard in self.shards)

    @property
    def configs(self) -> tuple[RenderConfig, ...]:
        """The configs that rendered the samples."""
        return tuple(origin.config for origin in self.origins) or (self.config,)

    def with_shard(self, entry: ShardEntry) -> Manifest:
        """A copy in which ``entry`` stands in the place of the shard of the same name."""
        shards = tuple(entry if shard.file == entry.file else shard for shard in self.shards)
        return replace(self, shards=shards)

    def to_json(self) -> str:
        """Canonical JSON: equal manifests are equal texts."""
        data = {
            "format": _FORMAT,
            "schema_version": SCHEMA_VERSION,
            "state": "complete" if self.complete else "incomplete",
            "license": self.license,
            "attribution": self.attribution,
            "made_with": self.made_with,
            "config": json.loads(self.config.to_json()),
            "config_sha256": self.config.fingerprint,
            "shards": [shard.to_dict() for shard in self.shards],
            "totals": {
                "shards": sum(s.complete for s in self.shards),
                "samples": sum(s.samples for s in self.shards if s.complete),
                "bytes": sum(s.bytes for s in self.shards),
            },
            "skipped_frames": frames_to_list(self.skipped_frames),
        }
        if self.history:
            data["derived_from"] = {
                "origins": [origin.to_dict() for origin in self.origins],
                "history": [step.to_dict() for step in self.history],
            }
        return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    def write(self, folder: Location, name: str = MANIFEST_NAME) -> None:
        """Write it into ``folder``, atomically. Raises OutputError."""
        write_bytes(folder / name, self.to_json().encode("utf-8"))


def is_manifest(folder: Location) -> bool:
    """Whether ``folder`` has the manifest of a bundle, be it damaged, and not some other manifest.json."""
    try:
        return _FORMAT in (folder / MANIFEST_NAME).read_text("utf-8", errors="replace")
    except OSError:
        return False


def read_manifest(folder: str | os.PathLike[str] | RemotePath, name: str = MANIFEST_NAME) -> Manifest:
    """The manifest of the bundle in ``folder``, a path or a URL, or another of that form that lies there.

    Raises ShardError where there is none, where it is not one, or where it names files outside the folder.
    """
    path = location(folder) / name
    if isinstance(path, Path) and path.exists() and not path.is_file():
        raise ShardError(f"{path}: is not a file that can be read")
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ShardError(f"{folder}: not a bundle: it has no {name}{_parts_hint(path)}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ShardError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise ShardError(f"{path}: not the manifest of a focalsim bundle")
    version = data.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ShardError(f"{path}: has schema version {version}; this program reads version {SCHEMA_VERSION}")
    try:
        derived = data.get("derived_from", {"origins": [], "history": []})
        manifest = Manifest(
            config=RenderConfig.from_json(json.dumps(data["config"])),
            license=str(data["license"]),
            attribution=str(data["attribution"]),
            made_with=dict(data["made_with"]),
            shards=tuple(_entry(shard, path) for shard in data["shards"]),
            skipped_frames=frames_from_list(data["skipped_frames"]),
            origins=tuple(map(Origin.from_dict, derived["origins"])),
            history=tuple(map(Step.from_dict, derived["history"])),
        )
        _check_shards(manifest)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, ConfigError) as error:
        raise ShardError(f"{path}: is damaged: {type(error).__name__} {error}") from None
    # Of the config as it was written: later versions may know more of it.
    written = json.dumps(data["config"], sort_keys=True)
    if data.get("config_sha256") != hashlib.sha256(written.encode()).hexdigest():
        raise ShardError(f"{path}: the config has been changed: config_sha256 does not fit it")
    return manifest


def _parts_hint(path: Location) -> str:
    try:
        parts = sum(bool(PART_NAME.fullmatch(other.name)) for other in path.parent.iterdir())
    except OSError:
        parts = 0
    return f", but what {parts} tasks rendered: complete it with focalsim merge {path.parent}" if parts else ""


def _entry(data: dict[str, Any], path: Location) -> ShardEntry:
    """One shard's line. A name with a folder in it could make verify read, or resume replace, any file."""
    if not isinstance(data["file"], str) or not _SHARD_NAME.fullmatch(data["file"]):
        raise ShardError(f"{path}: {data['file']!r} is not the name of a shard in the bundle's own folder")
    return ShardEntry(
        data["file"],
        int(data["first_sample"]),
        int(data["samples"]),
        str(data.get("sha256", "")),
        int(data.get("bytes", 0)),
        int(data.get("origin", 0)),
        tuple((int(first), int(count)) for first, count in data.get("index_ranges", ())),
    )


def _check_shards(manifest: Manifest) -> None:
    """Raise ValueError where two shards share a file, or one's ranges or origin cannot be."""
    if len({shard.file for shard in manifest.shards}) < len(manifest.shards):
        raise ValueError("a shard is listed twice")
    for shard in manifest.shards:
        if shard.index_ranges and sum(count for _, count in shard.index_ranges) != shard.samples:
            raise ValueError(f"the ranges of {shard.file} do not add up to its samples")
        if manifest.history and not 0 <= shard.origin < len(manifest.origins):
            raise ValueError(f"{shard.file} has no origin")


def plan_shards(samples: int, shard_size: int) -> tuple[ShardEntry, ...]:
    """The shards of a bundle of ``samples`` samples: all of ``shard_size`` but the last."""
    starts = range(0, samples, shard_size)
    return tuple(
        ShardEntry(f"shard-{i:05d}.h5", start, min(shard_size, samples - start)) for i, start in enumerate(starts)
    )


def shard_paths(paths: Iterable[str | os.PathLike[str] | RemotePath]) -> list[Location]:
    """Shards named by ``paths`` or URLs: a file stands for itself, a bundle for its complete shards in order.

    Raises ShardError where a path does not exist, or a folder is no bundle or has no complete shard.
    """
    found: list[Location] = []
    for path in map(location, paths):
        if is_folder(path):
            complete = [path / shard.file for shard in read_manifest(path).shards if shard.complete]
            if not complete:
                raise ShardError(f"{path}: the bundle has no complete shard")
            found += complete
        elif isinstance(path, RemotePath) or path.exists():
            found.append(path)
        else:
            raise ShardError(f"{path}: no such file or folder")
    return found
