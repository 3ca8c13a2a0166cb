"""The report of an evaluation: a table, JSON, and pictures of the worst and best samples."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import cv2

from dffnet.metrics import MEASURES
from dffnet.output import png_bytes
from dffnet.pictures import comparison
from dffnet.units import UNITS, to_metres

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
    return "\n".join(lines)


def as_json(evaluation: Evaluation, checkpoint: str) -> str:
    """Everything, as JSON; a number that is not finite becomes null."""
    content = {
        "checkpoint": checkpoint,
        "model": evaluation.model,
        "mean_depth": evaluation.mean_depth,
        "skipped": evaluation.skipped,
        "images": evaluation.images,
    }
    return json.dumps(_finite(content), indent=2, allow_nan=False)


def pictures(evaluation: Evaluation, predictor: Predictor, stacks: ShardStacks, count: int = 3) -> dict[str, bytes]:
    """PNG files by name, ``best-1.png`` .. and ``worst-1.png`` ..: a slice, prediction, truth, error."""
    ranked = evaluation.ranked()
    chosen = {f"best-{k + 1}.png": row for k, row in enumerate(ranked[:count])}
    chosen |= {f"worst-{k + 1}.png": row for k, row in enumerate(ranked[::-1][:count])}
    return {name: _picture(row, predictor, stacks) for name, row in chosen.items()}


def _picture(row: dict[str, Any], predictor: Predictor, stacks: ShardStacks) -> bytes:
    stack = stacks[row["index"]]
    truth_m, valid = stacks.truth(row["index"])
    depth_m, _ = predictor(stack.images, stack.focus_positions)
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


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
