"""How fast is the renderer on a GPU, how near its limits, and how near to the CPU's light? Needs a CUDA device.

    python benchmarks/gpu.py ../shared/data/rgbd --runs 20 --out benchmarks/results

Stacks of 10 x 352 x 224 by a Pixel 4, hidden samples, breathing and shift included, from frames on the GPU to stacks
on the GPU. Batches take the frames in turn; every run has another batch, so that no cache holds its input. The device's
own limits are measured: what it copies, and what it multiplies and adds in single precision (a large matrix product).
Arithmetic is what the sums need at least, not what the kernels do. ``--tilings`` tries what one program of the blur may
compute. Exit 1 without a device, or if a stack differs from the CPU's by more than 50 dB PSNR.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from common import environment, markdown_table, summary
from render import HEIGHT, WIDTH, stacks, work

from focalsim import render_stack
from focalsim.camera import Aperture
from focalsim.color import linear_to_srgb

BATCHES = (1, 4, 16, 64, 128)
TILINGS = [
    (slices, rows, columns, warps)
    for slices in (1, 2, 4)
    for rows, columns, warps in ((8, 8, 1), (8, 16, 1), (8, 16, 4))
]


def timed(call, runs):
    """Seconds of each of ``runs`` calls call(run), after three more, by the device's clock."""
    for run in range(3):
        call(run)
    times = []
    for run in range(runs):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        start.record()
        call(run)
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return times


def limits(runs):
    """(bytes moved a second, multiply-adds a second in float32) that the device reaches, medians."""
    source = torch.rand(1 << 29, device="cuda")
    target = torch.empty_like(source)
    copying = float(np.median(timed(lambda _: target.copy_(source), runs)))
    size = 8192
    a, b = torch.rand(2, size, size, device="cuda")
    torch.backends.cuda.matmul.allow_tf32 = False
    multiplying = float(np.median(timed(lambda _: a @ b, runs)))
    return 2 * source.nbytes / copying, size**3 / multiplying


def batches(frames, size):
    """Batches of ``size`` frames (B, H, W, 3), (B, H, W) on the GPU, each beginning with another frame."""
    rgb, depth = (torch.from_numpy(np.stack(arrays)).cuda() for arrays in zip(*frames, strict=True))
    order = torch.arange(size, device="cuda")
    return [(rgb[(order + n) % len(rgb)].contiguous(), depth[(order + n) % len(rgb)].contiguous()) for n in range(4)]


def speeds(frames, lens, runs):
    """Rows of (batch, milliseconds a batch: median, minimum, maximum, stacks a second, peak memory in MB)."""
    rows = []
    for size in BATCHES:
        inputs = batches(frames, size)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        times = timed(lambda run, inputs=inputs: render_stack(*inputs[run % len(inputs)], **lens), runs)
        peak = (torch.cuda.max_memory_allocated() - before) / 1e6
        rows.append([size, *summary(times), size / float(np.median(times)), peak])
    return rows


def steps(frames, gain, lens, runs, tilings):
    """Rows of (step, milliseconds for a batch): preparing, blurring and warping, and blurring by other tilings."""
    from focalsim.render.tensors import cuda
    from focalsim.render.tensors.cuda import scatter
    from focalsim.render.tensors.kernels import disc_kernels

    size = BATCHES[-1]
    inputs = [(rgb, torch.div(torch.tensor(gain, device="cuda"), depth)) for rgb, depth in batches(frames, size)]
    focus = torch.from_numpy(gain / lens["focus_distances_m"]).float().cuda().expand(size, -1)
    samples = [cuda.prepare(*frame, None, None) for frame in inputs]
    disc = disc_kernels(focus.device)
    rows = [
        ["layers", timed(lambda run: cuda.split_layers(*inputs[run % len(inputs)], None, None), runs)],
        ["layers and visibility", timed(lambda run: cuda.prepare(*inputs[run % len(inputs)], None, None), runs)],
        ["blur", timed(lambda run: scatter.blur_at_once(samples[run % len(samples)], focus, disc), runs)],
    ]
    for tiling in tilings:
        chosen = scatter.Tiling(*tiling)
        name = "blur by {} slices of {} x {}, {} warps".format(*tiling)
        rows.append(
            [
                name,
                timed(
                    lambda run, chosen=chosen: scatter.blur_at_once(samples[run % len(samples)], focus, disc, chosen),
                    runs,
                ),
            ]
        )
    return [[f"{name}, batch {size}", *summary(times)] for name, times in rows]


def likeness(frames, names, lens):
    """Rows of (frame, PSNR of the GPU's stack against the CPU's in dB, largest difference), in linear light up to 1."""
    rows = []
    for name, (rgb, depth) in zip(names, frames, strict=True):
        want = render_stack(rgb, depth, **lens)
        got = render_stack(rgb, depth, **lens, device="cuda")
        error = np.clip(got, 0, 1).astype(np.float64) - np.clip(want, 0, 1)
        rows.append([name, float(-10 * np.log10(np.mean(error**2) + 1e-30)), f"{np.abs(got - want).max():.1e}"])
    return rows


def variants(frames, lens, runs):
    """Rows of (what differs from a phone's stack, ms for a batch of 16: median, least, most, stacks/s, PSNR in dB)."""
    size = 16
    inputs = batches(frames, size)
    rows = []
    for name, change in (
        ("a lens 4 times as wide", {"f_number": lens["f_number"] / 4}),
        ("a lens 16 times as wide", {"f_number": lens["f_number"] / 16}),
        ("five blades", {"aperture": Aperture(blades=5)}),
        ("8-bit codes", {"encode": linear_to_srgb}),
    ):
        options = lens | change
        times = timed(lambda run, options=options: render_stack(*inputs[run % len(inputs)], **options), runs)
        want, got = (render_stack(*frames[0], **options, device=device) for device in (None, "cuda"))
        error = (got.astype(np.float64) - want) / (255 if want.dtype == np.uint8 else 1)
        psnr = float(-10 * np.log10(np.mean(error**2) + 1e-30))
        rows.append([name, *summary(times), size / float(np.median(times)), psnr])
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rgbd", type=Path, help="folder that holds folders of RGB-D frames")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--phone", default="pixel4")
    parser.add_argument("--tilings", action="store_true", help="try other tilings of the blur too")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device: this benchmark measures one; benchmarks/kernels.py does without", file=sys.stderr)
        return 1
    found, lens, _, gain = stacks(arguments.rgbd, arguments.phone)
    names, *arrays = zip(*found, strict=True)
    frames = list(zip(*arrays, strict=True))

    bandwidth, multiply_adds = limits(arguments.runs)
    rows = speeds(frames, lens, arguments.runs)
    needed = float(np.mean([work(*frame, lens, gain)[0] for frame in frames]))
    slices = len(lens["focus_distances_m"])
    moved = 4 * WIDTH * HEIGHT * (3 + 1 + 3 * slices)  # frames read and stacks written, once
    for row in rows:
        row += [100 * row[4] * moved / bandwidth, 100 * row[4] * needed / multiply_adds]
    parts = steps(frames, gain, lens, arguments.runs, TILINGS if arguments.tilings else [])
    same = likeness(frames, names, lens)
    others = variants(frames, lens, arguments.runs)
    text = (
        f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, Triton {version('triton')}: stacks of "
        f"{slices} x {WIDTH} x {HEIGHT}, {arguments.phone}, medians of {arguments.runs} runs\n\n"
        + markdown_table(
            ["batch", "ms", "min", "max", "stacks/s", "peak memory, MB", "% of bandwidth", "% of multiply-adds"],
            rows,
            2,
        )
        + f"\nThe device copies {bandwidth / 1e12:.2f} TB a second (read and written) and does "
        f"{multiply_adds / 1e12:.1f} million million multiply-adds in float32. A stack needs {moved / 1e6:.1f} MB and "
        f"{needed / 1e6:.0f} million multiply-adds at least.\n\n"
        + markdown_table(["step", "ms", "min", "max"], parts, 2)
        + "\n"
        + markdown_table(["frame", "PSNR to the CPU, dB", "largest difference"], same, 1)
        + "\n"
        + markdown_table(["batches of 16 with", "ms", "min", "max", "stacks/s", "PSNR to the CPU, dB"], others, 1)
    )
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "gpu.md").write_text(text, encoding="utf-8")
    device = {"device": torch.cuda.get_device_name(), "triton": version("triton"), "cuda": torch.version.cuda}
    result = {
        "environment": {**environment(), **device},
        "speeds": rows,
        "steps": parts,
        "likeness": same,
        "variants": others,
    }
    result |= {"bandwidth": bandwidth, "multiply_adds": multiply_adds, "bytes": moved, "needed": needed}
    (arguments.out / "gpu.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0 if min([row[1] for row in same] + [row[-1] for row in others]) >= 50 else 1


if __name__ == "__main__":
    sys.exit(main())
