"""The command line from shards to depth of photos; every output is opened again."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from dffnet.checkpoint import save_checkpoint
from dffnet.cli import main
from dffnet.config import TrainConfig
from dffnet.metrics import MEASURES
from dffnet.models import build_model

MakeShard = Callable[..., Path]


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args])


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "fresh.pt"
    options = {"channels": 2}
    save_checkpoint(path, build_model("dff-wild", options), TrainConfig(model_options=options))
    return path


@pytest.fixture
def photos(make_shard: MakeShard, tmp_path: Path) -> Path:
    """The first stack of a shard as photos with their focus distances in their names, nearest first."""
    folder = tmp_path / "photos"
    folder.mkdir()
    with h5py.File(make_shard("photos.h5", n=1)) as file:
        slices = list(zip(file["images"][0], file["focus_distance_m"][0], strict=True))
    for k, (image, distance) in enumerate(reversed(slices)):
        assert cv2.imwrite(str(folder / f"IMG{k}_{distance:.4f}.png"), image[..., ::-1])
    return folder


def test_train_eval_predict(make_shard: MakeShard, photos: Path, tmp_path: Path) -> None:
    bundle = make_shard("bundle/shard-000000.h5", n=4).parent
    out = tmp_path / "run"
    options = ("--max-steps", 3, "--batch-size", 2, "--crop", 64, "--workers", 0, "--val-fraction", 0.25)
    trained = run("train", bundle, "--out", out, *options)
    assert trained.exit_code == 0, trained.output
    assert trained.stdout.startswith(f"{out / 'model.pt'}  ")
    assert "3 steps  val MAE" in trained.stdout

    evaluated = run("eval", out / "model.pt", bundle, "--out", tmp_path / "eval", "--workers", 0)
    assert evaluated.exit_code == 0, evaluated.output
    assert re.match(r"4 images measured: .* images/s, [\d.]+ MB in .*/eval", evaluated.stderr.splitlines()[-1])
    assert "4 images measured, 0 without valid depth skipped" in evaluated.stdout
    report = json.loads((tmp_path / "eval/eval.json").read_text())
    assert len(report["images"]) == 4
    for unit in ("metres", "dioptres"):
        for side in ("model", "mean_depth"):
            assert set(report[side][unit]["per_image"]) == set(MEASURES)
    mean = np.mean([image["metres"]["mae"] for image in report["images"]])
    assert report["model"]["metres"]["per_image"]["mae"] == pytest.approx(mean)
    assert set(report["by_phone"]) == {"pixel4"}
    assert report["by_phone"]["pixel4"] == report["model"]
    pixels = [sum(row["dioptres"]["pixels"] for row in image["by_depth"].values()) for image in report["images"]]
    assert pixels == [64 * 64] * 4
    assert report["risk_coverage"]["model"][-1] == pytest.approx(report["model"]["dioptres"]["per_image"]["mae"])
    markdown = (tmp_path / "eval/eval.md").read_text()
    assert "| pixel4 |" in markdown
    assert f"{report['all_in_focus']['psnr']:.4g}" in markdown
    for name in ("best-1.png", "worst-1.png", "median.png"):
        picture = cv2.imread(str(tmp_path / "eval" / name))
        assert picture.shape[1] > 4 * 260
        assert picture.std() > 10

    page = run("report", out, "--eval", tmp_path / "eval", "--out", tmp_path / "page.html")
    assert page.exit_code == 0, page.output
    assert re.fullmatch(r"1 run shown: [\d.]+ s, [\d.]+ MB in .*/page.html\n", page.stderr)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert f"<td>{report['model']['metres']['per_image']['mae']:.4g}</td>" in text
    assert "dff-wild" in text
    assert text.count("<img ") == 4  # every image once, be it the best and the first

    predicted = run("predict", out / "model.pt", photos, "--out", tmp_path / "depth")
    assert predicted.exit_code == 0, predicted.output
    assert predicted.stdout == f"{tmp_path / 'depth'}\n"
    last = predicted.stderr.splitlines()[-1]
    assert re.fullmatch(r"\d photos merged: [\d.]+ s, .*photos/s, 64x64, depth .* m, [\d.]+ MB in .*/depth", last), last
    depth, confidence = (np.load(tmp_path / "depth" / f"{n}.npy") for n in ("depth", "confidence"))
    assert depth.shape == confidence.shape == (64, 64)
    assert depth.dtype == confidence.dtype == np.float32
    assert 0.1 - 1e-4 <= depth.min() <= depth.max() <= 1.0 + 1e-4
    assert 0 <= confidence.min() <= confidence.max() <= 1
    millimetres = cv2.imread(str(tmp_path / "depth/depth.png"), cv2.IMREAD_UNCHANGED)
    assert millimetres.dtype == np.uint16
    np.testing.assert_allclose(millimetres, 1000 * depth, atol=0.51)
    assert cv2.imread(str(tmp_path / "depth/depth_color.png")) is not None
    assert cv2.imread(str(tmp_path / "depth/confidence.png"), cv2.IMREAD_UNCHANGED).shape == (64, 64)


def test_aligned_photos_and_the_all_in_focus_image_are_written(tmp_path: Path) -> None:
    """Photos that breathe as an ideal lens has it come out aligned: each point stays where it is in the nearest one."""
    focus_m, focal_length_m, size = (1.0, 0.2, 0.1), 0.02, 96
    texture = cv2.GaussianBlur(np.random.default_rng(0).random((size, size, 3)).astype(np.float32), (0, 0), 2.0)
    texture = (255 * (texture - texture.min()) / np.ptp(texture)).astype(np.uint8)
    inverse_v = 1 / focal_length_m - 1 / np.array(focus_m)
    folder = tmp_path / "photos"
    folder.mkdir()
    for s, m in zip(focus_m, inverse_v.min() / inverse_v, strict=True):
        c = (size - 1) / 2
        move = np.array([[m, 0, (1 - m) * c], [0, m, (1 - m) * c]])
        photo = cv2.warpAffine(texture, move, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        assert cv2.imwrite(str(folder / f"photo_{s:.2f}.png"), photo)
    aligned = tmp_path / "aligned"
    options = ("--out", tmp_path / "out", "--focal-length", focal_length_m, "--aligned-out", aligned)
    result = run("predict", "classical", folder, *options)
    assert result.exit_code == 0, result.output
    slices = [cv2.imread(str(aligned / f"slice_{k:02d}.png")).astype(float) for k in range(3)]
    inner = (slice(12, -12), slice(12, -12))
    before = cv2.imread(str(folder / "photo_1.00.png")).astype(float) - texture
    for slice_ in slices:
        assert np.abs(slice_ - texture)[inner].mean() < 0.1 * np.abs(before)[inner].mean()
    merged = cv2.imread(str(tmp_path / "out/all_in_focus.png")).astype(float)
    assert np.abs(merged - texture)[inner].mean() < 0.1 * np.abs(before)[inner].mean()
    done, animation = cv2.imreadanimation(str(aligned / "aligned.gif"))
    assert done
    assert [frame.shape[:2] for frame in animation.frames] == [(size, 2 * size)] * 3
    assert "use --overwrite" in refused("predict", "classical", folder, "--out", tmp_path / "new", *options[2:])


def test_eval_as_json_is_json_even_where_a_measure_is_not_finite(
    make_shard: MakeShard, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from dffnet.engine.predictor import Prediction, Predictor

    nan = np.full((64, 64), np.nan, np.float32)
    answer = Prediction(nan, nan, np.full((64, 64, 3), np.nan, np.float32), torch.ones(5), torch.zeros(5, 2))
    monkeypatch.setattr(Predictor, "__call__", lambda *_: answer)
    result = run("eval", checkpoint, make_shard(n=1), "--json", "--workers", 0)
    assert result.exit_code == 0, result.output
    measures = json.loads(result.stdout)["model"]["metres"]["per_image"]
    assert measures["mae"] is None
    assert measures["non_finite"] == 1.0


def breathe(sample: dict[str, Any]) -> None:
    """Slices of a smoother picture, magnified about their centre by 0.95 to 1."""
    size = sample["images"].shape[1]
    c = (size - 1) / 2
    picture = cv2.GaussianBlur(sample["all_in_focus"], (0, 0), 2.0)
    sample["magnification"][:] = np.linspace(0.95, 1.0, 5)
    for k, m in enumerate(sample["magnification"]):
        move = np.array([[m, 0, (1 - m) * c], [0, m, (1 - m) * c]])
        warped = cv2.warpAffine(picture, move, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        sample["images"][k] = warped


def test_the_classical_model_takes_the_place_of_a_checkpoint(
    make_shard: MakeShard, photos: Path, tmp_path: Path
) -> None:
    shard = make_shard(n=2)
    evaluated = run("eval", "classical", shard, "--out", tmp_path / "eval", "--workers", 0)
    assert evaluated.exit_code == 0, evaluated.output
    report = json.loads((tmp_path / "eval/eval.json").read_text())
    assert report["checkpoint"] == "classical"
    assert report["model"]["dioptres"]["per_image"]["mae"] < 1.0  # slices are 2.25 dioptres apart
    predicted = run("predict", "classical", photos, "--out", tmp_path / "depth")
    assert predicted.exit_code == 0, predicted.output
    assert np.load(tmp_path / "depth/depth.npy").shape == (64, 64)
    breathing = make_shard("breathing.h5", n=1, height=96, width=96, change=breathe)
    evaluated = run("eval", "classical-e2e", breathing, "--json", "--workers", 0)
    assert evaluated.exit_code == 0, evaluated.output
    misalignment = json.loads(evaluated.stdout)["alignment_px"]
    assert misalignment["after"]["mean"] < 0.5 * misalignment["before"]["mean"]
    assert "has nothing to learn" in refused("train", shard, "--out", tmp_path / "run", "--model", "classical")


def test_samples_without_valid_depth_are_skipped_and_said(make_shard: MakeShard, checkpoint: Path) -> None:
    seen = []

    def blind_first(sample: dict[str, Any]) -> None:
        sample["valid"][:] = bool(seen)
        seen.append(1)

    result = run("eval", checkpoint, make_shard(n=2, change=blind_first), "--workers", 0)
    assert result.exit_code == 0, result.output
    assert "1 images measured, 1 without valid depth skipped" in result.stdout
    assert "shard-000000.h5[0]: no valid depth, skipped" in result.stderr

    def blind(sample: dict[str, Any]) -> None:
        sample["valid"][:] = False

    assert "none of the samples" in refused("eval", checkpoint, make_shard(n=2, change=blind), "--workers", 0)


def test_predict_says_what_it_reduced_clipped_and_assumed(photos: Path, checkpoint: Path, tmp_path: Path) -> None:
    far = ("--focus-distances", "10,20,50,100,inf")
    result = run("predict", checkpoint, photos, "--out", tmp_path / "out", "--max-size", 32, *far)
    assert result.exit_code == 0, result.output
    assert "reduced from 64x64 to 32x32" in result.stderr
    assert "no focal length known" in result.stderr
    assert np.load(tmp_path / "out/depth.npy").shape == (32, 32)
    result = run(
        "predict", checkpoint, photos, "--out", tmp_path / "far", "--focus-distances", "100,200,300,400,500",
        "--focal-length", "0.0044",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "depth.png: 100 % of the pixels are beyond 65.535 m and clipped" in result.stderr
    assert cv2.imread(str(tmp_path / "far/depth.png"), cv2.IMREAD_UNCHANGED).min() == 65535
    assert np.load(tmp_path / "far/depth.npy").min() > 100


def refused(*args: object) -> str:
    """The one line of an error with exit code 1."""
    result = run(*args)
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_errors_are_one_line(make_shard: MakeShard, checkpoint: Path, photos: Path, tmp_path: Path) -> None:
    shard, out = make_shard(n=1), tmp_path / "out"
    text = tmp_path / "text.h5"
    text.write_text("hello")
    assert "no such file" in refused("train", tmp_path / "nowhere", "--out", out)
    assert "text.h5" in refused("train", text, "--out", out)
    assert f"{shard}: not a complete checkpoint" in refused("eval", shard, shard)
    assert "unknown model" in refused("train", shard, "--out", out, "--model", "nothing")
    assert "no such file" in refused("train", shard, "--out", out, "--resume")
    assert "is a file" in refused("train", shard, "--out", text)
    assert "focal length must be" in refused("predict", checkpoint, photos, "--out", out, "--focal-length", 2)
    assert not out.exists()

    out.mkdir()
    for name in ("model.pt", "eval.json", "depth.npy"):
        (out / name).write_text("precious")
    assert "use --overwrite" in refused("train", shard, "--out", out)
    assert "use --overwrite" in refused("eval", checkpoint, shard, "--out", out)
    assert "use --overwrite" in refused("predict", checkpoint, photos, "--out", out)
    assert {(out / n).read_text() for n in ("model.pt", "eval.json", "depth.npy")} == {"precious"}


def test_an_error_in_a_loader_worker_is_one_line_too(make_shard: MakeShard, checkpoint: Path) -> None:
    def spoil(sample: dict[str, Any]) -> None:
        sample["focus_distance_m"][0] = -1

    message = refused("eval", checkpoint, make_shard(n=1, change=spoil), "--workers", 1)
    assert "sample 0: focus distances must be positive" in message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    "args",
    [
        ["train"],
        ["train", "x", "--out", "y", "--crop", "32"],
        ["train", "x", "--out", "y", "--devices", "-1"],
        ["train", "x", "--out", "y", "--resume", "--overwrite"],
        ["predict", "x", "y", "--out", "z", "--focus-distances", "near,far"],
        ["nonsense"],
    ],
)
def test_wrong_usage_exits_with_2(args: list[str]) -> None:
    assert run(*args).exit_code == 2


def test_every_command_has_help() -> None:
    for command in ("train", "eval", "predict", "export"):
        result = run(command, "--help")
        assert result.exit_code == 0
        assert all(line.strip() != "" for line in result.output.splitlines()[:1])


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from dffnet.cli import main; "
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0; "
        "print([m for m in ('torch', 'lightning', 'cv2', 'h5py', 'scipy', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
