"""Shards that are taken whole: copied or linked, and known to be what their manifest says."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from focalsim.errors import OutputError, ShardError
from focalsim.shards import ShardEntry
from focalsim.shards.files import sha256_of

_BLOCK = 1 << 20


def copy_shard(source: Path, target: Path, entry: ShardEntry, *, link: bool) -> None:
    """Copy a shard, or link it where that is asked for and possible, and compare what arrived with the manifest."""
    try:
        if not (link and _linked(source, target)):
            with open(source, "rb") as reader, open(target, "xb") as writer:
                shutil.copyfileobj(reader, writer, _BLOCK)
                os.fsync(writer.fileno())
    except OSError as error:
        raise OutputError(f"{target}: cannot be copied from {source}: {error.strerror or error}") from None
    if sha256_of(target) != entry.sha256:
        raise changed(source)


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, or one without links
        return False
    return True


def changed(source: Path) -> ShardError:
    """The error for a shard that is not what its manifest says."""
    return ShardError(f"{source}: sha256 differs from its manifest's: the file has been changed; see focalsim verify")
