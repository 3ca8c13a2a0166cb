"""Coarser levels of samples for large blur (render/samples.py), of all scenes of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from focalsim.render.kernels import LARGEST_PX
from focalsim.render.samples import MERGE_PX
from focalsim.render.tensors.samples import SampleTensors

Merge = Callable[[SampleTensors, torch.Tensor], tuple[SampleTensors, torch.Tensor, torch.Tensor]]


@dataclass(frozen=True, slots=True)
class Level:
    """Samples of one level, and which of them are spread here: those of wide blur that a coarser level does not take.

    span          (B, L, 2, H, W) lowest and highest disparity of all that a sample holds; None at the finest level
    coarser_span  (B, L, 2, H, W) the same of the coarser sample that it is part of, in pixels of this level; None at
                  the coarsest level
    """

    samples: SampleTensors
    span: torch.Tensor | None = None
    coarser_span: torch.Tensor | None = None


def make_levels(samples: SampleTensors, largest_px: NDArray[np.float64], merge: Merge) -> list[Level]:
    """Levels of scenes whose largest blur is ``largest_px`` (B,); one alone where none is larger than any kernel.

    ``merge`` makes the next of a level's samples and their spans: its samples, their spans, and those as the finer
    samples' ``coarser_span``.
    """
    counts = np.ceil(np.log2(np.maximum(largest_px / LARGEST_PX, 1.0))).astype(int)  # of coarser levels
    device = samples.light.device
    span: torch.Tensor | None = None
    levels = []
    for n in range(counts.max()):
        q = samples.disparity_px.detach()
        coarser, its_span, coarser_span = merge(samples, torch.stack([q, q], dim=2) if span is None else span)
        # No blur is wide to a scene that has no such level.
        missing = torch.from_numpy(counts <= n).to(device)[:, None, None, None]
        for spans in (its_span, coarser_span):
            spans[:, :, 0].masked_fill_(missing, -torch.inf)
            spans[:, :, 1].masked_fill_(missing, torch.inf)
        levels.append(Level(samples, span, coarser_span))
        samples, span = coarser, its_span
    return [*levels, Level(samples, span)]


def is_taken(
    focus_disparity_px: torch.Tensor, span: torch.Tensor | None, coarser_span: torch.Tensor | None
) -> torch.Tensor | None:
    """Which samples slices focused at ``focus_disparity_px`` (S,) spread at a level: (S, H, W), None = all of them.

    The spans (2, H, W) are those of one scene and pocket, everything in pixels of the level.
    """
    wide = None if span is None else _is_wide(focus_disparity_px, span, MERGE_PX / 2)
    if coarser_span is None:
        return wide
    narrow = ~_is_wide(focus_disparity_px, coarser_span, MERGE_PX)
    return narrow if wide is None else wide & narrow


def _is_wide(focus_disparity_px: torch.Tensor, span: torch.Tensor, least_px: float) -> torch.Tensor:
    focus = focus_disparity_px[:, None, None]
    return torch.maximum(focus - span[1], span[0] - focus) > least_px
