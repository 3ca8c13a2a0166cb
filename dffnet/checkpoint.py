"""Checkpoints: one file with the weights, the config and the schema version. Loading runs no code in it."""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dffnet.config import TrainConfig
from dffnet.errors import CheckpointError
from dffnet.models import MODELS, DepthFromFocusModel, build_model
from focalsim.errors import ConfigError, OutputError

FORMAT, SCHEMA_VERSION = "dffnet checkpoint", 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A trained model in eval mode, and the config it was trained with."""

    model: DepthFromFocusModel
    config: TrainConfig


def save_checkpoint(path: Path, model: DepthFromFocusModel, config: TrainConfig) -> None:
    """Write ``model`` and ``config``: to a temporary file first, so that ``path`` is never half written.

    Raises OutputError where that fails.
    """
    content = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "config": config.to_dict(),
        "state_dict": {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()},
    }
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written: {error}") from None


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint (weights_only: a file that asks for code to run is refused).

    Raises CheckpointError for a file that is missing, damaged, foreign, of a newer schema, or whose weights
    do not fit its config.
    """
    content = read_without_code(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a dffnet checkpoint")
    if content.get("schema_version") != SCHEMA_VERSION:
        raise CheckpointError(
            f"{path}: has schema version {content.get('schema_version')}; this program reads {SCHEMA_VERSION}"
        )
    try:
        config = TrainConfig.from_dict(content["config"])
        model = build_model(config.model, dict(config.model_options))
        model.load_state_dict(content["state_dict"])
    except (KeyError, TypeError, AttributeError, ConfigError, RuntimeError) as error:
        raise CheckpointError(f"{path}: {error}") from None
    return Checkpoint(model.eval(), config)


def load_model(checkpoint: Path) -> Checkpoint:
    """A checkpoint, or by its bare name a model that has nothing to learn, as ``classical``.

    Raises CheckpointError.
    """
    name = str(checkpoint)
    if name in MODELS and not checkpoint.exists():
        model = build_model(name)
        if next(model.parameters(), None) is not None:
            raise CheckpointError(f"{name}: is a network: train it first, then give the path of its checkpoint")
        return Checkpoint(model.eval(), TrainConfig(model=name, align="none" if model.aligns else "metadata"))
    return load_checkpoint(checkpoint)


def read_without_code(path: Path) -> Any:
    """What ``torch.load(weights_only=True)`` reads. Raises CheckpointError where it refuses or fails."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    if not zipfile.is_zipfile(path):  # torch's older formats are bare pickles
        raise CheckpointError(f"{path}: not a complete checkpoint")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice on files it then refuses
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise CheckpointError(f"{path}: not a checkpoint, or one that would run code; refused") from None
    except Exception as error:  # a damaged or hostile archive can fail anywhere in the reader
        raise CheckpointError(f"{path}: not a complete checkpoint ({type(error).__name__})") from None
