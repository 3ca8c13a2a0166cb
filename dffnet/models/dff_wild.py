"""The depth network of Won & Jeon, "Learning Depth from Focus in the Wild", ECCV 2022, less unused layers."""

from __future__ import annotations

import math

from torch import Tensor, nn

from dffnet.models.blocks import EfficientDownsampling, SharpRegionDetection, cbr, up_bn
from dffnet.models.hourglass import MultiScaleAggregation, RefinementHourglass
from dffnet.models.interface import FocusVolumeModel

# Much larger (fresh logits of standard deviation 4 to 10, as He's gain gives), and slices start on softplus' dead side;
# smaller, and more steps pass before any slice stands out: after 150 steps on made scenes the error was 2.1 dioptres
# with 0.7 and 1.5 with 2, where always saying the mean gives 2.3.
_HEAD_GAIN = 2.0


class DffWild(FocusVolumeModel):
    """V1..V3 at sizes 1, 1/2, 1/4; aggregation at 1/8..1/32; refinement back to full size; D1..D4.

    channels  C, the width of V1; V2 and V3 have 2C and 4C. With C = 8: 4 016 592 parameters.
    """

    size_multiple = 32

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"channels must be at least 1, got {channels}")
        c = channels
        self.stem = nn.Sequential(cbr(3, c, (1, 9, 9), dilation=(1, 2, 2)), SharpRegionDetection(c))
        self.down_2 = nn.Sequential(EfficientDownsampling(c, 2 * c), SharpRegionDetection(2 * c))
        self.down_4 = nn.Sequential(EfficientDownsampling(2 * c, 4 * c), SharpRegionDetection(4 * c))
        self.aggregation = MultiScaleAggregation(4 * c)
        self.widen = nn.Sequential(cbr(4 * c, 8 * c), cbr(8 * c, 8 * c))
        widths = (4 * c, 2 * c, c)
        self.ups = nn.ModuleList(up_bn(2 * w, w) for w in widths)
        self.hourglasses = nn.ModuleList(RefinementHourglass(w) for w in widths)
        self.head_1 = nn.Sequential(cbr(4 * c, 4 * c), nn.Conv3d(4 * c, 1, 3, padding=1, bias=False))
        self.heads = nn.ModuleList(nn.Conv3d(w, 1, 1, bias=False) for w in widths)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.normal_(module.weight, std=math.sqrt(2.0 / _fan(module.weight, 0)))
        for head in (self.head_1[-1], *self.heads):
            nn.init.normal_(head.weight, std=_HEAD_GAIN / math.sqrt(_fan(head.weight, 1)))

    def logits(self, volume: Tensor) -> list[Tensor]:
        """(B, 3, N, H, W) -> K1..K4 (B, N, h, w) at 1/8, 1/4, 1/2 and full size; K4 alone in eval mode."""
        v1 = self.stem(volume)
        v2 = self.down_2(v1)
        v3 = self.down_4(v2)
        x = self.aggregation(v3)
        logits = [self.head_1(x)] if self.training else []
        x = self.widen(x)
        skips = None
        for up, hourglass, head, features in zip(self.ups, self.hourglasses, self.heads, (v3, v2, v1), strict=True):
            x = up(x)
            residual, entry = hourglass(x, features, skips)
            x = x + residual
            skips = (entry, residual)
            if self.training or head is self.heads[-1]:
                logits.append(head(x))
        return [k.squeeze(1) for k in logits]


def _fan(weight: Tensor, side: int) -> int:
    """Inputs (side 1) or outputs (side 0) that one weight (out, in, n, h, w) of a convolution meets."""
    return weight.shape[side] * math.prod(weight.shape[2:])
