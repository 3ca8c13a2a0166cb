"""Compiled functions work where neither the package nor the user's folder can be written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import focalsim
from focalsim import code_cache

PACKAGE = Path(focalsim.__file__).parent


def test_a_package_and_a_home_that_cannot_be_written(tmp_path, write_shard):
    """Files stand where the folders of the cache would be, which stops root too."""
    copy = tmp_path / "site" / "focalsim"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (copy, *(path for path in copy.rglob("*") if path.is_dir())):
        (folder / "__pycache__").touch()
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    shard = write_shard(tmp_path / "shard.h5")
    environment = {**os.environ, "HOME": "/dev/null", "TMPDIR": str(temporary), "PYTHONPATH": str(copy.parent)}
    for name in ("XDG_CACHE_HOME", code_cache.VARIABLE):
        environment.pop(name, None)
    code = "import focalsim; print(focalsim.__file__); focalsim.ShardReader(__import__('sys').argv[1])[0]"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, str(shard)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(copy / "__init__.py")
    (kept,) = temporary.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o700
    assert list(kept.rglob("*.nbc"))


@pytest.fixture
def no_usual_place(tmp_path, monkeypatch):
    monkeypatch.setattr(code_cache, "_usual_places", lambda: ("/dev/null/x",))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    # find_place sets both; they are put back afterwards
    monkeypatch.setenv(code_cache.VARIABLE, "")
    import numba

    monkeypatch.setattr(numba.config, "CACHE_DIR", numba.config.CACHE_DIR)
    return tmp_path / f"focalsim-{os.getuid()}"


def test_a_folder_that_others_can_write_is_not_used(no_usual_place):
    no_usual_place.mkdir()
    no_usual_place.chmod(0o777)
    code_cache.find_place()
    place = Path(os.environ[code_cache.VARIABLE])
    assert place != no_usual_place
    assert place.stat().st_mode & 0o777 == 0o700


def test_the_folder_is_used_again(no_usual_place):
    for _ in range(2):
        os.environ[code_cache.VARIABLE] = ""
        code_cache.find_place()
        assert os.environ[code_cache.VARIABLE] == str(no_usual_place)


def test_a_disk_too_full_to_keep_compiled_code(tmp_path, write_shard):
    """It is compiled all the same; a shard is not called damaged for it."""
    shard = write_shard(tmp_path / "shard.h5")
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "import focalsim; print(len(list(focalsim.ShardReader(sys.argv[1]))))"
    )
    environment = {**os.environ, code_cache.VARIABLE: str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, str(shard)], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "4\n"), done.stderr


def test_compiling_is_told_once():
    from numba import njit

    told = []
    code_cache.tell_when_compiling(lambda: told.append("compiling"))
    twice = njit(lambda x: 2 * x)
    assert not told
    assert (twice(1), twice(1.5)) == (2, 3.0)
    assert told == ["compiling"]


def test_rendering_nothing_compiles_what_a_sample_needs():
    """In a process of its own, where nothing else has been rendered; kernels of another signature would be in vain."""
    code = (
        "from focalsim.camera import load_profile\n"
        "from focalsim.config import RenderConfig\n"
        "from focalsim.job import plan_job, render_nothing, render_sample\n"
        "from focalsim.render import layers, resample, samples, scatter, visibility\n"
        "from focalsim.sources import open_source\n"
        "kernels = layers._all_in_front, resample._plan, samples._replicate, scatter._spread, visibility._visibility\n"
        "count = lambda: [len(kernel.signatures) for kernel in kernels]\n"
        "config = RenderConfig(phones=(load_profile('pixel4').to_dict(),), samples=1, width=40, height=32, slices=3)\n"
        "job = plan_job(config, open_source(None))\n"
        "render_nothing(job); print(count())\n"
        "render_sample(job, 0); print(count())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == 2 * "[1, 1, 1, 1, 1]\n", done.stderr
