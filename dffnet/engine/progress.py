"""Progress on standard error, quiet where that is no terminal."""

from __future__ import annotations

from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from tqdm import tqdm


class Progress(Callback):
    """One bar over all training steps, with the last loss and validation error beside it."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        total = int(trainer.estimated_stepping_batches)
        disable = None if trainer.is_global_zero else True
        self._bar = tqdm(total=total, initial=trainer.global_step, unit="step", disable=disable)

    def on_train_batch_end(self, trainer: lightning.Trainer, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        self._bar.update(trainer.global_step - self._bar.n)
        shown = {k: f"{v:.4g}" for k, v in trainer.callback_metrics.items() if k in ("train_loss", "val_mae")}
        self._bar.set_postfix(shown, refresh=False)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        self._bar.close()
