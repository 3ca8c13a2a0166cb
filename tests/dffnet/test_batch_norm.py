"""Batch norm with channels last: exact where PyTorch's own is not, and the same everywhere else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dffnet.models.batch_norm import BatchNorm3d


def pair(channels: int) -> tuple[BatchNorm3d, nn.BatchNorm3d]:
    """Ours, and PyTorch's in float64 with the same numbers."""
    torch.manual_seed(channels)
    ours, exact = BatchNorm3d(channels), nn.BatchNorm3d(channels)
    with torch.no_grad():
        ours.weight.uniform_(0.5, 2.0)
        ours.bias.normal_()
    exact.load_state_dict(ours.state_dict())
    return ours, exact.double()


@pytest.mark.parametrize("channels", [1, 8, 12, 64, 200])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_values_gradients_and_statistics_are_those_of_float64(channels: int, layout: torch.memory_format) -> None:
    ours, exact = pair(channels)
    x = (torch.randn(2, channels, 3, 9, 7) * 3.0 + 5.0).contiguous(memory_format=layout).requires_grad_()
    exact_x = x.detach().double().requires_grad_()
    gradient = torch.randn(2, channels, 3, 9, 7)
    y, exact_y = ours(x), exact(exact_x)
    y.backward(gradient)
    exact_y.backward(gradient.double())
    assert x.grad is not None
    assert y.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(y.double(), exact_y, atol=1e-5, rtol=0)
    torch.testing.assert_close(x.grad.double(), exact_x.grad, atol=1e-5, rtol=0)
    for p, q in zip(ours.parameters(), exact.parameters(), strict=True):
        torch.testing.assert_close(p.grad.double(), q.grad, atol=1e-4, rtol=1e-4)  # type: ignore[union-attr]
    for name, value in exact.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name].double(), value.double(), atol=1e-5, rtol=1e-5, msg=name)


def test_a_million_values_are_added_up_exactly() -> None:
    """The reason why this exists: with channels last PyTorch's own variance is off by more than 1e-5 here."""
    ours, exact = pair(8)
    x = (torch.randn(4, 8, 5, 160, 160) + 3.0).contiguous(memory_format=torch.channels_last_3d)
    ours(x)
    exact(x.double())
    assert ours.running_var is not None
    assert exact.running_var is not None
    assert float((ours.running_var / exact.running_var - 1).abs().max()) < 2e-6


def test_elsewhere_it_is_its_base() -> None:
    ours, exact = pair(8)
    x = torch.randn(1, 8, 2, 4, 4)
    torch.testing.assert_close(ours.eval()(x).double(), exact.eval()(x.double()), atol=1e-6, rtol=1e-6)
    half = BatchNorm3d(8).to(torch.bfloat16).train()
    assert half(x.bfloat16()).dtype == torch.bfloat16
    with pytest.raises(ValueError, match="more than one value a channel"):
        BatchNorm3d(8).train()(torch.randn(1, 8, 1, 1, 1))
