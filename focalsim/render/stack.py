"""The public renderer: checks what came, prepares the scene once, spreads it into every slice, warps every slice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focalsim.camera.effects import Aperture, LateralColor
from focalsim.color import linear_to_srgb
from focalsim.errors import RenderError
from focalsim.holes import nearest_valid
from focalsim.pick import pick
from focalsim.render.bands import Frame, render_bands
from focalsim.render.check import Encode, Window, check_optics, check_size, check_window
from focalsim.render.edges import with_steps
from focalsim.render.registration import registered
from focalsim.render.resample import Warp, breathing_maps, source_scale


def render_stack(
    rgb_linear: NDArray[np.float32],
    depth_m: NDArray[np.float32],
    *,
    focal_length_m: float,
    f_number: float,
    sensor_width_m: float,
    focus_distances_m: ArrayLike,
    magnification: ArrayLike | str | None = None,
    principal_point_px: ArrayLike | None = None,
    valid: NDArray[np.bool_] | None = None,
    hidden_rgb_linear: NDArray[np.float32] | None = None,
    hidden_depth_m: NDArray[np.float32] | None = None,
    output_size: tuple[int, int] | None = None,
    window: Window | None = None,
    lateral_color: LateralColor | None = None,
    aperture: Aperture | None = None,
    device: Any = None,
    encode: Encode | None = None,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Render the focal stack that a thin lens makes of an RGB-D frame.

    The frame is a pinhole image whose lens-to-sensor distance is v_ref = f s / (s - f) at the FARTHEST of the focus
    distances. A point at depth d is a uniform disc of diameter  c = (f/N) v_n |1/s_n - 1/d| W / sensor_width  pixels
    of the output, v_n = v_ref magnification_n.

    Parameters
    ----------
    rgb_linear : (H, W, 3) float, linear light >= 0; values above 1 are kept and become bokeh discs
    depth_m : (H, W) float, z in metres along the optical axis at the centres of pixels. The edges of a map that was
        smoothed are made steps (:mod:`focalsim.render.edges`), and a map that lies up to 3 pixels beside the image, or
        whose near things are too wide or narrow, is moved onto it (:mod:`focalsim.render.registration`), unless
        hidden surfaces are given
    focal_length_m, f_number, sensor_width_m : metres, ratio, metres
    focus_distances_m : (S,) metres from the lens, any order, each greater than the focal length
    magnification : (S,) relative to the frame; None = 1 for all (no breathing); "thin-lens" = v_n / v_ref
    principal_point_px : (S, 2) how far the image of the optical axis moves, output pixels, +x right, +y down
    valid : (H, W) bool, where the depth is known; elsewhere the nearest known depth is taken. None = everywhere
    hidden_rgb_linear, hidden_depth_m : (H, W, 3), (H, W), known surfaces behind the visible ones; depth NaN = unknown
    output_size : (W, H) of the result; by default the source's own. A source of another size is resampled once,
        together with the warp; its aspect ratio must be the output's within 1 %
    window : (left, top, width, height) of the part of the source that is the picture, in its pixels; by default all of
        it. ``sensor_width_m``, aspect ratio and centre are the window's. What lies around it is rendered too: its
        blur reaches into the picture, and breathing brings it into view. Beyond the source its border is replicated
    lateral_color : image scale of red and blue relative to green, less one; None = the same for all
    aperture : a polygon with its corners on the rim of the disc of diameter f/N; None = the disc
    device : where PyTorch renders, "cuda" for one; None = compiled code on the CPU. Tensors may be given for arrays:
        then the stack is a tensor on ``device`` or else on the device of ``rgb_linear``. With tensors or ``device`` all
        arguments may be a batch's, with its axis B in front: rgb_linear (B, H, W, 3), depth_m (B, H, W). What then has
        no such axis (focus distances (S,), a focal length) is all scenes'. The stacks are (B, S, H, W, 3). Gradients
        reach tensors ``rgb_linear`` and ``depth_m`` that ask for them: light through the sums, depth through the slope
        of the kernels over their diameter. What hides what, and what is filled in behind, counts as constant
    encode : focalsim.color.linear_to_srgb for a stack of 8-bit codes, whose light is never kept whole on the CPU, and
        has no gradient; None for light
    out : array to be filled and returned in place of a new one, C-contiguous; not with tensors or ``device``

    Returns
    -------
    (S, H, W, 3) float32 linear light, slices in the order of ``focus_distances_m``. Beside strong contrasts the
    interpolation can undershoot 0 a little; that is kept, since cutting it would change the light's sum and spread.
    Encoding to 8 bit cuts it. With ``encode`` uint8 codes.

    Raises
    ------
    RenderError (a ValueError) for wrong shapes, dtypes and numbers that cannot be; it says what was expected.
    """
    if encode not in (None, linear_to_srgb):
        raise RenderError("encode must be focalsim.color.linear_to_srgb, or None for light")
    if device is not None or hasattr(rgb_linear, "detach"):
        if out is not None:
            raise RenderError("out is for arrays on the CPU: tensors and device render into memory of their own")
        from focalsim.render.tensors import render_tensors

        return render_tensors(  # type: ignore[no-any-return]
            rgb_linear,
            depth_m,
            focal_length_m=focal_length_m,
            f_number=f_number,
            sensor_width_m=sensor_width_m,
            focus_distances_m=focus_distances_m,
            magnification=magnification,
            principal_point_px=principal_point_px,
            valid=valid,
            hidden_rgb_linear=hidden_rgb_linear,
            hidden_depth_m=hidden_depth_m,
            output_size=output_size,
            window=window,
            lateral_color=lateral_color,
            aperture=aperture,
            encode=encode,
            device=device,
        )
    rgb, depth = _check_frame(rgb_linear, depth_m, valid)
    hidden_rgb, hidden_depth = _check_hidden(hidden_rgb_linear, hidden_depth_m, depth.shape)
    optics = check_optics(
        focal_length_m=focal_length_m,
        f_number=f_number,
        sensor_width_m=sensor_width_m,
        focus_distances_m=focus_distances_m,
        magnification=magnification,
        principal_point_px=principal_point_px,
    )
    focus, zoom, shift = optics.focus_m[0], optics.magnification[0], optics.shift_px[0]
    window = check_window(window, depth.shape)
    source_size = window[2:]
    size = check_size(output_size, source_size)

    # Blurring first, in the source's own pixels, and warping after gives the same picture as the other way round; it
    # lets all slices share what is prepared per scene, and resamples nothing but finished light. The blur in source
    # pixels is free of the magnification: c_out = m c_in, and v_n = m v_ref.
    scale = source_scale(source_size, size)
    gain = float(optics.gain_px_m(size[0])[0]) * scale
    maps = breathing_maps(depth.shape, window, size, zoom, shift, lateral_color)
    stack = _room(len(focus), size, encode, out)
    depth = with_steps(depth, gain)
    if hidden_depth is None:  # who knows what is hidden has no sensor's depth
        depth = registered(depth, rgb, gain)
    frame = Frame(rgb, depth, hidden_rgb, hidden_depth, gain)
    render_bands(frame, gain / focus, maps, aperture, stack)
    return stack


def warp_frame(
    rgb_linear: NDArray[np.float32],
    depth_m: NDArray[np.float32],
    valid: NDArray[np.bool_],
    *,
    magnification: float,
    principal_point_px: tuple[float, float],
    output_size: tuple[int, int],
    window: Window | None = None,
    encode: Encode | None = None,
) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.bool_]]:
    """The sharp frame in the geometry of one slice, by the same map as :func:`render_stack`; ``encode`` as there.

    Colour is resampled, depth and validity take the nearest source pixel (no value is invented between two surfaces);
    what lies outside the source frame is not valid.
    """
    window = check_window(window, depth_m.shape)
    x, y = breathing_maps(depth_m.shape, window, output_size, [magnification], [principal_point_px])
    columns, inside_x = x.nearest()
    rows, inside_y = y.nearest()
    known = pick(valid, rows, columns) & inside_y[:, None] & inside_x[None, :]
    sharp = _room(1, output_size, encode)
    Warp(x, y).whole().apply(_plain(rgb_linear), 0, sharp)
    return sharp[0], pick(depth_m, rows, columns), known


def _room(slices: int, size: tuple[int, int], encode: Encode | None, out: Any = None) -> NDArray[Any]:
    """Room for a stack of light or codes: ``out``, if there is one and it fits."""
    shape, dtype = (slices, size[1], size[0], 3), np.dtype(np.float32 if encode is None else np.uint8)
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != dtype:
        got = f"{out.shape} {out.dtype}" if isinstance(out, np.ndarray) else type(out).__name__
        raise RenderError(f"out must be an array {shape} {dtype}, got {got}")
    if not out.flags.c_contiguous or not out.flags.writeable:
        raise RenderError("out must be C-contiguous and writable")
    return out


def _check_frame(rgb: Any, depth: Any, valid: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rgb, depth = np.asarray(rgb), np.asarray(depth)
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype.kind != "f":
        raise RenderError(f"rgb_linear must be (H, W, 3) float linear light, got {rgb.shape} {rgb.dtype}")
    if depth.shape != rgb.shape[:2] or depth.dtype.kind != "f":
        raise RenderError(
            f"depth_m must be {rgb.shape[:2]} float metres as rgb_linear, got {depth.shape} {depth.dtype}"
        )
    if min(depth.shape) < 2:
        raise RenderError(f"the frame must be at least 2 x 2 pixels, got {depth.shape}")
    rgb, depth = _plain(rgb), _plain(depth)
    if not _is_light(rgb):
        raise RenderError("rgb_linear must be finite and not negative")
    if valid is None and depth.min() > 0 and depth.max() < np.inf:  # false where one of them is NaN
        return rgb, depth
    valid = np.ones(depth.shape, np.bool_) if valid is None else np.asarray(valid)
    if valid.shape != depth.shape or valid.dtype != np.bool_:
        raise RenderError(f"valid must be {depth.shape} bool, got {valid.shape} {valid.dtype}")
    unknown = valid & ~((depth > 0) & (depth < np.inf))
    if unknown.any():
        bad = depth[unknown][0]
        raise RenderError(f"depth_m must be positive and finite wherever valid, got {bad}; mark such pixels invalid")
    if not valid.any():
        raise RenderError("no pixel of depth_m is valid")
    return rgb, depth if valid.all() else nearest_valid(depth, valid)


def _plain(array: NDArray[np.floating]) -> NDArray[np.float32]:
    """As the compiled code knows it: for arrays that may not be written to it would be compiled anew."""
    with np.errstate(over="ignore"):  # infinity is found later
        return np.require(array, np.float32, ["C", "W"])


def _is_light(rgb: NDArray[np.float32]) -> bool:
    return not rgb.size or 0 <= float(rgb.min()) <= float(rgb.max()) < np.inf  # false where one of them is NaN


def _check_hidden(
    rgb: Any, depth: Any, shape: tuple[int, ...]
) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
    if rgb is None and depth is None:
        return None, None
    if rgb is None or depth is None:
        raise RenderError("hidden_rgb_linear and hidden_depth_m go together: give both or none")
    rgb, depth = _plain(rgb), _plain(depth)
    if rgb.shape != (*shape, 3) or depth.shape != shape:
        raise RenderError(
            f"hidden_rgb_linear must be {(*shape, 3)} and hidden_depth_m {shape}, got {rgb.shape} and {depth.shape}"
        )
    if np.any(depth <= 0) or not (_is_light(rgb) or _is_light(rgb[~np.isnan(depth)])):
        raise RenderError(
            "hidden surfaces must have positive depth (NaN = unknown) and finite light that is not negative"
        )
    return rgb, depth
