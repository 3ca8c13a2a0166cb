"""Training on stacks rendered meanwhile: fresh each epoch, the same for any number of workers, resumable."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from dffnet.checkpoint import load_checkpoint
from dffnet.cli import main
from dffnet.config import TrainConfig
from dffnet.data.augment import AugmentedStacks, Draw
from dffnet.data.live import LiveStacks
from dffnet.engine.train import train
from dffnet.errors import CheckpointError
from focalsim import RenderedStacks

SMALL = TrainConfig(
    model_options={"channels": 2}, epochs=2, batch_size=2, crop_px=64, val_fraction=0.25, schedule="constant"
)
TINY = ("--size", "64x64", "--slices", "2", "--samples", "4")


@pytest.fixture(scope="module")
def rendered() -> RenderedStacks:
    return RenderedStacks(width=64, height=64, slices=2, samples=4)


def run(*args: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, args)])


def test_the_same_fields_as_stacks_from_shards(rendered: RenderedStacks) -> None:
    stacks = LiveStacks(rendered)
    assert (len(stacks), stacks.shape) == (4, (2, 64, 64))
    stack = stacks[1]
    assert stack.images.shape == (2, 3, 64, 64)
    assert stack.target.shape == stack.valid.shape == (64, 64)
    assert stack.all_in_focus.shape == (3, 64, 64)
    assert torch.isfinite(stack.target).all()


def test_every_epoch_is_fresh_and_what_is_held_out_is_not(rendered: RenderedStacks) -> None:
    stacks = LiveStacks(rendered)
    first, again, second = stacks.seen(0, 1), stacks[1], stacks.seen(1, 1)
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.target, second.target)
    augmented = AugmentedStacks(stacks, crop_px=64, noise=0.0, seed=3)
    draws = [augmented[Draw(epoch, 1, 2)] for epoch in (0, 1, 0)]
    assert torch.equal(draws[0].images, draws[2].images)
    assert not torch.equal(draws[0].images, draws[1].images)


def test_workers_and_a_stop_in_between_do_not_matter(rendered: RenderedStacks, tmp_path: Path) -> None:
    result = train(rendered, tmp_path / "whole", SMALL)
    assert (result.train_samples, result.val_samples, result.steps) == (3, 1, 2)
    assert np.isfinite(result.val_mae)
    train(rendered, tmp_path / "stopped", replace(SMALL, epochs=1), workers=1)
    train(rendered, tmp_path / "stopped", SMALL, resume=True)
    assert load_checkpoint(tmp_path / "whole/model.pt").config.render == rendered.config.fingerprint
    whole, stopped = (
        torch.load(tmp_path / name / "last.ckpt", weights_only=True)["state_dict"] for name in ("whole", "stopped")
    )
    assert all(torch.equal(whole[key], stopped[key]) for key in whole)
    other = RenderedStacks(width=64, height=64, slices=2, samples=4, near_m=0.2)
    with pytest.raises(CheckpointError, match=r"was started with render '[0-9a-f]{64}', now '[0-9a-f]{64}'"):
        train(other, tmp_path / "stopped", SMALL, resume=True)


def test_the_command(tmp_path: Path) -> None:
    options = (*TINY, "--phone", "pixel6", "--effects", "typical", "--batch-size", 2, "--crop", 64, "--workers", 0)
    options += ("--render-device", "cpu")
    result = run("--render", "made", *options, "--max-steps", 1, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert "1 steps" in result.stdout
    assert len(load_checkpoint(tmp_path / "run/model.pt").config.render) == 64


@pytest.mark.parametrize(
    ("args", "exit_code", "message"),
    [
        (("--render", "made", "shard.h5"), 2, "give either SHARDs or --render"),
        ((), 2, "give either SHARDs or --render"),
        (("shard.h5", "--phone", "pixel4"), 2, "--phone goes with --render"),
        (("shard.h5", "--near", "0.2"), 2, "--near goes with --render"),
        (("--render", "made", "--size", "64"), 2, "'64' is no size"),
        (("--render", "made", "--phone", "nokia"), 1, "unknown phone 'nokia'"),
        (("--render", "/nowhere"), 1, "no such file or folder"),
        (("--render", "made", "--near", "3"), 1, "near must be smaller than far"),
    ],
)
def test_mistakes(args: tuple[str, ...], exit_code: int, message: str, tmp_path: Path) -> None:
    result = run(*args, "--out", tmp_path / "run")
    assert result.exit_code == exit_code, result.output
    assert message in result.stderr
    assert not isinstance(result.exception, (KeyError, TypeError))


def test_the_page_quotes_the_benchmark() -> None:
    root = Path(__file__).resolve().parents[2]
    table = (root / "benchmarks/results/live.md").read_text(encoding="utf-8")
    assert table in (root / "docs/networks.md").read_text(encoding="utf-8")
