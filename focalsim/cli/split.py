"""``focalsim split``: training, validation and test bundles that share no scene."""

from __future__ import annotations

import time
from pathlib import Path

import click

from focalsim.cli import options as opt


def parse_fractions(_ctx: click.Context, _param: click.Parameter, value: str) -> dict[str, float]:
    """``train=0.8,val=0.2`` as a dict, in that order."""
    fractions: dict[str, float] = {}
    for part in value.split(","):
        name, equals, number = part.strip().partition("=")
        try:
            fraction = float(number)
        except ValueError:
            equals = ""
        if not equals or name in fractions:
            raise click.BadParameter(f"{value!r}: expected NAME=FRACTION,..., each name once, as in train=0.8,val=0.2")
        fractions[name] = fraction
    return fractions


@click.command()
@click.argument("bundle", type=opt.LOCAL_FOLDER)
@opt.out_folder_opt
@click.option(
    "--fractions",
    callback=parse_fractions,
    default="train=0.8,val=0.1,test=0.1",
    show_default=True,
    metavar="NAME=F,...",
    help="Name and share of the samples of each part.",
)
@opt.seed_opt
@click.option("--group", metavar="REGEX", help="What names the scene in a source id. [default: all of it]")
@opt.link_opt
@opt.overwrite_opt
def split(
    bundle: Path, out: Path, fractions: dict[str, float], seed: int, group: str | None, link: bool, overwrite: bool
) -> None:
    """Split BUNDLE by scene into bundles OUT/NAME: no scene is in two of them.

    Pixels are copied as they are stored. The same BUNDLE, fractions and seed give the same parts.

    \b
    focalsim split shards/ --fractions train=0.8,val=0.2 --out parts/
    """
    from focalsim.derive import split_bundle

    started = time.monotonic()
    parts = split_bundle(bundle, out, fractions, seed=seed, group=group, link=link, overwrite=overwrite, progress=True)
    for name, manifest in parts.items():
        opt.tell_bundle(manifest, out / name, "copied", started)
