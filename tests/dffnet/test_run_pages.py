"""Pages of runs: curves that are those of the logs, measures that are those of the evaluation, the best marked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from browser import Page
from click.testing import CliRunner

from dffnet.charts import line_chart, log_ticks, ticks
from dffnet.cli import main
from dffnet.engine.summary import average_of, by_depth, by_phone, picture_rows
from dffnet.errors import RunError
from dffnet.metrics import COVERAGES, average, depth_measures
from dffnet.pages import compare_page, report_page
from dffnet.pages.parts import best_of
from dffnet.records import read_curves, read_run
from dffnet.units import UNITS, from_metres

MakeRun = Callable[..., Path]


def evaluation(error: float, images: int = 4) -> dict[str, Any]:
    """As dffnet eval writes it, of predictions that are ``error`` too far; image k more than image k - 1."""
    truth, valid = np.full((4, 4), 0.5), np.ones((4, 4), bool)
    rows = []
    for k in range(images):
        p = truth * (1 + error * (k + 1))
        measures = {u: depth_measures(from_metres(p, u), from_metres(truth, u), valid) for u in UNITS}
        row = {"index": k, "name": f"s.h5[{k}]", "source_id": f"made/{k}", "phone": ("pixel4", "pixel<6>")[k % 2]}
        rows.append({**row, **measures, "by_depth": {"0.5 to 1 m": measures}})
    whole = {u: average([row[u] for row in rows]) for u in UNITS}
    return {
        "checkpoint": "somewhere/model.pt",
        "model": whole,
        "mean_depth": whole,
        "by_phone": by_phone(rows),
        "by_depth": by_depth(rows),
        "all_in_focus": average_of([{"psnr": 30 - error, "ssim": 0.9}]),
        "alignment_px": {"before": {"mean": 2.0, "p95": 3.0}, "after": {"mean": 1.0, "p95": 2.0}},
        "risk_coverage": {"coverage": COVERAGES, "model": [error] * 10, "best": [0.1 * error] * 10},
        "skipped": [],
        "images": rows,
        "something_new": {"to": "ignore"},
    }


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """``make_run(name, error)``: the folder of a run with a log and, inside, an evaluation with its pictures."""

    def make(name: str, error: float = 0.1, measured: bool = True) -> Path:
        log = tmp_path / name / "log/version_0"
        log.mkdir(parents=True)
        (log / "metrics.csv").write_text(
            "epoch,gpu_c,lr,step,train_loss,val_mae\n0,61,0.001,0,4,\n0,62,0.0005,9,2,\n0,,,9,,0.7\n1,63,0.0001,19,1,\n1,,,19,,0.5\n"
        )
        if measured:
            folder = tmp_path / name / "eval"
            folder.mkdir()
            content = evaluation(error)
            (folder / "eval.json").write_text(json.dumps(content))
            for file in picture_rows(content["images"]):
                cv2.imwrite(str(folder / file), np.full((30, 120, 3), 90, np.uint8))
        return tmp_path / name

    return make


def run(*arguments: object) -> Any:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_curves_are_those_of_the_log_with_columns_that_nobody_knew(make_run: MakeRun) -> None:
    curves = read_curves(make_run("a"))
    assert curves["train_loss"] == [(0, 4), (9, 2), (19, 1)]
    assert curves["val_mae"] == [(9, 0.7), (19, 0.5)]
    assert curves["gpu_c"] == [(0, 61), (9, 62), (19, 63)]
    assert set(curves) == {"train_loss", "val_mae", "gpu_c", "lr"}


def test_a_later_start_replaces_what_it_did_again(make_run: MakeRun) -> None:
    folder = make_run("a")
    for version, first in (("version_2", 15), ("version_10", 17)):
        later = folder / "log" / version
        later.mkdir()
        (later / "metrics.csv").write_text(f"epoch,step,train_loss\n1,{first},{first}\n2,29,0.5\n")
    assert read_curves(folder)["train_loss"] == [(0, 4), (9, 2), (15, 15), (17, 17), (29, 0.5)]


def test_a_report_has_curves_measures_confidence_and_pictures(make_run: MakeRun) -> None:
    record = read_run(make_run("a"))
    text = report_page(record)
    assert record.evaluation is not None
    for title in ("Loss", "Validation", "Learning rate", "gpu_c", "Depth in dioptres", "By phone", "Confidence"):
        assert title in text
    for unit in UNITS:
        assert f"<td>{record.evaluation['by_phone']['pixel<6>'][unit]['per_image']['mae']:.4g}</td>" in text
    assert "pixel&lt;6&gt;" in text
    assert "<6>" not in text.replace("&lt;6&gt;", "")
    captions = re.findall(r"<figcaption>((?:best|median|worst|first)[^<]*)", text)
    assert captions[0] == "best 1: s.h5[0] made/0"
    assert len(captions) == len(set(captions)) == 4  # each image once


def test_a_run_that_is_not_evaluated_says_how(make_run: MakeRun) -> None:
    text = report_page(read_run(make_run("a", measured=False)))
    assert "dffnet eval RUN/model.pt" in text
    assert "Depth in" not in text


def test_comparing_marks_the_best_and_shows_the_same_images(make_run: MakeRun) -> None:
    runs = [read_run(make_run(name, error)) for name, error in (("good", 0.1), ("poor", 0.2))]
    text = compare_page(runs)
    rows = dict(re.findall(r'<tr><th scope="row">(psnr|abs_rel|delta_1)</th>(.*?)</tr>', text))
    for name, row in rows.items():
        cells = re.findall(r"<td(.*?)>(.*?)</td>", row)
        assert "best" in cells[0][0], name
        assert "best" not in cells[1][0], name
    assert set(rows) == {"psnr", "abs_rel", "delta_1"}
    assert re.search(r"images</th><td>4</td><td>0</td>", text)  # good is better on every image
    assert text.count("<img ") == 8  # four images, both runs
    assert "different images" not in text


def test_comparing_says_what_cannot_be_compared(make_run: MakeRun) -> None:
    first, second = make_run("a"), make_run("b")
    content = json.loads((second / "eval/eval.json").read_text())
    content["images"] = content["images"][:3]
    (second / "eval/eval.json").write_text(json.dumps(content))
    text = compare_page([read_run(f) for f in (first, second, make_run("c", measured=False))])
    assert "different images, of which 3 are the same" in text
    assert "Not evaluated: c." in text


@pytest.mark.parametrize(
    ("name", "values", "best"),
    [
        ("mae", {"a": 1.0, "b": 2.0}, "a"),
        ("delta_1", {"a": 0.1, "b": 0.2}, "b"),
        ("mae", {"a": None, "b": 2.0}, "b"),
        ("mae", {"a": 1.0, "b": 1.0}, ""),
        ("mae", {"a": 1.0}, ""),
    ],
)
def test_the_best(name: str, values: dict[str, Any], best: str) -> None:
    assert best_of(name, values) == best


def test_a_curve_lies_where_its_values_say() -> None:
    text = line_chart({"a": [(0, 0.0), (50, 10.0), (100, 5.0), (60, float("nan"))]}, title="t", x="step", y="loss")
    (points,) = re.findall(r'points="([^"]+)"', text)
    (x0, y0), (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in points.split())
    assert x1 == pytest.approx((x0 + x2) / 2)
    assert y2 == pytest.approx((y0 + y1) / 2)
    assert y1 < y0  # up
    assert line_chart({"a": [(0, float("inf"))]}, title="t", x="x", y="y") == ""


@pytest.mark.parametrize(("low", "high"), [(0, 1), (3, 3), (0, 0), (-5, 1e-3), (1e5, 1.1e5)])
def test_ticks_are_round_and_enclose(low: float, high: float) -> None:
    found = ticks(low, high)
    assert found[0] <= low <= high <= found[-1]
    assert 2 <= len(found) <= 7
    assert log_ticks(0.02, 3000)[0] <= 0.02
    assert log_ticks(1, 1) == [1, 10]


def test_in_the_browser(make_run: MakeRun, browser: Page, tmp_path: Path) -> None:
    result = run("compare", make_run("a"), make_run("b", 0.3), "--out", tmp_path / "c.html")
    assert result.exit_code == 0, result.output
    assert run("report", tmp_path / "a").exit_code == 0
    for path in (tmp_path / "c.html", tmp_path / "a/report.html"):
        page = browser.open(path, width=360)
        assert page.overflow_px() == 0
        assert page.complaints() == []
        assert len(page.requests()) == 1
        assert page.js("return [...document.images].every(i => i.complete && i.naturalWidth === 120)")
        colour = page.js("return getComputedStyle(document.querySelector('.curve')).stroke")
        assert colour not in ("none", "rgb(0, 0, 0)")


def test_mistakes(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run("a")
    assert run("compare", folder).exit_code == 2
    assert "no such folder" in run("report", tmp_path / "nothing").stderr
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="neither the log"):
        read_run(tmp_path / "empty")
    with pytest.raises(RunError, match=r"no eval\.json"):
        read_run(folder, Path("elsewhere"))
    for name, text, match in (("eval", "{", "cannot be read"), ("eval", "[]", "is no evaluation")):
        (folder / name / "eval.json").write_text(text)
        with pytest.raises(RunError, match=match):
            read_run(folder)
    (folder / "log/version_0/metrics.csv").write_text("epoch,step,train_loss\n0,1,nonsense\n")
    with pytest.raises(RunError, match="cannot be read"):
        read_run(folder)
    (folder / "report.html").write_text("mine")
    assert "exists" in run("report", folder).stderr
