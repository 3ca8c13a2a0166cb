"""The frames of a batch as tensors on the device, checked there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from focalsim.errors import RenderError
from focalsim.render.tensors.holes import nearest_valid


@dataclass(frozen=True, slots=True)
class Frames:
    """B frames, float32: rgb_linear (B, H, W, 3), depth_m (B, H, W) without holes, and the hidden surfaces if known."""

    rgb_linear: torch.Tensor
    depth_m: torch.Tensor
    hidden_rgb_linear: torch.Tensor | None = None
    hidden_depth_m: torch.Tensor | None = None


def check_device(device: Any, rgb_linear: Any) -> torch.device:
    """The device asked for, or else that of ``rgb_linear``. Raises RenderError where there is none of that name."""
    if device is None:
        return torch.device(rgb_linear.device)
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise RenderError(f'device must be one of PyTorch, "cuda" for one, got {device!r}') from None
    if found.type == "cuda" and not torch.cuda.is_available():
        raise RenderError(f"device {device}: PyTorch finds no CUDA device here")
    return found


def check_frames(rgb: Any, depth: Any, valid: Any, hidden_rgb: Any, hidden_depth: Any, device: torch.device) -> Frames:
    """Arrays or tensors, (H, W, 3) and (H, W) or with an axis B in front. Raises RenderError for what cannot be."""
    rgb, depth = _tensor("rgb_linear", rgb), _tensor("depth_m", depth)
    if rgb.ndim not in (3, 4) or rgb.shape[-1] != 3 or not rgb.is_floating_point() or not len(rgb):
        raise RenderError(
            f"rgb_linear must be (H, W, 3) or (B, H, W, 3) float linear light, got {tuple(rgb.shape)} {rgb.dtype}"
        )
    shape = rgb.shape[:-1]
    _check_shape("depth_m", depth, shape, "float metres as rgb_linear", depth.is_floating_point())
    if min(shape[-2:]) < 2:
        raise RenderError(f"the frames must be at least 2 x 2 pixels, got {tuple(shape[-2:])}")
    batch = (-1, *shape[-2:])
    rgb = rgb.to(device, torch.float32).reshape(*batch, 3).contiguous()
    depth = depth.to(device, torch.float32).reshape(batch).contiguous()
    if valid is not None:
        valid = _tensor("valid", valid)
        _check_shape("valid", valid, shape, "bool", valid.dtype == torch.bool)
        valid = valid.to(device).reshape(batch)
    if (hidden_rgb is None) != (hidden_depth is None):
        raise RenderError("hidden_rgb_linear and hidden_depth_m go together: give both or none")
    if hidden_rgb is not None:
        hidden_rgb = _tensor("hidden_rgb_linear", hidden_rgb)
        hidden_depth = _tensor("hidden_depth_m", hidden_depth)
        _check_shape("hidden_rgb_linear", hidden_rgb, (*shape, 3), "float", hidden_rgb.is_floating_point())
        _check_shape("hidden_depth_m", hidden_depth, shape, "float", hidden_depth.is_floating_point())
        hidden_rgb = hidden_rgb.to(device, torch.float32).reshape(*batch, 3).contiguous()
        hidden_depth = hidden_depth.to(device, torch.float32).reshape(batch).contiguous()
    depth = _check_values(rgb, depth, valid, hidden_rgb, hidden_depth)
    return Frames(rgb, depth, hidden_rgb, hidden_depth)


def _tensor(name: str, values: Any) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        return values
    array = np.asarray(values)
    if array.dtype.kind not in "fb":
        raise RenderError(f"{name} must be an array or tensor of floating-point numbers, got {array.dtype}")
    if not array.flags.writeable or min(array.strides, default=0) < 0:  # which PyTorch does not share
        array = array.copy()
    return torch.from_numpy(array)


def _check_shape(name: str, tensor: torch.Tensor, shape: tuple[int, ...], what: str, right_type: bool) -> None:
    if tensor.shape != shape or not right_type:
        raise RenderError(f"{name} must be {tuple(shape)} {what}, got {tuple(tensor.shape)} {tensor.dtype}")


def _check_values(
    rgb: torch.Tensor,
    depth: torch.Tensor,
    valid: torch.Tensor | None,
    hidden_rgb: torch.Tensor | None,
    hidden_depth: torch.Tensor | None,
) -> torch.Tensor:
    """Depth, its holes filled. All answers are fetched from the device together: every fetch waits for it."""
    light = torch.isfinite(rgb).all(-1) & (rgb >= 0).all(-1)
    bad_depth = ~(torch.isfinite(depth) & (depth > 0))
    bad_hidden = torch.zeros_like(bad_depth)
    if valid is not None:
        bad_depth &= valid
    if hidden_rgb is not None and hidden_depth is not None:
        seen = torch.isfinite(hidden_rgb).all(-1) & (hidden_rgb >= 0).all(-1) & (hidden_depth > 0)
        bad_hidden = ~seen & ~torch.isnan(hidden_depth)
    known = torch.ones_like(bad_depth) if valid is None else valid
    questions = ~light, bad_depth, bad_hidden, ~known, known
    answers = torch.stack([q.flatten(1).any(1) for q in questions]).cpu()
    complaints = (
        "rgb_linear must be finite and not negative",
        "depth_m must be positive and finite wherever valid; mark such pixels invalid",
        "hidden surfaces must have positive depth (NaN = unknown) and finite light that is not negative",
    )
    for complaint, scenes in zip(complaints, answers, strict=False):
        if scenes.any():
            raise RenderError(complaint + _of_scene(scenes))
    if not answers[4].all():
        raise RenderError("no pixel of depth_m is valid" + _of_scene(~answers[4]))
    if answers[3].any() and valid is not None:
        depth = nearest_valid(depth, valid)
    return depth


def _of_scene(scenes: torch.Tensor) -> str:
    """Which scene of a batch is meant: the first of those marked (B,)."""
    return f" (scene {int(scenes.int().argmax())})" if len(scenes) > 1 else ""
