"""Alignment without learning: enhanced correlation of neighbouring slices (Evangelidis & Psarakis 2008, in OpenCV)."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dffnet.data.alignment import align_stack
from dffnet.models.alignment import Alignment
from dffnet.models.classical import LUMA, Classical
from dffnet.models.interface import DepthOutput
from focalsim.progress import progress_bar

_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-5)
_MAX_BREATHING = 0.2  # between neighbours, far beyond any phone's: more is a wrong correlation
_BLUR_PX = 9  # size of the Gaussian before: slices differ in their finest detail


class ClassicalEndToEnd(Classical):
    """Each slice is registered to its nearer neighbour, which is blurred most alike; then depth as in ``classical``."""

    aligns = True

    def estimate(self, stack: Tensor, focus_positions: Tensor) -> DepthOutput:
        """Depth in the geometry of the last slice, the nearest."""
        found = [register(images) for images in stack]
        alignment = Alignment(
            torch.stack([scale for scale, _ in found]).to(stack.device),
            torch.stack([shift for _, shift in found]).to(stack.device),
        )
        geometry = alignment.magnification.flatten(), alignment.shift_px.flatten(0, 1)
        aligned = align_stack(stack.flatten(0, 1).float(), *geometry).reshape(stack.shape)
        return replace(super().estimate(aligned, focus_positions), alignment=alignment)


def register(images: Tensor) -> tuple[Tensor, Tensor]:
    """Magnification (N,) and shift (N, 2) in pixels of slices (N, 3, H, W) relative to the last.

    Where the correlation finds no way up, a slice is taken to lie on its neighbour.
    """
    luma = (images.float() * images.new_tensor(LUMA)[:, None, None]).sum(dim=1).cpu().numpy()
    magnification, shift = [1.0], [np.zeros(2)]
    pairs = list(zip(luma[-2::-1], luma[:0:-1], strict=True))
    for slice_, nearer in progress_bar(pairs, desc="align", unit="slice", leave=False, delay=2):
        # x in the reference stands at  M x + t  in the nearer slice, and from there at  m (M x + t) + s  in this one.
        m, s = _similarity(nearer, slice_)
        magnification.append(m * magnification[-1])
        shift.append(m * shift[-1] + s)
    return torch.tensor(magnification[::-1]), torch.from_numpy(np.array(shift[::-1], np.float32))


def _similarity(template: NDArray[np.float32], image: NDArray[np.float32]) -> tuple[float, NDArray[np.float64]]:
    """Scale m and shift s for which the image at  m x + s  shows what the template shows at x, x from the centre."""
    warp, everywhere = np.eye(2, 3, dtype=np.float32), np.full(template.shape, 255, np.uint8)
    try:
        _, found = cv2.findTransformECC(template, image, warp, cv2.MOTION_AFFINE, _STOP, everywhere, _BLUR_PX)
    except cv2.error:  # not converged, or nothing to see
        return 1.0, np.zeros(2)
    matrix = np.asarray(found, np.float64)
    height, width = template.shape
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    scale = float((matrix[0, 0] + matrix[1, 1]) / 2)
    shift = matrix[:, :2] @ centre + matrix[:, 2] - centre
    plausible = abs(scale - 1.0) < _MAX_BREATHING and (np.abs(shift) < _MAX_BREATHING * max(height, width)).all()
    return (scale, shift) if plausible else (1.0, np.zeros(2))
