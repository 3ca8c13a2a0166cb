"""What a run keeps: the best model, and the state from which it can go on."""

from __future__ import annotations

import math
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from dffnet.checkpoint import save_checkpoint
from dffnet.engine.module import DepthTraining

SAVE_EVERY_S = 600.0  # within an epoch
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Break(Exception):
    """Raised between two steps, after the state has been saved. ``asked``: by a signal, not by the clock."""

    def __init__(self, asked: bool) -> None:
        super().__init__()
        self.asked = asked


class KeepBest(Callback):
    """Writes the model whenever its validation error is the smallest so far."""

    def __init__(self, path: Path) -> None:
        self.path, self.best, self.step = path, float("nan"), -1

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Compare and write, on the first process."""
        self.step = trainer.global_step
        error = float(trainer.callback_metrics.get("val_mae", float("nan")))
        if math.isnan(self.best) or error < self.best:
            self.best = error
            if trainer.is_global_zero:
                self.save(pl_module)

    def save(self, module: lightning.LightningModule) -> None:
        """Write the model as it is."""
        assert isinstance(module, DepthTraining)
        save_checkpoint(self.path, module.answer, module.config)

    def state_dict(self) -> dict[str, float]:
        """What a resumed run needs to know."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """The inverse of :meth:`state_dict`."""
        self.best = state_dict["best"]


class KeepState(Callback):
    """Saves the state at the end of each epoch, every ten minutes, and before the run is broken off.

    It is broken off, between two steps, by SIGINT or SIGTERM (at once by a second one) and after ``max_time_s``.
    """

    def __init__(self, path: Path, max_time_s: float | None) -> None:
        self.path, self.max_time_s = path, max_time_s
        self._asked = False
        self._handlers: dict[signal.Signals, Any] = {}

    def on_train_start(self, *_: Any) -> None:
        """Start the clock; listen."""
        self._started = self._saved = time.monotonic()
        for number in _SIGNALS:
            try:
                self._handlers[number] = signal.signal(number, self._ask)
            except ValueError:  # not in the main thread
                return

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any, **__: Any) -> None:
        """Save between epochs' ends where it is time to. The end of an epoch waits for the validation."""
        asked, late, due = self._agree(trainer)
        if trainer.is_last_batch:
            return
        if asked or late or due or trainer.global_step == trainer.max_steps:
            self._save(trainer)
        if asked or late:
            raise Break(asked)

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Save after whole epochs; after a part of one :meth:`on_train_batch_end` has done it."""
        if trainer.is_last_batch:
            self._save(trainer)
            asked, late, _due = self._agree(trainer)
            if asked or late:
                raise Break(asked)

    def on_exception(self, *_: Any) -> None:
        """Leave signals as they were."""
        self._stop_listening()

    def teardown(self, *_: Any, **__: Any) -> None:
        """The same, of a run that ends by itself."""
        self._stop_listening()

    def _stop_listening(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        self._asked = True
        signal.signal(number, signal.default_int_handler)

    def _agree(self, trainer: lightning.Trainer) -> tuple[bool, bool, bool]:
        """(asked, late, due) to save, the same in all processes."""
        now = time.monotonic()
        late = self.max_time_s is not None and now - self._started >= self.max_time_s
        flags = (self._asked, late, now - self._saved >= SAVE_EVERY_S)
        if trainer.world_size == 1:
            return flags
        asked, late, due = (trainer.strategy.reduce_boolean_decision(flag, all=False) for flag in flags)
        return asked, late, due

    def _save(self, trainer: lightning.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved = time.monotonic()
