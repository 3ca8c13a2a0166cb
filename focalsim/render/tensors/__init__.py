"""The renderer as tensor operations, many scenes at once: the same steps, the same light, on a device of PyTorch.

On CUDA devices every step is a Triton kernel (cuda/). Elsewhere the compiled code of the CPU finds layers and
visibility, and PyTorch does the rest (plain/).
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from focalsim.camera.effects import Aperture, LateralColor
from focalsim.errors import RenderError
from focalsim.render.check import Encode, Window, check_optics, check_size, check_window
from focalsim.render.resample import breathing_maps, source_scale
from focalsim.render.tensors import plain
from focalsim.render.tensors.axis import axis_taps
from focalsim.render.tensors.edges import with_steps
from focalsim.render.tensors.encode import srgb_codes
from focalsim.render.tensors.frames import check_device, check_frames
from focalsim.render.tensors.kernels import Kernels, disc_kernels, polygon_kernels
from focalsim.render.tensors.levels import Level, make_levels
from focalsim.render.tensors.registration import registered

OLDEST_TRITON = 3, 4


def render_tensors(rgb_linear: Any, depth_m: Any, *, device: Any, **arguments: Any) -> Any:
    """stack.render_stack, with the same arguments, for tensors or for a device."""
    device = check_device(device, rgb_linear)
    if device.type == "cuda":
        with torch.cuda.device(device):  # where kernels are launched
            return _render(rgb_linear, depth_m, device=device, **arguments)
    return _render(rgb_linear, depth_m, device=device, **arguments)


def _render(
    rgb_linear: Any,
    depth_m: Any,
    *,
    valid: Any,
    hidden_rgb_linear: Any,
    hidden_depth_m: Any,
    output_size: tuple[int, int] | None,
    window: Window | None,
    lateral_color: LateralColor | None,
    aperture: Aperture | None,
    encode: Encode | None,
    device: torch.device,
    **camera: Any,
) -> Any:
    frames = check_frames(rgb_linear, depth_m, valid, hidden_rgb_linear, hidden_depth_m, device)
    scenes, *shape = frames.depth_m.shape
    is_batch = np.ndim(rgb_linear) == 4
    optics = check_optics(**camera, scenes=scenes if is_batch else None)
    window = check_window(window, tuple(shape))
    size = check_size(output_size, window[2:])
    gain = optics.gain_px_m(size[0]) * source_scale(window[2:], size)
    steps = import_module(f"focalsim.render.tensors.{'cuda' if has_triton(device) else 'plain'}")

    disparity = with_steps(_disparity_px(gain, frames.depth_m))
    if frames.hidden_depth_m is None:
        disparity = registered(disparity, frames.rgb_linear)
    with torch.no_grad():
        hidden = None if frames.hidden_depth_m is None else _disparity_px(gain, frames.hidden_depth_m)
        given = frames.rgb_linear, disparity, frames.hidden_rgb_linear, hidden
        samples = steps.prepare(*(None if a is None else a.detach() for a in given))
    if torch.is_grad_enabled() and (frames.rgb_linear.requires_grad or frames.depth_m.requires_grad):
        if encode is not None:
            raise RenderError("8-bit codes have no gradient: render light (encode=None), or under torch.no_grad()")
        samples = samples.following(frames.rgb_linear, disparity)
        steps = plain  # which PyTorch can go through backwards
    focus = gain[:, None] / optics.focus_m
    largest = _largest_blur_px(focus, disparity.detach(), hidden)
    kernels: Kernels
    if aperture is None:
        levels, kernels = make_levels(samples, largest, steps.merge), disc_kernels(device)
    else:
        levels, kernels = [Level(samples)], polygon_kernels(aperture, float(largest.max()), device)
    stacks = steps.blur(levels, torch.from_numpy(focus).float().to(device), kernels)
    x, y = breathing_maps(tuple(shape), window, size, optics.magnification, optics.shift_px, lateral_color)
    if x.identity and y.identity:
        stacks = stacks.permute(0, 1, 3, 4, 2).contiguous()
    else:
        stacks = steps.warp(stacks, axis_taps(x, device), axis_taps(y, device))
    if encode is not None:
        stacks = srgb_codes(stacks)
    stacks = stacks if is_batch else stacks[0]
    return stacks if isinstance(rgb_linear, torch.Tensor) else stacks.cpu().numpy()


def has_triton(device: torch.device) -> bool:
    """Whether ``device`` is one that Triton compiles for, by a version that these kernels have been compiled by."""
    if device.type != "cuda" or find_spec("triton") is None:
        return False
    version = import_module("triton").__version__.split(".")
    return torch.cuda.get_device_capability(device) >= (8, 0) and (int(version[0]), int(version[1])) >= OLDEST_TRITON


def _disparity_px(gain: NDArray[np.float64], depth_m: torch.Tensor) -> torch.Tensor:
    """q = g/d, rounded as the compiled code does."""
    return torch.div(torch.from_numpy(gain).float().to(depth_m.device)[:, None, None], depth_m)


def _largest_blur_px(
    focus_disparity_px: NDArray[np.float64], disparity_px: torch.Tensor, hidden_px: torch.Tensor | None
) -> NDArray[np.float64]:
    """The largest blur (B,) of any surface in slices focused at g/s (B, S), see bands.Frame.largest_blur_px."""
    hidden = disparity_px if hidden_px is None else torch.where(hidden_px.isnan(), torch.inf, hidden_px)
    lowest = torch.minimum(disparity_px, hidden).amin((1, 2))
    low, high = torch.stack([lowest, disparity_px.amax((1, 2))]).double().cpu().numpy()
    largest: NDArray[np.float64] = np.maximum(
        np.maximum(high - focus_disparity_px.min(1), focus_disparity_px.max(1) - low), 0.0
    )
    return largest
