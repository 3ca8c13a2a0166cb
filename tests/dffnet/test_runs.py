"""Real runs: broken off and resumed exactly, in several processes as in one, stopped early, by time, by a signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dffnet.checkpoint import load_checkpoint
from dffnet.config import TrainConfig
from dffnet.data.augment import BatchOrder
from dffnet.engine import keep as keep_module
from dffnet.engine.module import DepthTraining, follow, learning_rate_factor
from dffnet.engine.train import train
from dffnet.errors import TrainingError
from focalsim.errors import ConfigError

MakeShard = Callable[..., Path]
SMALL = TrainConfig(
    model_options={"channels": 1}, epochs=4, batch_size=2, crop_px=64, val_fraction=0.1, min_slices=2, lr=3e-3
)


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[float]]:
    """Loss and learning rate of each step, filled in as runs go on; ``interrupt_at`` sends a Ctrl-C in that step."""
    seen: dict[int, list[float]] = {}
    step = DepthTraining.training_step

    def recording(self: DepthTraining, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = step(self, batch, batch_idx)
        rate = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]
        seen[self.global_step] = [loss.item(), float(rate), float(batch.images.mean()), float(batch.images.shape[1])]
        return loss

    monkeypatch.setattr(DepthTraining, "training_step", recording)
    return seen


@pytest.fixture
def _ctrl_c() -> Iterator[None]:
    """Ctrl-C as in a terminal: a shell starts background jobs with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
def test_a_run_broken_off_in_the_middle_of_an_epoch_goes_on_exactly(
    make_shard: MakeShard, tmp_path: Path, losses: dict[int, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = make_shard(n=11)  # 10 for training: 5 steps an epoch
    whole = train([shard], tmp_path / "whole", SMALL)
    through = dict(losses)
    assert list(through) == list(range(20))
    assert len({rate for _, rate, _, _ in through.values()}) == 7  # falling in the last third
    assert len({slices for *_, slices in through.values()}) > 1
    losses.clear()

    step = DepthTraining.optimizer_step

    def interrupting(self: DepthTraining, *args: Any, **kwargs: Any) -> None:
        step(self, *args, **kwargs)
        done = self.global_step + 1  # counted when this returns
        if done in breaks:
            breaks.remove(done)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(DepthTraining, "optimizer_step", interrupting)
    breaks = [7, 10, 18]  # in an epoch, at the end of one, and in the last
    for at in tuple(breaks):
        with pytest.raises(TrainingError, match=f"interrupted at step {at}; .*broken can be resumed"):
            train([shard], tmp_path / "broken", SMALL, resume=at > 7)
    result = train([shard], tmp_path / "broken", SMALL, resume=True)
    assert losses == through
    assert (result.steps, result.epochs, result.val_mae) == (whole.steps, whole.epochs, whole.val_mae)
    one, other = (load_checkpoint(tmp_path / run / "model.pt").model.state_dict() for run in ("whole", "broken"))
    assert all(torch.equal(a, b) for a, b in zip(one.values(), other.values(), strict=True))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_more_steps_with_a_constant_rate_are_what_one_run_would_have_done(
    make_shard: MakeShard, tmp_path: Path, losses: dict[int, list[float]]
) -> None:
    shard = make_shard(n=6)
    config = replace(SMALL, schedule="constant", val_fraction=0.0, epochs=100)
    train([shard], tmp_path / "whole", replace(config, max_steps=8))
    through = dict(losses)
    losses.clear()
    train([shard], tmp_path / "parts", replace(config, max_steps=4))
    train([shard], tmp_path / "parts", replace(config, max_steps=8), resume=True)
    assert losses == through


def test_time_ends_a_run_with_a_model(
    make_shard: MakeShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, losses: dict[int, list[float]]
) -> None:
    clock = iter(range(0, 10000, 10))
    monkeypatch.setattr(keep_module.time, "monotonic", lambda: next(clock))
    shard = make_shard(n=11)
    result = train([shard], tmp_path / "run", replace(SMALL, epochs=1000), max_time_s=75)
    assert 3 <= result.steps <= 8
    assert result.model.is_file()
    assert np.isfinite(result.val_mae)
    assert len(losses) == result.steps


def test_patience_ends_a_run_that_learns_nothing_more(make_shard: MakeShard, tmp_path: Path) -> None:
    config = replace(SMALL, lr=1e-12, ema=0.0, epochs=50, patience=2, min_slices=0)
    result = train([make_shard(n=5)], tmp_path / "run", config)
    assert result.epochs < 50


def test_what_the_machine_or_the_data_cannot_give_is_refused(make_shard: MakeShard, tmp_path: Path) -> None:
    shard = make_shard(n=2)
    with pytest.raises(TrainingError, match="min_slices is 6, but the stacks have 5 slices"):
        train([shard], tmp_path / "run", replace(SMALL, min_slices=6))
    with pytest.raises(TrainingError, match="1 training stacks are too few for 2 processes"):
        train([shard], tmp_path / "run", SMALL, devices="2")
    with pytest.raises(ConfigError, match="has nothing to learn"):
        train([shard], tmp_path / "run", replace(SMALL, model="classical", model_options={}))
    assert not (tmp_path / "run").exists()


def test_the_schedule_falls_to_nothing_in_the_last_third() -> None:
    decay = learning_rate_factor("decay", 12)
    assert [decay(k) for k in (0, 8, 10, 12)] == pytest.approx([1.0, 1.0, 0.5, 0.0])
    assert decay(13) == 0
    assert learning_rate_factor("constant", 10)(7) == 1


def test_the_average_follows_weights_and_statistics() -> None:
    average, model = (torch.nn.Sequential(torch.nn.Conv3d(1, 1, 1), torch.nn.BatchNorm3d(1)) for _ in range(2))
    with torch.no_grad():
        for tensors, value in ((average.state_dict(), 1.0), (model.state_dict(), 2.0)):
            for tensor in tensors.values():
                tensor.fill_(value)
    follow(average, model, 0.75)
    values = {name: float(tensor.flatten()[0]) for name, tensor in average.state_dict().items()}
    assert values.pop("1.num_batches_tracked") == 2
    assert set(values.values()) == {1.25}


def test_batches_of_two_processes_make_up_those_of_one() -> None:
    options: dict[str, Any] = {"seed": 3, "slices": (2, 5), "step": lambda: 4}
    both = [list(BatchOrder(range(21), batch_size=2, rank=rank, world=2, **options)) for rank in (0, 1)]
    one = list(BatchOrder(range(21), batch_size=4, **options))
    assert len(one) == 1  # step 4 of 5
    assert [a + b for a, b in zip(*both, strict=True)] == one
    first = BatchOrder(range(21), batch_size=4, **(options | {"step": lambda: 0}))
    epoch = [draw for batch in first for draw in batch]
    assert len(first) == 5
    assert len({draw.sample for draw in epoch}) == len(epoch) == 20
    assert list(first)[4] == one[0]
    assert all(len({draw.slices for draw in batch}) == 1 for batch in first)


RANK_SCRIPT = """
import json, os, sys
from pathlib import Path
from dffnet.config import TrainConfig
from dffnet.engine.module import DepthTraining
from dffnet.engine.train import train

losses, step = [], DepthTraining.training_step
def record(self, batch, k):
    loss = step(self, batch, k)
    losses.append(loss.item())
    return loss
DepthTraining.training_step = record
shard, out, config = sys.argv[1:]
result = train([Path(shard)], Path(out), TrainConfig.from_dict(json.loads(config)))
Path(out, os.environ["RANK"] + ".json").write_text(json.dumps([losses, result.val_mae]))
"""


def test_two_processes_learn_as_one_with_the_doubled_batch(
    make_shard: MakeShard, tmp_path: Path, losses: dict[int, list[float]]
) -> None:
    """Under torchrun with gloo: same losses, same validation error, same weights."""
    shard = make_shard(n=10)
    config = replace(SMALL, epochs=2, batch_size=4, val_fraction=0.2)
    one = train([shard], tmp_path / "one", config)
    script = tmp_path / "script.py"
    script.write_text(RANK_SCRIPT)
    half = json.dumps(replace(config, batch_size=2).to_dict())
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, str(script), str(shard), str(tmp_path / "two"), half],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (first, mae), (second, other_mae) = (json.loads((tmp_path / f"two/{rank}.json").read_text()) for rank in (0, 1))
    # Each process has the loss of its half of the batch; their mean is what is minimised.
    assert len(first) == one.steps == 4
    means, expected = [(a + b) / 2 for a, b in zip(first, second, strict=True)], [loss for loss, *_ in losses.values()]
    assert means[0] == pytest.approx(expected[0], rel=1e-5)
    assert means == pytest.approx(expected, rel=5e-3)  # Adam's first steps follow signs, of gradients near 0 too
    assert first != pytest.approx(second, rel=1e-2)
    assert mae == other_mae == pytest.approx(one.val_mae, rel=5e-3)
