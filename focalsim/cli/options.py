"""Options and parameter types that commands share; defaults are those of ``RenderConfig``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from focalsim.cli.group import counted, tell_done
from focalsim.config import COMPRESSIONS, DEPTH_POLICIES, RenderConfig
from focalsim.errors import ConfigError

if TYPE_CHECKING:
    from focalsim.shards import Manifest

DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(RenderConfig)}


def parse_size(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[int, int]:
    """``WIDTHxHEIGHT`` in pixels as (width, height)."""
    match = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", value)
    if match is None or 0 in (int(match[1]), int(match[2])):
        raise click.BadParameter(f"{value!r} is not a size: expected WIDTHxHEIGHT in pixels, as in 352x224")
    return int(match[1]), int(match[2])


PATH = click.Path(path_type=Path)


class LocalFolderType(click.Path):
    """A path; a URL is refused, which would otherwise become a folder of that name."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and "://" in value:
            self.fail(f"{value!r}: expected a local folder, not a URL", param, ctx)
        return super().convert(value, param, ctx)


LOCAL_FOLDER = LocalFolderType(path_type=Path)


class LocationType(click.Path):
    """A path, or the URL of a folder or file in object storage, as a :data:`focalsim.shards.remote.Location`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and "://" in value:
            from focalsim.shards.remote import location

            return location(value)
        return super().convert(value, param, ctx)


LOCATION = LocationType(path_type=Path)

shards_arg = click.argument("shards", nargs=-1, required=True, type=LOCATION, metavar="SHARD...")
phone_opt = click.option(
    "--phone",
    "phones",
    multiple=True,
    default=("pixel4",),
    show_default=True,
    metavar="NAME|FILE|all",
    help="Phone profile, or the path of a .toml file. May be repeated; each sample then draws one.",
)
effects_opt = click.option(
    "--effects",
    metavar="NAME|FILE|none",
    help="What the phones add after the lens: a set by name (typical), or the path of a .toml file, in place of the "
    "profiles' own.",
)
samples_opt = click.option(
    "--samples",
    type=click.IntRange(min=1),
    help=f"Number of stacks. [default: the source's usable frames, or {DEFAULTS['samples']} made scenes]",
)
seed_opt = click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=DEFAULTS["seed"],
    show_default=True,
    help="Root of all draws.",
)
size_opt = click.option(
    "--size",
    callback=parse_size,
    metavar="WxH",
    default=f"{DEFAULTS['width']}x{DEFAULTS['height']}",
    show_default=True,
    help="Size of the images in pixels.",
)
slices_opt = click.option(
    "--slices",
    type=click.IntRange(min=1),
    default=DEFAULTS["slices"],
    show_default=True,
    help="Slices in a stack, focused uniformly in 1/distance.",
)
near_opt = click.option(
    "--near",
    type=float,
    default=DEFAULTS["near_m"],
    show_default=True,
    help="Nearest focus distance in metres.",
)
far_opt = click.option(
    "--far",
    type=float,
    default=DEFAULTS["far_m"],
    show_default=True,
    help="Farthest focus distance in metres.",
)
shard_size_opt = click.option(
    "--shard-size",
    type=click.IntRange(min=1),
    default=DEFAULTS["shard_size"],
    show_default=True,
    help="Samples in one shard.",
)
workers_opt = click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes that render; the result does not depend on it. [default: the CPUs available]",
)
depth_scale_opt = click.option(
    "--depth-scale",
    type=float,
    metavar="UNITS",
    help="Stored depth units per metre, where SOURCE does not say.",
)
textures_opt = click.option("--textures", type=PATH, help="Folder of photos to texture made scenes with.")
depth_opt = click.option(
    "--depth",
    type=click.Choice(DEPTH_POLICIES),
    default=DEFAULTS["depth"],
    show_default=True,
    help="auto: scale scenes outside the focus range into it; keep: never scale; fit: scale every scene.",
)
compression_opt = click.option(
    "--compression",
    type=click.Choice(COMPRESSIONS),
    default=DEFAULTS["compression"],
    show_default=True,
    help="Lossless codec of the shards: none reads fastest, gzip is smallest.",
)
max_holes_opt = click.option(
    "--max-holes",
    type=click.FloatRange(0, 1, max_open=True),
    default=DEFAULTS["max_holes"],
    show_default=True,
    help="Skip frames in which a larger part of the pixels has no depth.",
)
match_fov_opt = click.option(
    "--match-fov", is_flag=True, help="Crop frames of known intrinsics to the phone's field of view."
)
Part = Callable[[int], tuple[int, int]]  # number of shards -> first and last (exclusive) to render


def parse_shards(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Part | None:
    """``A:B``, shards A to B - 1."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d+):(\d+)", value)
    if match is None or int(match[1]) >= int(match[2]):
        raise click.BadParameter(
            f"{value!r} is no range of shards: expected FIRST:LAST, the last one excluded, as in 0:8"
        )
    first, last = int(match[1]), int(match[2])

    def part(shards: int) -> tuple[int, int]:
        if last > shards:
            raise ConfigError(f"--shards {value}: the bundle has {shards} shards, 0:{shards}")
        return first, last

    return part


def parse_task(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Part | None:
    """``I/N``, one of N equal shares."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", value)
    if match is None or int(match[2]) == 0 or int(match[1]) > int(match[2]):
        raise click.BadParameter(f"{value!r} is no task: expected I/N, I from 0 to N - 1 or from 1 to N")
    task, tasks = int(match[1]), int(match[2])

    def part(shards: int) -> tuple[int, int]:
        from focalsim.shards.parts import share_of

        return share_of(task, tasks, shards)

    return part


part_shards_opt = click.option(
    "--shards",
    "part_shards",
    callback=parse_shards,
    metavar="A:B",
    help="Render shards A to B - 1 only; other runs the rest, into the same folder. focalsim merge completes it.",
)
task_opt = click.option(
    "--task",
    callback=parse_task,
    metavar="I/N",
    help="Render the I-th of N shares of the shards only, as in --task $SLURM_ARRAY_TASK_ID/8.",
)
out_folder_opt = click.option("--out", type=LOCAL_FOLDER, required=True, help="Folder of what is made.")
overwrite_opt = click.option("--overwrite", is_flag=True, help="Replace a bundle that is already there.")
link_opt = click.option(
    "--link", is_flag=True, help="Share whole shards with the bundles they come from instead of copying them."
)


def tell_bundle(manifest: Manifest, folder: Path, done: str, started: float) -> None:
    """Folder on stdout, a summary on stderr."""
    shards = manifest.shards
    size = sum(shard.bytes for shard in shards)
    files = counted(len(shards), "shard")
    tell_done(started, manifest.config.samples, "sample", done, files, size=size, where=folder)
    click.echo(folder)


# Named here too, because the formats themselves import more than ``--help`` may; a test compares the two.
EXCHANGE_NAMES = (
    "ddff",
    "ddff-large",
    "fs6",
    "hci",
    "flyingthings-list",
    "middlebury-list",
    "real-scene",
    "folder",
)
exchange_format_opt = click.option(
    "--format", "kind", type=click.Choice(EXCHANGE_NAMES), required=True, help="Name of the format."
)
