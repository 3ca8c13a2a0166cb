"""``dffnet report``: the page of a run."""

from __future__ import annotations

import time
from pathlib import Path

import click

from dffnet.cli.options import PATH, evaluation_opt, overwrite_opt, refuse_existing_file, write_page


@click.command("report")
@click.argument("run", type=PATH, metavar="RUN")
@click.option("--out", type=PATH, metavar="FILE", help="The page. [default: RUN/report.html]")
@evaluation_opt
@overwrite_opt
def command(run: Path, out: Path | None, evaluation: Path | None, overwrite: bool) -> None:
    """Write a page about a training run: one file, to open in any browser.

    It has the curves of the loss, the validation and the learning rate, and of an evaluation the measures by phone and
    depth, the confidence, and pictures of the best, the median and the worst images. RUN may also be the folder of
    an evaluation alone.

    \b
    dffnet eval run/model.pt held_out/ --out run/eval
    dffnet report run/
    """
    out = out or run / "report.html"
    refuse_existing_file(out, overwrite)

    from dffnet.pages import report_page
    from dffnet.records import read_run

    started = time.monotonic()
    write_page(out, report_page(read_run(run, evaluation)), 1, started)
