"""The options of ``dffnet train --render``: what is rendered while the network learns."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from focalsim.errors import ConfigError

if TYPE_CHECKING:
    from focalsim import RenderedStacks

MADE = "made"
_Function = TypeVar("_Function", bound=Callable[..., Any])


class Size(click.ParamType[tuple[int, int]]):
    """``WIDTHxHEIGHT`` in pixels, as (width, height)."""

    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", value) if isinstance(value, str) else None
        if match is None:
            self.fail(f"{value!r} is no size: expected WIDTHxHEIGHT in pixels, as in 352x224", param, ctx)
        return int(match[1]), int(match[2])


_OPTIONS = (
    click.option(
        "--render",
        "source",
        metavar=f"SOURCE|{MADE}",
        help="In place of SHARDs: render fresh stacks in every step, of the RGB-D frames in SOURCE or of made scenes. "
        "The options below are those of focalsim render.",
    ),
    click.option("--phone", "phones", multiple=True, metavar="NAME|FILE|all", help="Phone profile. [default: pixel4]"),
    click.option("--effects", metavar="NAME|FILE|none", help="What the phones add after the lens."),
    click.option("--size", type=Size(), help="Size of the rendered images. [default: 352x224]"),
    click.option("--slices", type=click.IntRange(min=1), help="Slices in a rendered stack. [default: 10]"),
    click.option("--near", "near_m", type=float, help="Nearest focus distance in metres. [default: 0.1]"),
    click.option("--far", "far_m", type=float, help="Farthest focus distance in metres. [default: 1]"),
    click.option("--samples", type=click.IntRange(min=1), help="Stacks in an epoch. [default: all usable frames]"),
    click.option(
        "--render-device",
        "device",
        metavar="DEVICE",
        help="Where PyTorch renders, cuda for one. [default: compiled code on the CPU]",
    ),
    click.option("--depth-scale", type=float, metavar="UNITS", help="Stored depth units per metre of SOURCE."),
)

_FLAGS = {
    "source": "--render",
    "phones": "--phone",
    "effects": "--effects",
    "size": "--size",
    "slices": "--slices",
    "near_m": "--near",
    "far_m": "--far",
    "samples": "--samples",
    "device": "--render-device",
    "depth_scale": "--depth-scale",
}


def render_options(command: _Function) -> _Function:
    """Decorator: the options above, as arguments of their names."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def take_render_options(options: dict[str, Any]) -> dict[str, Any]:
    """Remove the options above from ``options`` and return those that were given; none without --render."""
    given = {name: value for name in _FLAGS if (value := options.pop(name)) not in (None, ())}
    if given and "source" not in given:
        raise click.UsageError(f"{_FLAGS[next(iter(given))]} goes with --render")
    return given


def open_rendered(given: dict[str, Any], seed: int) -> RenderedStacks:
    """The stacks that :func:`take_render_options` describe. Raises what RenderedStacks raises."""
    from focalsim import RenderedStacks

    given = dict(given)
    source = given.pop("source")
    source_options = {"depth_scale": given.pop("depth_scale")} if "depth_scale" in given else {}
    if "size" in given:
        given["width"], given["height"] = given.pop("size")
    if source == MADE and Path(MADE).exists():
        raise ConfigError(f"--render {MADE} means made scenes; for the folder of that name write ./{MADE}")
    return RenderedStacks(
        None if source == MADE else source,
        given.pop("phones", ("pixel4",)),
        seed=seed,
        source_options=source_options,
        **given,
    )
