"""Files that appear whole or not at all, also when the disk is full or the program is killed."""

from __future__ import annotations

import hashlib
import io
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from focalsim.errors import OutputError
from focalsim.shards.remote import Location

PARTIAL = ".partial"


def partial_path(path: Path) -> Path:
    """Where ``path`` is written until it is complete."""
    return path.with_name(path.name + PARTIAL)


def commit(descriptor: int, path: Path) -> None:
    """Sync the open partial file of ``path`` to disk and give it its name. Raises OSError."""
    os.fsync(descriptor)
    os.replace(partial_path(path), path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_bytes(path: Location, data: bytes) -> None:
    """Write a small file atomically. Raises OutputError; then the old file, if any, still stands."""
    if not isinstance(path, Path):
        try:
            path.write_bytes(data)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None
        return
    partial = partial_path(path)
    try:
        with open(partial, "wb") as stream:
            stream.write(data)
            stream.flush()
            commit(stream.fileno(), path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    digest = hashlib.sha256()
    block = memoryview(bytearray(1 << 18))  # stays in the processor's cache
    with open(path, "rb", buffering=0) as stream:
        while count := stream.readinto(block):
            digest.update(block[:count])
    return digest.hexdigest()


def drop_from_cache(path: Path) -> None:
    """Give the memory in which the system keeps a synced file back, where it can be told to.

    The next file takes this memory again. Memory that has long been free costs more than writing the bytes where a
    virtual machine has to be given it first; and what is written once does not push out what is read again and again.
    """
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError), open(path, "rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class ForgivingFile(io.FileIO):
    """A file for HDF5 to write to, whose failures are kept for later instead of being raised.

    HDF5 cannot close a file that refuses writes: its handles stay open and the process can crash at exit. So
    the first failure is remembered in ``error``, all later writes are dropped, and the caller asks
    :meth:`check`.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self.error: BaseException | None = None
        self._path = path

    def check(self) -> None:
        """Raise OutputError if any write has failed, or whatever else has interrupted one."""
        if self.error is not None and not isinstance(self.error, OSError):
            raise self.error
        if self.error is not None:
            raise OutputError(f"{self._path}: cannot be written: {self.error.strerror or self.error}")

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        try:
            while self.error is None and done < len(view):
                done += super().write(view[done:])
        except BaseException as error:  # Ctrl-C too: it must not pass through HDF5
            self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            if self.error is None:
                super().truncate(size)
        except BaseException as error:
            self.error = error
        return size or 0
