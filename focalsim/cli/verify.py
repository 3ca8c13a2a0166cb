"""``focalsim verify``: are shards and bundles whole and sound?"""

from __future__ import annotations

import os
from pathlib import Path

import click

from focalsim.cli.group import tell
from focalsim.cli.options import PATH, depth_scale_opt, shards_arg, textures_opt


@click.command()
@shards_arg
@click.option("--repair", is_flag=True, help="Render the damaged shards of bundles again, to the same bytes.")
@click.option("--source", type=PATH, help="With --repair: what the bundle was rendered from.")
@depth_scale_opt
@textures_opt
def verify(
    shards: tuple[Path, ...], repair: bool, source: Path | None, depth_scale: float | None, textures: Path | None
) -> None:
    """Check shards, or whole bundles given by their folder: hashes, checksums and values.

    Reads every byte. Prints one line per problem, or that all is well; exit code 1 if there is any problem. With
    --repair, what is damaged is rendered again where the source is at hand, and checked once more.
    """
    if not repair and (source or depth_scale or textures):
        raise click.UsageError("--source, --depth-scale and --textures are for --repair")
    files = [path for path in shards if not (isinstance(path, Path) and path.is_dir())]
    if repair and files:
        raise click.UsageError(f"--repair needs local folders of bundles, got {files[0]}")
    problems = 0
    for path in shards:
        found = _problems(path)
        if found and repair:
            for line in found:
                tell(line)
            _repair(path, source, depth_scale, textures)
            found = _problems(path)
        for line in found or [f"{path}: ok"]:
            click.echo(line)
        problems += len(found)
    if problems:
        raise click.ClickException(f"{problems} {'problem' if problems == 1 else 'problems'} found")


def _problems(path: Path) -> list[str]:
    from tqdm import tqdm

    from focalsim.shards import find_entry, verify_bundle, verify_shard
    from focalsim.shards.remote import is_folder

    with tqdm(unit=" samples", desc="verify", disable=None, leave=False) as bar:

        def tick() -> None:
            bar.update()

        if is_folder(path):
            return list(verify_bundle(path, tick))
        return list(verify_shard(path, find_entry(path), tick))


def _repair(folder: Path, source: Path | None, depth_scale: float | None, textures: Path | None) -> None:
    from focalsim.repair import repair_bundle
    from focalsim.shards import read_manifest
    from focalsim.sources import open_source

    kind = read_manifest(folder).config.source_format
    opened = open_source(source, source_format=kind if source else None, depth_scale=depth_scale, textures=textures)
    workers = len(os.sched_getaffinity(0))
    for name in repair_bundle(folder, opened, workers=workers, progress=True):
        tell(f"{folder / name}: rendered again")
