"""A part of a bundle: by phone, by scene, by number."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from focalsim.derive.assemble import assemble
from focalsim.derive.inputs import Member, open_bundle_to_read
from focalsim.derive.place import new_folder
from focalsim.errors import ConfigError
from focalsim.shards import Manifest


def subset_bundle(
    folder: Path,
    out: Path,
    *,
    phones: Sequence[str] = (),
    scenes: Sequence[str] = (),
    samples: int | None = None,
    seed: int | None = None,
    link: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Manifest:
    """Write the samples of the bundle in ``folder`` that are of any of ``phones`` and any of ``scenes`` into ``out``.

    phones    names of phones; none = all
    scenes    shell patterns (``*``, ``?``, ``[..]``) that ``source_id`` must match; none = all
    samples   how many of those, the first ones, or with a ``seed`` some at random; their order is kept
    link      share the bytes of shards that are taken whole instead of copying them

    Raises ConfigError where nothing, or less than ``samples``, is left, ShardError where the bundle is damaged or not
    complete, OutputError where ``out`` may not be replaced or cannot be written.
    """
    bundle = open_bundle_to_read(folder)
    members = list(bundle.members)
    for name in phones:
        if not any(member.phone == name for member in members):
            raise ConfigError(f"{folder}: has no stack of {name!r}; it has {_some({m.phone for m in members})}")
    for pattern in scenes:
        if not any(fnmatchcase(member.source_id, pattern) for member in members):
            raise ConfigError(f"{folder}: has no scene {pattern!r}; it has {_some({m.source_id for m in members})}")
    chosen = [
        member
        for member in members
        if (not phones or member.phone in phones)
        and (not scenes or any(fnmatchcase(member.source_id, pattern) for pattern in scenes))
    ]
    if not chosen:
        raise ConfigError(f"{folder}: has no stack of these phones in these scenes")
    chosen = _picked(folder, chosen, samples, seed)
    given: dict[str, Any] = {"phones": list(phones), "scenes": list(scenes), "samples": samples, "seed": seed}
    options = {key: value for key, value in given.items() if value not in ([], None)}
    with new_folder(out, overwrite=overwrite, inputs=[folder]) as fresh:
        return assemble(fresh, chosen, "subset", options, link=link, progress=progress)


def _picked(folder: Path, members: Sequence[Member], samples: int | None, seed: int | None) -> list[Member]:
    if samples is None:
        return list(members)
    if samples > len(members):
        raise ConfigError(f"{folder}: {samples} samples were asked for, {len(members)} are there")
    if seed is None:
        return list(members[:samples])
    picked = np.random.default_rng(seed).choice(len(members), samples, replace=False)
    return [members[i] for i in sorted(picked.tolist())]


def _some(names: set[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")
