"""The manifest of a bundle: which shards it has, what they hash to, and what made them.

It holds neither times nor paths of the machine, so that equal bundles have equal manifests.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from focalsim.config import RenderConfig
from focalsim.errors import ConfigError, ShardError
from focalsim.shards.files import write_bytes
from focalsim.shards.schema import SCHEMA_VERSION

MANIFEST_NAME = "manifest.json"
_FORMAT = "focalsim bundle"
_SHARD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.h5")


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """One shard of a bundle; ``sha256`` and ``bytes`` are known once it is complete."""

    file: str
    first_sample: int
    samples: int
    sha256: str = ""
    bytes: int = 0

    @property
    def complete(self) -> bool:
        """Whether the shard has been written."""
        return bool(self.sha256)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle holds. ``skipped_frames`` are (source_id, reason) of frames the source could not give."""

    config: RenderConfig
    license: str
    attribution: str
    made_with: dict[str, str]
    shards: tuple[ShardEntry, ...]
    skipped_frames: tuple[tuple[str, str], ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every planned shard has been written."""
        return all(shard.complete for shard in self.shards)

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
            "shards": [
                {"file": s.file, "first_sample": s.first_sample, "samples": s.samples}
                | ({"sha256": s.sha256, "bytes": s.bytes} if s.complete else {})
                for s in self.shards
            ],
            "totals": {
                "shards": sum(s.complete for s in self.shards),
                "samples": sum(s.samples for s in self.shards if s.complete),
                "bytes": sum(s.bytes for s in self.shards),
            },
            "skipped_frames": [{"source_id": name, "reason": why} for name, why in self.skipped_frames],
        }
        return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    def write(self, folder: Path) -> None:
        """Write it into ``folder``, atomically. Raises OutputError."""
        write_bytes(folder / MANIFEST_NAME, self.to_json().encode("utf-8"))


def is_manifest(folder: Path) -> bool:
    """Whether ``folder`` has the manifest of a bundle, be it damaged, and not some other manifest.json."""
    try:
        return _FORMAT in (folder / MANIFEST_NAME).read_text("utf-8", errors="replace")
    except OSError:
        return False


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """The manifest of the bundle in ``folder``.

    Raises ShardError where there is none, where it is not one, or where it names files outside the folder.
    """
    path = Path(folder) / MANIFEST_NAME
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ShardError(f"{folder}: not a bundle: it has no {MANIFEST_NAME}") from None
    except (OSError, ValueError) as error:
        raise ShardError(f"{path}: cannot be read: {error}") from None
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise ShardError(f"{path}: not the manifest of a focalsim bundle")
    version = data.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ShardError(f"{path}: has schema version {version}; this program reads version {SCHEMA_VERSION}")
    try:
        shards = tuple(_entry(shard, path) for shard in data["shards"])
        skipped = tuple((str(frame["source_id"]), str(frame["reason"])) for frame in data["skipped_frames"])
        config = RenderConfig.from_json(json.dumps(data["config"]))
        manifest = Manifest(
            config, str(data["license"]), str(data["attribution"]), dict(data["made_with"]), shards, skipped
        )
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise ShardError(f"{path}: is damaged: {type(error).__name__} {error}") from None
    # Of the config as it was written: later versions may know more of it.
    written = json.dumps(data["config"], sort_keys=True)
    if data.get("config_sha256") != hashlib.sha256(written.encode()).hexdigest():
        raise ShardError(f"{path}: the config has been changed: config_sha256 does not fit it")
    return manifest


def _entry(data: dict[str, Any], path: Path) -> ShardEntry:
    """One shard's line. A name with a folder in it could make verify read, or resume replace, any file."""
    if not isinstance(data["file"], str) or not _SHARD_NAME.fullmatch(data["file"]):
        raise ShardError(f"{path}: {data['file']!r} is not the name of a shard in the bundle's own folder")
    sha256, size = data.get("sha256", ""), data.get("bytes", 0)
    return ShardEntry(data["file"], int(data["first_sample"]), int(data["samples"]), str(sha256), int(size))


def plan_shards(samples: int, shard_size: int) -> tuple[ShardEntry, ...]:
    """The shards of a bundle of ``samples`` samples: all of ``shard_size`` but the last."""
    starts = range(0, samples, shard_size)
    return tuple(
        ShardEntry(f"shard-{i:05d}.h5", start, min(shard_size, samples - start)) for i, start in enumerate(starts)
    )


def shard_paths(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Shard files named by ``paths``: a file stands for itself, a bundle for its complete shards in order.

    Raises ShardError where a path does not exist, or a folder is no bundle or has no complete shard.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            complete = [path / shard.file for shard in read_manifest(path).shards if shard.complete]
            if not complete:
                raise ShardError(f"{path}: the bundle has no complete shard")
            found += complete
        elif path.exists():
            found.append(path)
        else:
            raise ShardError(f"{path}: no such file or folder")
    return found
