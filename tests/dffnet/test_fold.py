"""What makes inference fast leaves every model's answers as they are."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from dffnet.models import MODELS, DepthFromFocusModel, build_model
from dffnet.models.fold import fold_batch_norm
from dffnet.models.onednn import OneDnnConv3d, OneDnnUp, use_onednn

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
def test_the_model_for_inference_gives_the_same(name: str) -> None:
    model = used_model(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    folded = fold_batch_norm(model)
    direct = copy.deepcopy(folded)
    use_onednn(direct)
    for batch in (1, 2):
        with torch.no_grad():
            one = model(*stack_of(9, batch))
            for other in (folded(*stack_of(9, batch)), direct(*stack_of(9, batch))):
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


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN")
def test_every_kind_of_convolution_goes_through_onednn_unchanged() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 4, 3, 12, 11)
    for conv in (
        nn.Conv3d(4, 6, (1, 9, 9), padding=(0, 8, 8), dilation=(1, 2, 2), bias=False),
        nn.Conv3d(4, 6, 3, stride=(1, 2, 2), padding=1),
        nn.Conv3d(4, 1, 1),
        nn.Conv3d(4, 4, (3, 1, 1), padding=(1, 0, 0)),
    ):
        model = nn.Sequential(conv)
        with torch.no_grad():
            expected = model(x)
            use_onednn(model)
            assert isinstance(model[0], OneDnnConv3d)
            torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=0)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN")
@pytest.mark.parametrize("bias", [True, False])
def test_a_transposed_convolution_is_four_ordinary_ones(bias: bool) -> None:
    torch.manual_seed(0)
    up = nn.ConvTranspose3d(6, 4, 3, stride=(1, 2, 2), padding=1, output_padding=(0, 1, 1), bias=bias)
    other = nn.ConvTranspose3d(4, 4, (3, 4, 4), stride=(1, 2, 2), padding=1)
    model, x = nn.Sequential(up, other), torch.rand(2, 6, 3, 5, 7)
    with torch.no_grad():
        expected = model(x)
        use_onednn(model)
        assert isinstance(model[0], OneDnnUp)
        assert model[1] is other  # of another shape: left alone
        torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=0)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN")
def test_a_relu_is_taken_in_by_the_convolution_before_it_and_by_no_other() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv3d(3, 4, 3), nn.Identity(), nn.ReLU(), nn.Conv3d(4, 4, 3), nn.MaxPool3d(2), nn.ReLU())
    x = torch.randn(1, 3, 7, 9, 9)
    with torch.no_grad():
        expected = model(x)
        use_onednn(model)
        assert [type(layer) for layer in model[1:3]] == [nn.Identity] * 2
        assert isinstance(model[5], nn.ReLU)
        torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=0)
