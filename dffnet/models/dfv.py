"""Differential focus volume (Yang, Huang & Zhou, "Deep Depth from Focus with Differential Focus Volume", CVPR 2022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dffnet.models.blocks import cbr, conv_bn, up_bn
from dffnet.models.interface import FocusVolumeModel

_STAGE_WIDTHS = (64, 128, 256, 512)  # of ResNet-18 at 1/4 .. 1/32
_VOLUME_WIDTHS = (16, 32, 64, 128)  # of the focus volumes at 1/4 .. 1/32


class DFV(FocusVolumeModel):
    """Features of each slice, their differences along the focus axis, and a 3-D decoder from coarse to fine.

    Every slice passes the same 2-D network: ResNet-18 (He et al. 2016) from scratch and a path back up. Where a
    pixel is sharpest, features stop rising and start to fall: the difference of neighbouring slices changes
    sign. The decoder gives logits at 1/32, 1/16, 1/8 and 1/4; depth takes their softmax.
    """

    size_multiple = 32

    def __init__(self) -> None:
        super().__init__()
        self.features = SliceFeatures()
        self.decoders = nn.ModuleList(
            Decoder(width if width == _VOLUME_WIDTHS[-1] else 2 * width, width, last=width == _VOLUME_WIDTHS[0])
            for width in reversed(_VOLUME_WIDTHS)
        )

    def logits(self, volume: Tensor) -> list[Tensor]:
        """(B, 3, N, H, W) -> logits (B, N, h, w) at 1/32, 1/16, 1/8, 1/4; in eval mode the last."""
        batch, _, slices = volume.shape[:3]
        maps = self.features(volume.transpose(1, 2).flatten(0, 1))
        logits: list[Tensor] = []
        below: Tensor | None = None
        for decoder, features in zip(self.decoders, reversed(maps), strict=True):
            x = differences(features.reshape(batch, slices, *features.shape[1:]).transpose(1, 2))
            below, k = decoder(x if below is None else torch.cat([below, x], dim=1))
            logits.append(k.squeeze(1))
        return logits if self.training else logits[-1:]

    def weights(self, logits: Tensor) -> Tensor:
        """Softmax along the focus axis, in float32."""
        return logits.float().softmax(dim=1)


def differences(volume: Tensor) -> Tensor:
    """Each slice of (B, C, N, H, W) less the next one; the last, which has no next one, as it is."""
    return torch.cat([volume[:, :, :-1] - volume[:, :, 1:], volume[:, :, -1:]], dim=2)


class Decoder(nn.Module):
    """Two residual 3-D blocks; logits; and, but at the last level, half the channels at twice the size."""

    def __init__(self, in_channels: int, width: int, *, last: bool) -> None:
        super().__init__()
        self.entry = cbr(in_channels, width)
        self.blocks = nn.ModuleList(nn.Sequential(*cbr(width, width), *conv_bn(width, width)) for _ in range(2))
        self.head = nn.Sequential(cbr(width, width), nn.Conv3d(width, 1, 3, padding=1, bias=False))
        self.up = None if last else nn.Sequential(up_bn(width, width // 2), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> tuple[Tensor | None, Tensor]:
        """(B, C, N, h, w) -> (B, width / 2, N, 2h, 2w), None at the last level; logits (B, 1, N, h, w)."""
        x = self.entry(x)
        for block in self.blocks:
            x = F.relu(x + block(x))
        return (None if self.up is None else self.up(x)), self.head(x)


class SliceFeatures(nn.Module):
    """(S, 3, H, W) -> maps of 16, 32, 64, 128 channels at 1/4, 1/8, 1/16, 1/32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_cbr2(3, 64, 7, stride=2), nn.MaxPool2d(3, stride=2, padding=1))
        self.stages = nn.ModuleList()
        before = 64
        for width in _STAGE_WIDTHS:
            stride = 1 if width == before else 2
            self.stages.append(nn.Sequential(BasicBlock(before, width, stride), BasicBlock(width, width, 1)))
            before = width
        self.entry = _cbr2(_STAGE_WIDTHS[-1], _VOLUME_WIDTHS[-1], 1)
        coarse_to_fine = list(zip(_STAGE_WIDTHS, _VOLUME_WIDTHS, _VOLUME_WIDTHS[1:], strict=False))[::-1]
        self.merge = nn.ModuleList(_cbr2(stage + above, width, 3) for stage, width, above in coarse_to_fine)

    def forward(self, slices: Tensor) -> list[Tensor]:
        """Fine to coarse; H and W multiples of 32."""
        x = self.stem(slices)
        stages = []
        for stage in self.stages:
            x = stage(x)
            stages.append(x)
        maps = [self.entry(x)]
        for merge, features in zip(self.merge, stages[-2::-1], strict=True):
            larger = F.interpolate(maps[0], scale_factor=2.0, mode="nearest")
            maps.insert(0, merge(torch.cat([features, larger], dim=1)))
        return maps


class BasicBlock(nn.Module):
    """The residual block of ResNet-18."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(_cbr2(before, width, 3, stride), _cbr2(width, width, 3)[:2])
        self.shortcut = nn.Identity() if before == width else _cbr2(before, width, 1, stride)[:2]

    def forward(self, x: Tensor) -> Tensor:
        """(S, before, h, w) -> (S, width, h / stride, w / stride)."""
        return F.relu(self.shortcut(x) + self.residual(x))


def _cbr2(before: int, after: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """2-D convolution without bias, batch norm, ReLU."""
    conv = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out")
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True))
