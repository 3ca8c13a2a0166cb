"""Hold a bundle's folder, or a range of its shards, against other runs.

One lock file, whose bytes stand for the shards: runs that write different shards share the folder, a run that writes
all of them excludes every other. Locks go with the process, however that ends, and hold on network file systems too.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from focalsim.errors import OutputError

LOCK_NAME = ".lock"
# struct flock. "Open file description" locks: those of a process end when it closes ANY handle of the file.
_FLOCK = struct.Struct("hhqqi0q")


@contextmanager
def hold(path: Path, first: int = 0, count: int = 0, *, name: Path | None = None) -> Iterator[None]:
    """Hold bytes ``first`` to ``first + count`` of the lock file ``path`` (``count`` 0 = all that follow).

    The last to hold any removes the file. Raises OutputError, which names ``name`` (else the file's folder), where it
    cannot be made, or another run holds some of them.
    """
    descriptor = _held(path, first, count, name or path.parent)
    try:
        yield
    finally:
        try:
            if _lock(descriptor, 0, 0):  # nobody else holds a part
                path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def _held(path: Path, first: int, count: int, name: Path) -> int:
    while True:
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise OutputError(f"{name}: cannot be written: {error.strerror}") from None
        try:
            if not _lock(descriptor, first, count):
                raise OutputError(f"{name}: another run is writing this bundle")
            # The run that held the lock before may have removed the file that is locked now.
            if path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, first: int, count: int) -> bool:
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, first, count, 0))
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        raise OutputError(f"the output folder cannot be locked: {error.strerror}") from None
    return True
