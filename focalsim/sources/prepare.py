"""From a source's frame to what the renderer takes: framed, without holes, in the focus range."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from focalsim.errors import FrameError
from focalsim.scene import Scene
from focalsim.sources.base import FrameRequest
from focalsim.sources.fill import fill_holes
from focalsim.sources.framing import Framing, frame_window

# What lies nearer or farther than these quantiles of the valid depths does not decide where a scene is
# placed.
_ROBUST_RANGE = (0.01, 0.99)
_LINES = 100  # rows and columns of the picture that decide it, at least: more tell the same, and take longer
# "auto" keeps a scene that leaves the focus range by no more than this fraction of it, counted in dioptres:
# half the step between two of ten slices.
_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class PreparedScene:
    """A scene ready for the renderer, with finite depth everywhere, and the factor on its metres.

    ``window`` (left, top, width, height) is the picture; the scene may show more around it.
    """

    scene: Scene
    depth_scale: float
    window: tuple[int, int, int, int]


def prepare_scene(
    scene: Scene, request: FrameRequest, *, max_holes: float, depth_policy: str, match_fov: bool = False
) -> PreparedScene:
    """Crop to the output's aspect ratio, reduce what is too large, fill holes, and place the scene in depth.

    max_holes     largest fraction of the window's pixels whose depth may be unknown
    depth_policy  "keep", "fit" or "auto"; see :func:`depth_factor`
    match_fov     crop to the phone's true field of view

    Depth in holes is filled (:func:`focalsim.sources.fill.fill_holes`) and stays invalid. Hidden surfaces
    go the same way. Raises FrameError where the frame cannot serve ``request``.
    """
    framing = frame_window(scene, request, match_fov=match_fov)
    valid = framing.pick(scene.valid)
    check_holes(framing.inside(valid), max_holes, scene.source_id)
    depth_m = framing.pick(scene.depth_m)
    known_m = _some_depths(framing.inside(depth_m), framing.inside(valid))
    factor = depth_factor(known_m, request.near_m, request.far_m, depth_policy)
    hidden_rgb_linear, hidden_depth_m = _frame_hidden(scene, framing)
    prepared = replace(
        scene,
        rgb=framing.average(scene.rgb),
        depth_m=fill_holes(depth_m, valid) * np.float32(factor),
        valid=valid,
        hidden_rgb_linear=hidden_rgb_linear,
        hidden_depth_m=None if hidden_depth_m is None else hidden_depth_m * np.float32(factor),
        intrinsics=None if scene.intrinsics is None else framing.intrinsics(scene.intrinsics),
    )
    return PreparedScene(prepared, factor, framing.window)


def check_holes(valid: NDArray[np.bool_], max_holes: float, source_id: str) -> None:
    """Raise FrameError where more than the fraction ``max_holes`` (below 1) of the pixels has no depth."""
    holes = np.count_nonzero(~valid) / valid.size
    if holes > max_holes:
        raise FrameError(
            f"{source_id}: {100 * holes:.1f} % of its pixels have no depth, more than {100 * max_holes:g} %",
            "too many holes",
        )


def _some_depths(depth_m: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Enough of the known depths (n,) to tell their quantiles; all of them where those pixels know none."""
    some = tuple(slice(None, None, max(1, size // _LINES)) for size in valid.shape)
    known_m: NDArray[np.float32] = depth_m[some][valid[some]]
    return known_m if known_m.size else depth_m[valid]


def depth_factor(depth_m: NDArray[np.float32], near_m: float, far_m: float, policy: str) -> float:
    """Factor on a scene's metres, given its known depths (n,).

    "keep" is 1. "fit" puts the middle of the scene's robust range on the middle of the focus range, both
    counted in dioptres, in which blur is linear and the slices are uniform:

        factor = (1/d_near + 1/d_far) / (1/near + 1/far)

    A scene that spans a smaller ratio far/near than the focus range then lies within it; a larger one
    leaves it by the same blur on either side. "auto" is 1 where the scene lies within the focus range
    already, else as "fit".

    >>> room_m = np.linspace(2, 4, 100, dtype=np.float32)
    >>> factor = depth_factor(room_m, 0.1, 1.0, "auto")
    >>> round(factor, 3), round(factor * 2, 3), round(factor * 4, 3)  # a room, put before a phone's macro range
    (0.068, 0.136, 0.271)
    >>> depth_factor(room_m, 0.1, 1.0, "keep")
    1.0
    """
    if policy == "keep":
        return 1.0
    d_near, d_far = (float(d) for d in np.quantile(depth_m, _ROBUST_RANGE))
    slack = _TOLERANCE * (1 / near_m - 1 / far_m)
    inside = 1 / d_near <= 1 / near_m + slack and 1 / d_far >= 1 / far_m - slack
    if policy == "auto" and inside:
        return 1.0
    return (1 / d_near + 1 / d_far) / (1 / near_m + 1 / far_m)


def _frame_hidden(scene: Scene, framing: Framing) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
    """Hidden colour, averaged over where it is known, and depth."""
    if scene.hidden_rgb_linear is None or scene.hidden_depth_m is None:
        return None, None
    known = np.isfinite(scene.hidden_depth_m).astype(np.float32)
    share = framing.average(known)[..., None]
    light = framing.average(np.where(known[..., None] > 0, scene.hidden_rgb_linear, np.float32(0)))
    colour = np.divide(light, share, out=np.zeros_like(light), where=share > 0)
    return colour, framing.pick(scene.hidden_depth_m)
