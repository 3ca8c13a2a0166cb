"""8-bit sRGB on the device, with the codes that color.linear_to_srgb gives."""

from __future__ import annotations

from functools import lru_cache

import torch

from focalsim.color import CODE_EDGES


def srgb_codes(light: torch.Tensor) -> torch.Tensor:
    """Codes (any shape) uint8 of linear light."""
    return torch.bucketize(light.contiguous(), _edges(light.device), out_int32=True, right=True).to(torch.uint8)


@lru_cache(maxsize=8)
def _edges(device: torch.device) -> torch.Tensor:
    return torch.from_numpy(CODE_EDGES).float().to(device)
