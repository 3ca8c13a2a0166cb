"""Folding batch norm leaves every model's answers as they are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dffnet.models import MODELS, DepthFromFocusModel, build_model
from dffnet.models.fold import fold_batch_norm

TOLERANCE = 1e-4  # of depth, in units of the distance between focus positions


def used_model(name: str) -> DepthFromFocusModel:
    """A model whose batch norms have seen data and have scales and offsets of their own."""
    torch.manual_seed(0)
    model = build_model(name).train()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(std=0.2)
        for seed in range(3):
            model(*stack_of(seed, batch=2))
    return model.eval()


def stack_of(seed: int, batch: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 4, 3, 64, 64, generator=generator), torch.arange(1.0, 5.0).expand(batch, 4)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_folded_model_gives_the_same(name: str) -> None:
    model = used_model(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    folded = fold_batch_norm(model)
    with torch.no_grad():
        one, other = model(*stack_of(9)), folded(*stack_of(9))
    torch.testing.assert_close(other.depth, one.depth, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(other.confidence, one.confidence, atol=TOLERANCE, rtol=0)
    assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d)]
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_batch_norm_does_matter_here() -> None:
    model = used_model("dff-wild")
    plain = fold_batch_norm(model)
    for module in plain.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d) and module.bias is not None:
            nn.init.zeros_(module.bias)
    with torch.no_grad():
        assert (plain(*stack_of(9)).depth - model(*stack_of(9)).depth).abs().max() > 100 * TOLERANCE


def test_transposed_convolutions_with_equal_channels_fold_along_the_right_axis() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.ConvTranspose3d(4, 4, 3), nn.BatchNorm3d(4)).eval()
    layers[1].weight.data.uniform_(0.1, 2.0)
    x = torch.rand(1, 4, 3, 5, 5)
    torch.testing.assert_close(fold_batch_norm(nn.Sequential(layers).eval())(x), layers(x), atol=1e-5, rtol=0)


def test_a_model_in_training_is_refused() -> None:
    with pytest.raises(ValueError, match="eval mode alone"):
        fold_batch_norm(build_model("dfv").train())
