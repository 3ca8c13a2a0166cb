"""``focalsim export``: shards as files that other people's training code reads."""

from __future__ import annotations

import time
from pathlib import Path

import click

from focalsim.cli.group import tell, tell_done
from focalsim.cli.options import PATH, exchange_format_opt, shards_arg


@click.command()
@shards_arg
@exchange_format_opt
@click.option("--out", type=PATH, required=True, help="File or folder to write; must not exist.")
@click.option("--align", is_flag=True, help="Warp every slice to the reference slice: no breathing is left.")
@click.option(
    "--val-fraction",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.2,
    show_default=True,
    help="Part of the scenes for the validation split; no scene is in both.",
)
def export(shards: tuple[Path, ...], kind: str, out: Path, align: bool, val_fraction: float) -> None:
    """Write shards or bundles in another format. docs/exchange.md describes the formats.

    Slices are taken by focus distance where the format has fewer, and images are cut into tiles where it has
    one size only. What readers of the format take for granted and these stacks do not have is said on
    standard error.

    \b
    focalsim export shards/ --format ddff --align --out ddff.h5
    """
    from contextlib import ExitStack

    from focalsim.exchange import EXCHANGE_FORMATS, export_stacks
    from focalsim.shards import ShardReader, shard_paths

    started = time.monotonic()
    with ExitStack() as stack:
        readers = [stack.enter_context(ShardReader(path)) for path in shard_paths(shards)]
        counts, notes = export_stacks(EXCHANGE_FORMATS[kind], readers, out, align=align, val_fraction=val_fraction)
    for note in notes:
        tell(f"note: {note}")
    files = [path for path in [out, *out.rglob("*")] if path.is_file()]
    tell_done(
        started,
        sum(counts.values()),
        "stack",
        f"written, {counts['train']} for training and {counts['val']} for validation",
        size=sum(path.stat().st_size for path in files),
        where=out,
    )
    click.echo(out)
