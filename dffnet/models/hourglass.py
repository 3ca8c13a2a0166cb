"""The two hourglasses of the depth network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dffnet.models.blocks import ResidualBlock, cbr, conv_bn, strided_conv, up_bn


class MultiScaleAggregation(nn.Module):
    """Hourglass 1: pools a 1/4-size volume to 1/8, 1/16 and 1/32 and merges them back at 1/8.

    (B, C, N, H/4, W/4) -> (B, C, N, H/8, W/8)
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        c = channels
        self.pool_8, self.pool_16, self.pool_32 = (nn.AvgPool3d((1, k, k)) for k in (2, 4, 8))
        self.branch_8, self.branch_16 = ResidualBlock(c, c), ResidualBlock(c, 2 * c)
        self.branch_32 = ResidualBlock(c, 2 * c)
        self.down_16, self.down_32 = strided_conv(c, 2 * c), strided_conv(2 * c, 4 * c)
        self.merge_16 = nn.Sequential(cbr(4 * c, 2 * c), cbr(2 * c, 2 * c))
        self.merge_32 = nn.Sequential(cbr(6 * c, 4 * c), cbr(4 * c, 4 * c))
        self.up_16, self.up_8 = up_bn(4 * c, 2 * c), up_bn(2 * c, c)
        self.skip_16, self.skip_8 = conv_bn(2 * c, 2 * c, (1, 1, 1)), conv_bn(c, c, (1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Volume at 1/4 size -> volume at 1/8 size, as many channels."""
        x_8, x_16, x_32 = (
            self.branch_8(self.pool_8(x)),
            self.branch_16(self.pool_16(x)),
            self.branch_32(self.pool_32(x)),
        )
        x_16 = self.merge_16(torch.cat([self.down_16(x_8), x_16], dim=1))
        x_32 = self.merge_32(torch.cat([self.down_32(x_16), x_32], dim=1))
        x_16 = F.relu(self.up_16(x_32) + self.skip_16(x_16), inplace=True)
        return F.relu(self.up_8(x_16) + self.skip_8(x_8), inplace=True)


class RefinementHourglass(nn.Module):
    """One hourglass of the refinement: the volume from below beside the features of its own size.

    Takes two skips from the hourglass before it, which worked at half the size: its ``entry`` features (added
    where this one comes back up) and its output (added where this one goes down).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        c = channels
        self.entry = cbr(2 * c, c)
        self.down_1 = nn.Sequential(*cbr(c, 2 * c, stride=2), *conv_bn(2 * c, 2 * c))
        self.down_2 = nn.Sequential(cbr(2 * c, 2 * c, stride=2), cbr(2 * c, 2 * c))
        self.up_1, self.up_2 = up_bn(2 * c, 2 * c), up_bn(2 * c, c)

    def forward(self, x: Tensor, features: Tensor, skips: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """``x``, ``features`` (B, C, N, h, w); ``skips`` two of (B, 2C, N, h/2, w/2), None for the first one.

        Returns the residual to add to ``x`` and the entry features, both (B, C, N, h, w).
        """
        entry = self.entry(torch.cat([x, features], dim=1))
        down = self.down_1(entry)
        if skips is not None:
            down = down + skips[1]
        down = F.relu(down)
        up = self.up_1(self.down_2(down))
        up = F.relu(up + (down if skips is None else skips[0]))
        return self.up_2(up), entry
