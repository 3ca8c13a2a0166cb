"""Shards that one of several machines writes, or that go to object storage: complete before they take their place.

A run announces itself by a file ``.run-<token>`` in the folder. Workers elsewhere know by it that they see the same
folder, and that their run goes on: neither a worker thought lost nor a run that was overtaken replaces anything.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from focalsim.errors import OutputError
from focalsim.shards.files import PARTIAL, write_bytes
from focalsim.shards.manifest import ShardEntry
from focalsim.shards.remote import Location

RUN_FILE = re.compile(r"\.run-[0-9a-f]{8}")


@contextmanager
def announced(folder: Location) -> Iterator[str]:
    """The token of a run that is announced in ``folder`` until the block ends. Raises OutputError."""
    token = uuid4().hex[:8]
    write_bytes(_run_file(folder, token), b"A run writes this bundle.\n")
    try:
        yield token
    finally:
        # Whoever has taken over the folder has removed it; a store that is gone is being reported already.
        with suppress(OSError):
            _run_file(folder, token).unlink(missing_ok=True)


def goes_on(folder: Location, token: str) -> bool:
    """Whether the run is announced in ``folder``, as this machine sees it. Raises OutputError."""
    try:
        return _run_file(folder, token).exists()
    except OSError as error:
        raise OutputError(f"{folder}: cannot be read: {error.strerror or error}") from None


def write_staged(folder: Location, name: str, token: str, write: Callable[[Path], ShardEntry], plan: str) -> ShardEntry:
    """Let ``write`` write a shard to a path of its own, then put it in its place whole; returns what ``write`` does.

    An object carries its hash and the digest of its plan as metadata, where the store keeps any. Raises OutputError,
    also where the run has ended or another has taken over.
    """
    target = folder / name
    with _stage(target) as path:
        entry = write(path)
        if not goes_on(folder, token):
            raise OutputError(f"{folder}: another run has taken over this bundle, or this one has ended")
        try:
            if isinstance(target, Path):
                os.replace(path, target)
            else:
                target.upload(path, {"sha256": entry.sha256, "plan": plan})
        except OSError as error:
            raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from None
    return entry


@contextmanager
def _stage(target: Location) -> Iterator[Path]:
    if isinstance(target, Path):
        path = target.with_name(f"{target.name}.{uuid4().hex[:8]}{PARTIAL}")
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
    else:
        with tempfile.TemporaryDirectory(prefix="focalsim-") as temporary:
            yield Path(temporary) / target.name


def _run_file(folder: Location, token: str) -> Location:
    return folder / f".run-{token}"
