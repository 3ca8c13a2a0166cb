"""The folder of a bundle while it is being written: locked, and either new, replaced or resumed.

Object stores have no locks: there the run that came last has the folder, and the one before stops at its next shard.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from focalsim.errors import OutputError
from focalsim.sample import Sample
from focalsim.shards.card import is_side_file, write_side_files
from focalsim.shards.files import PARTIAL, drop_from_cache, sha256_of
from focalsim.shards.lock import LOCK_NAME, hold
from focalsim.shards.manifest import MANIFEST_NAME, PART_NAME, Manifest, ShardEntry, is_manifest, read_manifest
from focalsim.shards.remote import Location, RemotePath
from focalsim.shards.schema import SCHEMA_VERSION
from focalsim.shards.staging import RUN_FILE, write_staged
from focalsim.shards.writer import ShardWriter

# A shard that one of several machines is writing has a name of its own until it is complete.
_OWN_FILE = re.compile(
    rf"(shard-\d{{5,}}\.h5|manifest\.json|{PART_NAME.pattern})(\.[0-9a-f]{{8}}\.partial)?(\.partial)?|{RUN_FILE.pattern}"
)
# The manifest is written often enough to lose little, and seldom enough to cost little when it is long.
_MANIFEST_INTERVAL_S, _MANIFEST_SHARE = 1.0, 0.05


@contextmanager
def open_bundle(folder: Location, planned: Manifest, *, resume: bool, overwrite: bool) -> Iterator[Manifest]:
    """Prepare ``folder`` for ``planned`` and hold it until the block ends; yields what is already complete.

    resume     keep the shards of an earlier run of the same plan whose hashes still fit
    overwrite  remove an earlier bundle, but no file that is not a bundle's

    Raises OutputError where the folder cannot be written, is in use, holds a bundle and neither option is
    set, or holds one of another plan; ShardError where its manifest cannot be read.
    """
    if isinstance(folder, Path):
        make_folder(folder)
    with hold(folder / LOCK_NAME) if isinstance(folder, Path) else nullcontext():
        earlier = check_output(folder, resume=resume, overwrite=overwrite)
        manifest, kept = planned, set[str]()
        if earlier and resume:
            manifest = _resumed(folder, planned)
            kept = {MANIFEST_NAME, *(shard.file for shard in manifest.shards if shard.complete)}
        remove(path for path in own_files(folder) if path.name not in kept)
        manifest.write(folder)
        try:
            yield manifest
        finally:
            # Writers remove their own; an interrupt between two of their steps could leave one.
            remove(path for path in own_files(folder) if path.name.endswith(PARTIAL))


def make_folder(folder: Path) -> None:
    """Make ``folder`` where it is missing. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made a folder: {error.strerror}") from None


def check_output(folder: Location, *, resume: bool, overwrite: bool) -> bool:
    """Whether ``folder`` holds a bundle already. Raises OutputError where the options do not allow that."""
    names = [path.name for path in own_files(folder)]
    if MANIFEST_NAME in names and not is_manifest(folder):
        raise OutputError(f"{folder}: its {MANIFEST_NAME} is not a bundle's; use another folder")
    earlier = not all(name.endswith(PARTIAL) or RUN_FILE.fullmatch(name) for name in names)
    if earlier and not (resume or overwrite):
        raise OutputError(f"{folder}: already holds a bundle; use --resume to finish it or --overwrite to replace it")
    return earlier


def shard_attributes(manifest: Manifest, reference_slice: int) -> dict[str, Any]:
    """The root attributes of every shard of a bundle."""
    return {
        "schema_version": SCHEMA_VERSION,
        "reference_slice": reference_slice,
        "seed": manifest.config.seed,
        "config": manifest.config.to_json(),
        "focalsim_version": manifest.made_with["focalsim"],
        "license": manifest.license,
        "attribution": manifest.attribution,
    }


def write_shards(
    folder: Location,
    manifest: Manifest,
    attributes: Mapping[str, Any],
    samples: Iterator[Sample],
    wrote: Callable[[Sample], None] = lambda _: None,
    *,
    token: str = "",
    name: str = MANIFEST_NAME,
) -> Manifest:
    """Write the shards that ``manifest`` (the file ``name``) lacks from ``samples``, in order, then card and Croissant.

    ``wrote`` is called with each sample when it is in its shard; ``token``: see :func:`write_shard`. Returns the
    finished manifest. Raises OutputError where the disk or the store refuses.
    """
    with manifest_log(folder, manifest, name) as log:
        for shard in manifest.shards:
            if not shard.complete:
                log.record(write_shard(folder, shard, manifest, attributes, samples, wrote, token=token))
    return finish_bundle(folder, log)


def write_shard(
    folder: Location,
    shard: ShardEntry,
    manifest: Manifest,
    attributes: Mapping[str, Any],
    samples: Iterator[Sample],
    wrote: Callable[[Sample], None] = lambda _: None,
    *,
    token: str = "",
) -> ShardEntry:
    """Write one shard from the next of ``samples``; returns its entry with hash and size.

    With the ``token`` of a run (:func:`focalsim.shards.staging.announced`) others may write to the folder too, perhaps
    this very shard: they do not meet, and the shard takes its place only while that run goes on. Raises OutputError.
    """

    def write(path: Path) -> ShardEntry:
        with ShardWriter(path, shard.samples, attributes, manifest.config.compression) as writer:
            for _ in range(shard.samples):
                sample = next(samples)
                writer.write(sample)
                wrote(sample)
        return replace(shard, sha256=sha256_of(path), bytes=path.stat().st_size)

    if token:
        entry = write_staged(folder, shard.file, token, write, plan_digest(manifest))
    elif isinstance(folder, Path):
        entry = write(folder / shard.file)
    else:
        raise ValueError(f"{folder}: object storage is written to by an announced run only")
    if isinstance(folder, Path):
        drop_from_cache(folder / shard.file)
    return entry


class ManifestLog:
    """Takes note of finished shards and keeps the manifest in the folder nearly up to date."""

    def __init__(self, folder: Location, manifest: Manifest, name: str) -> None:
        self.name, self._folder, self._manifest = name, folder, manifest
        self._entries = {entry.file: entry for entry in manifest.shards}
        self._due = 0.0

    def record(self, entry: ShardEntry) -> None:
        """Take note of a finished shard; the manifest is written if that is due."""
        self._entries[entry.file] = entry
        if time.monotonic() >= self._due:
            self.write()

    def write(self) -> Manifest:
        """Write the manifest now. Raises OutputError."""
        started = time.monotonic()
        manifest = replace(self._manifest, shards=tuple(self._entries.values()))
        manifest.write(self._folder, self.name)
        now = time.monotonic()
        self._due = now + max(_MANIFEST_INTERVAL_S, (now - started) / _MANIFEST_SHARE)
        return manifest


@contextmanager
def manifest_log(folder: Location, manifest: Manifest, name: str = MANIFEST_NAME) -> Iterator[ManifestLog]:
    """A log whose manifest (the file ``name``) tells all that was recorded, whatever ends the block."""
    log = ManifestLog(folder, manifest, name)
    try:
        yield log
    except BaseException:
        # A full disk may be what ended the block; its error is the one to report.
        with suppress(OutputError):
            log.write()
        raise


def finish_bundle(folder: Location, log: ManifestLog) -> Manifest:
    """Write the complete manifest, then card and Croissant, unless it is just of a part. Returns the manifest."""
    manifest = log.write()
    if log.name == MANIFEST_NAME:
        write_side_files(folder, manifest)
    return manifest


def plan_digest(manifest: Manifest) -> str:
    """Tells the shards of one plan from those of another: digest of all that decides the bytes."""
    return hashlib.sha256(json.dumps(_decisive(manifest), sort_keys=True).encode()).hexdigest()


def finished_entry(folder: Path, entry: ShardEntry) -> ShardEntry:
    """``entry`` with the hash and the size of its file."""
    path = folder / entry.file
    return replace(entry, sha256=sha256_of(path), bytes=path.stat().st_size)


def own_files(folder: Location) -> list[Location]:
    """The files of a bundle in ``folder``, complete or partial; no other file is ever removed."""
    try:
        there: list[Location] = sorted(folder.iterdir(), key=str)
        return [path for path in there if _OWN_FILE.fullmatch(path.name) or is_side_file(path)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise OutputError(f"{folder}: not a folder that can be read: {error.strerror}") from None


def _resumed(folder: Location, planned: Manifest) -> Manifest:
    """``planned``, with those shards of the folder's manifest whose files are still what it says."""
    if not (folder / MANIFEST_NAME).exists():
        raise OutputError(
            f"{folder}: holds shards but no {MANIFEST_NAME}; use --overwrite to replace them, or focalsim merge to "
            "complete what several tasks have rendered"
        )
    there = read_manifest(folder)
    check_same_plan(folder, there, planned)
    entries = {entry.file: entry for entry in planned.shards}
    intact = intact_files(folder, there.shards) if isinstance(folder, Path) else _intact_objects(folder, there)
    entries |= {entry.file: entry for entry in intact if entry.file in entries}
    return replace(planned, shards=tuple(entries.values()))


def check_same_plan(folder: Location, there: Manifest, planned: Manifest) -> None:
    """Raise OutputError where the bundle that is ``there`` was not made by all that decides ``planned``."""
    if there.history:
        raise OutputError(f"{folder}: was put together from other bundles ({there.history[-1]}), not rendered")
    was, now = _decisive(there), _decisive(planned)
    differences = [
        f"{key} was {was.get(key, 'absent')}, is now {now.get(key, 'absent')}"
        for key in sorted(was.keys() | now.keys())
        if was.get(key) != now.get(key)
    ]
    if differences:
        raise OutputError(f"{folder}: cannot be resumed, its bundle differs: {'; '.join(differences)}")


def intact_files(folder: Path, shards: Iterable[ShardEntry]) -> Iterator[ShardEntry]:
    """Those of ``shards`` whose bytes are what is said of them."""
    for entry in shards:
        path = folder / entry.file
        if entry.complete and path.is_file() and sha256_of(path) == entry.sha256:
            yield entry


def _intact_objects(folder: RemotePath, manifest: Manifest) -> Iterator[ShardEntry]:
    """The shards that the listing has in the size that the manifest says; and those that it does not know of yet, but
    that carry the hash and the plan they were uploaded with.
    """
    sizes, plan = folder.sizes(), plan_digest(manifest)
    for entry in manifest.shards:
        size = sizes.get(entry.file)
        if size is None:
            continue
        if entry.complete:
            if size == entry.bytes:
                yield entry
            continue
        known = (folder / entry.file).metadata()
        if known.get("plan") == plan and known.get("sha256"):
            yield replace(entry, sha256=known["sha256"], bytes=size)


def _decisive(manifest: Manifest) -> dict[str, Any]:
    """All that decides a bundle's bytes as one flat dict; each phone's numbers under its name."""
    config: dict[str, Any] = json.loads(manifest.config.to_json())
    phones = config.pop("phones")
    config["phones"] = ", ".join(phone["name"] for phone in phones)
    for phone in phones:
        config |= {f"{phone['name']}.{key}": value for key, value in phone.items()}
    return config | {f"{name} version": version for name, version in manifest.made_with.items()}


def remove(paths: Iterable[Location]) -> None:
    """Remove files. Raises OutputError."""
    try:
        for path in paths:
            path.unlink()
    except OSError as error:
        raise OutputError(f"{error.filename}: cannot be removed: {error.strerror}") from None
