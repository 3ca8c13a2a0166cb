"""``dffnet train``: a network from shards."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from dffnet.cli.live import open_rendered, render_options, take_render_options
from dffnet.cli.options import DEFAULTS, PATH, Duration, ShardType, overwrite_opt, refuse_existing, workers_opt
from dffnet.config import ALIGNMENTS, MIN_CROP_PX, PRECISIONS, SCHEDULES, TrainConfig
from dffnet.units import UNITS
from focalsim.cli.group import tell

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _option(flag: str, name: str, **kwargs: Any) -> Callable[[_Function], _Function]:
    return click.option(flag, name, default=DEFAULTS[name], show_default=True, **kwargs)


@click.command("train")
@click.argument("shards", nargs=-1, type=ShardType(path_type=Path), metavar="[SHARD...]")
@click.option("--out", type=PATH, required=True, metavar="RUN", help="Folder of the run.")
@_option("--model", "model", metavar="NAME", help="Which network.")
@_option("--loss", "loss", metavar="NAME", help="Which loss; own = that of the network's paper.")
@_option("--unit", "unit", type=click.Choice(UNITS), help="Unit of depth inside the network.")
@_option("--align", "align", type=click.Choice(ALIGNMENTS), help="Warp slices to the nearest one first.")
@_option("--epochs", "epochs", type=click.IntRange(min=1), help="Passes over the training samples.")
@click.option("--max-steps", type=click.IntRange(min=1), help="Stop after so many steps. [default: no limit]")
@click.option("--max-time", type=Duration(), help="Stop after so long, as 90s, 20m, 8h. [default: no limit]")
@_option("--batch-size", "batch_size", type=click.IntRange(min=1), help="Stacks in a step, on each device.")
@_option("--crop", "crop_px", type=click.IntRange(min=MIN_CROP_PX), help="Side of training crops in pixels.")
@_option("--min-slices", "min_slices", type=click.IntRange(min=0), help="Batches of so many to all slices; 0 = all.")
@_option("--noise", "noise", type=click.FloatRange(0, 1, max_open=True), help="Largest noise added, of 1.")
@_option("--lr", "lr", type=click.FloatRange(min=0, min_open=True), help="Learning rate.")
@_option("--schedule", "schedule", type=click.Choice(SCHEDULES), help="Of the learning rate.")
@_option("--ema", "ema", type=click.FloatRange(0, 1, max_open=True), help="Decay of the average of weights; 0 = none.")
@_option("--gradient-clip", "gradient_clip", type=click.FloatRange(min=0, min_open=True), help="Largest norm.")
@_option("--val-fraction", "val_fraction", type=click.FloatRange(0, 1, max_open=True), help="Scenes held out.")
@_option("--patience", "patience", type=click.IntRange(min=0), help="Epochs to wait for a better one; 0 = for ever.")
@_option("--seed", "seed", type=click.IntRange(min=0), help="Root of all draws.")
@_option("--precision", "precision", type=click.Choice(PRECISIONS), help="Number format.")
@click.option(
    "--devices",
    default="auto",
    show_default=True,
    metavar="N|auto",
    help="GPUs to train on; under torchrun, torchrun says.",
)
@workers_opt
@render_options
@click.option("--resume", is_flag=True, help="Continue the run in RUN where it stopped.")
@overwrite_opt
def command(
    shards: tuple[Path, ...],
    out: Path,
    max_steps: int | None,
    max_time: float | None,
    devices: str,
    workers: int | None,
    resume: bool,
    overwrite: bool,
    **options: Any,
) -> None:
    """Train a network on shards or bundles; the best model lands in RUN/model.pt.

    All shards of one run must have one size and number of slices; --min-slices makes the network learn on fewer, too.
    With --render no stack is seen twice and none is written.
    Ctrl-C stops after the step at hand; --resume then goes on exactly there.

    \b
    dffnet train shards/ --out run/
    dffnet train --render rgbd/ --max-time 8h --out run/
    torchrun --nproc-per-node 4 --no-python dffnet train shards/ --out run/
    """
    render = take_render_options(options)
    if bool(shards) == bool(render):
        raise click.UsageError("give either SHARDs or --render SOURCE")
    if resume and overwrite:
        raise click.UsageError("--resume and --overwrite exclude each other")
    if devices != "auto" and not (devices.isdecimal() and int(devices) > 0):
        raise click.BadParameter(f"{devices!r} is neither 'auto' nor a positive number", param_hint="--devices")
    config = TrainConfig(max_steps=max_steps or -1, **options)
    if not resume:
        refuse_existing(out, ("model.pt", "last.ckpt"), overwrite)

    from dffnet.engine.data import default_workers
    from dffnet.engine.processes import is_main_process
    from dffnet.engine.train import train

    workers = default_workers() if workers is None else workers
    rendered = open_rendered(render, config.seed) if render else None
    if rendered is not None and rendered.summary:
        tell(rendered.summary)
    started = time.monotonic()
    result = train(
        rendered or shards, out, config, workers=workers, devices=devices, max_time_s=max_time, resume=resume
    )
    if not is_main_process():
        return
    held_out = f"{result.val_samples} held out" if result.val_samples else "none held out: no validation"
    seconds = time.monotonic() - started
    tell(
        f"{result.train_samples} training stacks, {held_out}: {seconds:.1f} s, "
        f"{result.model.stat().st_size / 1e6:.1f} MB in {out}"
    )
    error = f"  val MAE {result.val_mae:.4g} {config.unit}" if result.val_samples else ""
    click.echo(f"{result.model}  {result.epochs} epochs, {result.steps} steps{error}")
