"""Training: it overfits one sample, resumes, keeps the best model, and its checkpoints run no code."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dffnet.checkpoint import load_checkpoint, save_checkpoint
from dffnet.config import TrainConfig
from dffnet.data.shards import ShardStacks
from dffnet.engine.evaluate import evaluate
from dffnet.engine.module import DepthTraining
from dffnet.engine.predictor import Predictor
from dffnet.engine.train import train
from dffnet.errors import CheckpointError, TrainingError
from dffnet.models import build_model
from focalsim.errors import ConfigError, OutputError

MakeShard = Callable[..., Path]
SMALL = TrainConfig(model_options={"channels": 2}, epochs=2, batch_size=2, crop_px=64, val_fraction=0.25)


def test_the_network_overfits_one_sample(make_shard: MakeShard) -> None:
    torch.manual_seed(0)
    stack = ShardStacks([make_shard(n=1)])[0]
    batch = type(stack)(*(field[None] for field in stack))
    training = DepthTraining(TrainConfig()).train()
    optimiser = training.optimizer()
    losses = []
    for _ in range(60):
        loss = training.loss(training.model(batch.images, batch.focus_positions), batch)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(training.parameters(), training.config.gradient_clip)
        optimiser.step()
        losses.append(loss.item())
        if losses[-1] < losses[0] / 10:
            break
    assert losses[-1] < losses[0] / 10, losses


def test_a_run_leaves_a_model_a_state_and_a_log(make_shard: MakeShard, tmp_path: Path) -> None:
    result = train([make_shard(n=8)], tmp_path / "run", SMALL)
    assert (result.epochs, result.steps, result.train_samples, result.val_samples) == (2, 6, 6, 2)
    assert np.isfinite(result.val_mae)
    log = (tmp_path / "run/log/version_0/metrics.csv").read_text().splitlines()
    assert {"epoch", "step", "train_loss", "val_mae", "val_rmse"} <= set(log[0].split(","))
    loaded = load_checkpoint(tmp_path / "run/model.pt")
    assert loaded.config == SMALL
    assert not loaded.model.training
    assert (tmp_path / "run/last.ckpt").is_file()
    assert list((tmp_path / "run/log/version_0").glob("events.out.tfevents.*"))


def test_a_run_cannot_be_resumed_as_another(make_shard: MakeShard, tmp_path: Path) -> None:
    shard, run = make_shard(n=2), tmp_path / "run"
    config = replace(SMALL, schedule="constant")
    with pytest.raises(CheckpointError, match="no such file"):
        train([shard], run, config, resume=True)
    train([shard], run, config)
    with pytest.raises(CheckpointError, match=r"started with lr 0\.001, now 0\.1$"):
        train([shard], run, replace(config, lr=0.1), resume=True)
    with pytest.raises(CheckpointError, match=r"started with schedule 'constant', now 'decay'"):
        train([shard], run, SMALL, resume=True)
    with pytest.raises(CheckpointError, match="2 steps behind it, more than 1"):
        train([shard], run, replace(config, epochs=1), resume=True)
    (run / "last.ckpt").write_bytes((run / "model.pt").read_bytes())
    with pytest.raises(CheckpointError, match="not the state of a training run"):
        train([shard], run, config, resume=True)


def test_the_best_model_is_kept_and_max_steps_is_validated(make_shard: MakeShard, tmp_path: Path) -> None:
    shard = make_shard(n=6)
    result = train([shard], tmp_path / "run", replace(SMALL, epochs=100, max_steps=1))
    assert result.steps == 1
    predictor = Predictor(result.model)
    stacks = ShardStacks([shard])
    held_out = 1 if result.val_samples == 1 else result.val_samples
    assert held_out in (1, 2)
    errors = [image["dioptres"]["mae"] for image in evaluate(predictor, stacks).images]
    # The logged error is the mean over the held-out images, so it lies within the errors of all images.
    assert min(errors) - 1e-4 <= result.val_mae <= max(errors) + 1e-4


def test_samples_without_valid_depth_do_no_harm(make_shard: MakeShard, tmp_path: Path) -> None:
    def blind(sample: dict[str, Any]) -> None:
        sample["valid"][:] = False
        sample["depth_m"][:] = np.nan

    train([make_shard(n=3, change=blind)], tmp_path / "run", SMALL)
    model = load_checkpoint(tmp_path / "run/model.pt").model
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_a_loss_that_is_not_finite_stops_the_run(make_shard: MakeShard, tmp_path: Path) -> None:
    config = replace(SMALL, lr=1e30, epochs=20, val_fraction=0.0)
    with pytest.raises(TrainingError, match=r"the loss became (nan|inf) at step"):
        train([make_shard(n=2)], tmp_path / "run", config)


def test_unknown_names_and_values_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown loss 'l7'"):
        DepthTraining(TrainConfig(loss="l7"))
    for bad in (
        {"crop_px": 32}, {"lr": -1.0}, {"unit": "feet"}, {"val_fraction": 1.0}, {"max_steps": 0}, {"ema": 1.0},
        {"noise": -0.1}, {"schedule": "steps"}, {"min_slices": -1}, {"patience": 3, "val_fraction": 0.0},
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=next(iter(bad))):
            TrainConfig(**bad)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="unknown keys: depth"):
        TrainConfig.from_dict({"depth": 3})
    assert TrainConfig.from_dict(SMALL.to_dict()) == SMALL


def test_checkpoint_round_trip(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = build_model("dff-wild", {"channels": 2})
    config = TrainConfig(model_options={"channels": 2}, unit="metres", lr=2e-4)
    save_checkpoint(tmp_path / "model.pt", model, config)
    loaded = load_checkpoint(tmp_path / "model.pt")
    assert loaded.config == config
    stack, positions = torch.rand(1, 3, 3, 40, 50), torch.tensor([[1.0, 0.5, 0.2]])
    with torch.no_grad():
        assert torch.equal(loaded.model(stack, positions).depth, model.eval()(stack, positions).depth)
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt"]
    with pytest.raises(OutputError, match="cannot be written"):
        save_checkpoint(tmp_path / "nowhere" / "model.pt", model, config)


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)

    def __init__(self, path: Path) -> None:
        self.path = path


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    for name, save in {"torch": torch.save, "pickle": lambda o, p: p.write_bytes(pickle.dumps(o))}.items():
        path, effect = tmp_path / f"{name}.pt", tmp_path / f"ran-{name}"
        save({"format": "dffnet checkpoint", "state_dict": _Bomb(effect)}, path)
        with pytest.raises(CheckpointError, match=r"would run code|not a complete checkpoint"):
            load_checkpoint(path)
        assert not effect.exists()


def test_bad_checkpoints_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with pytest.raises(CheckpointError, match="no such file"):
        load_checkpoint(path)
    for content in (b"", b"hello", b"\x80\x02}q\x00."):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"model\.pt: not a complete checkpoint$"):
            load_checkpoint(path)
    model, config = build_model("dff-wild", {"channels": 2}), TrainConfig(model_options={"channels": 2})
    save_checkpoint(path, model, config)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="not a"):
        load_checkpoint(path)
    save_checkpoint(path, model, TrainConfig())  # weights of another width
    with pytest.raises(CheckpointError, match="size mismatch"):
        load_checkpoint(path)
    good: dict[str, Any] = {"format": "dffnet checkpoint", "schema_version": 1, "config": {}, "state_dict": {}}
    for change, message in (
        ({"format": "other"}, "not a dffnet checkpoint"),
        ({"schema_version": 2}, "has schema version 2; this program reads 1"),
        ({"config": {"model": "future-net"}}, "unknown model 'future-net'"),
        ({"config": {"depth": 1}}, "unknown keys: depth"),
        ({}, "Missing key"),
    ):
        torch.save(good | change, path)
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(path)
