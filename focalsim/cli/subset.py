"""``focalsim subset``: a part of a bundle."""

from __future__ import annotations

import time
from pathlib import Path

import click

from focalsim.cli import options as opt


@click.command()
@click.argument("bundle", type=opt.LOCAL_FOLDER)
@opt.out_folder_opt
@click.option("--phone", "phones", multiple=True, metavar="NAME", help="Stacks of this phone. May be repeated.")
@click.option(
    "--scene",
    "scenes",
    multiple=True,
    metavar="PATTERN",
    help="Stacks whose source id matches, as in 'nyu/*'. May be repeated.",
)
@click.option("--samples", type=click.IntRange(min=1), help="So many of them: the first ones.")
@click.option("--seed", type=click.IntRange(min=0), help="With --samples: drawn at random instead.")
@opt.link_opt
@opt.overwrite_opt
def subset(
    bundle: Path,
    out: Path,
    phones: tuple[str, ...],
    scenes: tuple[str, ...],
    samples: int | None,
    seed: int | None,
    link: bool,
    overwrite: bool,
) -> None:
    """Take the stacks of BUNDLE of a phone, of some scenes, or a number of them, as the bundle OUT.

    Pixels are copied as they are stored; the order is kept.

    \b
    focalsim subset shards/ --phone pixel6 --samples 100 --out small/
    """
    if not (phones or scenes or samples):
        raise click.UsageError("say which: --phone, --scene or --samples")
    if seed is not None and samples is None:
        raise click.UsageError("--seed is for --samples")

    from focalsim.derive import subset_bundle

    started = time.monotonic()
    manifest = subset_bundle(
        bundle, out, phones=phones, scenes=scenes, samples=samples, seed=seed, link=link, overwrite=overwrite,
        progress=True,
    )  # fmt: skip
    opt.tell_bundle(manifest, out, "copied", started)
