"""Run ``focalsim`` in this process."""

from __future__ import annotations

from click.testing import CliRunner

from focalsim.cli import main


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def ok(*args):
    result = run(*args)
    assert result.exit_code == 0, result.output
    return result
