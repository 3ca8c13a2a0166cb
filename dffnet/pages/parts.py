"""What pages of runs are made of: tables, curves, panels; plain text becomes HTML here."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from dffnet.charts import line_chart
from dffnet.errors import RunError
from dffnet.records import Curve, RunRecord, as_number
from focalsim.pages import image_url

LARGER_IS_BETTER = ("delta_1", "delta_2", "delta_3", "psnr", "ssim")
_FAULTS = ("non_finite", "non_positive")
MEAN = {"per_image": "mean over images", "per_pixel": "mean over pixels"}


def section(title: str, *parts: str) -> str:
    """A heading and what stands below it; nothing where that is nothing."""
    content = "\n".join(part for part in parts if part)
    return f"<section>\n<h2>{html.escape(title)}</h2>\n{content}\n</section>" if content else ""


def table(rows: Mapping[str, Mapping[str, object]], corner: str = "", best: Mapping[str, str] | None = None) -> str:
    """A table with a line for each of ``rows`` (name -> values by column); faults that none has do not occur.

    ``best`` (row -> column) marks one value of a row.
    """
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    columns = [c for c in columns if c not in _FAULTS or any(row.get(c) != 0 for row in rows.values())]
    if not columns:
        return ""
    head = "".join(f'<th scope="col">{html.escape(str(name))}</th>' for name in (corner, *columns))
    lines = []
    for name, row in rows.items():
        cells = []
        for column in columns:
            mark = best is not None and best.get(name) == column
            text = _shown(row[column]) if column in row else ""
            cells.append(f'<td class="best">{text} <span title="best">★</span></td>' if mark else f"<td>{text}</td>")
        lines.append(f'<tr><th scope="row">{html.escape(name)}</th>{"".join(cells)}</tr>')
    content = f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return f'<div class="scroll card" tabindex="0"><table>{content}</table></div>'


def curves(runs: Mapping[str, Mapping[str, Curve]], unit: str) -> str:
    """Charts of the logs of runs (name -> curve by column): loss, validation, learning rate, then all else."""
    groups: dict[str, list[str]] = {}
    for column in dict.fromkeys(column for run in runs.values() for column in run):
        groups.setdefault(_group(column), []).append(column)
    order = sorted(groups, key=lambda group: ("Loss", "Validation", "Learning rate", group).index(group))
    charts = []
    for group in order:
        series = {
            _series(name, column, len(runs), len(groups[group])): run[column]
            for name, run in runs.items()
            for column in groups[group]
            if column in run
        }
        y = f"error, {unit}" if group == "Validation" and unit else group.lower()
        charts.append(line_chart(series, title=group, x="step", y=y, log_y=_is_wide(series)))
    shown = "".join(charts)
    return f'<div class="charts">{shown}</div>' if shown else ""


def risk_chart(runs: Mapping[str, RunRecord]) -> str:
    """Error of the most confident share of the pixels, for runs of one evaluation or of several."""
    series: dict[str, Curve] = {}
    for name, run in runs.items():
        risk = run.evaluation["risk_coverage"] if run.evaluation else {}
        for key in ("model", "best") if len(runs) == 1 else ("model",):
            if key in risk:
                label = name if len(runs) > 1 else {"model": "by the confidence", "best": "by the error itself"}[key]
                series[label] = [
                    (100 * as_number(a), as_number(b)) for a, b in zip(risk["coverage"], risk[key], strict=False)
                ]
    chart = line_chart(
        series, title="Mean error of the pixels trusted most", x="share of the pixels, %", y="error, dioptres"
    )
    return f'<div class="charts">{chart}</div>' if chart else ""


def panel(path: Path, caption: str) -> str:
    """A picture that an evaluation drew. Raises RunError where it is none."""
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise RunError(f"{path}: is no picture that can be read")
    picture = image_url(np.asarray(image[..., ::-1], np.uint8), 90)
    text = html.escape(caption)
    return f'<figure class="card panel"><figcaption>{text}</figcaption><img src="{picture}" alt="{text}"></figure>'


def best_of(name: str, values: Mapping[str, object]) -> str:
    """The column of the best value of the measure ``name``; empty where there is none, or where all are the same."""
    numbers = {column: as_number(value) for column, value in values.items()}
    finite = {column: number for column, number in numbers.items() if math.isfinite(number)}
    if len(numbers) < 2 or not finite or len(set(numbers.values())) == 1:
        return ""
    choose = max if name.rpartition(" ")[2] in LARGER_IS_BETTER else min
    return choose(finite, key=lambda column: finite[column])


def _shown(value: object) -> str:
    if value is None:
        return "not finite"
    return f"{value:.4g}" if isinstance(value, float | int) else html.escape(str(value))


def _group(column: str) -> str:
    if "loss" in column:
        return "Loss"
    if column.startswith("val_"):
        return "Validation"
    return "Learning rate" if column == "lr" or column.startswith("lr-") else column


def _series(run: str, column: str, runs: int, columns: int) -> str:
    """The name of a curve: what tells it from the others of its chart."""
    if runs == 1:
        return column
    return run if columns == 1 else f"{run}, {column}"


def _is_wide(series: Mapping[str, Sequence[tuple[float, float]]]) -> bool:
    """Whether the values span so much that a logarithmic scale shows them better."""
    values = [b for points in series.values() for _, b in points if math.isfinite(b)]
    return bool(values) and min(values) > 0 and max(values) > 20 * min(values)
