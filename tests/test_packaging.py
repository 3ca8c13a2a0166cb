"""phone_profiles/ is a folder of its own beside the packages: it must be found however the project is installed."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return next(out.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_packages_and_profiles(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    profiles = {p.relative_to(ROOT).as_posix() for p in (ROOT / "phone_profiles").rglob("*.toml")}
    assert {n for n in names if n.startswith("phone_profiles/") and n.endswith(".toml")} == profiles
    assert {"focalsim/py.typed", "dffnet/py.typed"} <= set(names)
    parts = {p.relative_to(ROOT).as_posix() for p in ROOT.glob("*/pages/*.*") if p.suffix in (".html", ".css", ".js")}
    assert "focalsim/pages/bundle.js" in parts
    assert parts <= set(names)
    tops = {n.split("/")[0] for n in names}
    assert tops == {"focalsim", "dffnet", "phone_profiles", next(t for t in tops if t.endswith(".dist-info"))}


@pytest.mark.slow
def test_profiles_are_found_from_the_wheel(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = "from focalsim.camera import list_profiles; import focalsim; print(focalsim.__file__, *list_profiles())"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    where, *profiles = done.stdout.split()
    assert Path(where).is_relative_to(tmp_path)
    assert profiles == ["galaxy_note10", "galaxy_s8plus", "pixel4", "pixel6"]


def test_profiles_are_found_as_installed_here(tmp_path):
    """From another folder, so that the profiles of the checkout are not found by chance."""
    done = subprocess.run(
        [Path(sys.executable).with_name("focalsim"), "phones", "list"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "pixel4" in done.stdout
