"""The ``dffnet`` command line: one file per command, each imported when it is asked for."""

from __future__ import annotations

import click

from focalsim import __version__
from focalsim.cli.group import CONTEXT, LazyGroup

_COMMANDS = {name: f"dffnet.cli.{name}:command" for name in ("train", "eval", "report", "compare", "predict", "export")}


@click.group(
    "dffnet",
    cls=LazyGroup,
    modules={**_COMMANDS, "completion": "focalsim.cli.completion:completion"},
    context_settings=CONTEXT,
)
@click.version_option(__version__, "-V", "--version", package_name="focalsim")
def main() -> None:
    """Train, measure and use networks that find depth from focus.

    \b
    dffnet train shards/ --out run                      a network
    dffnet eval run/model.pt held_out/ --out run/eval   its measures and pictures
    dffnet report run                                   both on a page
    dffnet predict run/model.pt photos/ --out depth     depth of your own photos

    Results go to standard output, progress and messages to standard error. Exit code 0: done, 1: an error
    that the message explains, 2: wrong usage.
    """
    from focalsim.allocator import keep_freed_memory

    keep_freed_memory()
