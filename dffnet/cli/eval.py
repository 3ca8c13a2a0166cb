"""``dffnet eval``: the measures of a checkpoint on shards."""

from __future__ import annotations

import time
from pathlib import Path

import click

from dffnet.cli.options import PATH, checkpoint_arg, overwrite_opt, refuse_existing, shards_arg, workers_opt
from dffnet.config import ALIGNMENTS
from focalsim.cli.group import tell, tell_done


@click.command("eval")
@checkpoint_arg
@shards_arg
@click.option("--out", type=PATH, metavar="DIR", help="Folder for eval.json, eval.md and pictures.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON with every image instead of the table.")
@click.option("--align", type=click.Choice(ALIGNMENTS), help="[default: as the checkpoint was trained]")
@workers_opt
@overwrite_opt
def command(
    checkpoint: Path,
    shards: tuple[Path, ...],
    out: Path | None,
    as_json: bool,
    align: str | None,
    workers: int | None,
    overwrite: bool,
) -> None:
    """Measure a checkpoint on shards or bundles, beside the guess that every depth is the mean depth.

    CHECKPOINT may also be ``classical``: depth from focus without learning. DIR gets the measures of every image,
    by phone and by depth (eval.json, eval.md), and pictures of the best, the median and the worst images, and of the
    first.

    \b
    dffnet eval run/model.pt held_out/ --out run/eval
    """
    if out is not None:
        refuse_existing(out, ("eval.json",), overwrite)

    from dffnet import report
    from dffnet.engine.data import default_workers
    from dffnet.engine.evaluate import evaluate, open_stacks
    from dffnet.engine.predictor import Predictor
    from dffnet.output import write_files

    predictor = Predictor(checkpoint)
    stacks = open_stacks(predictor, shards, align)
    started = time.monotonic()
    evaluation = evaluate(predictor, stacks, workers=default_workers() if workers is None else workers)
    for name in evaluation.skipped:
        tell(f"{name}: no valid depth, skipped")
    text = report.as_json(evaluation, str(checkpoint))
    size = None
    if out is not None:
        files = {
            "eval.json": (text + "\n").encode(),
            "eval.md": report.as_markdown(evaluation, str(checkpoint)).encode(),
            **report.pictures(evaluation, predictor, stacks),
        }
        write_files(out, files)
        size = sum(map(len, files.values()))
    tell_done(started, len(evaluation.images), "image", "measured", size=size, where=out)
    click.echo(text if as_json else report.table(evaluation))
