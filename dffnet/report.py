"""The report of an evaluation: a table, JSON, Markdown, and pictures of best, median and worst samples."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import cv2

from dffnet.engine.summary import picture_rows
from dffnet.metrics import COVERAGES, MEASURES
from dffnet.output import png_bytes
from dffnet.pictures import comparison
from dffnet.units import UNITS, to_metres
from focalsim.progress import progress_bar

if TYPE_CHECKING:
    from dffnet.data.shards import ShardStacks
    from dffnet.engine.evaluate import Evaluation
    from dffnet.engine.predictor import Predictor

_SUMS = {"per_image": "mean over images", "per_pixel": "mean over pixels"}


def table(evaluation: Evaluation) -> str:
    """Averages of the model beside those of the mean depth, in dioptres and metres."""
    lines = [f"{len(evaluation.images)} images measured, {len(evaluation.skipped)} without valid depth skipped"]
    for kind, title in _SUMS.items():
        lines += ["", f"{title:<18}" + "".join(f"{unit:>12}{'mean depth':>12}" for unit in UNITS)]
        for name in MEASURES:
            values = [side[unit][kind][name] for unit in UNITS for side in (evaluation.model, evaluation.mean_depth)]
            lines.append(f"{name:<18}" + "".join(f"{value:>12.4g}" for value in values))
    image, moved = evaluation.all_in_focus, evaluation.alignment_px
    lines += ["", f"all-in-focus image: PSNR {image['psnr']:.2f} dB, SSIM {image['ssim']:.4f}"]
    shown = (f"{key} {error['mean']:.3g} ({error['p95']:.3g})" for key, error in moved.items())
    lines.append(f"misalignment of slices, mean (95th percentile), px: {', '.join(shown)}")
    return "\n".join(lines)


def as_json(evaluation: Evaluation, checkpoint: str) -> str:
    """Everything, as JSON; a number that is not finite becomes null."""
    content = {
        "checkpoint": checkpoint,
        "model": evaluation.model,
        "mean_depth": evaluation.mean_depth,
        "by_phone": evaluation.by_phone,
        "by_depth": evaluation.by_depth,
        "all_in_focus": evaluation.all_in_focus,
        "alignment_px": evaluation.alignment_px,
        "risk_coverage": {"coverage": COVERAGES, **evaluation.risk_coverage},
        "skipped": evaluation.skipped,
        "images": evaluation.images,
    }
    return json.dumps(_finite(content), indent=2, allow_nan=False)


def as_markdown(evaluation: Evaluation, checkpoint: str) -> str:
    """Tables of the averages over images (by depth: over pixels), and of what goes with depth."""
    parts = [f"# {checkpoint}", f"{len(evaluation.images)} images, {len(evaluation.skipped)} skipped"]
    for unit in UNITS:
        rows = {"model": evaluation.model[unit], "mean depth": evaluation.mean_depth[unit]}
        phones = {name: by_unit[unit] for name, by_unit in evaluation.by_phone.items()}
        depths = {name: by_unit[unit] for name, by_unit in evaluation.by_depth.items()}
        parts += [f"## Depth in {unit}", _markdown({k: v["per_image"] for k, v in rows.items()}, "")]
        parts += ["By phone:", _markdown({k: v["per_image"] for k, v in phones.items()}, "phone")]
        parts += ["By depth:", _markdown({k: v["per_pixel"] for k, v in depths.items()}, "pixels")]
    parts += ["## All-in-focus image", _markdown({"model": evaluation.all_in_focus}, "")]
    parts += ["## Misalignment of slices, px", _markdown(evaluation.alignment_px, "")]
    shares = [f"{share:.0%}" for share in COVERAGES]
    risks = {k: dict(zip(shares, v, strict=True)) for k, v in evaluation.risk_coverage.items()}
    parts += ["## Mean error in dioptres of the most confident pixels", _markdown(risks, "trust in")]
    return "\n\n".join(parts) + "\n"


def pictures(evaluation: Evaluation, predictor: Predictor, stacks: ShardStacks) -> dict[str, bytes]:
    """PNG files by name, those of :func:`dffnet.engine.summary.picture_rows`: slice, prediction, truth, error."""
    rows = picture_rows(evaluation.images)
    drawn: dict[int, bytes] = {}  # an image may be chosen for several reasons
    for row in progress_bar(rows.values(), desc="draw", unit="picture", leave=False):
        if row["index"] not in drawn:
            drawn[row["index"]] = _picture(row, predictor, stacks)
    return {name: drawn[row["index"]] for name, row in rows.items()}


def _picture(row: dict[str, Any], predictor: Predictor, stacks: ShardStacks) -> bytes:
    stack = stacks[row["index"]]
    truth_m, valid = stacks.truth(row["index"])
    depth_m = predictor(stack.images, stack.focus_positions).depth_m
    far_m, near_m = to_metres(stack.focus_positions[[0, -1]], predictor.config.unit).tolist()
    picture = comparison(
        (255 * stack.images[-1]).round().byte().permute(1, 2, 0).numpy(),
        depth_m,
        truth_m,
        valid,
        title=f"{row['name']}  {row['source_id']}",
        captions=(f"slice at {near_m:.3g} m", f"error, abs_rel {row['metres']['abs_rel']:.3g}"),
        range_m=(near_m, far_m),
    )
    return png_bytes(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def _markdown(rows: Mapping[str, Mapping[str, float]], corner: str) -> str:
    """A table with a line for each of ``rows`` (name -> values by column)."""
    columns = list(next(iter(rows.values())))
    lines = [[corner, *columns], ["---"] + ["--:"] * len(columns)]
    lines += [[name, *(f"{row[column]:.4g}" for column in columns)] for name, row in rows.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
