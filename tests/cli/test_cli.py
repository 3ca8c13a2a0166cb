"""The command line: results that can be reopened, and one line and an exit code for every mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.resources import files

import click
import cv2
import h5py
import numpy as np
import pytest
from commands import ok, run

import focalsim
from focalsim.cli import main
from focalsim.shards import ShardReader, read_manifest

SMALL = ["--size", "40x32", "--slices", "3", "--workers", "1"]


def refused(*args, exit_code=1):
    """Run; expect this exit code and one line of explanation, which is returned."""
    result = run(*args)
    assert result.exit_code == exit_code, result.output
    assert isinstance(result.exception, SystemExit)
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("Error: ")
    if exit_code == 1:
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    return line


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle of three made-up samples in two shards."""
    folder = tmp_path_factory.mktemp("cli") / "bundle"
    ok("render", "--samples", 3, "--shard-size", 2, "--out", folder, *SMALL)
    return folder


def test_render_writes_what_was_asked_for(tmp_path):
    result = ok(
        "render", "--phone", "pixel6", "--samples", 3, "--shard-size", 2, "--seed", 5, "--near", 0.2,
        "--far", 2, "--out", tmp_path / "b", *SMALL,
    )  # fmt: skip
    assert result.stdout.strip() == str(tmp_path / "b")
    assert "3 samples rendered" in result.stderr
    assert "2 shards" in result.stderr
    with ShardReader(tmp_path / "b" / "shard-00000.h5") as reader:
        assert (len(reader), reader.seed, reader.reference_slice) == (2, 5, 2)
        sample = reader[0]
        assert sample.images.shape == (3, 32, 40, 3)
        assert sample.phone == "pixel6"
        np.testing.assert_allclose(sample.focus_distance_m[[0, -1]], [2, 0.2], rtol=1e-6)
        assert sample.images.std() > 5


def test_render_with_nothing_else_uses_the_defaults():
    options = {option.name: option.default for option in main.get_command(None, "render").params}
    assert options["phones"] == ("pixel4",)
    assert str(options["out"]) == "shards"
    assert (options["size"], options["slices"], options["near"], options["far"]) == ("352x224", 10, 0.1, 1.0)
    assert (options["seed"], options["shard_size"], options["depth"]) == (0, 64, "auto")


def test_all_phones_and_ones_own(tmp_path):
    profile = tmp_path / "mine.toml"
    pixel4 = files("phone_profiles").joinpath("pixel4.toml").read_text("utf-8")
    profile.write_text(pixel4.replace('name = "pixel4"', 'name = "mine"', 1), "utf-8")
    ok("render", "--phone", "all", "--phone", profile, "--samples", 1, "--out", tmp_path / "b", *SMALL)
    names = [phone["name"] for phone in read_manifest(tmp_path / "b").config.phones]
    assert names == ["galaxy_note10", "galaxy_s8plus", "pixel4", "pixel6", "mine"]


def test_verify(bundle):
    result = ok("verify", bundle, bundle / "shard-00001.h5")
    assert result.stdout.splitlines() == [f"{bundle}: ok", f"{bundle / 'shard-00001.h5'}: ok"]


def test_verify_finds_a_flipped_bit(bundle, tmp_path):
    shard = tmp_path / "shard.h5"
    with ShardReader(bundle / "shard-00000.h5") as reader:
        pixels = reader[1].images[2].tobytes()
    data = bytearray((bundle / "shard-00000.h5").read_bytes())
    data[data.find(pixels)] ^= 1
    shard.write_bytes(data)
    result = run("verify", bundle, shard)
    assert result.exit_code == 1
    good, problem = result.stdout.splitlines()
    assert good == f"{bundle}: ok"
    assert "data set 'images', sample 1 is damaged" in problem
    told, error = result.stderr.splitlines()
    assert told.startswith("5 samples checked: ")
    assert error == "Error: 1 problem found"


def test_inspect(bundle):
    text = ok("inspect", bundle / "shard-00000.h5").stdout
    assert "2 of 3 slices, 40 x 32 px" in text
    assert "pixel4 (2)" in text
    described = json.loads(ok("inspect", "--json", bundle / "shard-00000.h5").stdout)
    assert (described["samples"], described["slices"], described["height"], described["width"]) == (
        2,
        3,
        32,
        40,
    )
    with h5py.File(bundle / "shard-00000.h5") as file:
        for name, stored in described["data_sets"].items():
            assert tuple(stored["shape"]) == file[name].shape
    assert "complete" in ok("inspect", bundle).stdout
    assert json.loads(ok("inspect", "--json", bundle).stdout)["totals"]["samples"] == 3


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_preview(bundle, tmp_path, suffix):
    out = tmp_path / f"sheet.{suffix}"
    assert ok("preview", bundle, "--out", out, "--samples", 2).stdout.strip() == str(out)
    two = cv2.imread(str(out))
    assert two.std() > 10
    assert "use --overwrite" in refused("preview", bundle, "--out", out)
    ok("preview", bundle, "--out", out, "--overwrite")
    assert cv2.imread(str(out)).shape[0] == two.shape[0] * 3 // 2


def test_phones(tmp_path):
    assert [line.split()[0] for line in ok("phones", "list").stdout.splitlines()] == [
        "galaxy_note10", "galaxy_s8plus", "pixel4", "pixel6",
    ]  # fmt: skip
    assert ok("phones").stdout == ok("phones", "list").stdout
    shown = ok("phones", "show", "pixel4").stdout
    assert "lens.focal_length_mm" in shown
    assert "seed release" in shown
    (tmp_path / "empty.toml").write_text("")
    assert "empty.toml: missing key 'schema'" in refused("phones", "check", tmp_path / "empty.toml")
    assert "unknown phone 'nokia'" in refused("phones", "show", "nokia")


def test_version():
    assert focalsim.__version__ in ok("--version").stdout


def test_every_command_has_help():
    for name in main.list_commands(None):
        command = main.get_command(None, name)
        assert ok(name, "--help").stdout.startswith("Usage:")
        assert command.help
        for option in command.params:
            assert isinstance(option, click.Argument) or option.help, f"{name}: {option.name} has no help"


@pytest.mark.parametrize(
    ("args", "exit_code", "message"),
    [
        (["none"], 1, "none: no such file or folder"),
        (["--phone", "nokia"], 1, "unknown phone 'nokia'"),
        (["--phone", "none.toml"], 1, "none.toml: no such profile file"),
        (["--near", "2"], 1, "near must be smaller than far, got near 2.0 m and far 1.0 m"),
        (["--near", "0.001"], 1, "pixel4 cannot focus at 0.001 m: its focal length is 0.0044 m"),
        (["--near", "-1"], 1, "must be positive"),
        (["--near", "nan"], 1, "must be positive"),
        (["--size", "0x0"], 2, "'0x0' is not a size"),
        (["--size", "352"], 2, "'352' is not a size: expected WIDTHxHEIGHT"),
        (["--size", "8x8"], 1, "size must be at least 16x16 pixels, got 8x8"),
        (["--samples", "0"], 2, "0 is not in the range x>=1"),
        (["--slices", "0"], 2, "0 is not in the range x>=1"),
        (["--workers", "0"], 2, "0 is not in the range x>=1"),
        (["--max-holes", "1"], 2, "1.0 is not in the range"),
        (["--depth", "guess"], 2, "'guess' is not one of"),
        (["--seed", "x"], 2, "'x' is not a valid integer"),
        (["--overwrite", "--resume"], 2, "exclude each other"),
        (["--depth-scale", "1000"], 1, "need the path of a source"),
        (["--textures", "none"], 1, "none"),
    ],
)
def test_render_mistakes(args, exit_code, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refused("render", *args, exit_code=exit_code)
    assert os.listdir(tmp_path) == []


def test_render_into_a_bundle_that_is_there(bundle):
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    assert "already holds a bundle" in refused("render", "--out", bundle, "--samples", 3, *SMALL)
    assert "seed was 0, is now 1" in refused(
        "render", "--out", bundle, "--samples", 3, "--shard-size", 2, "--seed", 1, "--resume", *SMALL
    )
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before


def test_render_onto_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "file" in refused("render", "--out", tmp_path / "file", "--samples", 1, *SMALL)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("command", ["verify", "inspect", "preview"])
@pytest.mark.parametrize("kind", ["text", "truncated", "missing", "foreign folder"])
def test_what_is_no_shard(bundle, tmp_path, command, kind):
    path = tmp_path / "shard.h5"
    if kind == "text":
        path.write_text("no shard")
    elif kind == "truncated":
        path.write_bytes((bundle / "shard-00000.h5").read_bytes()[:-100])
    elif kind == "foreign folder":
        path.mkdir()
    out = ["--out", tmp_path / "sheet.png"] if command == "preview" else []
    refused(command, path, *out)
    assert not (tmp_path / "sheet.png").exists()


def test_preview_of_an_unknown_kind_and_into_no_folder(bundle, tmp_path):
    assert "must end in .png, .jpg, " in refused("preview", bundle, "--out", tmp_path / "sheet.bmp", exit_code=2)
    assert "cannot be written" in refused("preview", bundle, "--out", tmp_path / "none" / "sheet.png")


@pytest.mark.parametrize("limit", [0, 20_000])
def test_a_full_disk(tmp_path, limit):
    """Files may not grow beyond ``limit`` bytes: one line, exit 1, no half shard."""
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "from focalsim.cli import main; main()"
    )
    args = ["render", "--samples", "4", "--out", str(tmp_path / "b"), *SMALL]
    done = subprocess.run([sys.executable, "-B", "-c", code, *args], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert line.endswith("cannot be written: File too large")
    assert os.listdir(tmp_path / "b") == (["manifest.json"] if limit else [])


def test_a_reader_that_stops_listening(bundle):
    program = f"{sys.executable} -c 'from focalsim.cli import main; main()' inspect -q --json {bundle} | head -c 1"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("{", "")
