"""The ``dffnet`` command line: one file per command, each imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

import click

from focalsim import __version__
from focalsim.errors import FocalsimError

_COMMANDS = ("train", "eval", "predict", "export")


class LazyGroup(click.Group):
    """A group whose commands are imported on use, and whose known errors become one line and exit code 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"dffnet.cli.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except FocalsimError as error:
            raise click.ClickException(_one_line(error)) from error


def _one_line(error: FocalsimError) -> str:
    """The message; of an error from a loader's worker, whose message is a traceback, the last line."""
    text = str(error).strip()
    if "Original Traceback" in text:
        text = text.splitlines()[-1].partition(": ")[2]
    return " ".join(text.split())


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-v", "--version", package_name="focalsim")
def main() -> None:
    """Train, measure and use networks that find depth from focus.

    Results go to standard output, progress and messages to standard error. Exit code 0: done, 1: an error
    that the message explains, 2: wrong usage.
    """
    from focalsim.allocator import keep_freed_memory

    keep_freed_memory()
