"""The end-to-end network of Won & Jeon 2022: alignment, then depth, in one model."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from dffnet.data.alignment import align_stack
from dffnet.models.alignment import AlignmentNet
from dffnet.models.dff_wild import DffWild
from dffnet.models.interface import DepthFromFocusModel, DepthOutput


class DffWildEndToEnd(DepthFromFocusModel):
    """Finds scale and shift of every slice, warps the slices once, and finds depth from them.

    channels            C of the depth network
    alignment_channels  width of the alignment network at full size
    """

    aligns = True

    def __init__(self, channels: int = 8, alignment_channels: int = 8) -> None:
        super().__init__()
        self.alignment, self.depth = AlignmentNet(alignment_channels), DffWild(channels)

    def estimate(self, stack: Tensor, focus_positions: Tensor) -> DepthOutput:
        """Depth in the geometry of the last slice, the nearest."""
        found = self.alignment(stack)
        geometry = found.magnification.flatten(), found.shift_px.flatten(0, 1)
        aligned = align_stack(stack.flatten(0, 1).float(), *geometry).reshape(stack.shape)
        return replace(self.depth.estimate(aligned, focus_positions), alignment=found)
