"""Random crops, flips, turns and colour, one draw for all slices of a stack."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dffnet.data.batch import Batch

# Won & Jeon, "Learning Depth from Focus in the Wild", released training code.
CONTRAST, BRIGHTNESS, GAMMA = (0.4, 1.6), (-0.1, 0.1), (0.5, 2.0)


class AugmentedStacks(Dataset[Batch]):
    """Some stacks of a data set in random order, cropped to ``crop_px`` squares and augmented.

    Order and draws depend on seed, epoch and sample alone, not on the number of workers or on a restart. The
    trainer sets ``epoch`` before a loader goes through the stacks.
    """

    def __init__(self, stacks: Dataset[Batch], indices: Sequence[int], *, crop_px: int, seed: int) -> None:
        self.stacks, self.indices, self.crop_px, self.seed = stacks, indices, crop_px, seed
        self.epoch = 0

    @property
    def epoch(self) -> int:
        """Which pass over the stacks; a new one is a new order."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._order = np.random.default_rng([self.seed, epoch]).permutation(self.indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Batch:
        sample = int(self._order[index])
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(self.epoch, sample)))
        return augment(self.stacks[sample], self.crop_px, rng)


def augment(stack: Batch, crop_px: int, rng: np.random.Generator) -> Batch:
    """Crop one stack to at most crop_px x crop_px, flip, turn (squares alone) and recolour it."""
    height, width = stack.target.shape
    h, w = min(height, crop_px), min(width, crop_px)
    top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
    flips = [axis for axis in (-2, -1) if rng.random() < 0.5]
    turns = int(rng.integers(4)) if h == w else 0

    def move(x: Tensor) -> Tensor:
        x = x[..., top : top + h, left : left + w]
        return torch.rot90(x.flip(flips), turns, (-2, -1))

    colour = rng.uniform(*CONTRAST), rng.uniform(*BRIGHTNESS), rng.uniform(*GAMMA)
    # The image centre, about which slices are magnified, is off the crop's centre: the difference is a shift.
    off_centre = torch.tensor([left + (w - width) / 2, top + (h - height) / 2], dtype=torch.float32)
    shift = stack.shift_px + (stack.magnification[:, None] - 1.0) * off_centre
    shift = shift * torch.tensor([-1.0 if axis in flips else 1.0 for axis in (-1, -2)])
    for _ in range(turns):  # a quarter turn takes x to -y and y to x
        shift = torch.stack([shift[:, 1], -shift[:, 0]], dim=1)
    return stack._replace(
        images=recolour(move(stack.images), *colour),
        target=move(stack.target),
        valid=move(stack.valid),
        all_in_focus=recolour(move(stack.all_in_focus), *colour),
        shift_px=shift,
    )


def recolour(images: Tensor, contrast: float, brightness: float, gamma: float) -> Tensor:
    """clip(0.5 + contrast (x - 0.5) + brightness)^gamma of images in [0, 1]."""
    return (0.5 + contrast * (images - 0.5) + brightness).clamp(0.0, 1.0).pow(gamma)
