"""A bundle in parts that share no scene, as training, validation and test sets must not."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from focalsim.derive.assemble import assemble
from focalsim.derive.inputs import Member, open_bundle_to_read
from focalsim.derive.place import new_folder
from focalsim.errors import ConfigError
from focalsim.shards import Manifest

_PART_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def split_bundle(
    folder: Path,
    out: Path,
    fractions: Mapping[str, float],
    *,
    seed: int = 0,
    group: str | None = None,
    link: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> dict[str, Manifest]:
    """Write the bundle in ``folder`` as bundles ``out``/<name>, each with about its fraction of the samples.

    All samples of a scene (equal ``source_id``) go to one part. Where many frames show one place, ``group`` is a
    regular expression that finds in a source_id what names the place, and all of a place go to one part. Which scene
    goes where depends on the names of the scenes, their numbers of samples, ``fractions`` and ``seed`` alone.

    Raises ConfigError for fractions that do not add up to 1, names that are no folder names, fewer scenes than parts, a
    ``group`` that is no expression or misses a source_id; ShardError, OutputError as :func:`subset_bundle` does.
    """
    check_fractions(fractions)
    bundle = open_bundle_to_read(folder)
    scenes = [_scene(member, group) for member in bundle.members]
    part_of = assign(Counter(scenes), fractions, seed)
    manifests = {}
    with new_folder(out, overwrite=overwrite, inputs=[folder]) as fresh:
        for name, fraction in fractions.items():
            chosen = [m for m, scene in zip(bundle.members, scenes, strict=True) if part_of[scene] == name]
            options = {"part": name, "fraction": fraction, "seed": seed} | ({"group": group} if group else {})
            (fresh / name).mkdir()
            manifests[name] = assemble(fresh / name, chosen, "split", options, link=link, progress=progress)
    return manifests


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Raise ConfigError unless names can be folders and fractions are positive and add up to 1."""
    for name, fraction in fractions.items():
        if not _PART_NAME.fullmatch(name):
            raise ConfigError(f"{name!r} cannot be the name of a folder: letters, digits and . _ - are allowed")
        if not 0 < fraction <= 1:  # NaN too
            raise ConfigError(f"the fraction of {name} must lie in (0, 1], got {fraction:g}")
    if not math.isclose(sum(fractions.values()), 1, abs_tol=1e-6):
        raise ConfigError(f"the fractions must add up to 1, got {sum(fractions.values()):g}")


def assign(scenes: Mapping[str, int], fractions: Mapping[str, float], seed: int) -> dict[str, str]:
    """The part of each of ``scenes`` (name -> number of samples). Raises ConfigError where a part would be empty.

    In an order drawn from the seed, each scene goes to the part that lacks most samples of its share.
    """
    if len(scenes) < len(fractions):
        raise ConfigError(f"{len(fractions)} parts need as many scenes, the bundle has {len(scenes)}")
    total = sum(scenes.values())
    lacks = {name: fraction * total for name, fraction in fractions.items()}
    part_of: dict[str, str] = {}
    order = sorted(scenes, key=lambda scene: hashlib.sha256(f"{seed} {scene}".encode()).digest())
    for left, scene in zip(range(len(order), 0, -1), order, strict=True):
        empty = [name for name in fractions if name not in part_of.values()]
        # The last scenes are kept for parts so small that none has come to them.
        name = max(empty if len(empty) == left else lacks, key=lacks.__getitem__)
        part_of[scene] = name
        lacks[name] -= scenes[scene]
    return part_of


def _scene(member: Member, group: str | None) -> str:
    if group is None:
        return member.scene
    try:
        found = re.search(group, member.source_id)
    except re.error as error:
        raise ConfigError(f"{group!r} is not a regular expression: {error}") from None
    if not found or not found[0]:
        raise ConfigError(f"{group!r} finds nothing in the source id {member.source_id!r}")
    return found[1] if found.re.groups and found[1] else found[0]
