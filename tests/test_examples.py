"""The numbered examples, run in order in one folder, as a reader would."""

from __future__ import annotations

import runpy
import sys
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("examples")


@pytest.fixture
def printed(out, monkeypatch, capsys):
    """``printed(number)``: what that example prints."""

    def run(number):
        (script,) = EXAMPLES.glob(f"{number:02d}_*.py")
        monkeypatch.setattr(sys, "argv", [str(script), str(out)])
        runpy.run_path(str(script), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture
def bundle(out, printed):
    if not (out / "02_bundle").is_dir():
        printed(2)
    return out / "02_bundle"


def test_they_are_numbered_and_listed():
    scripts = sorted(path.name for path in EXAMPLES.glob("*.py"))
    assert [name[:3] for name in scripts] == [f"{n + 1:02d}_" for n in range(len(scripts))]
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"({name})" in listed for name in scripts)


def test_01_render_a_stack(out, printed):
    assert "5 slices of 176x112" in printed(1)
    strip = cv2.imread(str(out / "01_stack.png"))
    assert strip.shape == (112, 5 * 176, 3)
    slices = np.split(strip, 5, axis=1)
    assert min(np.abs(a.astype(int) - b).mean() for a, b in pairwise(slices)) > 0.5


def test_02_make_a_bundle(printed):
    text = printed(2)
    assert "4 samples" in text
    assert text.count("breathing") == 4


@pytest.mark.usefixtures("bundle")
def test_03_depth_without_learning(printed):
    error, guess = (float(word) for word in printed(3).replace(";", "").split() if word.replace(".", "").isdigit())
    assert error < guess


@pytest.mark.usefixtures("bundle")
def test_04_train_a_network(out, printed):
    assert "mae" in printed(4)
    assert cv2.imread(str(out / "04_depth" / "depth_color.png")) is not None


@pytest.mark.usefixtures("bundle")
def test_05_own_loop(printed):
    assert printed(5).count("mean error") == 2
