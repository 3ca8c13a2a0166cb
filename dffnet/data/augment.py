"""Random crops, flips, turns, colour, noise and numbers of slices: which stacks make a batch, and how they are seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from dffnet.data.batch import Batch
from dffnet.data.live import LiveStacks
from dffnet.data.shards import ShardStacks

# Won & Jeon, "Learning Depth from Focus in the Wild", released training code.
CONTRAST, BRIGHTNESS, GAMMA = (0.4, 1.6), (-0.1, 0.1), (0.5, 2.0)


class Draw(NamedTuple):
    """What an augmented stack depends on besides the seed: nothing of it knows workers, processes or restarts."""

    epoch: int
    sample: int
    slices: int  # how many to keep


class BatchOrder(Sampler[list[Draw]]):
    """Which stacks make which batch: the batches of one process, a function of seed and step alone.

    A batch is ``batch_size`` stacks for each of ``world`` processes; the one of ``rank`` gets its own. Iterating
    goes on at ``step()``, the number of steps done, to the end of that step's epoch, so that a run resumed in
    the middle of an epoch sees what it would have seen. Stacks that fill no batch wait for another epoch's order.
    """

    def __init__(
        self,
        indices: Sequence[int],
        *,
        batch_size: int,
        seed: int,
        slices: tuple[int, int],
        step: Callable[[], int],
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.indices, self.seed, self.slices, self.step = list(indices), seed, slices, step
        self.rank, self.world = rank, world
        # A data set smaller than a batch is one batch.
        self.batch_size = max(1, min(batch_size, len(self.indices) // world))

    def __len__(self) -> int:
        """Batches in an epoch, whatever ``step()`` is."""
        return len(self.indices) // (self.batch_size * self.world)

    def __iter__(self) -> Iterator[list[Draw]]:
        epoch, done = divmod(self.step(), len(self))
        order = np.random.default_rng([self.seed, epoch]).permutation(self.indices)
        fewest, most = self.slices
        counts = np.random.default_rng([self.seed, epoch, 1]).integers(fewest, most + 1, len(self))
        for batch in range(done, len(self)):
            first = (batch * self.world + self.rank) * self.batch_size
            yield [Draw(epoch, int(i), int(counts[batch])) for i in order[first : first + self.batch_size]]


class AugmentedStacks(Dataset[Batch]):
    """The stacks of a data set as a :class:`Draw` wants them, cropped to ``crop_px`` squares."""

    def __init__(self, stacks: ShardStacks | LiveStacks, *, crop_px: int, noise: float, seed: int) -> None:
        self.stacks, self.crop_px, self.noise, self.seed = stacks, crop_px, noise, seed

    def __getitem__(self, draw: Draw) -> Batch:
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(draw.epoch, draw.sample)))
        stack = augment(self.stacks.seen(draw.epoch, draw.sample), self.crop_px, rng)
        return add_noise(take_slices(stack, draw.slices, rng), self.noise, rng)


def take_slices(stack: Batch, count: int, rng: np.random.Generator) -> Batch:
    """``count`` of the N slices in their order; always the last, in whose geometry the truth is given."""
    n = len(stack.images)
    kept = np.sort(np.append(rng.choice(n - 1, count - 1, replace=False), n - 1)) if count < n else np.arange(n)
    return stack._replace(
        images=stack.images[kept],
        focus_positions=stack.focus_positions[kept],
        magnification=stack.magnification[kept],
        shift_px=stack.shift_px[kept],
    )


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
    # In place but for the first step: fresh memory costs more than the arithmetic.
    return (images - 0.5).mul_(contrast).add_(0.5).add_(brightness).clamp_(0.0, 1.0).pow_(gamma)


def add_noise(stack: Batch, largest: float, rng: np.random.Generator) -> Batch:
    """Gaussian noise of one standard deviation from [0, largest) on all slices, not on the all-in-focus image."""
    if not largest:
        return stack
    deviation = rng.uniform(0.0, largest)
    # PyTorch's normal numbers take a third of the time of NumPy's.
    noise = torch.randn(stack.images.shape, generator=torch.Generator().manual_seed(int(rng.integers(2**63))))
    return stack._replace(images=noise.mul_(deviation).add_(stack.images).clamp_(0.0, 1.0))
