"""The next coarser level of samples (render/samples.py): four pixels in one, parted where two surfaces meet."""

from __future__ import annotations

import torch

from focalsim.render.samples import SURFACE_PX
from focalsim.render.tensors.samples import SampleTensors
from focalsim.render.visibility import NONE, PARTIAL, WHOLE

# The samples of four pixels and all pockets are named by axis N below, in the order in which they are added.


def merge(samples: SampleTensors, span: torch.Tensor) -> tuple[SampleTensors, torch.Tensor, torch.Tensor]:
    """The next level and its spans, two pockets of each layer, and these spans as the finer samples see them."""
    height, width = samples.kind.shape[-2:]
    kind, q, share = (_four(a[:, :, None])[:, :, :, 0] for a in (samples.kind, samples.disparity_px, samples.share))
    low, high = _four(span).unbind(3)
    there = kind != NONE
    split = _widest_gap(torch.where(there, q.detach(), torch.inf))  # (B, 2, h, w)
    farther = q.detach() < split[:, :, None]
    light = _four(samples.light) / torch.where(there, share, 1.0)[:, :, :, None]
    partial = (kind == PARTIAL)[:, :, :, None]
    ratio = torch.where(partial, _four(samples.ratio), 0.0)
    whole = torch.eye(samples.steep.shape[2], 1, device=span.device)[:, :, None]
    steep = torch.where(partial, _four(samples.steep), whole)
    parts = []
    for member in (there & farther, there & ~farther):
        covered = torch.where(member, light[:, :, :, 3], 0.0)
        total = torch.where(member.any(2), covered.sum(2), 1.0)
        is_partial = (member & (kind == PARTIAL)).any(2)
        mean_share = torch.where(is_partial, (covered * share).sum(2) / total, 1.0)
        seen = ((covered * share)[:, :, :, None] * ratio).sum(2) / (total * mean_share)[:, :, None]
        parts.append(
            (
                torch.where(member[:, :, :, None], light, 0.0).sum(2) / 4 * mean_share[:, :, None],
                (covered * torch.where(there, q, 0.0)).sum(2) / (2 * total),
                seen,
                (covered[:, :, :, None] * steep).sum(2) / total[:, :, None],
                torch.where(is_partial, PARTIAL, torch.where(member.any(2), WHOLE, NONE)).to(torch.int8),
                mean_share,
                torch.stack(
                    [
                        torch.where(member, low, torch.inf).amin(2) / 2,
                        torch.where(member, high, -torch.inf).amax(2) / 2,
                    ],
                    dim=2,
                ),
            )
        )
    *fields, spans = (torch.stack(pair, dim=2).flatten(1, 2) for pair in zip(*parts, strict=True))
    nearer = samples.disparity_px.detach() >= _doubled(split, height, width).repeat_interleave(_pockets(span), dim=1)
    behind, before = (
        2 * _doubled(spans[:, p::2], height, width).repeat_interleave(_pockets(span), dim=1) for p in (0, 1)
    )
    return SampleTensors(*fields), spans, torch.where(nearer[:, :, None], before, behind)


def _pockets(span: torch.Tensor) -> int:
    return span.shape[1] // 2


def _four(values: torch.Tensor) -> torch.Tensor:
    """(B, 2 P, C, H, W) as (B, 2, N, C, h, w): beyond an odd border the frame is replicated."""
    scenes, layers, planes, height, width = values.shape
    for dim, size in ((-2, height), (-1, width)):
        if size % 2:
            values = torch.cat([values, values.narrow(dim, size - 1, 1)], dim)
    h, w = (height + 1) // 2, (width + 1) // 2
    values = values.reshape(scenes, 2, layers // 2, planes, h, 2, w, 2)
    return values.permute(0, 1, 2, 5, 7, 3, 4, 6).reshape(scenes, 2, 2 * layers, planes, h, w)


def _doubled(values: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Every pixel as four, cut to (..., height, width)."""
    return values.repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1)[..., :height, :width]


def _widest_gap(q: torch.Tensor) -> torch.Tensor:
    """samples._widest_gap of disparities (B, 2, N, h, w), infinite where no sample is."""
    q = q.sort(dim=2).values
    gap, split = torch.full_like(q[:, :, 0], SURFACE_PX), torch.full_like(q[:, :, 0], torch.inf)
    for n in range(1, q.shape[2]):
        rise = q[:, :, n] - q[:, :, n - 1]
        wider = (rise > gap) & (q[:, :, n] < torch.inf)
        gap, split = torch.where(wider, rise, gap), torch.where(wider, q[:, :, n], split)
    return split
