"""``focalsim import``: data in other people's formats as a bundle of shards."""

from __future__ import annotations

import time
from pathlib import Path

import click

from focalsim.cli import options as opt


@click.command("import")
@click.argument("path", type=opt.PATH)
@opt.exchange_format_opt
@click.option("--out", type=opt.PATH, required=True, help="Folder of the bundle.")
@click.option("--license", "license_", default="unknown", show_default=True, help="Where PATH does not say.")
@click.option("--attribution", default="unknown", show_default=True, help="Where PATH does not say.")
@opt.near_opt
@opt.far_opt
@opt.shard_size_opt
@click.option("--overwrite", is_flag=True, help="Replace a bundle that is already there.")
def import_(
    path: Path,
    kind: str,
    out: Path,
    license_: str,
    attribution: str,
    near: float,
    far: float,
    shard_size: int,
    overwrite: bool,
) -> None:
    """Make a bundle of the stacks in PATH. docs/exchange.md describes the formats.

    --near and --far give formats that know pixels of disparity only their metres, where PATH does not.

    \b
    focalsim import ddff.h5 --format ddff --license CC-BY-4.0 --out shards/
    """
    from focalsim.camera import focus_schedule_m
    from focalsim.exchange import EXCHANGE_FORMATS, Provenance, import_stacks

    focus_schedule_m(near, far, 2)  # refuses what cannot be
    started = time.monotonic()
    manifest = import_stacks(
        EXCHANGE_FORMATS[kind],
        path,
        out,
        assumed=Provenance(license_, attribution, near, far),
        shard_size=shard_size,
        overwrite=overwrite,
        progress=True,
    )
    opt.tell_bundle(manifest, out, "imported", started)
