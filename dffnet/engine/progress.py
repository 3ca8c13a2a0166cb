"""Progress on standard error, quiet where that is no terminal."""

from __future__ import annotations

from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from focalsim.progress import progress_bar

_SHOWN = ("train_loss", "val_mae")


class Progress(Callback):
    """One bar over all ``steps`` of a run, with the time left, the last loss and the last validation error."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Open the bar, on the first process."""
        self._bar = progress_bar(
            total=self._steps, initial=trainer.global_step, unit="step", show=trainer.is_global_zero
        )

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any, **__: Any) -> None:
        """Move it on."""
        self._bar.update(trainer.global_step - self._bar.n)
        if not self._bar.disable:
            shown = {k: f"{float(trainer.callback_metrics[k]):.4g}" for k in _SHOWN if k in trainer.callback_metrics}
            self._bar.set_postfix(shown, refresh=False)

    def on_train_end(self, *_: Any) -> None:
        """Close it."""
        self._bar.close()
