"""The config of a training run: frozen, closed, round-trips through JSON, and stored in every checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from dffnet.units import UNITS
from focalsim.errors import ConfigError

ALIGNMENTS = ("metadata", "thin-lens", "none")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
SCHEDULES = ("decay", "constant")
OWN_LOSS = "own"
MIN_CROP_PX = 64  # below, the coarsest volume has too few values for batch norm


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything that decides what a run learns; workers, devices and paths do not.

    model, model_options  name in dffnet.models.MODELS and its constructor's arguments
    loss                  name in dffnet.losses.LOSSES; "own" = that of the model's paper
    unit                  of depth inside the network: "dioptres" (linear in blur) or "metres"
    align                 slices warped to the reference slice first: by their true geometry ("metadata"), by that
                          of an ideal thin lens ("thin-lens"), or not ("none")
    epochs, max_steps     whichever ends first; max_steps -1 = no limit
    batch_size            stacks a step and device
    crop_px               side of the training crop
    min_slices            each batch keeps between so many and all slices, drawn anew; 0 = always all
    noise                 largest standard deviation of the noise added to a stack, of images in [0, 1]
    lr                    learning rate of Adam, betas (0.9, 0.99)
    schedule              of the learning rate: "decay" falls to 0 in the last third of the steps, "constant" does not
    gradient_clip         largest norm of a step's gradient
    ema                   decay of the moving average of the weights, which is what a run gives; 0 = the last weights
    val_fraction          part of the scenes kept for validation
    patience              epochs without a smaller validation error after which to stop; 0 = never
    seed                  of the weights, the order, the augmentation and the split
    precision             of lightning's trainer
    render                fingerprint of the config that stacks are rendered by meanwhile; empty with shards
    """

    model: str = "dff-wild"
    model_options: Mapping[str, Any] = field(default_factory=dict)
    loss: str = OWN_LOSS
    unit: str = "dioptres"
    align: str = "metadata"
    epochs: int = 100
    max_steps: int = -1
    batch_size: int = 4
    crop_px: int = 224
    min_slices: int = 0
    noise: float = 0.01
    lr: float = 1e-3
    schedule: str = "decay"
    gradient_clip: float = 1.0
    ema: float = 0.999
    val_fraction: float = 0.1
    patience: int = 0
    seed: int = 0
    precision: str = "32-true"
    render: str = ""

    def __post_init__(self) -> None:
        lowest = {"epochs": 1, "batch_size": 1, "crop_px": MIN_CROP_PX, "min_slices": 0, "patience": 0, "seed": 0}
        for name, low in lowest.items():
            if getattr(self, name) < low:
                raise ConfigError(f"{name} must be at least {low}, got {getattr(self, name)}")
        if self.max_steps != -1 and self.max_steps < 1:
            raise ConfigError(f"max_steps must be at least 1, or -1 for no limit, got {self.max_steps}")
        for name in ("lr", "gradient_clip"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("val_fraction", "ema", "noise"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if self.patience and not self.val_fraction:
            raise ConfigError("patience needs a validation set: val_fraction is 0")
        choices = {"unit": UNITS, "align": ALIGNMENTS, "schedule": SCHEDULES, "precision": PRECISIONS}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainConfig:
        """Inverse of :meth:`to_dict`. Raises ConfigError for unknown keys and for values that cannot be."""
        unknown = sorted(set(data) - {f.name for f in fields(cls)})
        if unknown:
            raise ConfigError(f"config has unknown keys: {', '.join(unknown)}")
        try:
            return cls(**data)
        except TypeError as error:
            raise ConfigError(f"config has a value of the wrong type: {error}") from None
