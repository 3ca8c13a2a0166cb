"""What may import what, and what the public door shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import focalsim

ROOT = Path(__file__).resolve().parents[1]


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_contracts():
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_public_door():
    assert focalsim.__all__ == [
        "FocalsimError", "Location", "RenderedStacks", "Sample", "Scene", "ShardReader", "__version__", "load_profile",
        "render_stack", "shard_paths",
    ]  # fmt: skip
    assert dir(focalsim) == sorted(focalsim.__all__)
    for name in focalsim.__all__:
        assert getattr(focalsim, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        focalsim.nothing  # noqa: B018


def test_importing_focalsim_is_light():
    loaded = python("import focalsim, sys; print(*sys.modules)").split()
    assert not {"numpy", "h5py", "cv2", "numba", "torch", "click"} & set(loaded)


@pytest.mark.parametrize("args", [["--help"], ["render", "--help"], ["preview", "--help"], ["phones", "list"]])
def test_help_imports_nothing_heavy(args):
    code = f"""
import sys
from focalsim.cli import main
try:
    main({args!r})
except SystemExit as done:
    assert done.code == 0
print("MODULES", *sys.modules)
"""
    loaded = set(python(code).partition("MODULES")[2].split())
    assert not {"torch", "numba", "cv2", "scipy", "h5py", "lightning"} & loaded
