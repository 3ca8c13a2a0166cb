"""AiFDepthNet and DFV: size, any N, H and W, every parameter learns, and what is particular to each."""

from __future__ import annotations

import pytest
import torch

from dffnet.data.batch import Batch
from dffnet.losses import LOSSES
from dffnet.models import build_model
from dffnet.models.aif_depth_net import AiFDepthNet
from dffnet.models.dfv import differences
from dffnet.models.interface import focus_weights, regress_depth

NAMES = ["aif-depth-net", "dfv"]


def batch_of(slices: int, height: int, width: int) -> Batch:
    """Two stacks; the left half is sharp in the first slice, the right half in the last."""
    generator = torch.Generator().manual_seed(slices)
    sharp = torch.rand(2, 3, height, width, generator=generator)
    images = torch.full((2, slices, 3, height, width), 0.5)
    left = torch.arange(width) < width // 2
    images[:, 0, :, :, left] = sharp[..., left]
    images[:, -1, :, :, ~left] = sharp[..., ~left]
    positions = torch.linspace(1.0, 5.0, slices).expand(2, slices)
    return Batch(
        images=images,
        focus_positions=positions,
        target=torch.where(left, 1.0, 5.0).expand(2, height, width),
        valid=torch.ones(2, height, width, dtype=torch.bool),
        all_in_focus=sharp,
        magnification=torch.ones(2, slices),
        shift_px=torch.zeros(2, slices, 2),
    )


def test_aif_depth_net_has_the_published_size() -> None:
    assert sum(p.numel() for p in AiFDepthNet().parameters()) == pytest.approx(16.5e6, rel=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_any_number_of_slices_and_any_size(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name).eval()
    for slices, height, width in ((1, 33, 20), (2, 20, 65), (6, 32, 32)):
        batch = batch_of(slices, height, width)
        with torch.no_grad():
            output = model(batch.images, batch.focus_positions)
        assert output.depth.shape == output.confidence.shape == (2, height, width)
        assert output.all_in_focus().shape == (2, 3, height, width)
        assert len(output.depths) == len(output.logits) == 1
        assert ((output.depth >= 1.0 - 1e-4) & (output.depth <= 5.0 + 1e-4)).all()
        if slices == 1:
            torch.testing.assert_close(output.all_in_focus(), batch.images[:, 0])


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_and_every_parameter_gets_a_gradient(name: str) -> None:
    torch.manual_seed(0)
    batch, model = batch_of(3, 64, 64), build_model(name).train()
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for step in range(8):
        loss = LOSSES["multi-scale-mse+all-in-focus"](model(batch.images, batch.focus_positions), batch)
        optimiser.zero_grad()
        loss.backward()
        if step == 0:
            without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
            assert without == []
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0], losses


def test_one_volume_gives_depth_and_image() -> None:
    torch.manual_seed(0)
    batch = batch_of(3, 32, 32)
    with torch.no_grad():
        output = AiFDepthNet().eval()(batch.images, batch.focus_positions)
    (logits,) = output.logits
    torch.testing.assert_close(output.depth, regress_depth(focus_weights(logits), batch.focus_positions))
    image = (logits.softmax(dim=1)[:, :, None] * batch.images).sum(dim=1)
    torch.testing.assert_close(output.all_in_focus(), image)


def test_differences_along_the_focus_axis() -> None:
    volume = torch.tensor([5.0, 7.0, 4.0]).reshape(1, 1, 3, 1, 1)
    assert differences(volume).flatten().tolist() == [-2.0, 3.0, 4.0]
    assert differences(volume[:, :, :1]).flatten().tolist() == [5.0]


def test_dfv_trains_on_four_levels_and_weighs_by_softmax() -> None:
    torch.manual_seed(0)
    batch, model = batch_of(4, 64, 64), build_model("dfv").train()
    output = model(batch.images, batch.focus_positions)
    assert len(output.depths) == 4
    weights = output.logits[-1].softmax(dim=1)
    torch.testing.assert_close(output.depth, regress_depth(weights, batch.focus_positions))
