"""The supervised loss: weights, mask, and that NaN under the mask harms neither value nor gradient."""

from __future__ import annotations

import pytest
import torch

from dffnet.data.batch import Batch
from dffnet.losses import LOSSES, masked_mse, multi_scale_mse
from dffnet.models import DepthOutput


def batch_of(target: torch.Tensor, valid: torch.Tensor) -> Batch:
    b = target.shape[0]
    return Batch(torch.zeros(b, 2, 3, *target.shape[1:]), torch.ones(b, 2), target, valid)


def test_scales_are_weighted_coarse_to_fine() -> None:
    target, valid = torch.zeros(1, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool)
    depths = [torch.full((1, 2, 2), float(i)) for i in (1, 2, 3, 4)]
    loss = multi_scale_mse(DepthOutput(depths, depths[0]), batch_of(target, valid))
    assert loss.item() == pytest.approx(0.3 * 1 + 0.5 * 4 + 0.7 * 9 + 1.0 * 16)
    assert LOSSES["multi-scale-mse"] is multi_scale_mse
    assert multi_scale_mse(DepthOutput(depths[:1], depths[0]), batch_of(target, valid)).item() == 1.0


def test_invalid_pixels_have_no_influence_even_as_nan() -> None:
    target = torch.tensor([[[1.0, float("nan")]]])
    valid = torch.tensor([[[True, False]]])
    prediction = torch.tensor([[[3.0, float("inf")]]], requires_grad=True)
    loss = masked_mse(prediction, target, valid)
    loss.backward()
    assert loss.item() == 4.0
    assert prediction.grad is not None
    assert prediction.grad.tolist() == [[[4.0, 0.0]]]


def test_no_valid_pixel_gives_zero_and_a_gradient_of_zero() -> None:
    prediction = torch.ones(1, 2, 2, requires_grad=True)
    loss = masked_mse(prediction, torch.zeros(1, 2, 2), torch.zeros(1, 2, 2, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0
    assert prediction.grad is not None
    assert prediction.grad.abs().sum() == 0


def test_a_nan_prediction_shows() -> None:
    valid = torch.ones(1, 1, 1, dtype=torch.bool)
    assert masked_mse(torch.full((1, 1, 1), float("nan")), torch.ones(1, 1, 1), valid).isnan()
