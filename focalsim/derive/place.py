"""An output folder that appears whole or not at all: built beside its place, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from focalsim.errors import FocalsimError, OutputError
from focalsim.shards.bundle import own_files
from focalsim.shards.lock import hold
from focalsim.shards.manifest import is_manifest


@contextmanager
def new_folder(out: Path, *, overwrite: bool, inputs: Iterable[Path]) -> Iterator[Path]:
    """A folder to fill, which becomes ``out`` when the block ends well, and is removed when it does not.

    What a killed run left of itself is removed by the next one. Raises OutputError where ``out`` exists and
    ``overwrite`` is not set, where it holds anything but bundles or one of ``inputs``, or cannot be written.
    """
    out = Path(os.path.abspath(out))  # not resolved: a link to a folder elsewhere stays what it is
    if not out.name:
        raise OutputError(f"{out}: cannot be replaced")
    for folder in inputs:
        if folder.resolve() == out.resolve() or out.resolve() in folder.resolve().parents:
            raise OutputError(f"{out}: holds the bundle {folder}, which is read; use another folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out.parent}: cannot be made a folder: {error.strerror}") from None
    fresh, old = (out.with_name(f".{out.name}.{end}") for end in ("partial", "old"))
    with hold(out.with_name(f".{out.name}.lock"), name=out):
        try:
            _finish_exchange(out, old)
            check_replaceable(out, overwrite=overwrite)
            _remove(fresh)
            fresh.mkdir()
            try:
                yield fresh
                _sync(fresh)
                if out.exists() or out.is_symlink():
                    out.rename(old)
                fresh.rename(out)
                _remove(old)
                _sync(out.parent)
            finally:
                _remove(fresh)
                _finish_exchange(out, old)
        except OSError as error:
            if isinstance(error, FocalsimError):
                raise
            raise OutputError(f"{error.filename or out}: cannot be written: {error.strerror}") from None


def check_replaceable(out: Path, *, overwrite: bool) -> None:
    """Raises OutputError unless ``out`` is absent, empty, or (with ``overwrite``) holds bundles and nothing else."""
    if not out.exists() and not out.is_symlink():
        return
    if out.is_symlink() or not out.is_dir():
        raise OutputError(f"{out}: is there already and is no folder")
    if not any(out.iterdir()):
        return
    foreign = next(iter(_foreign(out)), None)
    if foreign is not None:
        raise OutputError(f"{foreign}: does not belong to a bundle; use another output folder")
    if not overwrite:
        raise OutputError(f"{out}: already holds a bundle; use --overwrite to replace it")


def _foreign(folder: Path) -> Iterator[Path]:
    """What in ``folder`` no bundle there has written. Its folders may be bundles themselves."""
    own = set(own_files(folder)) if is_manifest(folder) else set()
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink() and is_manifest(path):
            yield from _foreign(path)
        elif path not in own:
            yield path


def _finish_exchange(out: Path, old: Path) -> None:
    """A run that ended between two renames left the old folder under another name, with or without a new one."""
    if old.exists() and not out.exists():
        old.rename(out)
    _remove(old)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
