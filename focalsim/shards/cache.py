"""Local copies of shards that lie in object storage: fetched once, whole, kept until others need the room.

The folder is ``$FOCALSIM_CACHE``, else ``focalsim`` in the user's cache folder; ``$FOCALSIM_CACHE_GB`` (default 50) is
what it may hold. (fsspec's own file caches keep no limit, and let one process read what another is still fetching.)
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from focalsim.errors import ConfigError, ShardError
from focalsim.shards.files import PARTIAL, partial_path
from focalsim.shards.remote import Location

_LIMIT_GB = 50.0
_SUFFIX = ".h5"


def cache_folder() -> Path:
    """Where local copies lie."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("FOCALSIM_CACHE") or Path(home) / "focalsim")


def local_copy(path: Location, *, fresh: bool = False) -> Path:
    """``path`` itself where it is a local file, else a local copy of the object as it is now.

    ``fresh`` fetches it even if there is a copy. A copy may go when others need the room; who has it open keeps it.
    Raises ShardError where the object or the cache cannot be read.
    """
    if isinstance(path, Path):
        return path
    try:
        version = path.version()
        copy = cache_folder() / (hashlib.sha256(f"{path} {version}".encode()).hexdigest() + _SUFFIX)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with _alone(copy):
            if fresh or not copy.exists():
                path.download(partial_path(copy))
                os.replace(partial_path(copy), copy)
                _make_room(copy)
            else:
                os.utime(copy)  # the oldest go first
    except FileNotFoundError:
        raise ShardError(f"{path}: no such file") from None
    except OSError as error:
        raise ShardError(f"{path}: cannot be read: {error.strerror or error}") from None
    return copy


@contextmanager
def _alone(copy: Path) -> Iterator[None]:
    """Let one process fetch while the others wait for it."""
    with open(copy.with_name(f"{copy.name[:2]}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            partial_path(copy).unlink(missing_ok=True)


def _make_room(newest: Path) -> None:
    """Remove the copies that were used least lately, until the limit holds; never ``newest``."""
    total = 0
    for _, path, size in sorted(_copies(newest.parent), reverse=True):
        total += size
        if total > _limit_bytes() and path != newest:
            path.unlink(missing_ok=True)


def _copies(folder: Path) -> Iterator[tuple[int, Path, int]]:
    for entry in os.scandir(folder):
        if entry.name.endswith(_SUFFIX) and PARTIAL not in entry.name:
            try:
                stat = entry.stat()
            except FileNotFoundError:  # another process makes room too
                continue
            yield stat.st_mtime_ns, Path(entry.path), stat.st_size


def _limit_bytes() -> float:
    text = os.environ.get("FOCALSIM_CACHE_GB", str(_LIMIT_GB))
    try:
        return float(text) * 1e9
    except ValueError:
        raise ConfigError(f"FOCALSIM_CACHE_GB must be a number of gigabytes, got {text!r}") from None
