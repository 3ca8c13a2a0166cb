"""The depth network as one would write it down from the paper: the yardstick of benchmarks/train.py.

Plain calls of torch.nn.functional on the weights of a ``DffWild`` (its ``state_dict(keep_vars=True)``), all four heads
at all times. A test holds its depth maps to those of the model within 1e-4.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F


class Literal:
    """``Literal(weights, training)(stack, positions)`` -> [D1, D2, D3, D4], each (B, H, W); H, W multiples of 32."""

    def __init__(self, weights, training):
        self.w, self.training = weights, training

    def __call__(self, stack, focus_positions):
        x = stack.transpose(1, 2) * 2.0 - 1.0
        v1 = self.srd(self.cbr(x, "stem.0", dilation=(1, 2, 2)), "stem.1")
        v2 = self.srd(self.efd(v1, "down_2.0"), "down_2.1")
        v3 = self.srd(self.efd(v2, "down_4.0"), "down_4.1")
        x = self.aggregation(v3)
        logits = [self.conv(self.cbr(x, "head_1.0"), "head_1.1")]
        x = self.cbr(self.cbr(x, "widen.0"), "widen.1")
        skips = None
        for i, features in enumerate((v3, v2, v1)):
            x = self.up(x, f"ups.{i}")
            residual, entry = self.refine(x, features, skips, f"hourglasses.{i}")
            x = x + residual
            skips = entry, residual
            logits.append(self.conv(x, f"heads.{i}"))
        return [self.depth(k, stack.shape[-2:], focus_positions) for k in logits]

    def depth(self, k, size, focus_positions):
        k = F.interpolate(k.squeeze(1), size=size, mode="bilinear", align_corners=False)
        p = F.softplus(k) + 1e-6
        p = p / p.sum(dim=1, keepdim=True)
        return (p * focus_positions[:, :, None, None]).sum(dim=1)

    def conv(self, x, name, stride=1, dilation=(1, 1, 1)):
        weight = self.w[f"{name}.weight"]
        padding = [d * (k - 1) // 2 for k, d in zip(weight.shape[2:], dilation, strict=True)]
        return F.conv3d(x, weight, stride=(1, stride, stride), padding=padding, dilation=dilation)

    def bn(self, x, name):
        w = self.w
        statistics = w[f"{name}.running_mean"], w[f"{name}.running_var"]
        return F.batch_norm(x, *statistics, w[f"{name}.weight"], w[f"{name}.bias"], training=self.training)

    def cbn(self, x, name, number=0, **settings):
        """Convolution and batch norm at two neighbouring places of the Sequential ``name``."""
        return self.bn(self.conv(x, f"{name}.{number}", **settings), f"{name}.{number + 1}")

    def cbr(self, x, name, number=0, **settings):
        return F.relu(self.cbn(x, name, number, **settings))

    def up(self, x, name):
        weight = self.w[f"{name}.0.weight"]
        x = F.conv_transpose3d(x, weight, stride=(1, 2, 2), padding=1, output_padding=(0, 1, 1))
        return self.bn(x, f"{name}.1")

    def srd(self, x, name):
        y = F.relu(x + self.cbn(self.cbr(x, f"{name}.within_slice"), f"{name}.within_slice", 3))
        along = F.relu(self.conv(y, f"{name}.along_focus.0"))
        return y + F.relu(self.conv(along, f"{name}.along_focus.2"))

    def efd(self, x, name):
        pooled = F.max_pool3d(x, (1, 2, 2))
        return F.relu(self.cbn(x, f"{name}.strided", stride=2) + self.cbn(pooled, f"{name}.pooled", 1))

    def block(self, x, name):
        x = self.cbr(self.cbr(x, f"{name}.entry.0"), f"{name}.entry.1")
        return x + self.cbn(self.cbr(x, f"{name}.residual.0"), f"{name}.residual.1")

    def aggregation(self, x):
        at = "aggregation"
        x_8, x_16, x_32 = (self.block(F.avg_pool3d(x, (1, k, k)), f"{at}.branch_{4 * k}") for k in (2, 4, 8))
        x_16 = torch.cat([self.conv(x_8, f"{at}.down_16", stride=2), x_16], dim=1)
        x_16 = self.cbr(self.cbr(x_16, f"{at}.merge_16.0"), f"{at}.merge_16.1")
        x_32 = torch.cat([self.conv(x_16, f"{at}.down_32", stride=2), x_32], dim=1)
        x_32 = self.cbr(self.cbr(x_32, f"{at}.merge_32.0"), f"{at}.merge_32.1")
        x_16 = F.relu(self.up(x_32, f"{at}.up_16") + self.cbn(x_16, f"{at}.skip_16"))
        return F.relu(self.up(x_16, f"{at}.up_8") + self.cbn(x_8, f"{at}.skip_8"))

    def refine(self, x, features, skips, name):
        entry = self.cbr(torch.cat([x, features], dim=1), f"{name}.entry")
        down = self.cbn(self.cbr(entry, f"{name}.down_1", stride=2), f"{name}.down_1", 3)
        down = F.relu(down if skips is None else down + skips[1])
        deeper = self.cbr(self.cbr(down, f"{name}.down_2.0", stride=2), f"{name}.down_2.1")
        up = F.relu(self.up(deeper, f"{name}.up_1") + (down if skips is None else skips[0]))
        return self.up(up, f"{name}.up_2"), entry
