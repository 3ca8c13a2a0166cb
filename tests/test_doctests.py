"""Examples in the documents and in the docstrings of the public interface give what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
MODULES = (
    "focalsim",
    "focalsim.calibrate.target",
    "focalsim.camera.profile",
    "focalsim.camera.schedule",
    "focalsim.camera.thin_lens",
    "focalsim.color",
    "focalsim.config",
    "focalsim.rng",
    "focalsim.sources",
    "focalsim.sources.prepare",
    "dffnet.data.alignment",
    "dffnet.metrics",
    "dffnet.units",
)


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    module = importlib.import_module(name)
    # Names of a package's public interface are imported when they are first used.
    names = {name: getattr(module, name) for name in getattr(module, "__all__", ())}
    result = doctest.testmod(module, extraglobs=names)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("page", ["optics.md", "extending.md", "gpu.md"])
def test_documents(page, monkeypatch):
    import dffnet.losses
    import dffnet.models

    # What the page adds to the tables is gone afterwards.
    monkeypatch.setattr(dffnet.losses, "LOSSES", dict(dffnet.losses.LOSSES))
    with_more = dict(dffnet.models.MODELS)
    monkeypatch.setattr(dffnet.models, "MODELS", with_more)
    result = doctest.testfile(str(DOCS / page), module_relative=False)
    assert result.attempted >= 3
    assert result.failed == 0
