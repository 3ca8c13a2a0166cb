"""What both command lines share: how much is told, colour, completion, a quick start."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

import dffnet.cli
import focalsim.cli

PROGRAMS = {"focalsim": focalsim.cli.main, "dffnet": dffnet.cli.main}
MISTAKE = ("phones", "show", "nope")


def on_a_terminal(*arguments, code=1, **environment):
    """Standard error of ``focalsim`` as a terminal gets it."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))  # bars are as wide as the terminal
    program = Path(sys.executable).with_name("focalsim")
    clean = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    process = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL, stderr=slave, env=clean | environment)
    os.close(slave)
    text = b""
    try:
        while part := os.read(master, 4096):
            text += part
    except OSError:  # Linux says so at the end
        pass
    os.close(master)
    assert process.wait() == code
    return text.decode()


def test_errors_are_red_on_a_terminal_alone():
    assert "\x1b[31mError: unknown phone" in on_a_terminal(*MISTAKE)
    assert "\x1b" not in on_a_terminal(*MISTAKE, NO_COLOR="1")
    assert "\x1b" not in CliRunner().invoke(focalsim.cli.main, MISTAKE).stderr


def test_quiet_leaves_results_and_errors(write_shard, tmp_path):
    shard = write_shard(tmp_path / "s.h5", n=1)
    for place in ("before", "after"):
        out = tmp_path / f"{place}.png"
        words = ["preview", str(shard), "--out", str(out)]
        result = CliRunner().invoke(focalsim.cli.main, ["-q", *words] if place == "before" else [*words, "-q"])
        assert result.exit_code == 0, result.output
        assert result.stderr == ""
        assert result.stdout.strip() == str(out)
    assert "Error: " in CliRunner().invoke(focalsim.cli.main, ["-q", *MISTAKE]).stderr
    # And it does not last.
    loud = CliRunner().invoke(focalsim.cli.main, ["preview", str(shard), "--out", str(tmp_path / "loud.png")])
    assert "1 sample shown: " in loud.stderr


def test_verbose_tells_where_an_error_came_from():
    result = CliRunner().invoke(focalsim.cli.main, [*MISTAKE, "--verbose"])
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: unknown phone")
    assert "Traceback" not in CliRunner().invoke(focalsim.cli.main, MISTAKE).stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_can_be_told_to_be_quiet(program):
    main = PROGRAMS[program]
    for name in main.modules:
        result = CliRunner().invoke(main, [name, "--help"])
        assert result.exit_code == 0
        assert result.output.count("-q, --quiet") == 1, name
        assert result.output.count("-v, --verbose") == 1, name


def leaves(command, name):
    if not isinstance(command, click.Group):
        return [(name, command)]
    context = click.Context(command)
    return [
        leaf for child in command.list_commands(context)
        for leaf in leaves(command.get_command(context, child), f"{name} {child}")
    ]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_help_has_an_example_that_can_be_parsed(program):
    for name, command in leaves(PROGRAMS[program], program):
        if name.endswith("completion"):  # shows lines of shells
            continue
        help_ = CliRunner().invoke(PROGRAMS[program], [*name.split()[1:], "--help"]).output
        examples = re.findall(rf"^ +(?:torchrun .*)?{name} (.+)$|^ +{name}$", help_, re.MULTILINE)
        assert examples, name
        for example in examples:
            words = [word for word in re.split(r"   .*", example)[0].split() if word]
            command.make_context(name, words, resilient_parsing=False)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(program, shell):
    result = CliRunner().invoke(PROGRAMS[program], ["completion", shell])
    assert result.exit_code == 0, result.output
    assert f"_{program.upper()}_COMPLETE={shell}_complete" in result.output


def test_completion_knows_commands_options_and_choices():
    def found(words, incomplete):
        complete = ShellComplete(focalsim.cli.main, {}, "focalsim", "_FOCALSIM_COMPLETE")
        return {item.value for item in complete.get_completions(words, incomplete)}

    assert found([], "pr") == {"preview"}
    assert "--slices" in found(["render"], "--sl")
    assert found(["render", "--compression"], "g") == {"gzip"}
    assert found(["completion"], "") == {"bash", "zsh", "fish"}


def test_bash_completes():
    """The whole way: the code that bash sources, asked as bash asks."""
    program = Path(sys.executable).with_name("focalsim")
    environment = os.environ | {"COMP_WORDS": "focalsim pho", "COMP_CWORD": "1", "_FOCALSIM_COMPLETE": "bash_complete"}
    done = subprocess.run([program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["plain,phones"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_imports_nothing_heavy(program):
    code = (
        f"import sys\nfrom {program}.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'numba', 'lightning', 'cv2', 'h5py', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
