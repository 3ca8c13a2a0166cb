"""The losses against cases computed by hand; NaN under the mask harms neither value nor gradient."""

from __future__ import annotations

import math

import pytest
import torch

from dffnet.data.batch import Batch
from dffnet.losses import (
    LOSSES,
    OWN_LOSSES,
    edge_aware_smoothness,
    loss_of,
    masked_mse,
    masked_smooth_l1,
    multi_scale_mse,
    scale_invariant,
)
from dffnet.models import DepthOutput


def batch_of(target: torch.Tensor, valid: torch.Tensor, **fields: torch.Tensor) -> Batch:
    b, h, w = target.shape
    batch = Batch(
        images=torch.zeros(b, 2, 3, h, w),
        focus_positions=torch.ones(b, 2),
        target=target,
        valid=valid,
        all_in_focus=torch.zeros(b, 3, h, w),
        magnification=torch.ones(b, 2),
        shift_px=torch.zeros(b, 2, 2),
    )
    return batch._replace(**fields)


def output_of(depths: list[torch.Tensor]) -> DepthOutput:
    b, h, w = depths[0].shape
    return DepthOutput(depths, depths[0], [torch.zeros(b, 2, h, w)] * len(depths), torch.zeros(b, 2, 3, h, w))


def test_scales_are_weighted_coarse_to_fine() -> None:
    target, valid = torch.zeros(1, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool)
    depths = [torch.full((1, 2, 2), float(i)) for i in (1, 2, 3, 4)]
    loss = multi_scale_mse(output_of(depths), batch_of(target, valid))
    assert loss.item() == pytest.approx(0.3 * 1 + 0.5 * 4 + 0.7 * 9 + 1.0 * 16)
    assert LOSSES["multi-scale-mse"] is multi_scale_mse
    assert multi_scale_mse(output_of(depths[:1]), batch_of(target, valid)).item() == 1.0


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


def test_the_all_in_focus_loss_by_hand() -> None:
    # One row of two pixels, two grey slices, logits (0, ln 3): weights 1/4 and 3/4 at both pixels.
    stack = torch.tensor([[0.2, 0.4], [0.6, 0.8]]).reshape(1, 2, 1, 1, 2).expand(-1, -1, 3, -1, -1)
    logits = torch.tensor([0.0, math.log(3.0)]).reshape(1, 2, 1, 1).expand(-1, -1, -1, 2)
    depth = torch.tensor([[[1.0, 1.5]]])
    output = DepthOutput([depth] * 4, depth, [logits] * 4, stack)
    valid = torch.zeros(1, 1, 2, dtype=torch.bool)  # depth is of no use here
    batch = batch_of(torch.zeros(1, 1, 2), valid, all_in_focus=torch.full((1, 3, 1, 2), 0.4))
    # I = 0.2/4 + 0.6 * 3/4 = 0.5 and 0.4/4 + 0.8 * 3/4 = 0.7
    torch.testing.assert_close(output.all_in_focus()[0, 0], torch.tensor([[0.5, 0.7]]))
    smooth = math.exp(-150 * 3 * 0.2) * 0.5
    expected = (0.3 + 0.5 + 0.7 + 1.0) * ((0.1 + 0.3) / 2 + 0.002 * smooth)
    assert LOSSES["all-in-focus"](output, batch).item() == pytest.approx(expected, rel=1e-5)
    both = LOSSES["multi-scale-mse+all-in-focus"](output, batch._replace(valid=~valid)).item()
    assert both == pytest.approx(expected + 2.5 * (1.0 + 2.25) / 2, rel=1e-5)


def test_smoothness_spares_depth_edges_at_image_edges() -> None:
    depth = torch.tensor([[[1.0, 1.0, 3.0], [1.0, 1.0, 3.0]]])
    flat = torch.full((1, 3, 2, 3), 0.5)
    faint = flat.clone()
    faint[..., 2] += 0.002  # sum over channels 0.006, times 150: exp(-0.9)
    assert edge_aware_smoothness(depth, flat).item() == pytest.approx(1.0)  # slopes 0 and 2 along x, 0 along y
    assert edge_aware_smoothness(depth, faint).item() == pytest.approx(math.exp(-0.9), rel=1e-3)
    assert edge_aware_smoothness(depth.mT, faint.mT).item() == pytest.approx(math.exp(-0.9), rel=1e-3)


def test_the_all_in_focus_loss_moves_logits_to_the_sharp_slice() -> None:
    logits = torch.zeros(1, 2, 4, 4, requires_grad=True)
    sharp, blurred = torch.rand(1, 1, 3, 4, 4), torch.full((1, 1, 3, 4, 4), 0.5)
    depth = torch.zeros(1, 4, 4)
    output = DepthOutput([depth], depth, [logits], torch.cat([blurred, sharp], dim=1))
    batch = batch_of(depth, depth > 0, all_in_focus=sharp[:, 0])
    LOSSES["all-in-focus"](output, batch).backward()
    assert logits.grad is not None
    assert (logits.grad[:, 1] < 0).all()


def test_smooth_l1_and_scale_invariant_by_hand() -> None:
    target, valid = torch.tensor([[[1.0, 1.0, float("nan")]]]), torch.tensor([[[True, True, False]]])
    prediction = torch.tensor([[[1.5, 4.0, float("nan")]]], requires_grad=True)
    assert masked_smooth_l1(prediction, target, valid).item() == pytest.approx((0.5 * 0.25 + 2.5) / 2)
    batch = batch_of(target, valid)
    d = [math.log(1.5), math.log(4.0)]
    expected = (d[0] ** 2 + d[1] ** 2) / 2 - 0.5 * ((d[0] + d[1]) / 2) ** 2
    loss = scale_invariant(output_of([prediction]), batch)
    assert loss.item() == pytest.approx(expected)
    loss.backward()
    assert prediction.grad is not None
    assert torch.isfinite(prediction.grad).all()
    nothing = batch._replace(valid=torch.zeros_like(valid))
    for name in ("multi-scale-smooth-l1", "scale-invariant"):
        assert LOSSES[name](output_of([prediction]), nothing).item() == 0.0


def test_the_losses_of_the_other_papers() -> None:
    target, valid = torch.zeros(1, 1, 2), torch.tensor([[[True, False]]])
    depths = [torch.tensor([[[v, math.nan]]]) for v in (0.5, 1.5, 0.0, 3.0)]
    output, batch = output_of(depths), batch_of(target, valid)
    expected = (1 * 0.125 + 2 * 1.0 + 4 * 0.0 + 8 * 2.5) / 15  # smooth L1: e^2/2 below 1, e - 1/2 above
    assert LOSSES["dfv-smooth-l1"](output, batch).item() == pytest.approx(expected)
    assert LOSSES["l1"](output, batch).item() == 3.0


def test_each_model_has_the_loss_of_its_paper() -> None:
    for model, name in OWN_LOSSES.items():
        assert loss_of("own", model) is LOSSES[name]
    assert loss_of("l1", "dfv") is LOSSES["l1"]
