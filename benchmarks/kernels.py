"""Do the kernels for CUDA compile, do they fit the registers, and what have they to do? Needs no GPU.

    python benchmarks/kernels.py ../shared/data/rgbd --arch 90 --out benchmarks/results

Needs Triton, which compiles for a GPU by its name. Every kernel is compiled as a batch of stacks of 10 x 352 x 224
calls it, but not run. Stack and local memory, bytes a thread, did not fit the registers; exit 1 if there is any.
With frames, what a stack needs and what the tiles of the blur do for it is counted, beside what an H200 is said to do.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import triton
from common import environment, markdown_table
from render import stacks, work
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from focalsim.render.kernels import LARGEST_PX, kernel_table
from focalsim.render.resample import LOBES, AxisMap
from focalsim.render.tensors import axis_taps, cuda, plain
from focalsim.render.tensors.cuda import scatter
from focalsim.render.tensors.kernels import disc_kernels, level_of
from focalsim.render.tensors.levels import Level, make_levels

SCENES, SLICES, HEIGHT, WIDTH = 8, 10, 224, 352
LARGE_PX = 60.0  # a disc that needs two coarser levels
BYTES_PER_S, MULTIPLY_ADDS_PER_S = 4.8e12, 33.5e12  # of an H200, as its maker says
_TYPES = {torch.float32: "*fp32", torch.int32: "*i32", torch.int8: "*i8"}


class Compiler:
    """Takes the place of launching: compiles what is called and remembers (name, what it was called with)."""

    def __init__(self, arch):
        self.target = GPUTarget("cuda", arch, 32)
        self.compiled = {}

    def __call__(self, kernel, *args, num_warps, enable_fp_fusion, **kwargs):
        del kwargs["grid"], kwargs["warmup"]
        values = inspect.signature(kernel.fn).bind(*args, **kwargs).arguments
        signature, constants, attributes = {}, {}, {}
        for n, parameter in enumerate(kernel.params):
            value = values[parameter.name]
            if isinstance(value, torch.Tensor):
                signature[parameter.name] = _TYPES[value.dtype]
            elif parameter.is_constexpr or value == 1:  # Triton compiles a kernel of its own for ones,
                signature[parameter.name] = "constexpr"
                constants[parameter.name] = value
            else:
                signature[parameter.name] = "i32"
            if isinstance(value, torch.Tensor) or (signature[parameter.name] == "i32" and value % 16 == 0):
                attributes[(n,)] = [["tt.divisibility", 16]]  # and for what is aligned
        source = ASTSource(kernel, signature=signature, constexprs=constants, attrs=attributes)
        options = {"num_warps": num_warps, "enable_fp_fusion": enable_fp_fusion}
        code = triton.compile(source, target=self.target, options=options)
        name = kernel.fn.__name__.strip("_")
        self.compiled[f"{name} ({', '.join(f'{k}={v}' for k, v in constants.items())})"] = (num_warps, code)


def compile_all(compiler):
    """Every kernel as rendering calls it."""
    launch, JITFunction.run = JITFunction.run, lambda kernel, *args, **kwargs: compiler(kernel, *args, **kwargs)
    try:
        rgb, q = torch.rand(SCENES, HEIGHT, WIDTH, 3), torch.rand(SCENES, HEIGHT, WIDTH)
        cuda.prepare(rgb, q, rgb, q)
        samples = cuda.prepare(rgb, q, None, None)
        disc = disc_kernels(q.device)
        blurred = cuda.blur([Level(samples)], torch.rand(SCENES, SLICES), disc)
        levels = make_levels(samples, np.full(SCENES, LARGE_PX), cuda.merge)
        cuda.blur(levels, torch.rand(SCENES, SLICES), disc)
        for level in levels:
            far = torch.full_like(scatter.squares(level.samples)[2][:, None].expand(-1, SLICES, -1, -1, -1).int(), 20)
            cuda.levels.add_large(level, q, far, q, disc)
        for channels in (1, 3):
            slope, offset = np.full((SCENES, SLICES, channels), 1.01), np.zeros((SCENES, SLICES, channels))
            x, y = (axis_taps(AxisMap(slope, offset, n, n), q.device) for n in (WIDTH, HEIGHT))
            cuda.warp(blurred, x, y)
    finally:
        JITFunction.run = launch


def registers(code):
    """(registers, stack bytes, local bytes) a thread, as the binary says."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code.asm["cubin"])
        file.flush()
        listing = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+) .*?LOCAL:(\d+)", listing)
    return tuple(int(n) for n in found.groups())


def count(rgbd, phone):
    """For every frame (name, megabytes, microseconds they take, million multiply-adds needed, those of the tiles over
    those needed by the sums, share of the tiles' that asks for partial samples, microseconds that those needed take).
    """
    found, lens, _, gain = stacks(rgbd, phone)
    focus = torch.from_numpy(gain / lens["focus_distances_m"]).float()
    megabytes = 4e-6 * WIDTH * HEIGHT * (3 + 1 + 3 * len(focus))  # frames read and stacks written, once
    for name, rgb, depth in found:
        needed, _ = work(rgb, depth, lens, gain)
        sums = needed - 3 * 2 * (2 * LOBES + 1) * depth.size * len(focus)  # without the warp
        disparity = torch.from_numpy((gain / depth).astype(np.float32))
        done, partial = tile_taps(plain.prepare(torch.from_numpy(rgb)[None], disparity[None], None, None), focus)
        floors = megabytes / BYTES_PER_S * 1e12, needed / MULTIPLY_ADDS_PER_S * 1e6
        yield [name, megabytes, floors[0], needed / 1e6, 4 * done / sums, partial / done, floors[1]]


def tile_taps(samples, focus):
    """Taps that the tiles of the blur go through for one scene, one pixel and slice each, and how many of them ask."""
    tiling = scatter.DEFAULT
    assert tiling.rows == tiling.columns == scatter.SQUARE_PX.value, "counted for tiles of one square"
    lowest, highest, kinds = (a[0] for a in scatter.squares(samples))
    radii = torch.from_numpy(kernel_table(LARGEST_PX).radius)
    focus = torch.cat([focus, focus[-1:].expand(-len(focus) % tiling.slices)])[:, None, None, None]
    there = lowest <= highest
    largest = torch.maximum((focus - lowest).abs(), (focus - highest).abs()).where(there, torch.tensor(0.0))
    radius = torch.where(there, radii[level_of(largest)], -1)
    around = scatter.AROUND.value
    padded, kinds = (torch.nn.functional.pad(a, [around] * 4, value=-1) for a in (radius, kinds.int()))
    reach, partial = torch.full_like(radius, -1), torch.zeros_like(radius, dtype=torch.bool)
    height, width = radius.shape[-2:]
    for dy in range(-around, around + 1):
        for dx in range(-around, around + 1):
            rows, columns = slice(around + dy, around + dy + height), slice(around + dx, around + dx + width)
            away = max(8 * max(abs(dy), abs(dx)) - 7, 0)
            near = padded[..., rows, columns] >= away
            reach = torch.maximum(reach, torch.where(near, padded[..., rows, columns], -1))
            partial |= near & (kinds[:, rows, columns] == scatter.PARTIAL.value)
    reach, partial = reach.unflatten(0, (-1, tiling.slices)).amax(1), partial.unflatten(0, (-1, tiling.slices)).any(1)
    taps = torch.where(reach >= 0, (2 * reach + 1) ** 2, 0) * tiling.slices * tiling.rows * tiling.columns
    asking = taps * partial
    return int(taps.sum() + asking[:, 0].sum()), int(asking.sum())  # the front's once more, for those alone


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rgbd", type=Path, nargs="?", help="folder that holds folders of RGB-D frames")
    parser.add_argument("--phone", default="pixel4")
    parser.add_argument("--arch", type=int, default=90, help="compute capability, 90 for an H100 or H200")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    compiler = Compiler(arguments.arch)
    compile_all(compiler)
    compiled = compiler.compiled.items()
    rows = [[name, 32 * warps, *registers(code), code.metadata.shared] for name, (warps, code) in compiled]
    header = ["kernel", "threads", "registers", "stack", "local", "shared memory, bytes"]
    title = f"Compute capability {arguments.arch / 10:.1f}, Triton {version('triton')}\n\n"
    text = title + markdown_table(header, rows, 0)
    counts = [] if arguments.rgbd is None else list(count(arguments.rgbd, arguments.phone))
    if counts:
        header = [
            "frame",
            "MB",
            "us at 4.8 TB/s",
            "million multiply-adds",
            "done by tiles",
            "partial",
            "us at 33.5 T/s",
        ]
        text += f"\nA stack of {SLICES} x {WIDTH} x {HEIGHT}, {arguments.phone}\n\n" + markdown_table(header, counts, 2)
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "kernels.md").write_text(text, encoding="utf-8")
    result = {
        "environment": environment(),
        "triton": version("triton"),
        "arch": arguments.arch,
        "kernels": rows,
        "work": counts,
    }
    (arguments.out / "kernels.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if any(row[3] or row[4] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
