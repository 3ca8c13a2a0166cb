"""Measure a trained model on shards, beside the guess that every depth is the mean depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from tqdm import tqdm

from dffnet.data.shards import ShardStacks, shard_files
from dffnet.engine.predictor import Predictor
from dffnet.metrics import average, depth_measures
from dffnet.units import UNITS, from_metres
from focalsim.errors import ShardError

Measures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Measures by unit ("metres", "dioptres").

    images      one a measured sample: index, name, source_id, phone, and its measures by unit
    model       averages over images and over pixels, see :func:`dffnet.metrics.average`
    mean_depth  the same for the constant of least squared error on these very samples: a bar to pass
    skipped     samples without any valid depth
    """

    images: list[dict[str, Any]]
    model: dict[str, dict[str, Measures]]
    mean_depth: dict[str, dict[str, Measures]]
    skipped: list[str]

    def ranked(self) -> list[dict[str, Any]]:
        """The images, best first by relative error in metres; a non-finite error is the worst."""
        errors = [image["metres"]["abs_rel"] for image in self.images]
        order = np.argsort(np.nan_to_num(errors, nan=np.inf), kind="stable")
        return [self.images[i] for i in order]


def open_stacks(predictor: Predictor, shards: Sequence[Path], align: str | None = None) -> ShardStacks:
    """The stacks as the model was trained on them; ``align`` overrides the checkpoint's."""
    config = predictor.config
    return ShardStacks(shard_files(shards), unit=config.unit, align=align or config.align)


def evaluate(predictor: Predictor, stacks: ShardStacks, *, workers: int = 0) -> Evaluation:
    """Measure ``predictor`` on all ``stacks``. Raises ShardError where no sample has valid depth."""
    constants = _mean_depths(stacks)
    images: list[dict[str, Any]] = []
    guesses: list[dict[str, Measures]] = []
    skipped: list[str] = []
    loader = DataLoader(stacks, batch_size=None, num_workers=workers)
    for index, stack in enumerate(tqdm(loader, total=len(stacks), unit="stack", disable=None)):
        name = stacks.name(index)
        truth_m, valid = stacks.truth(index)
        if not valid.any():
            skipped.append(name)
            continue
        depth_m, _ = predictor(stack.images, stack.focus_positions)
        row: dict[str, Any] = {"index": index, "name": name, "source_id": stacks.source_ids[index]}
        guess: dict[str, Measures] = {}
        for unit in UNITS:
            truth = from_metres(truth_m, unit)
            row[unit] = depth_measures(from_metres(depth_m, unit), truth, valid)
            guess[unit] = depth_measures(np.full_like(truth, constants[unit]), truth, valid)
        images.append(row)
        guesses.append(guess)
    return Evaluation(
        images=images,
        model={unit: average([image[unit] for image in images]) for unit in UNITS},
        mean_depth={unit: average([guess[unit] for guess in guesses]) for unit in UNITS},
        skipped=skipped,
    )


def _mean_depths(stacks: ShardStacks) -> Measures:
    """Mean over all valid pixels, in each unit."""
    sums, pixels = dict.fromkeys(UNITS, 0.0), 0
    for index in range(len(stacks)):
        truth_m, valid = stacks.truth(index)
        pixels += int(valid.sum())
        for unit in UNITS:
            values: NDArray[np.float64] = from_metres(truth_m[valid].astype(np.float64), unit)
            sums[unit] += float(values.sum())
    if not pixels:
        raise ShardError("none of the samples has a pixel of valid depth")
    return {unit: total / pixels for unit, total in sums.items()}
