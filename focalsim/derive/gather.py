"""The bundle that tasks have rendered into folders of their own, for want of a common one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from focalsim.derive.copying import copy_shard
from focalsim.derive.place import new_folder
from focalsim.shards import Manifest, ShardEntry
from focalsim.shards.card import write_side_files
from focalsim.shards.manifest import MANIFEST_NAME
from focalsim.shards.parts import all_shards, listed_shards, read_parts


def holds_parts(folder: Path) -> bool:
    """Whether tasks have rendered into ``folder``, and it is not a bundle yet."""
    return folder.is_dir() and not (folder / MANIFEST_NAME).exists() and bool(read_parts(folder))


def gather_parts(
    folders: Sequence[Path], out: Path, *, link: bool = False, overwrite: bool = False, progress: bool = False
) -> Manifest:
    """Write the shards that tasks have rendered into ``folders`` as one bundle into ``out``.

    The result is that of one run, to the byte. Raises ShardError where shards are missing or damaged, or parts do not
    fit each other; OutputError where ``out`` may not be replaced or cannot be written.
    """
    from focalsim.progress import progress_bar

    plan, found, places = None, dict[str, ShardEntry](), dict[str, Path]()
    for folder in folders:
        # All are compared with the first: parts of different plans are refused.
        parts = [*([plan] if plan else []), *read_parts(folder)]
        plan, here = listed_shards(folder, parts)
        found |= here
        places |= dict.fromkeys(here, folder)
    if plan is None:
        raise ValueError("no folder was given")
    manifest = replace(plan, shards=all_shards(out, plan, found))
    with (
        new_folder(out, overwrite=overwrite, inputs=folders) as fresh,
        progress_bar(manifest.shards, unit="shard", desc="merge", show=progress) as bar,
    ):
        for shard in bar:
            copy_shard(places[shard.file] / shard.file, fresh / shard.file, shard, link=link)
        manifest.write(fresh)
        write_side_files(fresh, manifest)
    return manifest
