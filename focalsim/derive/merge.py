"""Several bundles as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from focalsim.derive.assemble import assemble
from focalsim.derive.inputs import Bundle, check_alike, open_bundle_to_read
from focalsim.derive.place import new_folder
from focalsim.errors import ConfigError, ShardError
from focalsim.shards import Manifest


def merge_bundles(
    folders: Sequence[Path],
    out: Path,
    *,
    same_scenes: bool = False,
    link: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Manifest:
    """Write the stacks of all bundles in ``folders``, in order, as one bundle into ``out``.

    Every shard is taken as it is. ``same_scenes`` allows stacks of one scene in several of the bundles, as of one
    source rendered for two phones. The same stack twice is never allowed.

    Raises ShardError where bundles are damaged, not complete, of different slices or sizes, or share scenes or stacks;
    OutputError where ``out`` may not be replaced or cannot be written.
    """
    if len(folders) < 2:
        raise ConfigError("merging needs two bundles or more")
    bundles = [open_bundle_to_read(folder) for folder in folders]
    check_alike(bundles)
    check_repeats(bundles, same_scenes=same_scenes)
    members = [member for bundle in bundles for member in bundle.members]
    with new_folder(out, overwrite=overwrite, inputs=folders) as fresh:
        return assemble(fresh, members, "merge", {}, link=link, progress=progress)


def check_repeats(bundles: Sequence[Bundle], *, same_scenes: bool) -> None:
    """Raises ShardError where a stack is in two bundles, or, unless they may be, stacks of one scene are."""
    stacks: dict[tuple[str, int], Bundle] = {}
    scenes: dict[str, Bundle] = {}
    for bundle in bundles:
        for member in bundle.members:
            other = stacks.setdefault((member.origin.manifest_sha256, member.sample_index), bundle)
            if other is not bundle:
                raise ShardError(
                    f"{bundle.folder} and {other.folder} hold the same stack: sample {member.sample_index} of "
                    f"{member.origin.name}"
                )
            other = scenes.setdefault(member.scene, bundle)
            if other is not bundle and not same_scenes:
                raise ShardError(
                    f"{bundle.folder} and {other.folder} both hold the scene {member.scene}; "
                    "--same-scenes merges them all the same"
                )
