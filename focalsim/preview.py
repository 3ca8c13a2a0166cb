"""Contact sheet and focus sweep: what samples look like, at a glance, with the numbers that belong to the pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from focalsim.progress import progress_bar
from focalsim.sample import Sample

Image = NDArray[np.uint8]

CELL_WIDTH_PX = 256
COLUMNS = 6
SWEEP_COLUMNS = 2
_MARGIN = 8
_CAPTION = 22
_HEADER = 30
_BAR = (48, 126)  # columns of the depth scale in its caption
_BACKGROUND = (24, 24, 24)
_INK = (235, 235, 235)
_INVALID = (90, 90, 90)


def contact_sheet(samples: Sequence[Sample]) -> Image:
    """One block per sample: all-in-focus image, depth with its scale, the slices with their focus.

    Returns (H, W, 3) uint8 sRGB. Raises ValueError for no samples.
    """
    if not samples:
        raise ValueError("a contact sheet needs at least one sample")
    return np.concatenate([_block(sample) for sample in samples])


def focus_sweep(samples: Sequence[Sample]) -> list[Image]:
    """The slices of all samples side by side, from far to near and back: frames of an animation that can run for ever.

    Returns (H, W, 3) uint8 sRGB frames of one size. Raises ValueError for no samples, and where their sizes differ.
    """
    if not samples:
        raise ValueError("a focus sweep needs at least one sample")
    if len({sample.depth_m.shape for sample in samples}) > 1:
        raise ValueError("a focus sweep needs samples of one size")
    slices = max(len(sample.images) for sample in samples)
    there = [_row([_swept(sample, n / max(slices - 1, 1)) for sample in samples]) for n in range(slices)]
    return there + there[-2:0:-1]


def gif_bytes(frames: Sequence[Image], frame_ms: int) -> bytes:
    """Frames (H, W, 3) uint8 sRGB of one size as the content of a .gif file that runs for ever.

    Each frame has 256 colours of its own: OpenCV's encoder has the same few for all pictures.
    """
    first, *rest = [
        PIL.Image.fromarray(frame).quantize(256, PIL.Image.Quantize.MEDIANCUT)
        for frame in progress_bar(frames, desc="animation", unit="frame", leave=False)
    ]
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=frame_ms, loop=0)
    return buffer.getvalue()


def colour_scale() -> Image:
    """The colours of depth from far to near, (256, 3) uint8."""
    scale: Image = _colours(np.linspace(0, 1, 256))[0]
    return scale


def colour_depth(depth_m: NDArray[np.float32], valid: NDArray[np.bool_], near_m: float, far_m: float) -> Image:
    """Depth as colours, uniform in 1/depth: red at ``near_m``, blue at ``far_m``, grey where not valid."""
    inverse = 1.0 / np.where(valid, depth_m, far_m)
    share = (inverse - 1.0 / far_m) / max(1.0 / near_m - 1.0 / far_m, 1e-9)
    colours = _colours(share)
    colours[~valid] = _INVALID
    return colours


def _colours(share: NDArray[np.floating]) -> Image:
    codes = np.clip(np.rint(share * 255), 0, 255).astype(np.uint8)
    bgr = cv2.applyColorMap(np.atleast_2d(codes), cv2.COLORMAP_TURBO)
    return np.ascontiguousarray(bgr[..., ::-1])


def _block(sample: Sample) -> Image:
    cells = [_cell(sample.all_in_focus, "all in focus"), _depth_cell(sample)]
    for image, focus_m in zip(sample.images, sample.focus_distance_m, strict=True):
        cells.append(_cell(image, f"focus {focus_m:.3g} m"))
    height, width = cells[0].shape[:2]
    rows = -(-len(cells) // COLUMNS)
    sheet_width = COLUMNS * (width + _MARGIN) + _MARGIN
    sheet = _blank(_HEADER + rows * (height + _MARGIN), sheet_width)
    _text(sheet, _title(sample), _MARGIN, _HEADER - 9)
    for i, cell in enumerate(cells):
        y = _HEADER + (i // COLUMNS) * (height + _MARGIN)
        x = _MARGIN + (i % COLUMNS) * (width + _MARGIN)
        sheet[y : y + height, x : x + width] = cell
    return sheet


def _swept(sample: Sample, share: float) -> Image:
    """The slice that lies at ``share`` of the way from far to near, with its focus."""
    n = round(share * (len(sample.images) - 1))
    return _cell(sample.images[n], f"focus {sample.focus_distance_m[n]:.3g} m")


def _row(cells: Sequence[Image]) -> Image:
    """Cells in rows of no more than ``SWEEP_COLUMNS``, what is left of the last one empty."""
    columns = min(SWEEP_COLUMNS, len(cells))
    blank = [np.full_like(cells[0], _BACKGROUND[0])] * (-len(cells) % columns)
    padded = [*cells, *blank]
    return np.vstack([np.hstack(padded[i : i + columns]) for i in range(0, len(padded), columns)])


def _title(sample: Sample) -> str:
    scaled = "" if sample.depth_scale == 1 else f", depth x {sample.depth_scale:.3g}"
    return (
        f"sample {sample.sample_index}: {sample.phone} (f {sample.focal_length_m * 1e3:.3g} mm, "
        f"f/{sample.f_number:.2g}), {sample.source_id}{scaled}"
    )


def _cell(image: Image, caption: str) -> Image:
    """A picture at the sheet's width with its caption below."""
    height = max(1, round(image.shape[0] * CELL_WIDTH_PX / image.shape[1]))
    shrinks = image.shape[1] > CELL_WIDTH_PX
    method = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
    cell = _blank(height + _CAPTION, CELL_WIDTH_PX)
    cell[:height] = cv2.resize(image, (CELL_WIDTH_PX, height), interpolation=method)
    _text(cell, caption, 2, height + 16)
    return cell


def _depth_cell(sample: Sample) -> Image:
    """Coloured depth over the sample's range less its outermost percent, with its scale for a caption."""
    known = sample.depth_m[sample.valid]
    if known.size == 0:
        return _cell(np.full_like(sample.all_in_focus, _INVALID[0]), "depth unknown")
    near_m, far_m = (float(q) for q in np.percentile(known, [1, 99]))
    cell = _cell(colour_depth(sample.depth_m, sample.valid, near_m, far_m), f"{near_m:.2g}")
    height, (left, right) = cell.shape[0] - _CAPTION, _BAR
    cell[height + 4 : height + _CAPTION, left:right] = _colours(np.linspace(1, 0, right - left))
    # The bar is uniform in 1/depth, as the colours are: its middle is not the mean in metres.
    middle_m = 2.0 / (1.0 / near_m + 1.0 / far_m)
    _text(cell, f"{middle_m:.2g}", (left + right) // 2 - 16, height + 17, outlined=True)
    _text(cell, f"{far_m:.2g} m, {sample.valid.mean():.0%} known", right + 4, height + 16)
    return cell


def _blank(height: int, width: int) -> Image:
    return np.full((height, width, 3), _BACKGROUND, np.uint8)


def _text(image: Image, text: str, x: int, y: int, outlined: bool = False) -> None:
    """Draw text, its baseline's left end at (x, y). The font has ASCII only; the rest becomes '?'."""
    plain = text.encode("ascii", "replace").decode()
    if outlined:
        cv2.putText(image, plain, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _BACKGROUND, 3, cv2.LINE_AA)
    cv2.putText(image, plain, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _INK, 1, cv2.LINE_AA)
