"""``dffnet compare``: several runs side by side."""

from __future__ import annotations

import time
from pathlib import Path

import click

from dffnet.cli.options import PATH, evaluation_opt, overwrite_opt, refuse_existing_file, write_page


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, type=PATH, metavar="RUN RUN...")
@click.option("--out", type=PATH, default="compare.html", show_default=True, metavar="FILE", help="The page.")
@evaluation_opt
@overwrite_opt
def command(runs: tuple[Path, ...], out: Path, evaluation: Path | None, overwrite: bool) -> None:
    """Write a page that compares runs: one file, to open in any browser.

    Measures stand in one table, the best of each marked; curves in one chart; the same images one below the other. Runs
    are best evaluated on the same shards.

    \b
    dffnet compare run_a/ run_b/ --out compare.html
    """
    if len(runs) < 2:
        raise click.UsageError("there is nothing to compare: give two runs or more")
    refuse_existing_file(out, overwrite)

    from dffnet.pages import compare_page
    from dffnet.records import read_run
    from focalsim.progress import progress_bar

    started = time.monotonic()
    records = [read_run(run, evaluation) for run in progress_bar(runs, desc="read", unit="run", leave=False)]
    write_page(out, compare_page(records), len(runs), started)
