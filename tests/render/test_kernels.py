"""The kernels for CUDA without a GPU: interpreted, they give the light of the compiled code; and they compile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", minversion="3.9")  # older interpreters fail on new versions of NumPy

ROOT = Path(__file__).resolve().parents[2]


def run(script, *arguments, **environment):
    return subprocess.run(
        [sys.executable, str(ROOT / script), *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_interpreted_kernels_give_the_light_of_the_compiled_code():
    done = run("tests/render/interpreted_kernels.py")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results.pop("kinds") == [0, 1, 2]  # the scenes have samples seen by the whole lens, a part of it and none
    assert results.pop("kinds that differ") == 0
    assert results.pop("levels") == 3
    assert results.pop("larger than any kernel") > 0
    assert results.pop("kinds of levels that differ") == 0
    assert len(results) == 18
    for step, psnr in results.items():
        assert psnr > 120.0, step


def test_kernels_compile_for_a_gpu_that_is_not_here_and_fit_its_registers(tmp_path):
    done = run(
        "benchmarks/kernels.py", "--arch", "90", "--out", str(tmp_path), TRITON_CACHE_DIR=str(tmp_path / "cache")
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kernels = json.loads((tmp_path / "kernels.json").read_text())["kernels"]
    names = {row[0].split(" ")[0] for row in kernels}
    levels = {"merge", "survey", "join", "add", "add_large", "finish"}
    assert names == levels | {"unmix", "extreme_along", "fill", "see", "blur", "along_columns", "along_rows"}
    for name, threads, registers, *_ in kernels:
        assert 0 < threads * registers <= 65536, name  # of a multiprocessor
