"""The ``focalsim`` command line: one file per command, each imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

import click

from focalsim import __version__
from focalsim.errors import FocalsimError

# Command -> the module that holds a click command of the module's own name (``import`` is a keyword).
_COMMANDS = {
    "render": "focalsim.cli.render",
    "phones": "focalsim.cli.phones",
    "inspect": "focalsim.cli.inspect",
    "preview": "focalsim.cli.preview",
    "verify": "focalsim.cli.verify",
    "calibrate": "focalsim.cli.calibrate",
    "split": "focalsim.cli.split",
    "merge": "focalsim.cli.merge",
    "subset": "focalsim.cli.subset",
    "sources": "focalsim.cli.sources",
    "export": "focalsim.cli.export",
    "import": "focalsim.cli.import_",
}


class LazyGroup(click.Group):
    """A group whose commands are imported on use, and whose known errors become one line and exit code 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(_COMMANDS[cmd_name]), _COMMANDS[cmd_name].rpartition(".")[2])
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except FocalsimError as error:
            raise click.ClickException(" ".join(str(error).split())) from error


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-v", "--version", package_name="focalsim")
def main() -> None:
    """Render physically right focal stacks from RGB-D into HDF5 bundles.

    Results go to standard output, progress and messages to standard error. Exit code 0: done, 1: an error
    that the message explains, 2: wrong usage.
    """
