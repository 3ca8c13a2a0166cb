"""The ``focalsim`` command line: one file per command, each imported when it is asked for."""

from __future__ import annotations

import click

from focalsim import __version__
from focalsim.cli.group import CONTEXT, LazyGroup

_COMMANDS = {
    "render": "focalsim.cli.render:render",
    "preview": "focalsim.cli.preview:preview",
    "inspect": "focalsim.cli.inspect:inspect",
    "verify": "focalsim.cli.verify:verify",
    "sources": "focalsim.cli.sources:sources",
    "phones": "focalsim.cli.phones:phones",
    "calibrate": "focalsim.cli.calibrate:calibrate",
    "split": "focalsim.cli.split:split",
    "merge": "focalsim.cli.merge:merge",
    "subset": "focalsim.cli.subset:subset",
    "export": "focalsim.cli.export:export",
    "import": "focalsim.cli.import_:import_",
    "completion": "focalsim.cli.completion:completion",
}


@click.group("focalsim", cls=LazyGroup, modules=_COMMANDS, context_settings=CONTEXT)
@click.version_option(__version__, "-V", "--version", package_name="focalsim")
def main() -> None:
    """Render physically right focal stacks from RGB-D into HDF5 bundles.

    \b
    focalsim render --samples 4 --out first          four stacks of scenes that it makes itself
    focalsim render my_rgbd/ --phone pixel4 --out b  stacks of your RGB-D frames
    focalsim preview b --out b.html                  look at them in a browser

    Results go to standard output, progress and messages to standard error. Exit code 0: done, 1: an error
    that the message explains, 2: wrong usage.
    """
