"""Run by test_kernels.py in a process of its own, since Triton is told to interpret its kernels before it is imported.

Renders small scenes with the kernels for CUDA, interpreted on the CPU, and with the compiled code; prints the PSNR of
every step as JSON. The argument says which steps: those of "pixels" or those of "levels".
"""

import json
import os
import sys
from itertools import pairwise

os.environ["TRITON_INTERPRET"] = "1"

import numpy as np
import torch

from focalsim.render import layers, tensors
from focalsim.render.resample import AxisMap
from focalsim.render.tensors import cuda, plain
from focalsim.render.tensors.cuda import scatter
from focalsim.render.tensors.kernels import disc_kernels
from focalsim.render.tensors.levels import Level, is_taken, make_levels
from focalsim.render.tensors.samples import SampleTensors

HEIGHT, WIDTH = 9, 13  # no whole squares or tiles


def scenes():
    """Two scenes of different depths: an object that hides a wall, whose hidden part is known in one corner."""
    rng = np.random.default_rng(0)
    rgb = rng.random((2, HEIGHT, WIDTH, 3)).astype(np.float32)
    q = np.ones((2, HEIGHT, WIDTH), np.float32) + np.linspace(0, 0.4, WIDTH, dtype=np.float32)
    q[0, 2:7, 3:9] += 2.0
    q[1, :5, 8:] += 1.0
    hidden_q = np.full_like(q, np.nan)
    hidden_q[:, 3:5, 6:10] = 0.7
    return rgb, q, rgb[:, ::-1].copy(), hidden_q


def psnr(got, want):
    return float(-10 * torch.log10(torch.mean((got.double() - want.double()) ** 2) + 1e-30))


def compare_pixels():
    """From the frame to the warp, of two scenes at their finest level."""
    rgb, q, hidden_rgb, hidden_q = scenes()
    frames = [torch.from_numpy(a) for a in (rgb, q, hidden_rgb, hidden_q)]
    want_layers = [layers.split_layers(*frame) for frame in zip(rgb, q, hidden_rgb, hidden_q, strict=True)]
    got_layers = cuda.split_layers(*frames)
    stacked = np.stack([_planes(scene) for scene in want_layers])
    results = {"layers": psnr(got_layers, torch.from_numpy(stacked))}

    got = cuda.seen_samples(got_layers)
    want = SampleTensors.compiled(want_layers, torch.device("cpu"))
    partial = (want.kind == scatter.PARTIAL.value)[:, :, None]
    results["kinds"] = sorted(np.unique(want.kind).tolist())
    results["kinds that differ"] = int((got.kind != want.kind).sum())
    results["light"] = psnr(got.light, want.light)
    results["share"] = psnr(got.share, want.share)
    results["visibility"] = psnr(*(torch.where(partial, _coefficients(a), 0.0) for a in (got, want)))

    focus = torch.tensor([[1.0, 3.0, 2.2], [-5.3, 2.0, 1.5]])  # one is so blurred that the steep visibility counts
    disc = disc_kernels(focus.device)
    want_blurred = plain.blur([Level(want)], focus, disc)
    tiling = scatter.Tiling(slices=2, rows=8, columns=16)
    results["blur"] = psnr(scatter.blur_at_once(got, focus, disc, tiling), want_blurred)

    rng = np.random.default_rng(1)
    for channels in (1, 3):
        slope, offset = 1 + 0.1 * rng.random((2, 3, channels)), rng.random((2, 3, channels)) - 0.5
        x, y = (
            tensors.axis_taps(AxisMap(slope, offset, n_out, n_in), focus.device)
            for n_out, n_in in ((WIDTH - 3, WIDTH), (HEIGHT + 2, HEIGHT))
        )
        results[f"warp, {channels} channels"] = psnr(cuda.warp(want_blurred, x, y), plain.warp(want_blurred, x, y))
    return results


def compare_levels():
    """A scene of two levels, with three surfaces within four pixels, so that a sample larger than any kernel stays at
    the finest, and one of three levels.
    """
    generator = torch.Generator().manual_seed(2)
    height, width = 7, 8
    q = torch.full((2, 2, height, width), 3.0)
    q[0, 0, 2:6, 2:] = 21.5
    q[0, 0, 4, 2], q[0, 0, 5, 2] = 12.0, 3.0
    q[1, 0, :5, :5] = 40.0
    kind = torch.ones(q.shape, dtype=torch.int8)
    kind[:, 0, 4:6, 4:8] = scatter.PARTIAL.value
    kind[:, 1] = torch.randint(3, kind[:, 1].shape, generator=generator)
    share = torch.where(kind == scatter.PARTIAL.value, 0.3 + 0.5 * torch.rand(q.shape, generator=generator), 1.0)
    coverage = torch.where(kind == 0, 0.0, share * (0.5 + 0.5 * torch.rand(q.shape, generator=generator)))
    light = torch.rand(2, 2, 4, height, width, generator=generator)
    light[:, :, 3] = 1.0
    ratio = 0.2 * torch.randn(2, 2, 5, height, width, generator=generator)
    steep = torch.randn(2, 2, 6, height, width, generator=generator)
    samples = SampleTensors(light * coverage[:, :, None], q, ratio, steep, kind, share)
    focus = torch.tensor([[3.0, 21.5], [40.0, 6.0]])
    expected, got = (make_levels(samples, np.array([18.5, 37.0]), steps.merge) for steps in (plain, cuda))
    disc = disc_kernels(focus.device)
    blur = (focus[:, :, None, None] - samples.disparity_px[:, 0, None]).abs()
    taken = [is_taken(f, None, spans[0]) for f, spans in zip(focus, expected[0].coarser_span, strict=True)]
    results = {
        "levels": len(expected),
        "larger than any kernel": int((torch.stack(taken) & (blur > 18.2) & (samples.kind[:, 0, None] != 0)).sum()),
    }
    results["kinds of levels that differ"] = 0
    for n, ((finer, level), (want_finer, want)) in enumerate(zip(pairwise(got), pairwise(expected), strict=True)):
        there, there_finer = (a.samples.kind[:, :, None] != 0 for a in (want, want_finer))
        partial = want.samples.kind[:, :, None] == scatter.PARTIAL.value
        everywhere = torch.ones_like(there)
        results["kinds of levels that differ"] += int((level.samples.kind != want.samples.kind).sum())
        for name, one, other, where in (
            ("light", level.samples.light, want.samples.light, everywhere),
            ("disparity", level.samples.disparity_px[:, :, None], want.samples.disparity_px[:, :, None], everywhere),
            ("visibility", _coefficients(level.samples), _coefficients(want.samples), partial),
            ("spans", level.span, want.span, there),
            ("spans seen by the finer", finer.coarser_span, want_finer.coarser_span, there_finer),
        ):
            where = where & other.isfinite()
            results[f"{name} of level {n + 1}"] = psnr(one[where.expand_as(one)], other[where.expand_as(one)])
    results["blur of levels"] = psnr(cuda.blur(got, focus, disc), plain.blur(expected, focus, disc))
    return results


def _coefficients(samples):
    """Those of both polynomials over the lens, (B, L, 11, H, W)."""
    return torch.cat([samples.ratio, samples.steep], dim=2)


def _planes(scene):
    """Layers as the kernels have them, (2, 5, H, W)."""
    front = scene.front_rgb, scene.front_coverage, scene.front_disparity_px
    back = scene.back_rgb, scene.back_coverage, scene.back_disparity_px
    return np.stack([np.dstack(layer).transpose(2, 0, 1) for layer in (front, back)])


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps({"pixels": compare_pixels, "levels": compare_levels}[sys.argv[1]]()))
