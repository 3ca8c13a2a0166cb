"""``dffnet export``: a checkpoint as an ONNX file."""

from __future__ import annotations

import time
from pathlib import Path

import click

from dffnet.cli.options import PATH, checkpoint_arg, overwrite_opt, refuse_existing_file
from focalsim.cli.group import tell_done


@click.command("export")
@checkpoint_arg
@click.option("--out", type=PATH, required=True, metavar="FILE", help="The ONNX file.")
@overwrite_opt
def command(checkpoint: Path, out: Path, overwrite: bool) -> None:
    """Write the network of a checkpoint as an ONNX file, for any number of slices, height and width.

    \b
    stack             batch x slices x 3 x height x width, far to near, sRGB in 0 to 1
    focus_distance_m  batch x slices, metres
    depth_m           batch x height x width, metres, as the nearest slice sees it
    confidence        batch x height x width, 0 to 1
    all_in_focus      batch x 3 x height x width, sRGB in 0 to 1

    Slices must be aligned as they were in training (see --align there); models that align do so inside.

    \b
    dffnet export run/model.pt --out depth.onnx
    """
    refuse_existing_file(out, overwrite)

    from dffnet.engine.export import export_onnx
    from dffnet.output import write_files

    started = time.monotonic()
    content = export_onnx(checkpoint)
    write_files(out.parent, {out.name: content})
    tell_done(started, 1, "network", "written", size=len(content), where=out)
    click.echo(out)
