"""The README's recipes, followed as they stand there, with small inputs and small numbers added at the end.

One folder serves all: what a recipe needs of an earlier one is made by following that first.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import dffnet.cli
import focalsim.cli
from focalsim import ShardReader, load_profile
from focalsim.camera import sensor_distance_m

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
PROGRAMS = {"focalsim": focalsim.cli.main, "dffnet": dffnet.cli.main}
# Added to the command's own options; the last of two counts.
SMALL = {
    "focalsim sources": ["--size", "96x64"],
    "focalsim render": ["--size", "96x64", "--slices", "3", "--workers", "1"],
    "dffnet train": [
        "--crop",
        "64",
        "--batch-size",
        "1",
        "--max-steps",
        "1",
        "--workers",
        "0",
        "--precision",
        "32-true",
    ],
    "dffnet eval": ["--workers", "0"],
}
SAMPLES = "3"
NEEDS = {"Depth of my own photos": "Train on a GPU machine", "Share a bundle": "My RGB-D set"}


def commands(title):
    """The commands of the code block below a heading, one list of words each."""
    section = re.search(rf"^##+ {re.escape(title)}\n(.*?)(?=^##|\Z)", README, re.MULTILINE | re.DOTALL)[1]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)[1]
    lines = [shlex.split(part, comments=True) for line in block.splitlines() for part in line.split("&&")]
    return [words for words in lines if words]


def follow(title):
    if title in done:
        return
    if title in NEEDS:
        follow(NEEDS[title])
    for program, *words in commands(title):
        if program == "pip":
            continue
        small = SMALL.get(f"{program} {words[0]}", [])
        if "--samples" in words:
            small = [*small, "--samples", SAMPLES]
        result = CliRunner().invoke(PROGRAMS[program], [*words, *small])
        assert result.exit_code == 0, f"{program} {' '.join(words)}\n{result.output}\n{result.exception!r}"
    done.add(title)


done: set[str] = set()


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with what a reader brings along."""
    folder = tmp_path_factory.mktemp("reader")
    done.clear()
    rng = np.random.default_rng(0)
    for kind in ("my_rgbd", "my_photos", "captures"):
        (folder / kind).mkdir()
    for n in range(5):
        colour = cv2.GaussianBlur(rng.integers(0, 256, (80, 120, 3), np.uint8), (0, 0), 2)
        depth = np.tile(np.linspace(300, 700 + 20 * n, 120, dtype=np.uint16), (80, 1))
        cv2.imwrite(str(folder / f"my_rgbd/color_{n}.png"), colour)
        cv2.imwrite(str(folder / f"my_rgbd/depth_{n}.png"), depth)
    for n in range(3):
        cv2.imwrite(str(folder / f"my_photos/{n}.jpg"), cv2.GaussianBlur(colour, (0, 0), 1 + n))
    for s in (1.0, 0.6, 0.4, 0.3, 0.2, 0.15):
        write_capture(folder / f"captures/shot_{100 * s:g}cm.jpg", s)
    return folder


def write_capture(path, focus_distance_m, size=(504, 378)):
    """Dots 25 mm apart at 0.35 m, as a Pixel 4 of an error of its own shows them, with a phone's EXIF."""
    profile = load_profile("pixel4")
    v = sensor_distance_m(profile.focal_length_m, focus_distance_m)
    v_near = sensor_distance_m(profile.focal_length_m, 0.15)
    r = v_near / v - 0.0027 / focus_distance_m + 0.019
    spacing = 0.025 / 0.35 * v_near / r * size[0] / profile.sensor_width_m
    y, x = np.mgrid[: size[1], : size[0]].astype(float)
    columns, rows = (x - (size[0] - 1) / 2) / spacing + 4, (y - (size[1] - 1) / 2) / spacing + 2.5
    away = np.hypot(columns - np.clip(np.rint(columns), 0, 8), rows - np.clip(np.rint(rows), 0, 5)) * spacing
    dots = (225 - 190 * np.clip(0.25 * spacing - away + 0.5, 0, 1)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Some", "Phone"
    exif.get_ifd(0x8769).update({0x829D: 1.7, 0x920A: 4.4, 0xA405: 27})
    Image.fromarray(dots).save(path, exif=exif, quality=95)


@pytest.fixture(autouse=True)
def _at_the_desk(desk, monkeypatch):
    monkeypatch.chdir(desk)


def test_in_python():
    """The lines of the section, with a grey wall for the arrays that it leaves to the reader."""
    follow("My RGB-D set")
    section = README[README.index("## In Python") :]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    frame = {"rgb_linear": np.full((32, 48, 3), 0.5, np.float32), "depth_m": np.full((32, 48), 0.5, np.float32)}
    exec(compile(code, "README.md", "exec"), frame)
    assert frame["stack"].shape == (3, 32, 48, 3)
    assert frame["sample"].images.shape[0] == 3


def test_from_nothing_to_a_picture():
    follow("From nothing to a picture")
    assert commands("From nothing to a picture")[0][:2] == ["pip", "install"]
    picture = cv2.imread("first.png")
    assert picture is not None
    assert picture.std() > 20


def test_my_rgbd_set():
    follow("My RGB-D set")
    with ShardReader("shards/shard-00000.h5") as shard:
        assert len(shard) == 5
        assert shard[0].source_id == "my_rgbd/color_0.png"
        assert 0.29 < shard[0].depth_m.min() < shard[0].depth_m.max() < 0.71
    assert cv2.imread("shards.png") is not None


def test_my_phone():
    follow("My phone")
    assert Path("target.pdf").read_bytes().startswith(b"%PDF")
    assert load_profile("myphone.toml").fov_error_slope_m == pytest.approx(-0.0027, abs=4e-4)
    with ShardReader("myphone_shards/shard-00000.h5") as shard:
        assert {sample.phone for sample in shard} == {"myphone"}


def test_train_on_a_gpu_machine():
    follow("Train on a GPU machine")
    assert Path("run/model.pt").stat().st_size > 1e6
    assert "| rmse |" in Path("report/eval.md").read_text()
    assert "Depth in metres" in Path("run/report.html").read_text(encoding="utf-8")


def test_depth_of_my_own_photos():
    follow("Depth of my own photos")
    for folder in ("depth", "depth_classical"):
        depth = np.load(f"{folder}/depth.npy")
        assert depth.shape == (80, 120)
        assert 0.2 < depth.min() <= depth.max() < 1.1


def test_share_a_bundle():
    follow("Share a bundle")
    names = []
    for part in ("train", "test"):
        with ShardReader(f"parts/{part}/shard-00000.h5") as shard:
            names.append({sample.source_id for sample in shard})
    assert names[0].isdisjoint(names[1])
    assert len(names[0] | names[1]) == 5
    assert any(Path("plain_files").rglob("*.png"))
