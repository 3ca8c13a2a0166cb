"""``focalsim sources``: what can be read, and what a path holds."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from focalsim.cli import main
from focalsim.sources import SOURCE_FORMATS


def run(*args):
    return CliRunner().invoke(main, ["sources", *map(str, args)])


@pytest.fixture
def folder(tmp_path):
    """Three frames of 80x60: 1.5 m with a hole of a quarter, 1.5 m with a hole of three quarters, a damaged one."""
    for n, hole in enumerate((20, 60, 0)):
        depth = np.full((60, 80), 1500, np.uint16)
        depth[:, :hole] = 0
        cv2.imwrite(str(tmp_path / f"color_{n}.png"), np.full((60, 80, 3), 100, np.uint8))
        cv2.imwrite(str(tmp_path / f"depth_{n}.png"), depth)
    (tmp_path / "depth_2.png").write_bytes(b"no image")
    return tmp_path


def rows(result):
    lines = [line.split(None, 1) for line in result.stdout.splitlines()]
    return {key: [value for k, value in lines if k == key] for key, _ in lines}


def test_every_kind_is_listed():
    result = run("list")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == list(SOURCE_FORMATS)


def test_check_counts_reads_and_says_what_will_be_skipped(folder):
    result = run("check", folder, "--size", "48x32", "--max-holes", "0.5")
    assert result.exit_code == 0, result.output
    found = rows(result)
    assert found["source"] == [f"{folder.name} (folder)"]
    assert found["frames"] == ["3, 3 read, 1 of these usable"]
    assert found["size"] == ["80x60 px"]
    assert found["depth"] == ["1.5 to 1.5 m, median 1.5 m"]
    assert found["holes"] == ["50.0 % of the pixels, at most 75.0 % of a frame"]
    assert [text.split(";")[0] for text in found["skipped"]] == ["1 (too many holes)", "1 (unreadable)"]
    assert "depth_2.png" in found["skipped"][1]


def test_millimetres_read_as_metres_are_told_with_the_numbers(folder):
    result = run("check", folder, "--size", "48x32", "--depth-scale", 1)
    assert result.exit_code == 0, result.output
    assert (
        "note        the median depth is 1500 m; if that is wrong, give --depth-scale 1000 "
        "(the numbers are millimetres: then it is 1.5 m)" in result.stdout
    )
    assert "median depth" not in run("check", folder, "--size", "48x32").stdout


def test_a_source_of_which_nothing_can_be_used(folder):
    result = run("check", folder, "--size", "640x480")
    assert result.exit_code == 1
    assert "smaller than the output" in result.stdout
    assert result.stderr.splitlines()[-1] == f"Error: {folder}: none of 3 frames can be used"


def test_frames_are_read_evenly_up_to_a_limit(folder):
    result = run("check", folder, "--frames", 2, "--size", "48x32")
    assert rows(result)["frames"] == ["3, 2 read, 1 of these usable"]


def test_mistakes(tmp_path):
    for args, code, message in (
        (["check", tmp_path / "absent"], 1, "no such file or folder"),
        (["check", tmp_path, "--source-format", "zip"], 1, "unknown source format"),
        (["check", tmp_path, "--frames", 0], 2, "--frames"),
        (["check"], 2, "PATH"),
    ):
        result = run(*args)
        assert result.exit_code == code
        assert message in result.stderr
