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


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """Processes by name and their folder, all started at once: each takes many seconds of one core."""
    folder = tmp_path_factory.mktemp("kernels")
    compiling = "benchmarks/kernels.py", "--arch", "90", "--out", str(folder)
    interpreting = "tests/render/interpreted_kernels.py"
    commands = {"compile": compiling, "pixels": (interpreting, "pixels"), "levels": (interpreting, "levels")}
    processes = {
        name: subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, "TRITON_CACHE_DIR": str(folder / "cache")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, command in commands.items()
    }
    yield processes, folder
    for process in processes.values():
        process.kill()
        process.communicate()


def printed(process):
    out, errors = process.communicate()
    assert process.returncode == 0, out + errors
    return out


def test_interpreted_kernels_give_the_light_of_the_compiled_code(running):
    results = json.loads(printed(running[0]["pixels"]))
    assert results.pop("kinds") == [0, 1, 2]  # the scenes have samples seen by the whole lens, a part of it and none
    assert results.pop("kinds that differ") == 0
    assert len(results) == 7
    for step, psnr in results.items():
        assert psnr > 120.0, step


def test_interpreted_kernels_for_coarser_levels(running):
    results = json.loads(printed(running[0]["levels"]))
    assert results.pop("levels") == 3
    assert results.pop("larger than any kernel") > 0
    assert results.pop("kinds of levels that differ") == 0
    assert len(results) == 11
    for step, psnr in results.items():
        assert psnr > 120.0, step


def test_kernels_compile_for_a_gpu_that_is_not_here_and_fit_its_registers(running):
    processes, folder = running
    printed(processes["compile"])
    kernels = json.loads((folder / "kernels.json").read_text())["kernels"]
    names = {row[0].split(" ")[0] for row in kernels}
    levels = {"merge", "survey", "join", "add", "add_large", "finish"}
    assert names == levels | {"unmix", "extreme_along", "fill", "see", "blur", "along_columns", "along_rows"}
    for name, threads, registers, *_ in kernels:
        assert 0 < threads * registers <= 65536, name  # of a multiprocessor
