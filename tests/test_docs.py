"""Figures in the documents are the ones that the benchmarks printed; links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def tables(path):
    return [t.strip() for t in re.findall(r"(?:^\|.*\n?)+", path.read_text(encoding="utf-8"), re.M)]


@pytest.mark.parametrize("name", ["fidelity", "render", "learn"])
def test_the_readme_quotes_the_benchmarks(name):
    assert tables(RESULTS / f"{name}.md")[0] in tables(ROOT / "README.md")


@pytest.mark.parametrize("name", ["fidelity", "render", "learn", "read"])
def test_the_results_page_quotes_the_benchmarks(name):
    assert set(tables(RESULTS / f"{name}.md")) <= set(tables(ROOT / "docs" / "results.md"))


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if not (page.parent / t).exists()]
    assert missing == []
