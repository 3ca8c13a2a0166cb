"""The page of one run: how it learned, what it measures, what it sees."""

from __future__ import annotations

import html
from pathlib import Path

from dffnet.pages.parts import MEAN, curves, panel, risk_chart, section, table
from dffnet.records import RunRecord
from dffnet.units import UNITS
from focalsim.pages import fact_list, html_page, resource
from focalsim.progress import progress_bar

_NOT_MEASURED = "Not evaluated yet: dffnet eval RUN/model.pt SHARD... --out RUN/eval adds measures and pictures."


def report_page(run: RunRecord) -> str:
    """Curves, measures by phone and depth, confidence and pictures of ``run``, as HTML. Raises RunError."""
    title = f"Run {run.name}"
    parts = [
        section("Training", curves({run.name: run.curves}, run.config.get("unit", ""))),
        *(_measures(run) if run.evaluation else [f'<p class="quiet">{html.escape(_NOT_MEASURED)}</p>']),
        section("Pictures", *_panels(run)),
    ]
    body = f"<header><h1>{html.escape(title)}</h1>{fact_list(facts(run))}</header><main>{''.join(parts)}</main>"
    return html_page(title, body, style=resource("dffnet.pages", "run.css"))


def facts(run: RunRecord) -> list[tuple[str, str]]:
    """What the run is, in names and values."""
    config = {name: value for name, value in run.config.items() if value not in ("", {}, -1)}
    steps = max((points[-1][0] + 1 for points in run.curves.values() if points), default=0)
    measured = run.evaluation
    return [
        *((name.replace("_", " "), str(value)) for name, value in config.items()),
        ("steps done", f"{steps:.0f}" if steps else ""),
        ("images measured", f"{len(measured['images'])}" if measured else ""),
        ("checkpoint measured", Path(str(measured.get("checkpoint", ""))).name if measured else ""),
    ]


def _measures(run: RunRecord) -> list[str]:
    assert run.evaluation is not None
    e = run.evaluation
    sections = []
    for unit in UNITS:
        whole = {
            f"{who}, {MEAN[kind]}": e[key][unit][kind]
            for key, who in (("model", "model"), ("mean_depth", "mean depth"))
            for kind in MEAN
        }
        phones = {name: by_unit[unit]["per_image"] for name, by_unit in e["by_phone"].items()}
        depths = {name: by_unit[unit]["per_pixel"] for name, by_unit in e["by_depth"].items()}
        tables = [table(whole), "<h3>By phone</h3>", table(phones, "phone")]
        tables += ["<h3>By depth</h3>", table(depths, "pixels")]
        sections.append(section(f"Depth in {unit}", *tables))
    others = {
        "all-in-focus image": e.get("all_in_focus", {}),
        **{f"misalignment {key}, px": value for key, value in e.get("alignment_px", {}).items()},
    }
    return [
        *sections,
        section("Confidence", risk_chart({run.name: run})),
        section("Picture and alignment", *(table({name: row}) for name, row in others.items() if row)),
    ]


def _panels(run: RunRecord) -> list[str]:
    """Best, median and worst first, then what every evaluation of these shards shows."""
    files = [(label, path, key) for key, found in run.pictures.items() for label, path in found]
    order = ("best", "median", "worst", "first")
    files.sort(key=lambda item: (order.index(item[0].partition("-")[0]), item[0]))
    shown: set[tuple[str, str]] = set()
    panels = []
    for label, path, key in progress_bar(files, desc="draw", unit="picture", leave=False):
        if key not in shown:
            shown.add(key)
            panels.append(panel(path, f"{label.replace('-', ' ')}: {key[0]} {key[1]}"))
    return panels
