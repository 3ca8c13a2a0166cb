"""The training loop's parts, as lightning wants them: one step, one validation, one optimiser."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from dffnet.config import TrainConfig
from dffnet.data.batch import Batch
from dffnet.errors import TrainingError
from dffnet.losses import loss_of, masked_mse
from dffnet.models import DepthFromFocusModel, build_model

ADAM_BETAS = (0.9, 0.99)  # Won & Jeon 2022
CONFIG_KEY = "dffnet_config"  # in lightning's checkpoints
_DECAY_FROM = 2 / 3  # of the run


class DepthTraining(lightning.LightningModule):
    """A model with its loss. Logs ``train_loss`` and ``lr``, and by epoch ``val_mae`` and ``val_rmse`` (config.unit).

    ``steps`` is the length of the run, which the schedule of the learning rate needs to know.
    """

    def __init__(self, config: TrainConfig, *, steps: int = 1) -> None:
        super().__init__()
        self.config, self.steps = config, steps
        self.model = build_model(config.model, dict(config.model_options))
        self.average = copy.deepcopy(self.model).requires_grad_(False) if config.ema else None
        self.loss = loss_of(config.loss, config.model)
        self._errors: list[Tensor] = []

    @property
    def answer(self) -> DepthFromFocusModel:
        """What a run gives: the model with averaged weights where an average is kept."""
        return self.model if self.average is None else self.average

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Loss of one batch. Raises TrainingError where it is not finite."""
        loss = self.loss(self.model(batch.images, batch.focus_positions), batch)
        if not torch.isfinite(loss):
            raise TrainingError(f"the loss became {loss.item()} at step {self.global_step}; try a smaller --lr")
        self.log_dict({"train_loss": loss, "lr": self.optimizers().param_groups[0]["lr"]}, batch_size=len(batch.images))  # type: ignore[union-attr]
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then let the average follow."""
        super().optimizer_step(*args, **kwargs)
        if self.average is not None:
            follow(self.average, self.model, min(self.config.ema, (1.0 + self.global_step) / (10.0 + self.global_step)))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Errors of whole images, each counted once; images without valid pixels do not count."""
        depth = self.answer(batch.images, batch.focus_positions).depth
        for prediction, target, valid in zip(depth, batch.target, batch.valid, strict=True):
            if valid.any():
                mae = (prediction - target)[valid].abs().mean()
                rmse = masked_mse(prediction, target, valid).sqrt()
                self._errors.append(torch.stack([mae, rmse, torch.ones_like(mae)]))

    def on_validation_epoch_end(self) -> None:
        """Means over the images of all processes; nothing is logged where none has a valid pixel."""
        sums = torch.stack([*self._errors, torch.zeros(3, device=self.device)]).sum(dim=0)
        self._errors.clear()
        mae, rmse, images = self.trainer.strategy.reduce(sums, reduce_op="sum").tolist()
        if images:
            self.log_dict({"val_mae": mae / images, "val_rmse": rmse / images}, rank_zero_only=False)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the config beside lightning's own state, so that a resumed run can be checked against it."""
        checkpoint[CONFIG_KEY] = self.config.to_dict()

    def optimizer(self) -> torch.optim.Optimizer:
        """Adam over the weights of the model."""
        return torch.optim.Adam(self.model.parameters(), lr=self.config.lr, betas=ADAM_BETAS)

    def configure_optimizers(self) -> Any:
        """Adam, its learning rate set anew at each step."""
        optimizer = self.optimizer()
        factor = learning_rate_factor(self.config.schedule, self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}}


def learning_rate_factor(schedule: str, steps: int) -> Callable[[int], float]:
    """step -> share of the learning rate: always 1, or from ``_DECAY_FROM`` on half a cosine to 0 at step ``steps``.

    A rate that falls from the start learns less in short runs, for most of what is learned needs a high one.
    """
    if schedule == "constant":
        return lambda _: 1.0

    def factor(step: int) -> float:
        fallen = (step / steps - _DECAY_FROM) / (1.0 - _DECAY_FROM)
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, max(0.0, fallen))))

    return factor


@torch.no_grad()
def follow(average: torch.nn.Module, model: torch.nn.Module, decay: float) -> None:
    """average = decay average + (1 - decay) model, for weights and statistics of batch norm; counts are copied."""
    for mean, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(new, 1.0 - decay)
        else:
            mean.copy_(new)
