"""Do the kernels for CUDA compile, and do they fit the registers? No GPU is needed: Triton compiles for one by name.

    python benchmarks/kernels.py --arch 90 --out benchmarks/results

Needs Triton. Every kernel is compiled as a batch of stacks of 10 x 352 x 224 calls it, but not run. Stack and local
memory are what did not fit the registers, bytes a thread; exit 1 if there is any.
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
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from focalsim.render.tensors import AxisMaps, cuda

SCENES, SLICES, HEIGHT, WIDTH = 8, 10, 224, 352
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
        blurred = cuda.blur(samples, torch.rand(SCENES, SLICES))
        for channels in (1, 3):
            slope, offset = np.full((SCENES, SLICES, channels), 1.01), np.zeros((SCENES, SLICES, channels))
            x, y = (AxisMaps(slope, offset, n, n).taps(q.device) for n in (WIDTH, HEIGHT))
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "kernels.md").write_text(text, encoding="utf-8")
    result = {"environment": environment(), "triton": version("triton"), "arch": arguments.arch, "kernels": rows}
    (arguments.out / "kernels.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if any(row[3] or row[4] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
