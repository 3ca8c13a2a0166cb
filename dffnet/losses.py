"""Losses by name: ``loss(output, batch) -> scalar``. A new one is a function and a line in ``LOSSES``."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dffnet.data.batch import Batch
from dffnet.models import DepthOutput

Loss = Callable[[DepthOutput, Batch], Tensor]

SCALE_WEIGHTS = (0.3, 0.5, 0.7, 1.0)  # D1..D4 (Won & Jeon 2022, supplement, section 3)


def multi_scale_mse(output: DepthOutput, batch: Batch) -> Tensor:
    """sum_i w_i MSE(D_i) over the valid pixels of the batch, w = 0.3, 0.5, 0.7, 1.0 for D1..D4.

    A model with fewer maps takes the last weights. In the unit of the target, squared.
    """
    weights = SCALE_WEIGHTS[-len(output.depths) :]
    errors = [masked_mse(depth, batch.target, batch.valid) for depth in output.depths]
    return torch.stack([w * e for w, e in zip(weights, errors, strict=True)]).sum()


def masked_mse(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean squared error over ``valid``; all (B, H, W). Invalid pixels, be they NaN, have no influence.

    A non-finite prediction at a valid pixel makes the result non-finite. Without valid pixels: 0, gradient 0.
    """
    # Masked before the square: NaN * 0 is NaN, in the backward pass too.
    difference = torch.where(valid, prediction, 0.0) - torch.where(valid, target, 0.0)
    return difference.square().sum() / valid.sum().clamp(min=1)


LOSSES: dict[str, Loss] = {"multi-scale-mse": multi_scale_mse}
