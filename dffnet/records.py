"""What a training run and its evaluation left on disk, read back for pages."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dffnet.checkpoint import read_without_code
from dffnet.engine.summary import picture_rows
from dffnet.errors import RunError

Curve = list[tuple[float, float]]  # (step, value), by step
_INDEX_COLUMNS = ("step", "epoch")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run. What it does not have is empty, or None.

    config      of its model, as stored
    curves      by column of its logs
    evaluation  what ``eval.json`` holds: see :func:`dffnet.report.as_json`
    pictures    by image (its name and source): the picture of the image and what it was chosen for, as "best-1"
    """

    name: str
    config: dict[str, Any]
    curves: dict[str, Curve]
    evaluation: dict[str, Any] | None
    pictures: dict[tuple[str, str], list[tuple[str, Path]]]


def read_run(folder: Path, evaluation: Path | None = None) -> RunRecord:
    """The run in ``folder``: of ``dffnet train``, or of ``dffnet eval`` alone.

    Its evaluation is in the folder ``evaluation``, inside the run or anywhere; by default the only one inside the run.
    Raises RunError where there is neither a log nor an evaluation, or where one of them cannot be read.
    """
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder")
    curves = read_curves(folder)
    found = _evaluation_folder(folder, evaluation)
    if not curves and found is None:
        raise RunError(f"{folder}: has neither the log of a training run nor the eval.json of an evaluation")
    measured = None if found is None else _read_evaluation(found / "eval.json")
    pictures: dict[tuple[str, str], list[tuple[str, Path]]] = {}
    if measured is not None and found is not None:
        for file, row in picture_rows(measured["images"]).items():
            if (found / file).is_file():
                pictures.setdefault((row["name"], row["source_id"]), []).append((Path(file).stem, found / file))
    return RunRecord(folder.resolve().name, _read_config(folder / "model.pt"), curves, measured, pictures)


def read_curves(folder: Path) -> dict[str, Curve]:
    """Curves by column, from the logs of all starts of a run: a later start replaces what it did again."""
    rows: list[dict[str, float]] = []
    paths = sorted(folder.glob("log/version_*/metrics.csv"), key=lambda p: int(p.parent.name.rpartition("_")[2]))
    for path in paths:
        later = _read_rows(path)
        if later:
            rows = [row for row in rows if row["step"] < later[0]["step"]] + later
    columns = dict.fromkeys(name for row in rows for name in row if name not in _INDEX_COLUMNS)
    return {name: [(row["step"], row[name]) for row in rows if name in row] for name in columns}


def _read_rows(path: Path) -> list[dict[str, float]]:
    """Rows that have a step, without their empty cells."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{k: float(v) for k, v in row.items() if k and v} for row in csv.DictReader(file)]
    except (OSError, ValueError) as error:  # a row that was cut off in the middle has a text that is no number
        raise RunError(f"{path}: cannot be read: {error}") from None
    return [row for row in rows if "step" in row]


def _evaluation_folder(folder: Path, named: Path | None) -> Path | None:
    if named is not None:
        for place in (folder / named, named):
            if (place / "eval.json").is_file():
                return place
        raise RunError(f"{folder}: no eval.json in {folder / named} or {named}; dffnet eval --out writes it")
    if (folder / "eval.json").is_file():
        return folder
    inside = sorted(path.parent for path in folder.glob("*/eval.json"))
    if len(inside) > 1:
        raise RunError(f"{folder}: has several evaluations, {', '.join(p.name for p in inside)}: say which, by --eval")
    return inside[0] if inside else None


def _read_evaluation(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read: {error}") from None
    needed = ("model", "mean_depth", "by_phone", "by_depth", "risk_coverage", "images")
    missing = [key for key in needed if not isinstance(content, dict) or key not in content]
    if missing:
        raise RunError(f"{path}: is no evaluation of dffnet eval: {', '.join(missing)} missing")
    return dict(content)


def _read_config(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    content = read_without_code(path)
    return dict(content.get("config", {})) if isinstance(content, dict) else {}


def as_number(value: Any) -> float:
    """A number of an evaluation; what was not finite stands there as null."""
    return math.nan if value is None else float(value)
