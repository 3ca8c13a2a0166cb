"""What every model takes and gives: a focal stack with its focus positions -> depth, confidence, all-in-focus."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dffnet.models import tiles
from dffnet.models.alignment import Alignment

_SOFTPLUS_FLOOR = 1e-6  # keeps the normalisation finite where softplus underflows in every slice


@dataclass(frozen=True, slots=True)
class DepthOutput:
    """A model's answer. All tensors are float32.

    depths      (B, H, W) each, coarse to fine, in the unit of the focus positions; one alone in eval mode
    confidence  (B, H, W) in [0, 1]: 1 - 2 sigma / range, sigma the spread of the last map's weights over the
                focus positions; 1 = all weight on one position, 0 = half of it on each end. Not a probability.
    logits      (B, N, H, W) for each of the depths: how sharp each slice is, K of equations 1 to 3
    stack       (B, N, 3, H, W) sRGB in [0, 1], the slices that the logits judge
    alignment   of the slices as given, by which ``stack`` was made from them; None of a model that does not align
    """

    depths: list[Tensor]
    confidence: Tensor
    logits: list[Tensor]
    stack: Tensor
    alignment: Alignment | None = None

    @property
    def depth(self) -> Tensor:
        """The finest map: the answer."""
        return self.depths[-1]

    def all_in_focus(self, scale: int = -1) -> Tensor:
        """I = sum_j softmax(K)_j I_j (Won & Jeon 2022, supplement, equations 2 and 3), (B, 3, H, W) in [0, 1]."""
        # No einsum: as a matrix product it would run in half precision under AMP.
        return (self.logits[scale].float().softmax(dim=1)[:, :, None] * self.stack.float()).sum(dim=1)


class DepthFromFocusModel(nn.Module, ABC):
    """Base of all models: checks the input. ``aligns`` = brings the slices into one geometry itself."""

    aligns = False

    def forward(self, stack: Tensor, focus_positions: Tensor) -> DepthOutput:
        """Depth of a focal stack.

        stack            (B, N, 3, H, W) sRGB in [0, 1]; any N, H, W >= 1
        focus_positions  (B, N), sorted, in the unit that the depth shall have (dioptres are linear in blur)

        Raises ValueError for other shapes.
        """
        if stack.ndim != 5 or stack.shape[2] != 3:
            raise ValueError(f"stack must have shape (B, N, 3, H, W), got {tuple(stack.shape)}")
        if focus_positions.shape != stack.shape[:2]:
            got = tuple(focus_positions.shape)
            raise ValueError(f"focus_positions must have shape {tuple(stack.shape[:2])}, got {got}")
        return self.estimate(stack, focus_positions)

    @abstractmethod
    def estimate(self, stack: Tensor, focus_positions: Tensor) -> DepthOutput:
        """What :meth:`forward` gives, of checked input."""


class FocusVolumeModel(DepthFromFocusModel):
    """Base of the networks that judge each slice at each pixel: a subclass turns (B, 3, N, H, W) into logits.

    H and W are padded by replication to multiples of ``size_multiple`` and cropped again. (Padding with black
    would put an edge into every slice that is sharp at all focus positions.)
    """

    size_multiple = 1
    tile_px: int | None = None  # of predictions of larger images, see dffnet.models.tiles

    def estimate(self, stack: Tensor, focus_positions: Tensor) -> DepthOutput:
        """Depth by equation 1 from the logits at full size."""
        height, width = stack.shape[-2:]
        volume = pad_to_multiple(stack.transpose(1, 2) * 2.0 - 1.0, self.size_multiple)
        if self.training:
            volume = volume.contiguous(memory_format=torch.channels_last_3d)  # convolutions take it over
        tiled = self.tile_px is not None and max(height, width) > self.tile_px and not self.training
        full = [tiles.join(self.full_size, volume, self.tile_px)] if tiled else self.full_size(volume)
        logits = [k[..., :height, :width] for k in full]
        weights = [self.weights(k) for k in logits]
        depths = [regress_depth(weight, focus_positions) for weight in weights]
        return DepthOutput(depths, confidence(weights[-1].detach(), focus_positions), logits, stack)

    def full_size(self, volume: Tensor) -> list[Tensor]:
        """:meth:`logits` as large as the volume."""
        return [_resize(k, volume.shape[-2:]) for k in self.logits(volume)]

    @abstractmethod
    def logits(self, volume: Tensor) -> list[Tensor]:
        """(B, 3, N, H, W) in [-1, 1] -> logits K (B, N, h, w), coarse to fine; in eval mode the last."""

    def weights(self, logits: Tensor) -> Tensor:
        """Logits (B, N, H, W) -> weights of the focus positions, which add up to 1; float32."""
        return focus_weights(logits)


def pad_to_multiple(volume: Tensor, multiple: int) -> Tensor:
    """Pad H and W of (B, C, N, H, W) at the right and bottom by replication to multiples of ``multiple``."""
    height, width = volume.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    return F.pad(volume, (0, right, 0, bottom, 0, 0), mode="replicate") if bottom or right else volume


def focus_weights(logits: Tensor) -> Tensor:
    """P = softplus(K) / sum_j softplus(K_j) along the focus axis (Won & Jeon 2022, equation 1).

    (B, N, H, W) -> the same shape, float32 under mixed precision too: half precision would lose the floor.
    """
    positive = F.softplus(logits.float()) + _SOFTPLUS_FLOOR
    return positive / positive.sum(dim=1, keepdim=True)


def regress_depth(weights: Tensor, focus_positions: Tensor) -> Tensor:
    """D = sum_j P_j F_j: weights (B, N, H, W), focus positions (B, N) -> (B, H, W)."""
    return (weights * focus_positions.float()[:, :, None, None]).sum(dim=1)


def confidence(weights: Tensor, focus_positions: Tensor) -> Tensor:
    """1 - 2 sigma / range of the focus positions, see :class:`DepthOutput`; 1 where there is one position."""
    positions = focus_positions.float()
    depth = regress_depth(weights, positions)
    variance = (weights * (positions[:, :, None, None] - depth[:, None]) ** 2).sum(dim=1)
    span = (positions.amax(dim=1) - positions.amin(dim=1))[:, None, None]
    spread = torch.where(span > 0, 2.0 * variance.sqrt() / span.clamp(min=1e-12), 0.0)
    return (1.0 - spread).clamp(0.0, 1.0)


def _resize(logits: Tensor, size: torch.Size) -> Tensor:
    """Bilinear to full size, before softplus: weights interpolated after it would blur depth edges."""
    if logits.shape[-2:] == size:
        return logits
    return F.interpolate(logits.float(), size=list(size), mode="bilinear", align_corners=False)
