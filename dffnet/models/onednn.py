"""Convolutions through oneDNN whatever their size: PyTorch sends small CPU batches down a much slower path."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LAST = torch.channels_last_3d
_FUSED = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")  # type: ignore[no-untyped-call]


class OneDnnConv3d(nn.Module):
    """A 3-D convolution on the CPU, for inference, with the ReLU after it where ``relu``: channels last in memory."""

    def __init__(self, conv: nn.Conv3d, *, relu: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(conv.weight.detach().contiguous(memory_format=_LAST), False)
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach(), False)
        assert not isinstance(conv.padding, str)
        self.padding, self.stride, self.dilation, self.groups = conv.padding, conv.stride, conv.dilation, conv.groups
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, N, H, W) -> (B, out_channels, ...), both float32."""
        x = x.contiguous(memory_format=_LAST)
        settings = self.padding, self.stride, self.dilation, self.groups
        if self.relu and _FUSED:  # one pass over memory less; the operation that PyTorch's own compiler calls
            fused = torch.ops.mkldnn._convolution_pointwise(x, self.weight, self.bias, *settings, "relu", [], "")
            return cast(Tensor, fused)
        out = torch.mkldnn_convolution(x, self.weight, self.bias, *settings)
        return F.relu_(out) if self.relu else out


class OneDnnUp(nn.Module):
    """The transposed convolution that doubles H and W as an ordinary one, which oneDNN can do.

    Kernel 3, padding 1: along H and W an even pixel 2i takes w1 x_i, an odd one w2 x_i + w0 x_(i+1). So the four pixels
    that come from one are four sets of channels of a convolution with kernel (3, 2, 2), to be put side by side.
    """

    def __init__(self, conv: nn.ConvTranspose3d) -> None:
        super().__init__()
        w = conv.weight.detach().transpose(0, 1).flip(2)  # (out, in, 3, 3, 3); along the focus axis just turned round
        self.channels = w.shape[0]
        taps = torch.zeros(2, 2, *w.shape[:3], 2, 2)  # of even and odd rows, even and odd columns
        along = {0: ((1, 0),), 1: ((2, 0), (0, 1))}  # (tap of w, place in the new kernel)
        for row, column in ((r, c) for r in (0, 1) for c in (0, 1)):
            for (i, y), (j, x) in ((a, b) for a in along[row] for b in along[column]):
                taps[row, column, ..., y, x] = w[..., i, j]
        plain = nn.Conv3d(w.shape[1], 4 * self.channels, (3, 2, 2), padding=(1, 0, 0), bias=conv.bias is not None)
        plain.weight = nn.Parameter(taps.flatten(0, 2), False)
        if conv.bias is not None:
            plain.bias = nn.Parameter(conv.bias.detach().repeat(4), False)
        self.plain = OneDnnConv3d(plain)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, N, H, W) -> (B, out_channels, N, 2H, 2W)."""
        batch, _, slices, height, width = x.shape
        four: Tensor = self.plain(F.pad(x, (0, 1, 0, 1))).permute(0, 2, 3, 4, 1)
        four = four.reshape(batch, slices, height, width, 2, 2, self.channels).transpose(3, 4)
        doubled: Tensor = four.reshape(batch, slices, 2 * height, 2 * width, self.channels)
        return doubled.permute(0, 4, 1, 2, 3)


def use_onednn(model: nn.Module) -> None:
    """Replace the 3-D convolutions of ``model`` (on the CPU, for inference alone) where this PyTorch has oneDNN."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return
    for name, child in model.named_children():
        if isinstance(child, nn.Conv3d) and child.padding_mode == "zeros" and not isinstance(child.padding, str):
            setattr(model, name, OneDnnConv3d(child, relu=_take_relu(model, name)))
        elif isinstance(child, nn.ConvTranspose3d) and _doubles(child):
            setattr(model, name, OneDnnUp(child))
        else:
            use_onednn(child)


def _take_relu(layers: nn.Module, name: str) -> bool:
    """Whether a ReLU comes next in a Sequential; it is taken out of there."""
    if not isinstance(layers, nn.Sequential):
        return False
    for later in range(int(name) + 1, len(layers)):
        if isinstance(layers[later], nn.ReLU):
            layers[later] = nn.Identity()
            return True
        if not isinstance(layers[later], nn.Identity):
            return False
    return False


def _doubles(conv: nn.ConvTranspose3d) -> bool:
    wanted = ((3, 3, 3), (1, 2, 2), (1, 1, 1), (0, 1, 1), (1, 1, 1), 1)
    return wanted == (conv.kernel_size, conv.stride, conv.padding, conv.output_padding, conv.dilation, conv.groups)
