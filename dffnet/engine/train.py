"""Train a network on shards with lightning.

RUN/model.pt         the answer: the model of smallest validation error (without validation: the last)
RUN/last.ckpt        lightning's own state, to resume from
RUN/log/version_k/   metrics.csv of the k-th start of this run
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lightning
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from dffnet.checkpoint import read_without_code, save_checkpoint
from dffnet.config import TrainConfig
from dffnet.data.shards import ShardStacks, shard_files
from dffnet.engine.module import CONFIG_KEY, DepthTraining, StackData
from dffnet.engine.progress import Progress
from dffnet.errors import CheckpointError, TrainingError
from focalsim.errors import ConfigError, FocalsimError, OutputError


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a run gave; errors are those of ``model`` in the unit of the config, NaN without validation."""

    model: Path
    epochs: int
    steps: int
    train_samples: int
    val_samples: int
    val_mae: float


def train(
    shards: Sequence[Path],
    out: Path,
    config: TrainConfig,
    *,
    workers: int = 0,
    devices: str = "auto",
    resume: bool = False,
) -> TrainResult:
    """Train a model on ``shards`` (files or folders) and write it to ``out``.

    ``resume`` continues the run in ``out`` from its last epoch; without it an earlier run there is replaced.
    Raises ShardError for shards that do not fit together, ConfigError for devices that are not there,
    CheckpointError where there is nothing to resume, OutputError where ``out`` cannot be written, and
    TrainingError where training cannot go on.
    """
    stacks = ShardStacks(shard_files(shards), unit=config.unit, align=config.align)
    data = StackData(stacks, config, workers=workers)
    _check_size(stacks.shape, config)
    lightning.seed_everything(config.seed, verbose=False)
    module = DepthTraining(config)
    last = out / "last.ckpt"
    if resume:
        _check_resumable(last, config)
    elif is_main_process():  # the others start when this one has begun to write
        _remove_run(out)
    with _quiet(), _writing_to(out):
        keep = KeepBest(out / "model.pt")
        trainer = _trainer(out, config, devices, keep, steps=len(data.training) // config.batch_size)
        try:
            trainer.fit(module, datamodule=data, ckpt_path=str(last) if resume else None)
        except MisconfigurationException as error:
            raise ConfigError(str(error)) from None
        except (KeyboardInterrupt, SystemExit):  # which of them depends on lightning's version
            raise TrainingError(f"interrupted at step {trainer.global_step}; {out} can be resumed") from None
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker"):
                raise
            raise TrainingError(str(error)) from None
        if data.validation and keep.step != trainer.global_step:
            trainer.validate(module, datamodule=data, verbose=False)
        if not data.validation:
            keep.save(module)
    return TrainResult(
        model=keep.path,
        epochs=trainer.current_epoch,
        steps=trainer.global_step,
        train_samples=len(data.training),
        val_samples=len(data.validation),
        val_mae=keep.best,
    )


def is_main_process() -> bool:
    """Whether this is the first of the processes of a run: lightning starts one for each further device."""
    return all(int(os.environ.get(name, "0")) == 0 for name in ("LOCAL_RANK", "NODE_RANK"))


def default_workers() -> int:
    """Loader processes for this machine: one CPU is left to compute; more than 8 wait for each other."""
    return min(8, max(0, (os.cpu_count() or 1) - 1))


class KeepBest(Callback):
    """Writes the model whenever its validation error is the smallest so far."""

    def __init__(self, path: Path) -> None:
        self.path, self.best, self.step = path, float("nan"), -1

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Compare and write, on the first process."""
        if trainer.sanity_checking:
            return
        self.step = trainer.global_step
        error = float(trainer.callback_metrics.get("val_mae", float("nan")))
        if math.isnan(self.best) or error < self.best:
            self.best = error
            if trainer.is_global_zero:
                self.save(pl_module)

    def save(self, module: lightning.LightningModule) -> None:
        """Write the model as it is."""
        assert isinstance(module, DepthTraining)
        save_checkpoint(self.path, module.model, module.config)

    def state_dict(self) -> dict[str, float]:
        """What a resumed run needs to know."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """The inverse of :meth:`state_dict`."""
        self.best = state_dict["best"]


def _check_size(shape: tuple[int, int, int], config: TrainConfig) -> None:
    """Refuse what batch norm cannot train on: one value a channel in the coarsest volume, at 1/32 size."""
    slices, height, width = shape
    if slices * config.batch_size == 1 and max(min(side, config.crop_px) for side in (height, width)) <= 32:
        raise TrainingError(
            f"one slice of {width}x{height} is too small to train on with a batch of 1; use a larger --batch-size"
        )


def _remove_run(out: Path) -> None:
    for name in ("model.pt", "last.ckpt"):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / "log", ignore_errors=True)


def _trainer(out: Path, config: TrainConfig, devices: str, keep: KeepBest, steps: int) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator="auto",
        devices=devices,
        precision=config.precision,  # type: ignore[arg-type]
        max_epochs=config.epochs,
        max_steps=config.max_steps,
        gradient_clip_val=config.gradient_clip,
        logger=CSVLogger(out, name="log"),
        log_every_n_steps=max(1, min(50, steps)),
        callbacks=[Progress(), keep, ModelCheckpoint(out, "last", enable_version_counter=False)],
        reload_dataloaders_every_n_epochs=1,
        limit_val_batches=1.0 if config.val_fraction else 0,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _check_resumable(last: Path, config: TrainConfig) -> None:
    """Refuse a state that is foreign, would run code when lightning reads it, or is of another config."""
    content = read_without_code(last)
    if not isinstance(content, dict) or CONFIG_KEY not in content:
        raise CheckpointError(f"{last}: not the state of a training run")
    before, now = content[CONFIG_KEY], config.to_dict()
    changed = [k for k in now if before.get(k) != now[k] and k not in ("epochs", "max_steps")]
    if changed:
        was = ", ".join(f"{k} {before.get(k)!r}, now {now[k]!r}" for k in changed)
        raise CheckpointError(f"{last}: the run to resume was started with {was}")
    done = content["epoch"] + 1
    if done > config.epochs:
        raise CheckpointError(f"{last}: has {done} epochs behind it, more than {config.epochs}")


@contextmanager
def _writing_to(out: Path) -> Iterator[None]:
    """What goes wrong with files in here goes wrong in ``out``: the shards' errors are ours already."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if isinstance(error, FocalsimError):
            raise
        raise OutputError(f"{out}: cannot be written: {error.strerror or error}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without lightning's advice: its loaders and logger are set on purpose."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=PossibleUserWarning)
        warnings.filterwarnings("ignore", "Checkpoint directory .* is not empty")
        warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)  # lightning 2.6 on torch 2.13
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
