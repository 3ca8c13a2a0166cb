"""What eval sums up, from predictions whose errors are known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dffnet.config import TrainConfig
from dffnet.data.shards import ShardStacks
from dffnet.engine.evaluate import Evaluation, evaluate
from dffnet.engine.predictor import Prediction
from dffnet.engine.summary import depth_bins
from dffnet.report import as_json, as_markdown, table

MakeShard = Callable[..., Path]


class Oracle:
    """Answers with the truth, off by ``offset_m`` where it says it is not sure, and aligned if asked to be."""

    config = TrainConfig()

    def __init__(self, stacks: ShardStacks, *, offset_m: float, aligned: bool) -> None:
        self.samples = iter([(stacks.truth(i)[0], stacks[i]) for i in range(len(stacks))])
        self.offset_m, self.aligned = offset_m, aligned

    def __call__(self, images: torch.Tensor, focus_positions: torch.Tensor) -> Prediction:  # noqa: ARG002
        truth_m, stack = next(self.samples)
        confidence = np.ones_like(truth_m)
        confidence[:, : truth_m.shape[1] // 2] = 0.2
        return Prediction(
            depth_m=np.where(confidence < 1, truth_m + np.float32(self.offset_m), truth_m),
            confidence=confidence,
            all_in_focus=stack.all_in_focus.permute(1, 2, 0).numpy(),
            magnification=stack.magnification if self.aligned else torch.ones(len(images)),
            shift_px=stack.shift_px if self.aligned else torch.zeros(len(images), 2),
        )


def evaluation_of(stacks: ShardStacks, **options: Any) -> Evaluation:
    return evaluate(Oracle(stacks, **options), stacks)  # type: ignore[arg-type]


def shift(sample: dict[str, Any]) -> None:
    sample["principal_point_px"][:-1] = (3.0, 4.0)


def test_octaves_of_depth() -> None:
    masks = depth_bins(np.array([[0.1, 0.125], [0.3, 0.249]], np.float32))
    assert {name: mask.tolist() for name, mask in masks.items()} == {
        "0.0625 to 0.125 m": [[True, False], [False, False]],
        "0.125 to 0.25 m": [[False, True], [False, True]],
        "0.25 to 0.5 m": [[False, False], [True, False]],
    }


def test_the_truth_has_no_error_and_the_alignment_counts_reference_slices_out(make_shard: MakeShard) -> None:
    stacks = ShardStacks([make_shard(n=2, change=shift)], align="none")
    perfect = evaluation_of(stacks, offset_m=0.0, aligned=True)
    assert perfect.model["metres"]["per_image"]["mae"] == 0
    assert perfect.alignment_px["before"] == {"mean": pytest.approx(5.0), "p95": pytest.approx(5.0)}
    assert perfect.alignment_px["after"] == {"mean": 0.0, "p95": 0.0}
    assert perfect.all_in_focus == {"psnr": math.inf, "ssim": pytest.approx(1.0)}
    assert json.loads(as_json(perfect, "x"))["all_in_focus"]["psnr"] is None
    left = evaluation_of(stacks, offset_m=0.0, aligned=False)
    assert left.alignment_px["after"] == left.alignment_px["before"]
    assert "px: before 5 (5), after 5 (5)" in table(left)


def test_errors_by_depth_and_by_confidence(make_shard: MakeShard) -> None:
    stacks = ShardStacks([make_shard(n=3)])
    evaluation = evaluation_of(stacks, offset_m=0.01, aligned=True)
    curve, best = evaluation.risk_coverage["model"], evaluation.risk_coverage["best"]
    assert curve[:5] == [0.0] * 5  # the sure half is right
    assert (np.diff(curve[4:]) > 0).all()
    assert all(b <= c + 1e-12 for b, c in zip(best, curve, strict=True))
    assert curve[-1] == pytest.approx(evaluation.model["dioptres"]["per_image"]["mae"])
    overall, octaves = evaluation.model["metres"]["per_pixel"], evaluation.by_depth
    pixels = {
        name: sum(i["by_depth"][name]["metres"]["pixels"] for i in evaluation.images if name in i["by_depth"])
        for name in octaves
    }
    weighted = sum(octaves[name]["metres"]["per_pixel"]["mae"] * pixels[name] for name in octaves)
    assert weighted / sum(pixels.values()) == pytest.approx(overall["mae"])
    assert list(octaves) == sorted(octaves, key=lambda name: float(name.split()[0]))
    markdown = as_markdown(evaluation, "oracle").splitlines()
    assert markdown[0] == "# oracle"
    for k, line in enumerate(markdown):
        if line.startswith("| ---"):  # a table's lines have as many cells as its head
            assert line.count("|") == markdown[k - 1].count("|") == markdown[k + 1].count("|")
