"""``focalsim verify``: are shards and bundles whole and sound?"""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from focalsim.cli.group import counted, tell, tell_done
from focalsim.cli.options import PATH, depth_scale_opt, shards_arg, textures_opt
from focalsim.errors import FocalsimError


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

    \b
    focalsim verify shards/
    focalsim verify shards/ --repair --source my_rgbd/
    """
    if not repair and (source or depth_scale or textures):
        raise click.UsageError("--source, --depth-scale and --textures are for --repair")
    files = [path for path in shards if not (isinstance(path, Path) and path.is_dir())]
    if repair and files:
        raise click.UsageError(f"--repair needs local folders of bundles, got {files[0]}")
    problems = checked = 0
    started = time.monotonic()
    for path in shards:
        found, samples = _problems(path)
        checked += samples
        if found and repair:
            for line in found:
                tell(line)
            _repair(path, source, depth_scale, textures)
            found, _ = _problems(path)
        for line in found or [f"{path}: ok"]:
            click.echo(line)
        problems += len(found)
    if checked:
        tell_done(started, checked, "sample", "checked")
    if problems:
        raise click.ClickException(f"{counted(problems, 'problem')} found")


def _problems(path: Path) -> tuple[list[str], int]:
    """Problems, and the number of samples looked at."""
    from focalsim.progress import progress_bar
    from focalsim.shards import find_entry, verify_bundle, verify_shard
    from focalsim.shards.remote import is_folder

    checked = 0
    with progress_bar(total=_expected(path), unit="sample", desc="verify", leave=False) as bar:

        def tick() -> None:
            nonlocal checked
            checked += 1
            bar.update()

        found = verify_bundle(path, tick) if is_folder(path) else verify_shard(path, find_entry(path), tick)
        return list(found), checked


def _expected(path: Path) -> int | None:
    """The number of samples, where the manifest or the shard is sound enough to say."""
    from focalsim.shards import ShardReader, read_manifest
    from focalsim.shards.remote import is_folder

    try:
        if is_folder(path):
            return sum(shard.samples for shard in read_manifest(path).shards if shard.complete)
        with ShardReader(path) as reader:
            return len(reader)
    except FocalsimError:
        return None


def _repair(folder: Path, source: Path | None, depth_scale: float | None, textures: Path | None) -> None:
    from focalsim.repair import repair_bundle
    from focalsim.shards import read_manifest
    from focalsim.sources import open_source

    kind = read_manifest(folder).config.source_format
    opened = open_source(source, source_format=kind if source else None, depth_scale=depth_scale, textures=textures)
    workers = len(os.sched_getaffinity(0))
    for name in repair_bundle(folder, opened, workers=workers, progress=True):
        tell(f"{folder / name}: rendered again")
