"""The frame of both command lines: commands imported on use, errors of one line, how much is told, and in colour.

``focalsim`` and ``dffnet`` are groups of this kind; dffnet's commands enter focalsim's command line here alone.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from typing import IO, Any

import click

from focalsim import __version__
from focalsim.errors import FocalsimError

_LOGGERS = [logging.getLogger(name) for name in ("focalsim", "dffnet")]
_log = _LOGGERS[0]
CONTEXT = {"help_option_names": ["-h", "--help"]}


def tell(text: str) -> None:
    """A message on standard error, which ``--quiet`` silences."""
    _log.info(text)


def counted(count: int, unit: str) -> str:
    """``1 sample``, ``2 samples``."""
    return f"{count} {unit}{'' if count == 1 else 's'}"


def tell_done(
    started: float, count: int, unit: str, done: str, *more: str, size: int | None = None, where: object = None
) -> None:
    """The last message of a command: how many, how fast, how large, and where.

    started  time.monotonic() at the beginning; ``size`` in bytes; ``more`` goes between speed and size

    As in ``12 samples rendered: 3.1 s, 3.87 samples/s, 30.12 MB in shards``.
    """
    seconds = time.monotonic() - started
    rate = count / max(seconds, 1e-9)
    facts = [f"{seconds:.1f} s"]
    if count > 1:
        facts.append(f"{rate:.0f} {unit}s/s" if rate >= 100 else f"{rate:.3g} {unit}s/s")
    facts += more
    if size is not None:
        facts.append(f"{size / 1e6:.2f} MB")
    if where is not None:
        facts[-1] += f" in {where}"
    tell(f"{counted(count, unit)} {done}: {', '.join(facts)}")


class LazyGroup(click.Group):
    """A group whose commands are imported on use, and whose known errors become one line and exit code 1.

    ``modules`` has for each command its module, with the attribute after a colon: ``focalsim.cli.import_:import_``.
    """

    def __init__(self, *args: Any, modules: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.modules = modules
        _add_options(self)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self.modules:
            return None
        module, _, attribute = self.modules[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        _add_options(command)
        return command

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        _start_logging()
        return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> object:
        started = time.monotonic()
        _log.debug("focalsim %s, Python %s, process %d", __version__, platform.python_version(), os.getpid())
        try:
            return super().invoke(ctx)
        except FocalsimError as error:
            _log.debug("raised here:", exc_info=error)
            raise Failure(_one_line(error)) from error
        except click.UsageError:
            raise
        except click.ClickException as error:
            raise Failure(error.message) from error
        finally:
            _log.debug("%.2f s", time.monotonic() - started)


class Failure(click.ClickException):
    """An error that the message explains; red on a terminal."""

    def show(self, file: IO[Any] | None = None) -> None:
        click.secho(f"Error: {self.format_message()}", file=file or sys.stderr, fg="red", color=_colour())


def _colour() -> bool | None:
    """Colour on a terminal (None: click looks whether it is one), and never where NO_COLOR is set."""
    return False if os.environ.get("NO_COLOR") else None


def _one_line(error: FocalsimError) -> str:
    """The message; of an error from a loader's worker, whose message is a traceback, the last line."""
    text = str(error).strip()
    if "Original Traceback" in text:
        text = text.splitlines()[-1].partition(": ")[2]
    return " ".join(text.split())


def _add_options(command: click.Command) -> None:
    """-v and -q for a command and all below it, so that they may stand anywhere."""
    if not any(parameter.name == "quiet" for parameter in command.params):
        command.params += [
            click.Option(["-v", "--verbose"], is_flag=True, expose_value=False, callback=_louder, help="Tell more."),
            click.Option(["-q", "--quiet"], is_flag=True, expose_value=False, callback=_quieter, help="Errors only."),
        ]
    if isinstance(command, click.Group) and not isinstance(command, LazyGroup):
        for child in command.commands.values():
            _add_options(child)


def _louder(_ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        _set_level(logging.DEBUG)


def _quieter(_ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        _set_level(logging.ERROR)


class _OnStandardError(logging.Handler):
    """Lines on what is standard error at that time, above progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        with tqdm.external_write_mode(file=sys.stderr):
            click.echo(self.format(record), err=True)


_HANDLER = _OnStandardError()


def _start_logging() -> None:
    _set_level(logging.INFO)
    for logger in _LOGGERS:
        if _HANDLER not in logger.handlers:
            logger.addHandler(_HANDLER)
        logger.propagate = False


def _set_level(level: int) -> None:
    for logger in _LOGGERS:
        logger.setLevel(level)
