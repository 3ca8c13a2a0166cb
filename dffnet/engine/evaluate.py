"""Measure a trained model on shards, beside the guess that every depth is the mean depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from dffnet.data.alignment import displacements_px
from dffnet.data.batch import Batch
from dffnet.data.shards import ShardStacks, shard_files
from dffnet.engine.predictor import Prediction, Predictor
from dffnet.engine.summary import average_of, by_depth, by_phone, depth_bins
from dffnet.metrics import average, depth_measures, pixel_measures, psnr, risk_coverage, ssim
from dffnet.units import UNITS, from_metres
from focalsim.errors import ShardError
from focalsim.progress import progress_bar

Measures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Measures; those of depth by unit ("metres", "dioptres").

    images         one a measured sample: index, name, source_id, phone, and its measures
    model          averages over images and over pixels, see :func:`dffnet.metrics.average`
    mean_depth     the same for the constant of least squared error on these very samples: a bar to pass
    by_phone       ``model`` for the images of each phone
    by_depth       ``model`` for the pixels of each octave of depth
    all_in_focus   psnr (dB) and ssim of the all-in-focus image, mean over images
    alignment_px   misalignment of the slices but the reference, mean and 95th percentile over pixels, then mean
                   over images: ``before`` as given to the model, ``after`` as the model left it
    risk_coverage  mean absolute error in dioptres of the most confident share of pixels, mean over images;
                   ``best`` = where the error itself says what to trust
    skipped        samples without any valid depth
    """

    images: list[dict[str, Any]]
    model: dict[str, dict[str, Measures]]
    mean_depth: dict[str, dict[str, Measures]]
    by_phone: dict[str, dict[str, dict[str, Measures]]]
    by_depth: dict[str, dict[str, dict[str, Measures]]]
    all_in_focus: Measures
    alignment_px: dict[str, Measures]
    risk_coverage: dict[str, list[float]]
    skipped: list[str]


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
    for index, stack in enumerate(progress_bar(loader, total=len(stacks), unit="stack", desc="measure")):
        name = stacks.name(index)
        truth_m, valid = stacks.truth(index)
        if not valid.any():
            skipped.append(name)
            continue
        prediction = predictor(stack.images, stack.focus_positions)
        row = {"index": index, "name": name, "source_id": stacks.source_ids[index], "phone": stacks.phones[index]}
        images.append({**row, **_measure(prediction, stack, truth_m, valid)})
        truths = {unit: from_metres(truth_m, unit) for unit in UNITS}
        guesses.append({unit: depth_measures(np.full_like(t, constants[unit]), t, valid) for unit, t in truths.items()})
    return Evaluation(
        images=images,
        model={unit: average([image[unit] for image in images]) for unit in UNITS},
        mean_depth={unit: average([guess[unit] for guess in guesses]) for unit in UNITS},
        by_phone=by_phone(images),
        by_depth=by_depth(images),
        all_in_focus=average_of([image["all_in_focus"] for image in images]),
        alignment_px={key: average_of([image["alignment_px"][key] for image in images]) for key in ("before", "after")},
        risk_coverage={
            key: np.mean([image["risk_coverage"][key] for image in images], axis=0).tolist()
            for key in ("model", "best")
        },
        skipped=skipped,
    )


def _measure(
    prediction: Prediction, stack: Batch, truth_m: NDArray[np.float32], valid: NDArray[np.bool_]
) -> dict[str, Any]:
    """All measures of one image."""
    bins = {name: valid & inside for name, inside in depth_bins(truth_m).items()}
    pairs = {unit: (from_metres(prediction.depth_m, unit), from_metres(truth_m, unit)) for unit in UNITS}
    error = np.abs(np.subtract(*pairs["dioptres"]))[valid]
    truth_image = stack.all_in_focus.permute(1, 2, 0).numpy()
    return {
        **{unit: depth_measures(*pair, valid) for unit, pair in pairs.items()},
        "by_depth": {
            name: {unit: pixel_measures(*pair, mask) for unit, pair in pairs.items()}
            for name, mask in bins.items()
            if mask.any()
        },
        "all_in_focus": {
            "psnr": psnr(prediction.all_in_focus, truth_image),
            "ssim": ssim(prediction.all_in_focus, truth_image),
        },
        "alignment_px": {
            "before": _misalignment(stack.magnification - 1.0, stack.shift_px, truth_m.shape),
            "after": _misalignment(
                stack.magnification - prediction.magnification, stack.shift_px - prediction.shift_px, truth_m.shape
            ),
        },
        "risk_coverage": {
            "model": risk_coverage(error, prediction.confidence[valid]).tolist(),
            "best": risk_coverage(error, -error).tolist(),
        },
    }


def _misalignment(magnification: Tensor, shift_px: Tensor, size: tuple[int, ...]) -> Measures:
    """Over all pixels of all slices but the reference, the last; of one slice alone: 0."""
    lengths = displacements_px(magnification[:-1], shift_px[:-1], (size[0], size[1])).numpy()
    if not lengths.size:
        return {"mean": 0.0, "p95": 0.0}
    return {"mean": float(lengths.mean()), "p95": float(np.percentile(lengths, 95))}


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
