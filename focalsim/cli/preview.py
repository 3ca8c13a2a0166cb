"""``focalsim preview``: samples as a contact sheet, an animation, or a page."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from focalsim.cli.group import tell_done
from focalsim.cli.options import PATH, shards_arg

if TYPE_CHECKING:
    from focalsim.sample import Sample
    from focalsim.shards.remote import Location

_KINDS = {".png": "sheet", ".jpg": "sheet", ".jpeg": "sheet", ".gif": "gif", ".html": "html", ".htm": "html"}
_SUFFIXES = ".png, .jpg, .gif or .html"
FRAME_MS = 200


@click.command()
@shards_arg
@click.option("--out", type=PATH, required=True, help=f"What to write: {_SUFFIXES}.")
@click.option("--gif", "kind", flag_value="gif", help="Write an animation, whatever the name of --out.")
@click.option("--html", "kind", flag_value="html", help="Write a page, whatever the name of --out.")
@click.option("--samples", type=click.IntRange(min=1), default=4, show_default=True, help="How many to show.")
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    default=90,
    show_default=True,
    help="Of the pictures in a page; 100 is lossless.",
)
@click.option(
    "--max-mb",
    type=click.FloatRange(min=0, min_open=True),
    default=32.0,
    show_default=True,
    help="Largest size of a page in MB; it holds as many samples as fit.",
)
@click.option("--overwrite", is_flag=True, help="Replace what exists.")
def preview(
    shards: tuple[Path, ...], out: Path, kind: str | None, samples: int, quality: int, max_mb: float, overwrite: bool
) -> None:
    """Show the first samples of shards or bundles.

    A picture (.png, .jpg) is a contact sheet: slices, all-in-focus image and depth. A .gif sweeps the focus from far
    to near and back. A page (.html) is one file to open in any browser: a slider moves the focus, a click focuses on
    what it hits, hovering reads depth and blur.

    \b
    focalsim preview shards/ --out stack.png
    focalsim preview shards/ --out look.html --samples 12
    """
    kind = kind or _KINDS.get(out.suffix.lower())
    if kind is None:
        raise click.BadParameter(f"{str(out)!r} must end in {_SUFFIXES}", param_hint="--out")

    from focalsim.errors import OutputError
    from focalsim.progress import progress_bar
    from focalsim.shards.files import write_bytes

    if out.exists() and not overwrite:
        raise OutputError(f"{out}: exists; use --overwrite to replace it")
    started = time.monotonic()
    with closing(_samples(shards)) as opened:
        first = islice(opened, samples)
        if kind == "html":
            content, shown = _page(first, shards, samples, quality, max_mb)
        else:
            found = list(progress_bar(first, desc="read", unit="sample", total=samples, leave=False))
            content, shown = _pictures(found, kind, out.suffix.lower())
    write_bytes(out, content)
    tell_done(started, shown, "sample", "shown", size=len(content), where=out)
    click.echo(out)


def _samples(shards: Sequence[Location]) -> Generator[Sample, None, None]:
    """All samples, shard by shard, each opened when it is reached."""
    from focalsim.shards import ShardReader, shard_paths

    for path in shard_paths(shards):
        with ShardReader(path) as reader:
            yield from reader


def _pictures(samples: list[Sample], kind: str, suffix: str) -> tuple[bytes, int]:
    import cv2

    from focalsim.errors import ShardError
    from focalsim.preview import contact_sheet, focus_sweep, gif_bytes

    try:
        if kind == "gif":
            return gif_bytes(focus_sweep(samples), FRAME_MS), len(samples)
        _, encoded = cv2.imencode(suffix, contact_sheet(samples)[..., ::-1])
    except ValueError as error:
        raise ShardError(str(error)) from None
    return encoded.tobytes(), len(samples)


def _page(
    samples: Iterator[Sample], shards: Sequence[Location], wanted: int, quality: int, max_mb: float
) -> tuple[bytes, int]:
    from focalsim.pages.bundle import bundle_page
    from focalsim.pages.facts import bundle_facts
    from focalsim.progress import progress_bar

    facts = bundle_facts(shards)
    title = ", ".join(Path(str(path)).resolve().name if "://" not in str(path) else str(path) for path in shards)
    with progress_bar(desc="page", unit="sample", total=wanted, leave=False) as bar:
        text, shown = bundle_page(
            samples, facts, title=title, quality=quality, max_bytes=int(max_mb * 1e6), tick=bar.update
        )
    return text.encode(), shown
