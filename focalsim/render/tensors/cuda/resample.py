"""The warp (render/resample.py) as two kernels: along the columns, then along the rows."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from focalsim.render.tensors.axis import AxisTaps
from focalsim.render.tensors.cuda.launch import OPTIONS, blocks

_BLOCK = 512  # pixels a program


def warp(images: torch.Tensor, x: AxisTaps, y: AxisTaps) -> torch.Tensor:
    """Resample ``images`` (B, S, 3, H, W) to (B, S, h, w, 3)."""
    scenes, slices, channels, height, width = images.shape
    h, w = y.n_out, x.n_out
    planes = scenes * slices * channels
    rows = images.new_empty(scenes, slices, channels, h, width)
    _along_columns[(planes, blocks(h * width, _BLOCK))](
        images, rows, y.first, y.weights, channels // y.channels, height, width, h, y.taps, BLOCK=_BLOCK, **OPTIONS
    )
    out = images.new_empty(scenes, slices, h, w, channels)
    _along_rows[(planes, blocks(h * w, _BLOCK))](
        rows, out, x.first, x.weights, channels // x.channels, channels, width, h, w, x.taps, BLOCK=_BLOCK, **OPTIONS
    )
    return out


@triton.jit
def _along_columns(images, rows, first, weights, share, height, width, n_out, taps, BLOCK: tl.constexpr):
    """``share`` planes have the same weights (taps, n_out)."""
    plane = tl.program_id(0).to(tl.int64)
    axis = plane // share
    i = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n_out * width
    y, x = i // width, i % width
    start = tl.load(first + axis * n_out + y, mask=inside, other=0)
    weights += axis * taps * n_out
    images += plane * height * width
    total = tl.zeros((BLOCK,), tl.float32)
    for t in range(taps):
        source = tl.minimum(tl.maximum(start + t, 0), height - 1)
        weight = tl.load(weights + t * n_out + y, mask=inside, other=0.0)
        total += weight * tl.load(images + source * width + x, mask=inside, other=0.0)
    tl.store(rows + plane * n_out * width + i, total, mask=inside)


@triton.jit
def _along_rows(rows, out, first, weights, share, channels, width, height, n_out, taps, BLOCK: tl.constexpr):
    plane = tl.program_id(0).to(tl.int64)
    axis = plane // share
    i = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = i < height * n_out
    y, x = i // n_out, i % n_out
    start = tl.load(first + axis * n_out + x, mask=inside, other=0)
    weights += axis * taps * n_out
    rows += (plane * height + y) * width
    total = tl.zeros((BLOCK,), tl.float32)
    for t in range(taps):
        source = tl.minimum(tl.maximum(start + t, 0), width - 1)
        weight = tl.load(weights + t * n_out + x, mask=inside, other=0.0)
        total += weight * tl.load(rows + source, mask=inside, other=0.0)
    place = (plane // channels * height * n_out + i) * channels + plane % channels
    tl.store(out + place, total, mask=inside)
