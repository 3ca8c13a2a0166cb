"""Every long command shows a bar on a terminal alone, and ends with how many, how fast, how large and where."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from test_frame import on_a_terminal
from tqdm import tqdm

import focalsim.progress
from focalsim.cli import main
from focalsim.cli.group import counted

N = 4
LAST = r"[48] \w+ [^:]+: [\d.]+ s, [\d.]+ \w+s/s"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A bundle, the same exported, a folder of RGB-D frames; the working folder of the commands."""
    folder = tmp_path_factory.mktemp("made")
    words = "render --samples 4 --size 64x48 --slices 5 --shard-size 2 --workers 1 --seed 1 --out"
    assert CliRunner().invoke(main, [*words.split(), str(folder / "a")]).exit_code == 0
    assert CliRunner().invoke(main, [*words.replace("--seed 1", "--seed 2").split(), str(folder / "b")]).exit_code == 0
    export = ["export", str(folder / "a"), "--format", "folder", "--out", str(folder / "exported")]
    assert CliRunner().invoke(main, export).exit_code == 0
    rng = np.random.default_rng(0)
    for name in ("rgb", "depth"):
        (folder / "rgbd" / name).mkdir(parents=True)
    for k in range(N):
        Image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)).save(folder / f"rgbd/rgb/{k}.png")
        Image.fromarray(np.full((48, 64), 700 + k, np.uint16)).save(folder / f"rgbd/depth/{k}.png")
    return folder


COMMANDS = {
    "render": "render --samples 4 --size 64x48 --slices 2 --workers 1 --out {new}",
    "render files": "render {made}/rgbd --size 32x24 --slices 2 --workers 1 --depth keep --out {new}",
    "verify": "verify {made}/a",
    "inspect": "inspect {made}/a",
    "preview png": "preview {made}/a --out {new}.png",
    "preview gif": "preview {made}/a --out {new}.gif",
    "preview html": "preview {made}/a --out {new}.html",
    "subset": "subset {made}/a --samples 4 --out {new}",
    "merge": "merge {made}/a {made}/b --same-scenes --out {new}",
    "export": "export {made}/a --format folder --out {new}",
    "import": "import {made}/exported --format folder --out {new}",
    "sources check": "sources check {made}/rgbd --size 32x24",
}
WRITES = {name for name, words in COMMANDS.items() if "--out" in words}


@pytest.fixture
def bars(monkeypatch):
    """What is said of each bar: whether it is disabled (None: where there is no terminal)."""
    seen = []

    def record(iterable=None, *, disable, **options):
        assert options.get("total") or hasattr(iterable, "__len__")  # without, tqdm cannot tell the time left
        seen.append(disable)
        return tqdm(iterable, disable=True, **options)

    monkeypatch.setattr(focalsim.progress, "tqdm", record)
    return seen


@pytest.mark.parametrize("name", COMMANDS)
def test_a_bar_and_a_last_line(name, made, tmp_path, bars):
    words = COMMANDS[name].format(made=made, new=tmp_path / "new").split()
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert None in bars
    last = result.stderr.splitlines()[-1]
    assert re.match(LAST, last), last
    if name in WRITES:
        out = Path(words[words.index("--out") + 1])
        assert re.search(rf"[\d.]+ MB in {re.escape(str(out))}$", last)
        size = out.stat().st_size if out.is_file() else sum(p.stat().st_size for p in out.rglob("*.*"))
        assert float(re.findall(r"([\d.]+) MB", last)[-1]) == pytest.approx(size / 1e6, abs=0.1)


@pytest.mark.parametrize("name", COMMANDS)
def test_quiet_commands_show_neither(name, made, tmp_path, bars):
    words = COMMANDS[name].format(made=made, new=tmp_path / "new").split()
    result = CliRunner().invoke(main, [*words, "--quiet"])
    assert result.exit_code == 0, result.output
    assert set(bars) <= {True}
    assert result.stderr == ""


def test_split_tells_of_every_part(made, tmp_path):
    words = ["split", str(made / "a"), "--fractions", "one=0.5,two=0.5", "--out", str(tmp_path)]
    lines = CliRunner().invoke(main, words).stderr.splitlines()
    assert [re.match(r"2 samples copied: .*, 1 shard, .* MB in .*/(\w+)$", line)[1] for line in lines] == ["one", "two"]


def test_a_terminal_sees_the_bar(made):
    assert re.search(r"verify:.*%.*\d/4 .*<", on_a_terminal("verify", str(made / "a"), code=0))
    assert "%" not in on_a_terminal("verify", str(made / "a"), "-q", code=0)


def test_numbers_agree_with_their_nouns():
    assert [counted(n, "sample") for n in (0, 1, 2)] == ["0 samples", "1 sample", "2 samples"]
