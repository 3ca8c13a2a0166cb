"""Options and parameter types that commands share; defaults are those of ``TrainConfig``."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

import click

from dffnet.config import TrainConfig
from focalsim.cli.group import tell_done
from focalsim.errors import OutputError

DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(TrainConfig)}
PATH = click.Path(path_type=Path)


class ShardType(click.Path):
    """A path, or the URL of a shard or bundle in object storage, which stays as it is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if isinstance(value, str) and "://" in value else super().convert(value, param, ctx)


shards_arg = click.argument("shards", nargs=-1, required=True, type=ShardType(path_type=Path), metavar="SHARD...")
checkpoint_arg = click.argument("checkpoint", type=PATH, metavar="CHECKPOINT")
evaluation_opt = click.option(
    "--eval",
    "evaluation",
    type=PATH,
    metavar="DIR",
    help="Folder of dffnet eval --out, in RUN or anywhere. [default: the one in RUN]",
)
overwrite_opt = click.option("--overwrite", is_flag=True, help="Replace results that exist.")
workers_opt = click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Processes that load data beside the main one. [default: up to 8, one CPU left to compute]",
)


class Distances(click.ParamType[tuple[float, ...]]):
    """Comma-separated metres, as in ``1.0,0.5,0.25``; ``inf`` is allowed."""

    name = "M,M,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is no list of distances: expected metres as in 1.0,0.5,0.25", param, ctx)


class Duration(click.ParamType[float]):
    """Seconds, as a number with its unit: ``90s``, ``20m``, ``1.5h``, ``2d``."""

    name = "TIME"
    _SECONDS: ClassVar = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d*)?)([smhd])", value.strip())
        if match is None or float(match[1]) == 0:
            self.fail(f"{value!r} is no time: expected a number and a unit, as in 90s, 20m, 8h", param, ctx)
        return float(match[1]) * self._SECONDS[match[2]]


def refuse_existing_file(out: Path, overwrite: bool) -> None:
    """Raise OutputError where ``out`` is a folder, or exists and may not be overwritten."""
    if out.is_dir():
        raise OutputError(f"{out}: is a folder, expected the name of a file")
    if out.exists() and not overwrite:
        raise OutputError(f"{out}: exists; use --overwrite to replace it")


def write_page(out: Path, text: str, runs: int, started: float) -> None:
    """Write a page about ``runs`` and tell where it is, and how large. Raises OutputError."""
    from dffnet.output import write_files

    content = text.encode()
    write_files(out.parent, {out.name: content})
    tell_done(started, runs, "run", "shown", size=len(content), where=out)
    click.echo(out)


def refuse_existing(out: Path, names: tuple[str, ...], overwrite: bool) -> None:
    """Raise OutputError where ``out`` is a file or holds one of ``names`` and may not be overwritten."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file, expected a folder")
    existing = [name for name in names if (out / name).exists()]
    if existing and not overwrite:
        raise OutputError(f"{out / existing[0]}: exists; use --overwrite to replace it")
