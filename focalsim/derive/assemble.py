"""Shards of chosen samples, and the manifest that says where each comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any

from focalsim import __version__
from focalsim.config import RenderConfig
from focalsim.derive.copying import changed, copy_shard
from focalsim.derive.inputs import Member, merged_history, merged_origins
from focalsim.errors import ShardError
from focalsim.shards import Manifest, ShardEntry, ShardReader, ShardWriter
from focalsim.shards.bundle import finished_entry
from focalsim.shards.card import write_side_files
from focalsim.shards.files import sha256_of
from focalsim.shards.provenance import Origin, Step


@dataclass(frozen=True, slots=True)
class _NewShard:
    """Members of one origin that become one shard; ``whole`` where they are all of one shard of theirs, in order."""

    members: Sequence[Member]
    whole: bool


def assemble(
    folder: Path, members: Sequence[Member], operation: str, options: dict[str, Any], *, link: bool, progress: bool
) -> Manifest:
    """Write ``members``, in order but for their origins, as a complete bundle into the empty ``folder``.

    Shards that are taken whole are copied as files, or with ``link`` share their bytes with those they come from; other
    samples are packed into shards of their origin's size, chunk by chunk as they are stored. A shard has one
    origin, whose attributes (config, seed, license, attribution) it keeps.

    Raises ShardError where an input is not what its manifest says, OutputError where the disk refuses.
    """
    from focalsim.progress import progress_bar

    bundles = list(dict.fromkeys(member.bundle for member in members))
    used = {member.origin.manifest_sha256 for member in members}
    origins = tuple(origin for origin in merged_origins(bundles) if origin.manifest_sha256 in used)
    place = {origin.manifest_sha256: i for i, origin in enumerate(origins)}
    checked: set[Path] = set()
    entries: list[ShardEntry] = []
    first = 0
    with progress_bar(total=len(members), unit="sample", desc=operation, show=progress) as bar:
        for new in _planned(members):
            one = new.members[0]
            entry = ShardEntry(
                file=f"shard-{len(entries):05d}.h5",
                first_sample=first,
                samples=len(new.members),
                origin=place[one.origin.manifest_sha256],
                index_ranges=tuple(_ranges([member.sample_index for member in new.members])),
            )
            if new.whole:
                copy_shard(one.bundle.folder / one.shard.file, folder / entry.file, one.shard, link=link)
            else:
                _pack(folder / entry.file, new.members, checked)
            entries.append(finished_entry(folder, entry))
            first += entry.samples
            bar.update(entry.samples)
    step = Step(operation, options, tuple(bundle.as_input() for bundle in bundles), __version__)
    manifest = Manifest(
        config=_described(origins, members, max(entry.samples for entry in entries)),
        license=" AND ".join(dict.fromkeys(origin.license for origin in origins)),
        attribution="; ".join(dict.fromkeys(origin.attribution for origin in origins)),
        made_with=_versions(),
        shards=tuple(entries),
        skipped_frames=tuple(dict.fromkeys(frame for origin in origins for frame in origin.skipped_frames)),
        origins=origins,
        history=(*merged_history(bundles), step),
    )
    manifest.write(folder)
    write_side_files(folder, manifest)
    return manifest


def _planned(members: Sequence[Member]) -> Iterator[_NewShard]:
    """Whole shards by themselves, the rest of each origin packed; in the order of their first members."""
    of_origin: dict[str, list[Member]] = {}
    for member in members:
        of_origin.setdefault(member.origin.manifest_sha256, []).append(member)
    for same_origin in of_origin.values():
        whole: list[_NewShard] = []
        rest: list[Member] = []
        for shard, group in groupby(same_origin, lambda member: (member.bundle, member.shard)):
            taken = list(group)
            if [member.row for member in taken] == list(range(shard[1].samples)):
                whole.append(_NewShard(taken, whole=True))
            else:
                rest += taken
        size = same_origin[0].origin.config.shard_size
        packed = [_NewShard(rest[i : i + size], whole=False) for i in range(0, len(rest), size)]
        order = {id(member): i for i, member in enumerate(same_origin)}
        yield from sorted(whole + packed, key=lambda new: order[id(new.members[0])])


def _pack(path: Path, members: Sequence[Member], checked: set[Path]) -> None:
    with ExitStack() as stack:
        readers: dict[Path, ShardReader] = {}
        for member in members:
            source = member.bundle.folder / member.shard.file
            if source not in readers:
                if source not in checked and sha256_of(source) != member.shard.sha256:
                    raise changed(source)
                checked.add(source)
                readers[source] = stack.enter_context(ShardReader(source))
        first, *others = readers.values()
        for other in others:
            if other.attributes != first.attributes:
                raise ShardError(f"{other.path}: carries other attributes than {first.path}, of the same bundle")
        codec = members[0].origin.config.compression
        with ShardWriter(path, len(members), first.attributes, codec) as writer:
            for member in members:
                writer.copy(readers[member.bundle.folder / member.shard.file], member.row)


def _ranges(indices: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(first, count) of every run of consecutive numbers."""
    for _, run in groupby(enumerate(indices), lambda pair: pair[1] - pair[0]):
        numbers = [number for _, number in run]
        yield numbers[0], len(numbers)


def _described(origins: Sequence[Origin], members: Sequence[Member], shard_size: int) -> RenderConfig:
    """A config that describes the whole: what the origins agree on, the phones seen, the range of all focus ranges."""
    configs = [origin.config for origin in origins]
    agreed = {
        field.name: getattr(configs[0], field.name)
        for field in fields(RenderConfig)
        if all(getattr(config, field.name) == getattr(configs[0], field.name) for config in configs)
    }
    seen = {member.phone for member in members}
    phones = [phone for config in configs for phone in config.phones if phone["name"] in seen]
    return RenderConfig(
        **agreed
        | {
            "source": " + ".join(dict.fromkeys(config.source for config in configs)),
            "phones": tuple(phone for i, phone in enumerate(phones) if phone not in phones[:i]),
            "samples": len(members),
            "near_m": min(config.near_m for config in configs),
            "far_m": max(config.far_m for config in configs),
            "shard_size": shard_size,
        }
    )


def _versions() -> dict[str, str]:
    import h5py

    return {"focalsim": __version__, "h5py": h5py.__version__, "hdf5": h5py.version.hdf5_version}
