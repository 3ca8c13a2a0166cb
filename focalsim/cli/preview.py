"""``focalsim preview``: a contact sheet."""

from __future__ import annotations

from pathlib import Path

import click

from focalsim.cli.options import PATH, shards_arg


@click.command()
@shards_arg
@click.option("--out", type=PATH, required=True, help="Picture to write: .png or .jpg.")
@click.option("--samples", type=click.IntRange(min=1), default=4, show_default=True, help="How many to show.")
@click.option("--overwrite", is_flag=True, help="Replace the picture if it exists.")
def preview(shards: tuple[Path, ...], out: Path, samples: int, overwrite: bool) -> None:
    """Draw the first samples of shards or bundles: slices, all-in-focus image and depth."""
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise click.BadParameter(f"{str(out)!r} must end in .png or .jpg", param_hint="--out")

    import cv2

    from focalsim.errors import OutputError
    from focalsim.preview import contact_sheet
    from focalsim.sample import Sample
    from focalsim.shards import ShardReader, shard_paths
    from focalsim.shards.files import write_bytes

    if out.exists() and not overwrite:
        raise OutputError(f"{out}: exists; use --overwrite to replace it")
    chosen: list[Sample] = []
    for path in shard_paths(shards):
        with ShardReader(path) as reader:
            chosen += [reader[i] for i in range(min(len(reader), samples - len(chosen)))]
        if len(chosen) == samples:
            break
    sheet = contact_sheet(chosen)
    _, encoded = cv2.imencode(out.suffix.lower(), sheet[..., ::-1])
    write_bytes(out, encoded.tobytes())
    click.echo(out)
