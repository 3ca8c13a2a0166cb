"""The training loop's parts, as lightning wants them: one step, one validation, one optimiser."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dffnet.config import TrainConfig
from dffnet.data.augment import AugmentedStacks
from dffnet.data.batch import Batch
from dffnet.data.shards import ShardStacks, split_by_scene
from dffnet.errors import TrainingError
from dffnet.losses import LOSSES, masked_mse
from dffnet.models import build_model
from focalsim.errors import ConfigError

ADAM_BETAS = (0.9, 0.99)  # Won & Jeon 2022
CONFIG_KEY = "dffnet_config"  # in lightning's checkpoints


class DepthTraining(lightning.LightningModule):
    """A model with its loss. Logs ``train_loss``, and by epoch ``val_mae`` and ``val_rmse`` (config.unit)."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        if config.loss not in LOSSES:
            raise ConfigError(f"unknown loss {config.loss!r}; known: {', '.join(sorted(LOSSES))}")
        self.config = config
        self.model = build_model(config.model, dict(config.model_options))
        self.loss = LOSSES[config.loss]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Loss of one batch. Raises TrainingError where it is not finite."""
        loss = self.loss(self.model(batch.images, batch.focus_positions), batch)
        if not torch.isfinite(loss):
            raise TrainingError(f"the loss became {loss.item()} at step {self.global_step}; try a smaller --lr")
        self.log("train_loss", loss, batch_size=len(batch.images))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Errors of whole images, each counted once; images without valid pixels do not count."""
        depth = self.model(batch.images, batch.focus_positions).depth
        for prediction, target, valid in zip(depth, batch.target, batch.valid, strict=True):
            if valid.any():
                mse = masked_mse(prediction, target, valid)
                mae = (prediction - target)[valid].abs().mean()
                self.log_dict({"val_mae": mae, "val_rmse": mse.sqrt()}, batch_size=1, sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the config beside lightning's own state, so that a resumed run can be checked against it."""
        checkpoint[CONFIG_KEY] = self.config.to_dict()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam without a schedule."""
        return torch.optim.Adam(self.parameters(), lr=self.config.lr, betas=ADAM_BETAS)


class StackData(lightning.LightningDataModule):
    """Training and validation loaders over one data set, split by scene."""

    def __init__(self, stacks: ShardStacks, config: TrainConfig, *, workers: int) -> None:
        super().__init__()
        self.stacks, self.config, self.workers = stacks, config, workers
        train, self.validation = split_by_scene(stacks.source_ids, config.val_fraction, config.seed)
        self.training = AugmentedStacks(stacks, train, crop_px=config.crop_px, seed=config.seed)

    def train_dataloader(self) -> DataLoader[Batch]:
        """A loader for the current epoch; the trainer asks for a new one each epoch, which draws anew."""
        assert self.trainer is not None
        self.training.epoch = self.trainer.current_epoch
        return DataLoader(
            self.training,
            batch_size=self.config.batch_size,
            shuffle=False,  # the data set has its own random order
            num_workers=self.workers,
            # A smaller last batch would be noise to batch norm; a data set smaller than a batch is one batch.
            drop_last=len(self.training) >= self.config.batch_size,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Whole images, one at a time; no loader where nothing is held out."""
        if not self.validation:
            return []
        held_out = torch.utils.data.Subset(self.stacks, self.validation)
        return DataLoader(held_out, batch_size=1, num_workers=self.workers)
