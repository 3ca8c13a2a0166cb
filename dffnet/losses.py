"""Losses by name: ``loss(output, batch) -> scalar``. A new one is a function and a line in ``LOSSES``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from dffnet.config import OWN_LOSS
from dffnet.data.alignment import misalignment_px
from dffnet.data.batch import Batch
from dffnet.models import DepthOutput
from focalsim.errors import ConfigError

Loss = Callable[[DepthOutput, Batch], Tensor]

SCALE_WEIGHTS = (0.3, 0.5, 0.7, 1.0)  # D1..D4 (Won & Jeon 2022, supplement, section 3)
DFV_WEIGHTS = (1 / 15, 2 / 15, 4 / 15, 8 / 15)  # coarse to fine (Yang et al. 2022, released training code)

SMOOTHNESS, EDGE_SHARPNESS = 0.002, 150.0  # the weight in equation 4, and a of equation 6
LAMBDA = 0.5  # Eigen et al. 2014: 0 = plain log error, 1 = the scale does not matter at all


def multi_scale_mse(output: DepthOutput, batch: Batch) -> Tensor:
    """sum_i w_i MSE(D_i) over the valid pixels of the batch, w = 0.3, 0.5, 0.7, 1.0 for D1..D4.

    A model with fewer maps takes the last weights. In the unit of the target, squared.
    """
    return _over_scales([masked_mse(depth, batch.target, batch.valid) for depth in output.depths])


def multi_scale_smooth_l1(output: DepthOutput, batch: Batch) -> Tensor:
    """sum_i w_i of the smooth L1 error: e^2/2 for |e| < 1 in the unit of the target, |e| - 1/2 above."""
    return _over_scales([masked_smooth_l1(depth, batch.target, batch.valid) for depth in output.depths])


def dfv_smooth_l1(output: DepthOutput, batch: Batch) -> Tensor:
    """The same with the weights of DFV: 1, 2, 4, 8 fifteenths, coarse to fine (Yang et al. 2022)."""
    errors = [masked_smooth_l1(depth, batch.target, batch.valid) for depth in output.depths]
    return _over_scales(errors, DFV_WEIGHTS)


def l1(output: DepthOutput, batch: Batch) -> Tensor:
    """Mean absolute error of the finest map over the valid pixels (AiFDepthNet, Wang et al. 2021)."""
    error = torch.where(batch.valid, output.depth, 0.0) - torch.where(batch.valid, batch.target, 0.0)
    return error.abs().sum() / batch.valid.sum().clamp(min=1)


def scale_invariant(output: DepthOutput, batch: Batch) -> Tensor:
    """sum_i w_i (mean d^2 - 0.5 (mean d)^2), d = ln D_i - ln truth, means over an image (Eigen et al. 2014)."""
    return _over_scales([scale_invariant_error(depth, batch.target, batch.valid) for depth in output.depths])


def all_in_focus(output: DepthOutput, batch: Batch) -> Tensor:
    """sum_i w_i (|I_i - I_gt|_1 + 0.002 L_smooth_i): needs no depth (Won & Jeon 2022, supplement, equation 4).

    Norms are means over pixels (and channels in equation 5); images are sRGB in [0, 1].
    """
    errors = []
    for scale, depth in enumerate(output.depths):
        image = output.all_in_focus(scale)
        errors.append((image - batch.all_in_focus).abs().mean() + SMOOTHNESS * edge_aware_smoothness(depth, image))
    return _over_scales(errors)


def alignment(output: DepthOutput, batch: Batch) -> Tensor:
    """Mean over all slices but the reference of their misalignment, a root mean square over the image in pixels.

    Raises ConfigError for the output of a model that does not align.
    """
    if output.alignment is None:
        raise ConfigError("the loss 'alignment' needs a model that aligns, such as 'dff-wild-e2e'")
    scale = output.alignment.magnification - batch.magnification
    shift = output.alignment.shift_px - batch.shift_px
    errors = misalignment_px(scale, shift, (batch.target.shape[-2], batch.target.shape[-1]))
    return errors[:, :-1].sum() / max(1, errors[:, :-1].numel())


def edge_aware_smoothness(depth: Tensor, image: Tensor) -> Tensor:
    """exp(-a sum_c |dI/dx|) |dD/dx| + the same in y, a = 150, mean over pixels (equation 6).

    depth (B, H, W), image (B, 3, H, W) in [0, 1]; derivatives are differences of neighbours.
    """
    total = depth.new_zeros(())
    for axis in (-1, -2):
        slope = depth.diff(dim=axis).abs()
        if slope.numel():  # not an image of one row or column
            contrast = image.diff(dim=axis).abs().sum(dim=1)
            total = total + ((-EDGE_SHARPNESS * contrast).exp() * slope).mean()
    return total


def masked_mse(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean squared error over ``valid``; all (B, H, W). Invalid pixels, be they NaN, have no influence.

    A non-finite prediction at a valid pixel makes the result non-finite. Without valid pixels: 0, gradient 0.
    """
    # Masked before the square: NaN * 0 is NaN, in the backward pass too.
    difference = torch.where(valid, prediction, 0.0) - torch.where(valid, target, 0.0)
    return difference.square().sum() / valid.sum().clamp(min=1)


def masked_smooth_l1(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """As :func:`masked_mse`, with the smooth L1 error."""
    masked_prediction, masked_target = torch.where(valid, prediction, 0.0), torch.where(valid, target, 0.0)
    return F.smooth_l1_loss(masked_prediction, masked_target, reduction="sum") / valid.sum().clamp(min=1)


def scale_invariant_error(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """mean d^2 - 0.5 (mean d)^2 of d = ln prediction - ln target, mean over the images that have valid pixels."""
    d = torch.where(valid, prediction.clamp(min=1e-6), 1.0).log() - torch.where(valid, target, 1.0).log()
    pixels = valid.sum(dim=(1, 2)).clamp(min=1)
    errors = d.square().sum(dim=(1, 2)) / pixels - LAMBDA * (d.sum(dim=(1, 2)) / pixels).square()
    return errors.sum() / valid.any(dim=2).any(dim=1).sum().clamp(min=1)


def _over_scales(errors: list[Tensor], weights: Sequence[float] = SCALE_WEIGHTS) -> Tensor:
    return torch.stack([w * e for w, e in zip(weights[-len(errors) :], errors, strict=True)]).sum()


def _sum(*losses: Loss) -> Loss:
    return lambda output, batch: torch.stack([loss(output, batch) for loss in losses]).sum()


LOSSES: dict[str, Loss] = {
    "multi-scale-mse": multi_scale_mse,
    "multi-scale-smooth-l1": multi_scale_smooth_l1,
    "dfv-smooth-l1": dfv_smooth_l1,
    "l1": l1,
    "scale-invariant": scale_invariant,
    "all-in-focus": all_in_focus,
    "alignment": alignment,
    "multi-scale-mse+all-in-focus": _sum(multi_scale_mse, all_in_focus),
    "multi-scale-mse+alignment": _sum(multi_scale_mse, alignment),
}

# What the paper of each model trains it with; the others take the first.
OWN_LOSSES = {
    "dff-wild": "multi-scale-mse",
    "dff-wild-e2e": "multi-scale-mse+alignment",
    "aif-depth-net": "l1",
    "dfv": "dfv-smooth-l1",
}


def loss_of(name: str, model: str) -> Loss:
    """The loss of that name; "own" is that of the model's paper. Raises ConfigError for an unknown name."""
    name = OWN_LOSSES.get(model, "multi-scale-mse") if name == OWN_LOSS else name
    if name not in LOSSES:
        raise ConfigError(f"unknown loss {name!r}; known: {OWN_LOSS}, {', '.join(sorted(LOSSES))}")
    return LOSSES[name]
