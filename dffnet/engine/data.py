"""The loaders of a run, and how many steps it has."""

from __future__ import annotations

import math
import os
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader, Subset

from dffnet.config import TrainConfig
from dffnet.data.augment import AugmentedStacks, BatchOrder
from dffnet.data.batch import Batch
from dffnet.data.live import LiveStacks
from dffnet.data.shards import ShardStacks, split_by_scene
from dffnet.errors import TrainingError
from focalsim.interrupts import deaf_children


class Loader(DataLoader[Batch]):
    """Its processes leave it to the run to stop at Ctrl-C, between two steps."""

    def __iter__(self) -> Any:
        with deaf_children():
            return super().__iter__()


class StackData(lightning.LightningDataModule):
    """Training and validation loaders over one data set, split by scene.

    Raises TrainingError for fewer stacks than processes, or more ``min_slices`` than there are.
    """

    def __init__(self, stacks: ShardStacks | LiveStacks, config: TrainConfig, *, workers: int, world: int = 1) -> None:
        super().__init__()
        self.stacks, self.config, self.workers, self.world = stacks, config, workers, world
        self.training, self.validation = split_by_scene(stacks.source_ids, config.val_fraction, config.seed)
        self.augmented = AugmentedStacks(stacks, crop_px=config.crop_px, noise=config.noise, seed=config.seed)
        if len(self.training) < world:
            raise TrainingError(f"{len(self.training)} training stacks are too few for {world} processes")
        if config.min_slices > stacks.shape[0]:
            raise TrainingError(f"min_slices is {config.min_slices}, but the stacks have {stacks.shape[0]} slices")

    def batches(self, *, rank: int = 0) -> BatchOrder:
        """The order of the batches of one process."""
        slices = self.stacks.shape[0]
        return BatchOrder(
            self.training,
            batch_size=self.config.batch_size,
            seed=self.config.seed,
            slices=(self.config.min_slices or slices, slices),
            step=self._steps_done,
            rank=rank,
            world=self.world,
        )

    def steps(self) -> int:
        """Length of the run: ``epochs`` or ``max_steps``, whichever ends first."""
        limit = self.config.max_steps if self.config.max_steps != -1 else math.inf
        return int(min(limit, self.config.epochs * len(self.batches())))

    def train_dataloader(self) -> DataLoader[Batch]:
        """One loader for all epochs: the order looks up where the run is."""
        assert self.trainer is not None
        batches = self.batches(rank=self.trainer.global_rank)
        return self._loader(self.augmented, batch_sampler=batches, pin_memory=torch.cuda.is_available())

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Whole images, one at a time, shared out among the processes; no loader where nothing is held out."""
        assert self.trainer is not None
        if not self.validation:
            return []
        return self._loader(Subset(self.stacks, self.validation[self.trainer.global_rank :: self.world]), batch_size=1)

    def _loader(self, stacks: torch.utils.data.Dataset[Batch], **options: object) -> DataLoader[Batch]:
        # DataLoader itself sets torch's threads to one in each worker.
        return Loader(
            stacks,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            multiprocessing_context=self.stacks.start_method if self.workers else None,
            **options,  # type: ignore[arg-type]
        )

    def _steps_done(self) -> int:
        assert self.trainer is not None
        return self.trainer.global_step


def default_workers() -> int:
    """Loader processes for this machine: one CPU is left to compute; more than 8 wait for each other."""
    return min(8, max(0, (os.cpu_count() or 1) - 1))
