"""The folder of a bundle while it is being written: locked, and either new, replaced or resumed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from focalsim.errors import OutputError
from focalsim.sample import Sample
from focalsim.shards.card import is_side_file, write_side_files
from focalsim.shards.files import PARTIAL, sha256_of
from focalsim.shards.lock import LOCK_NAME, hold
from focalsim.shards.manifest import MANIFEST_NAME, Manifest, ShardEntry, is_manifest, read_manifest
from focalsim.shards.schema import SCHEMA_VERSION
from focalsim.shards.writer import ShardWriter

_OWN_FILE = re.compile(r"(shard-\d{5,}\.h5|manifest\.json)(\.partial)?")


@contextmanager
def open_bundle(folder: Path, planned: Manifest, *, resume: bool, overwrite: bool) -> Iterator[Manifest]:
    """Prepare ``folder`` for ``planned`` and hold it until the block ends; yields what is already complete.

    resume     keep the shards of an earlier run of the same plan whose hashes still fit
    overwrite  remove an earlier bundle, but no file that is not a bundle's

    Raises OutputError where the folder cannot be written, is in use, holds a bundle and neither option is
    set, or holds one of another plan; ShardError where its manifest cannot be read.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made a folder: {error.strerror}") from None
    with hold(folder / LOCK_NAME):
        earlier = check_output(folder, resume=resume, overwrite=overwrite)
        manifest, kept = planned, set[str]()
        if earlier and resume:
            manifest = _resumed(folder, planned)
            kept = {MANIFEST_NAME, *(shard.file for shard in manifest.shards if shard.complete)}
        _remove(path for path in own_files(folder) if path.name not in kept)
        manifest.write(folder)
        try:
            yield manifest
        finally:
            # Writers remove their own; an interrupt between two of their steps could leave one.
            _remove(path for path in own_files(folder) if path.name.endswith(PARTIAL))


def check_output(folder: Path, *, resume: bool, overwrite: bool) -> bool:
    """Whether ``folder`` holds a bundle already. Raises OutputError where the options do not allow that."""
    names = [path.name for path in own_files(folder)]
    if MANIFEST_NAME in names and not is_manifest(folder):
        raise OutputError(f"{folder}: its {MANIFEST_NAME} is not a bundle's; use another folder")
    earlier = not all(name.endswith(PARTIAL) for name in names)
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
    folder: Path,
    manifest: Manifest,
    attributes: Mapping[str, Any],
    samples: Iterator[Sample],
    wrote: Callable[[Sample], None] = lambda _: None,
) -> Manifest:
    """Write the shards that ``manifest`` lacks from ``samples``, in order, then card and Croissant.

    The manifest is written anew after each shard. ``wrote`` is called with each sample when it is in its
    shard. Returns the finished manifest. Raises OutputError where the disk refuses.
    """
    for shard in manifest.shards:
        if shard.complete:
            continue
        with ShardWriter(folder / shard.file, shard.samples, attributes, manifest.config.compression) as writer:
            for _ in range(shard.samples):
                sample = next(samples)
                writer.write(sample)
                wrote(sample)
        manifest = manifest.with_shard(finished_entry(folder, shard))
        manifest.write(folder)
    write_side_files(folder, manifest)
    return manifest


def finished_entry(folder: Path, entry: ShardEntry) -> ShardEntry:
    """``entry`` with the hash and the size of its file."""
    path = folder / entry.file
    return replace(entry, sha256=sha256_of(path), bytes=path.stat().st_size)


def own_files(folder: Path) -> list[Path]:
    """The files of a bundle in ``folder``, complete or partial; no other file is ever removed."""
    try:
        return [path for path in sorted(folder.iterdir()) if _OWN_FILE.fullmatch(path.name) or is_side_file(path)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise OutputError(f"{folder}: not a folder that can be read: {error.strerror}") from None


def _resumed(folder: Path, planned: Manifest) -> Manifest:
    """``planned``, with those shards of the folder's manifest whose files are still what it says."""
    if not (folder / MANIFEST_NAME).exists():
        raise OutputError(f"{folder}: holds shards but no {MANIFEST_NAME}; use --overwrite to replace them")
    there = read_manifest(folder)
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
    manifest = planned
    for entry in there.shards:
        path = folder / entry.file
        if entry.complete and path.is_file() and sha256_of(path) == entry.sha256:
            manifest = manifest.with_shard(entry)
    return manifest


def _decisive(manifest: Manifest) -> dict[str, Any]:
    """All that decides a bundle's bytes as one flat dict; each phone's numbers under its name."""
    config: dict[str, Any] = json.loads(manifest.config.to_json())
    phones = config.pop("phones")
    config["phones"] = ", ".join(phone["name"] for phone in phones)
    for phone in phones:
        config |= {f"{phone['name']}.{key}": value for key, value in phone.items()}
    return config | {f"{name} version": version for name, version in manifest.made_with.items()}


def _remove(paths: Iterable[Path]) -> None:
    try:
        for path in paths:
            path.unlink()
    except OSError as error:
        raise OutputError(f"{error.filename}: cannot be removed: {error.strerror}") from None
