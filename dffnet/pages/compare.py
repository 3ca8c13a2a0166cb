"""Several runs side by side: measures with the best marked, curves in one chart, the same images of all."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dffnet.pages.parts import best_of, curves, panel, risk_chart, section, table
from dffnet.records import RunRecord, as_number
from dffnet.units import UNITS
from focalsim.pages import html_page, resource
from focalsim.progress import progress_bar

_SHOWN_IMAGES = 8


def compare_page(runs: Sequence[RunRecord]) -> str:
    """A page of two runs or more, as HTML. Raises RunError."""
    named = dict(zip(unique_names(runs), runs, strict=True))
    measured = {name: run for name, run in named.items() if run.evaluation}
    title = " and ".join(named)
    units = {run.config.get("unit", "") for run in runs}
    parts = [
        section("Measures", *_notes(named, measured), *_measures(measured)),
        section("Training", curves({n: r.curves for n, r in named.items()}, units.pop() if len(units) == 1 else "")),
        section("Confidence", risk_chart(measured)),
        section("What differs", _differences(named)),
        section("The same images", *_images(measured)),
    ]
    body = f"<header><h1>{html.escape(title)}</h1></header><main>{''.join(parts)}</main>"
    return html_page(title, body, style=resource("dffnet.pages", "run.css"))


def unique_names(runs: Iterable[RunRecord]) -> list[str]:
    """Their names, with a number where several have the same.

    >>> unique_names([RunRecord(name, {}, {}, None, {}) for name in ("a", "b", "a")])
    ['a', 'b', 'a (2)']
    """
    seen: Counter[str] = Counter()
    names = []
    for run in runs:
        seen[run.name] += 1
        names.append(run.name if seen[run.name] == 1 else f"{run.name} ({seen[run.name]})")
    return names


def _notes(named: Mapping[str, RunRecord], measured: Mapping[str, RunRecord]) -> list[str]:
    notes = []
    without = [name for name in named if name not in measured]
    if without:
        notes.append(f"Not evaluated: {', '.join(without)}.")
    keys = [_images_of(run).keys() for run in measured.values()]
    if len({frozenset(k) for k in keys}) > 1:
        shared = len(set.intersection(*map(set, keys)))
        notes.append(f"These runs were measured on different images, of which {shared} are the same.")
    return [f'<p class="quiet">{html.escape(note)}</p>' for note in notes]


def _measures(measured: Mapping[str, RunRecord]) -> list[str]:
    """One table a unit: a line for each measure, a column for each run."""
    if not measured:
        return []
    tables = []
    for unit in UNITS:
        columns = {name: _flat(run, unit) for name, run in measured.items()}
        columns["mean depth"] = next(iter(measured.values())).evaluation["mean_depth"][unit]["per_image"]  # type: ignore[index]
        tables += [f"<h3>Depth in {unit}, mean over images</h3>", _table(columns)]
    others = {}
    for name, run in measured.items():
        e = run.evaluation or {}
        after = e.get("alignment_px", {}).get("after", {})
        others[name] = {**e.get("all_in_focus", {}), **{f"misalignment px, {k}": v for k, v in after.items()}}
    tables += ["<h3>All-in-focus image and alignment</h3>", _table(others)]
    return [*tables, _wins(measured)]


def _flat(run: RunRecord, unit: str) -> dict[str, Any]:
    """Measures of a run: of all, then the mean absolute error of each phone and depth."""
    e = run.evaluation or {}
    phones = {f"{name}: mae": value[unit]["per_image"]["mae"] for name, value in e["by_phone"].items()}
    depths = {f"{name}: mae": value[unit]["per_pixel"]["mae"] for name, value in e["by_depth"].items()}
    return {**e["model"][unit]["per_image"], **phones, **depths}


def _table(columns: Mapping[str, Mapping[str, Any]]) -> str:
    """Measures by column, turned: a line for each measure, its best marked."""
    names = dict.fromkeys(name for column in columns.values() for name in column)
    rows = {name: {key: column[name] for key, column in columns.items() if name in column} for name in names}
    return table(rows, "measure", {name: best_of(name, row) for name, row in rows.items()})


def _wins(measured: Mapping[str, RunRecord]) -> str:
    """On how many of the shared images each run has the smallest relative error in metres."""
    images = {name: _images_of(run) for name, run in measured.items()}
    shared = set.intersection(*(set(rows) for rows in images.values()))
    if len(images) < 2 or not shared:
        return ""
    won = Counter(
        best_of("abs_rel", {name: rows[key]["metres"]["abs_rel"] for name, rows in images.items()}) for key in shared
    )
    counts = {name: won[name] for name in images}
    return f"<h3>Smallest relative error, images of {len(shared)}</h3>" + table({"images": counts})


def _differences(named: Mapping[str, RunRecord]) -> str:
    """The settings that are not the same in all runs."""
    keys = dict.fromkeys(key for run in named.values() for key in run.config)
    rows = {key.replace("_", " "): {n: str(r.config.get(key, "")) for n, r in named.items()} for key in keys}
    return table({key: row for key, row in rows.items() if len(set(row.values())) > 1}, "setting")


def _images(measured: Mapping[str, RunRecord]) -> list[str]:
    """Panels of the images that at least two runs have pictures of, each image with all of its runs."""
    counts = Counter(key for run in measured.values() for key in run.pictures)
    panels = []
    shown = [key for key, count in counts.items() if count > 1][:_SHOWN_IMAGES]
    for key in progress_bar(shown, desc="draw", unit="image", leave=False):
        panels.append(f"<h3>{html.escape(' '.join(key))}</h3>")
        for name, run in measured.items():
            if key in run.pictures:
                error = as_number(_images_of(run)[key]["metres"]["abs_rel"])
                panels.append(panel(run.pictures[key][0][1], f"{name}: relative error {error:.3g}"))
    return panels


def _images_of(run: RunRecord) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["name"], row["source_id"]): row for row in (run.evaluation or {}).get("images", [])}
