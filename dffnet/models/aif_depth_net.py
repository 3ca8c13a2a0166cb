"""AiFDepthNet (Wang et al., ICCV 2021): one attention volume gives depth and the all-in-focus image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dffnet.models.batch_norm import BatchNorm3d
from dffnet.models.blocks import cbr
from dffnet.models.interface import FocusVolumeModel

# Branch widths of the Inception blocks of I3D (Carreira & Zisserman 2017, after Szegedy et al. 2015), stage by stage:
# 1x1; reduction and 3x3 of the first, of the second branch; 1x1 after the pooling.
_STAGES = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)  # fmt: skip


class AiFDepthNet(FocusVolumeModel):
    """A 3-D U-Net: Inception encoder down to 1/32, decoder with skips back to full size, one logit a voxel.

    The focus axis is never strided, so any N goes. Depth takes softplus shares of the logits, the image their
    softmax (the paper's shared attention). 16.5 million parameters.
    """

    size_multiple = 32

    def __init__(self) -> None:
        super().__init__()
        self.at_2 = cbr(3, 64, (7, 7, 7), stride=2)
        self.at_4 = nn.Sequential(_pool(), cbr(64, 64, (1, 1, 1)), cbr(64, 192))
        stages, width = [], 192
        for widths in _STAGES:
            blocks = []
            for branches in widths:
                blocks.append(Inception(width, branches))
                width = blocks[-1].channels
            stages.append(nn.Sequential(_pool(), *blocks))
        self.at_8, self.at_16, self.at_32 = stages
        self.up_16, self.skip_16 = _up(1024, 64, 64), cbr(832, 64, (1, 1, 1))
        self.up_8, self.skip_8 = _up(128, 64, 64), cbr(480, 64, (1, 1, 1))
        self.up_4, self.skip_4 = _up(128, 32, 32), cbr(192, 32, (1, 1, 1))
        self.up_2, self.skip_2 = _up(64, 32, 16), cbr(64, 16, (1, 1, 1))
        self.up_1 = _transposed(32, 32)
        self.head = nn.Conv3d(32, 1, 3, padding=1, bias=False)

    def logits(self, volume: Tensor) -> list[Tensor]:
        """(B, 3, N, H, W) -> one volume of logits (B, N, H, W) at full size."""
        half = self.at_2(volume)
        quarter = self.at_4(half)
        eighth = self.at_8(quarter)
        sixteenth = self.at_16(eighth)
        x = self.at_32(sixteenth)
        for up, skip, features in (
            (self.up_16, self.skip_16, sixteenth),
            (self.up_8, self.skip_8, eighth),
            (self.up_4, self.skip_4, quarter),
            (self.up_2, self.skip_2, half),
        ):
            x = torch.cat([up(x), skip(features)], dim=1)
        return [self.head(self.up_1(x)).squeeze(1)]


class Inception(nn.Module):
    """Four branches side by side: 1x1x1, two reductions before 3x3x3, 1x1x1 after max pooling."""

    def __init__(self, in_channels: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        point = (1, 1, 1)
        direct, reduce_1, out_1, reduce_2, out_2, pooled = widths
        self.branches = nn.ModuleList(
            [
                cbr(in_channels, direct, point),
                nn.Sequential(cbr(in_channels, reduce_1, point), cbr(reduce_1, out_1)),
                nn.Sequential(cbr(in_channels, reduce_2, point), cbr(reduce_2, out_2)),
                nn.Sequential(nn.MaxPool3d(3, stride=1, padding=1), cbr(in_channels, pooled, point)),
            ]
        )
        self.channels = direct + out_1 + out_2 + pooled

    def forward(self, x: Tensor) -> Tensor:
        """Volume (B, C, N, H, W) -> (B, channels, N, H, W)."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def _pool() -> nn.MaxPool3d:
    return nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))


def _transposed(in_channels: int, out_channels: int) -> nn.ConvTranspose3d:
    return nn.ConvTranspose3d(in_channels, out_channels, (3, 4, 4), stride=(1, 2, 2), padding=1, bias=False)


def _up(in_channels: int, middle: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        _transposed(in_channels, middle), BatchNorm3d(middle), nn.ReLU(inplace=True), cbr(middle, out_channels)
    )
