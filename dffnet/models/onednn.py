"""Convolutions through oneDNN whatever their size: PyTorch sends small CPU batches down a much slower path."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class OneDnnConv3d(nn.Module):
    """A 3-D convolution on the CPU, for inference: volumes and weights with channels last in memory."""

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        self.weight = nn.Parameter(conv.weight.detach().contiguous(memory_format=torch.channels_last_3d), False)
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach(), False)
        assert not isinstance(conv.padding, str)
        self.padding, self.stride, self.dilation, self.groups = conv.padding, conv.stride, conv.dilation, conv.groups

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, N, H, W) -> (B, out_channels, ...), both float32."""
        x = x.contiguous(memory_format=torch.channels_last_3d)
        return torch.mkldnn_convolution(
            x, self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups
        )


def use_onednn(model: nn.Module) -> None:
    """Replace the 3-D convolutions of ``model`` (on the CPU, for inference alone) where this PyTorch has oneDNN."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return
    for name, child in model.named_children():
        if isinstance(child, nn.Conv3d) and child.padding_mode == "zeros" and not isinstance(child.padding, str):
            setattr(model, name, OneDnnConv3d(child))
        else:
            use_onednn(child)
