"""Train a network on shards with lightning.

RUN/model.pt         the answer: the model of smallest validation error (without validation: the last)
RUN/last.ckpt        lightning's own state, to resume from
RUN/log/version_k/   metrics.csv and TensorBoard's events of the k-th start of this run
"""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import lightning
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from dffnet.checkpoint import read_without_code
from dffnet.config import TrainConfig
from dffnet.data.live import LiveStacks
from dffnet.data.shards import ShardStacks, shard_files
from dffnet.engine.data import StackData
from dffnet.engine.keep import Break, KeepBest, KeepState
from dffnet.engine.module import CONFIG_KEY, DepthTraining
from dffnet.engine.processes import Processes, is_main_process
from dffnet.engine.progress import Progress
from dffnet.errors import CheckpointError, TrainingError
from dffnet.models import check_trainable
from focalsim import RenderedStacks
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
    source: Sequence[Path] | RenderedStacks,
    out: Path,
    config: TrainConfig,
    *,
    workers: int = 0,
    devices: str = "auto",
    max_time_s: float | None = None,
    resume: bool = False,
) -> TrainResult:
    """Train a model on shards (files or folders), or on stacks that are rendered meanwhile, and write it to ``out``.

    ``max_time_s`` ends the run after the step at which so much time has passed since its start. ``resume`` continues
    the run in ``out`` from its last state; without it an earlier run there is replaced.
    Raises ConfigError for what cannot go together and devices that are not there, ShardError for shards that do not
    fit together, CheckpointError where there is nothing to resume, OutputError where ``out`` cannot be written, and
    TrainingError where training cannot go on, or was interrupted.
    """
    check_trainable(config.model, align=config.align, loss=config.loss)
    processes = Processes.of(devices)
    stacks: ShardStacks | LiveStacks
    if isinstance(source, RenderedStacks):
        config = replace(config, render=source.config.fingerprint)
        stacks = LiveStacks(source, unit=config.unit, align=config.align)
    else:
        stacks = ShardStacks(shard_files(source), unit=config.unit, align=config.align)
    data = StackData(stacks, config, workers=workers, world=processes.world)
    _check_size(stacks.shape, config)
    lightning.seed_everything(config.seed, verbose=False)
    module = DepthTraining(config, steps=data.steps())
    last = out / "last.ckpt"
    if resume:
        _check_resumable(last, config, data.steps())
    elif is_main_process():  # the others start when this one has begun to write
        _remove_run(out)
    with _quiet(), _writing_to(out):
        keep = KeepBest(out / "model.pt")
        callbacks = [Progress(data.steps()), keep, *_early_stopping(config), KeepState(last, max_time_s)]
        trainer = _trainer(out, config, processes, callbacks, steps=len(data.batches()))
        try:
            trainer.fit(module, datamodule=data, ckpt_path=str(last) if resume else None)
        except MisconfigurationException as error:
            raise ConfigError(str(error)) from None
        except Break as end:
            if end.asked:
                raise TrainingError(f"interrupted at step {trainer.global_step}; {out} can be resumed") from None
        except (KeyboardInterrupt, SystemExit):  # which of them depends on lightning's version
            raise TrainingError(f"interrupted at step {trainer.global_step}") from None
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker"):
                raise
            raise TrainingError(str(error)) from None
        if data.validation and keep.step != trainer.global_step:
            trainer.validate(module, datamodule=data, verbose=False)
        if not data.validation and trainer.is_global_zero:
            keep.save(module)
    return TrainResult(
        model=keep.path,
        epochs=trainer.global_step // len(data.batches()),
        steps=trainer.global_step,
        train_samples=len(data.training),
        val_samples=len(data.validation),
        val_mae=keep.best,
    )


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


def _early_stopping(config: TrainConfig) -> list[Callback]:
    return [EarlyStopping("val_mae", patience=config.patience, check_finite=False)] if config.patience else []


def _trainer(
    out: Path, config: TrainConfig, processes: Processes, callbacks: list[Callback], steps: int
) -> lightning.Trainer:
    """A trainer; ``steps`` is the length of an epoch."""
    csv = CSVLogger(out, name="log")
    return lightning.Trainer(
        **processes.options(),
        precision=config.precision,  # type: ignore[arg-type]
        max_epochs=config.epochs,
        max_steps=config.max_steps,
        gradient_clip_val=config.gradient_clip,
        logger=[csv, TensorBoardLogger(out, name="log", version=csv.version)],
        log_every_n_steps=max(1, min(50, steps)),
        callbacks=callbacks,
        limit_val_batches=1.0 if config.val_fraction else 0,
        use_distributed_sampler=False,  # the order of batches knows its process
        num_sanity_val_steps=0,
        enable_checkpointing=False,  # KeepState does it
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _check_resumable(last: Path, config: TrainConfig, steps: int) -> None:
    """Refuse a state that is foreign, would run code when lightning reads it, or is of another config."""
    content = read_without_code(last)
    if not isinstance(content, dict) or CONFIG_KEY not in content:
        raise CheckpointError(f"{last}: not the state of a training run")
    before, now = content[CONFIG_KEY], config.to_dict()
    free = ("patience",) if config.schedule == "decay" else ("patience", "epochs", "max_steps")
    changed = [k for k in now if before.get(k) != now[k] and k not in free]
    if changed:
        was = ", ".join(f"{k} {before.get(k)!r}, now {now[k]!r}" for k in changed)
        why = "; a rate that falls is made for one length" if {"epochs", "max_steps"} & set(changed) else ""
        raise CheckpointError(f"{last}: the run to resume was started with {was}{why}")
    if content["global_step"] > steps:
        raise CheckpointError(f"{last}: has {content['global_step']} steps behind it, more than {steps}")


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
