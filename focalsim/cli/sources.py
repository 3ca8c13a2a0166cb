"""``focalsim sources``: which RGB-D sets can be read, and what a path of one's own holds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from focalsim.cli import options as opt
from focalsim.cli.group import tell_done

if TYPE_CHECKING:
    from focalsim.sources import Source
    from focalsim.sources.check import SourceCheck


@click.group()
def sources() -> None:
    """List the kinds of RGB-D sets that can be read, or check one."""


@sources.command("list")
def list_() -> None:
    """Names of the kinds, and the layout by which each is found. The first that fits is taken.

    \b
    focalsim sources list
    """
    from focalsim.sources import SOURCE_FORMATS

    for name, reader in SOURCE_FORMATS.items():
        click.echo(f"{name:<12}{reader.description}")


@sources.command()
@click.argument("path", type=opt.PATH)
@click.option("--source-format", metavar="NAME", help="Kind of PATH. [default: detected]")
@click.option("--depth-scale", type=float, metavar="UNITS", help="Stored depth units per metre.")
@opt.size_opt
@opt.max_holes_opt
@click.option(
    "--frames",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Read at most so many frames, evenly over the source.",
)
def check(
    path: Path,
    source_format: str | None,
    depth_scale: float | None,
    size: tuple[int, int],
    max_holes: float,
    frames: int,
) -> None:
    """Say what PATH is: frames, depth range, holes, and what rendering at this size would skip.

    Exit code 1 where no frame can be used.

    \b
    focalsim sources check my_rgbd/
    focalsim sources check recording/ --depth-scale 1000 --size 640x480
    """
    from focalsim.errors import SourceError
    from focalsim.sources import FrameRequest, open_source
    from focalsim.sources.check import check_source

    source = open_source(path, source_format=source_format, depth_scale=depth_scale)
    # Of a request only the size matters to files; range and field of view are any.
    request = FrameRequest(*size, near_m=0.1, far_m=1.0, focal_over_width=1.0)
    started = time.monotonic()
    found = check_source(source, request, max_holes=max_holes, limit=frames)
    for key, value in _rows(source, found):
        click.echo(f"{key:<12}{value}")
    for line in _warnings(source, found):
        click.echo(f"note        {line}")
    tell_done(started, found.read, "frame", "read")
    if not found.usable:
        raise SourceError(f"{path}: none of {found.read} frames can be used")


def _rows(source: Source, found: SourceCheck) -> list[tuple[str, str]]:
    rows = [
        ("source", f"{source.name} ({source.format})"),
        ("license", source.license),
        ("attribution", source.attribution),
        ("frames", f"{found.frames}, {found.read} read, {found.usable} of these usable"),
    ]
    if found.sizes_px:
        rows += [
            ("size", ", ".join(f"{w}x{h}" for w, h in sorted(found.sizes_px)) + " px"),
            ("depth", f"{found.near_m:.3g} to {found.far_m:.3g} m, median {found.median_m:.3g} m"),
            (
                "holes",
                f"{100 * found.mean_holes:.1f} % of the pixels, at most {100 * found.most_holes:.1f} % of a frame",
            ),
            ("camera", "known" if found.known_camera else "not known"),
        ]
    for reason, messages in found.skipped.items():
        rows.append(("skipped", f"{len(messages)} ({reason}); {messages[0]}"))
    return rows


def _warnings(source: Source, found: SourceCheck) -> list[str]:
    from focalsim.sources.survey import enlargement

    lines = [
        getattr(source, "depth_assumption", ""),
        found.unit_warning,
        enlargement(found.depth_enlarged) if found.depth_enlarged > 1 else "",
    ]
    return [line for line in lines if line]
