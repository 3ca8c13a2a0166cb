"""Figures in the documents are the ones that the benchmarks printed; links lead somewhere."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def tables(path):
    return [t.strip() for t in re.findall(r"(?:^\|.*\n?)+", path.read_text(encoding="utf-8"), re.M)]


@pytest.mark.parametrize("name", ["fidelity", "render", "learn", "train"])
def test_the_readme_quotes_the_benchmarks(name):
    assert tables(RESULTS / f"{name}.md")[0] in tables(ROOT / "README.md")


@pytest.mark.parametrize(
    "name", ["fidelity", "depth_errors", "cutouts", "render", "large", "learn", "train", "read", "manifest", "scenes"]
)
def test_the_results_page_quotes_the_benchmarks(name):
    assert set(tables(RESULTS / f"{name}.md")) <= set(tables(ROOT / "docs" / "results.md"))


def test_what_large_bundles_cost_is_as_measured():
    pages = [*tables(ROOT / "docs" / "results.md"), *tables(ROOT / "docs" / "scale.md")]
    assert set(tables(RESULTS / "scale.md")) <= set(pages)


def test_what_kernels_need_and_do_is_as_counted():
    assert tables(RESULTS / "kernels.md") == [
        t for t in tables(ROOT / "docs" / "gpu.md") if "step" not in t.split("\n")[0]
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if not (page.parent / t).exists()]
    assert missing == []


def test_every_command_has_its_page_as_help_says_it():
    """After a change of options: ``make docs``."""
    pages = runpy.run_path(str(ROOT / "docs" / "commands.py"))["pages"]()
    written = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "commands").glob("*.md")}
    assert set(written) == set(pages)
    different = [name for name, text in pages.items() if written[name] != text]
    assert different == []


def test_the_page_of_a_command_holds_its_options():
    page = (ROOT / "docs" / "commands" / "focalsim-render.md").read_text(encoding="utf-8")
    assert "Usage: focalsim render [OPTIONS] [SOURCE]" in page
    assert re.search(r"--slices INTEGER RANGE +Slices in a stack", page)
    assert "-h, --help" in page


def test_networks_and_losses_have_their_row():
    from dffnet.losses import LOSSES
    from dffnet.models import MODELS

    page = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
    assert [name for name in (*LOSSES, *MODELS) if f"`{name}`" not in page] == []


def test_sources_have_their_row():
    from focalsim.sources import SOURCE_FORMATS

    page = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
    assert [name for name in SOURCE_FORMATS if f"| `{name}` |" not in page] == []
