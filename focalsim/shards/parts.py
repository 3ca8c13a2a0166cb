"""Several runs that render one bundle, each some of its shards, without knowing of each other.

All write into one folder. A run holds its shards by the folder's lock and lists them in a manifest of its own,
``part-<first>-<last>.json``; :func:`complete_bundle` makes the bundle's manifest of these when all have ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from focalsim.errors import OutputError, ShardError
from focalsim.shards.bundle import check_same_plan, intact_files, make_folder, own_files, remove
from focalsim.shards.card import write_side_files
from focalsim.shards.files import PARTIAL
from focalsim.shards.lock import LOCK_NAME, hold
from focalsim.shards.manifest import MANIFEST_NAME, PART_NAME, Manifest, ShardEntry, plan_shards, read_manifest

_MOST_SHARDS = 10_000_000  # what a manifest in memory may hold


def share_of(task: int, tasks: int, shards: int) -> tuple[int, int]:
    """First and last (exclusive) of the shards that one of ``tasks`` renders; ``task`` counts from 0 or from 1."""
    share = task % tasks
    return share * shards // tasks, (share + 1) * shards // tasks


def part_name(first: int, last: int) -> str:
    """Name of the manifest of a run that renders shards ``first`` to ``last`` (exclusive)."""
    return f"part-{first:05d}-{last:05d}.json"


@contextmanager
def open_part(
    folder: Path, planned: Manifest, first: int, last: int, *, resume: bool, overwrite: bool
) -> Iterator[Manifest]:
    """Prepare ``folder`` for shards ``first`` to ``last`` (exclusive) of ``planned``; hold them until the block ends.

    Yields those shards as a manifest, and which of them are complete already. Options and errors are those of
    :func:`focalsim.shards.bundle.open_bundle`; also raises OutputError where another run writes one of these shards,
    where a part of another plan is there, and for ``overwrite`` where the bundle is complete.
    """
    make_folder(folder)
    mine = replace(planned, shards=planned.shards[first:last])
    names = {shard.file for shard in mine.shards}
    with hold(folder / LOCK_NAME, first, last - first, name=folder):
        finished = (folder / MANIFEST_NAME).exists()
        there = ([read_manifest(folder)] if finished else []) + read_parts(folder)
        if finished and not resume:
            raise OutputError(f"{folder}: already holds a bundle; use --resume, or another folder")
        for part in there:
            check_same_plan(folder, part, planned)
        earlier = any((folder / name).exists() for name in (*names, part_name(first, last)))
        if earlier and not (resume or overwrite):
            raise OutputError(f"{folder}: already holds some of these shards; use --resume to keep them or --overwrite")
        if resume:
            listed = [shard for part in there for shard in part.shards if shard.file in names]
            kept = {shard.file: shard for shard in intact_files(folder, listed)}
            mine = replace(mine, shards=tuple(kept.get(shard.file, shard) for shard in mine.shards))
        _clear(folder, names - {shard.file for shard in mine.shards if shard.complete})
        mine.write(folder, part_name(first, last))
        try:
            yield mine
        finally:
            _clear(folder, names, only_partial=True)
        # Shards of a finished bundle that were rendered again are what its manifest says already.
        if finished and set(read_manifest(folder, part_name(first, last)).shards) <= set(there[0].shards):
            (folder / part_name(first, last)).unlink()


def read_parts(folder: Path) -> list[Manifest]:
    """The manifests that runs have left in ``folder``. Raises ShardError."""
    try:
        names = sorted(path.name for path in folder.iterdir() if PART_NAME.fullmatch(path.name))
    except OSError as error:
        raise ShardError(f"{folder}: not a folder that can be read: {error.strerror}") from None
    return [read_manifest(folder, name) for name in names]


def listed_shards(folder: Path, parts: Sequence[Manifest]) -> tuple[Manifest, dict[str, ShardEntry]]:
    """The whole plan behind ``parts``, and the complete shards by name.

    Raises ShardError where parts are of different plans, list a shard that is not in it or in another place, or a shard
    is not of the size that its run wrote.
    """
    first = parts[0]
    if first.config.samples // first.config.shard_size > _MOST_SHARDS:
        raise ShardError(f"{folder}: more than {_MOST_SHARDS} shards are planned")
    plan = replace(first, shards=plan_shards(first.config.samples, first.config.shard_size))
    places = {shard.file: (shard.first_sample, shard.samples) for shard in plan.shards}
    found: dict[str, ShardEntry] = {}
    for part in parts:
        try:
            check_same_plan(folder, part, plan)
        except OutputError as error:
            raise ShardError(str(error)) from None
        for shard in part.shards:
            if places.get(shard.file) != (shard.first_sample, shard.samples):
                raise ShardError(f"{folder}: {shard.file} of a part does not belong to the plan")
            if shard.complete and _is_there(folder / shard.file, shard):
                found[shard.file] = shard
    return plan, found


def complete_bundle(folder: Path) -> Manifest:
    """Make one bundle of the shards that several runs rendered into ``folder``; nothing but it is left of the parts.

    Raises ShardError where shards are missing, or parts do not fit each other; OutputError where a run is still at
    work, or the folder cannot be written.
    """
    if not folder.is_dir():
        raise ShardError(f"{folder}: no such folder")
    with hold(folder / LOCK_NAME, name=folder):
        parts = read_parts(folder)
        if (folder / MANIFEST_NAME).exists():
            parts.append(read_manifest(folder))
        if not parts:
            raise ShardError(f"{folder}: holds neither a bundle nor parts of one")
        if parts[-1].history:
            raise ShardError(f"{folder}: was put together from other bundles; there is nothing to complete")
        plan, found = listed_shards(folder, parts)
        manifest = replace(plan, shards=all_shards(folder, plan, found))
        manifest.write(folder)
        write_side_files(folder, manifest)
        remove(path for path in own_files(folder) if PART_NAME.fullmatch(path.name) or path.name.endswith(PARTIAL))
    return manifest


def all_shards(folder: Path, plan: Manifest, found: dict[str, ShardEntry]) -> tuple[ShardEntry, ...]:
    """All shards of the plan, complete. Raises ShardError that says which are missing."""
    missing = [i for i, shard in enumerate(plan.shards) if shard.file not in found]
    if missing:
        runs = [[i for _, i in run] for _, run in groupby(enumerate(missing), lambda pair: pair[1] - pair[0])]
        ranges = ", ".join(f"--shards {run[0]}:{run[-1] + 1}" for run in runs[:5])
        more = f" and {len(runs) - 5} more ranges" if len(runs) > 5 else ""
        raise ShardError(
            f"{folder}: {len(missing)} of {len(plan.shards)} shards are missing; render them with "
            f"{ranges}{more} --resume"
        )
    return tuple(found[shard.file] for shard in plan.shards)


def _is_there(path: Path, shard: ShardEntry) -> bool:
    try:
        return path.stat().st_size == shard.bytes
    except OSError:
        return False


def _clear(folder: Path, names: set[str], *, only_partial: bool = False) -> None:
    """Remove files of these shards, and what was left of writing them."""
    for name in names:
        remove(path for path in folder.glob(f"{name}*{PARTIAL}"))
        if not only_partial:
            remove(path for path in [folder / name] if path.exists())
