"""A trained model as an ONNX file, for runtimes without PyTorch."""

from __future__ import annotations

import importlib.util
import io
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from dffnet.checkpoint import load_checkpoint
from dffnet.errors import ExportError
from dffnet.models import DepthFromFocusModel
from dffnet.models.fold import fold_batch_norm
from dffnet.units import from_metres, to_metres

OPSET = 18  # the newest that every PyTorch from 2.6 on writes
INPUTS, OUTPUTS = ("stack", "focus_distance_m"), ("depth_m", "confidence", "all_in_focus")
_DYNAMIC = {
    "stack": {0: "batch", 1: "slices", 3: "height", 4: "width"},
    "focus_distance_m": {0: "batch", 1: "slices"},
    "depth_m": {0: "batch", 1: "height", 2: "width"},
    "confidence": {0: "batch", 1: "height", 2: "width"},
    "all_in_focus": {0: "batch", 2: "height", 3: "width"},
}
_EXAMPLE = (1, 3, 3, 70, 90)  # not a multiple of 32: padding must be recorded


class InMetres(nn.Module):
    """A model with metres at both ends, whatever it works in."""

    def __init__(self, model: DepthFromFocusModel, unit: str) -> None:
        super().__init__()
        self.model, self.unit = model, unit

    def forward(self, stack: Tensor, focus_distance_m: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """stack (B, N, 3, H, W), far to near, sRGB in [0, 1]; focus_distance_m (B, N) ->

        depth_m (B, H, W), confidence (B, H, W) in [0, 1], all_in_focus (B, 3, H, W).
        """
        output = self.model(stack, from_metres(focus_distance_m, self.unit))
        return to_metres(output.depth, self.unit), output.confidence, output.all_in_focus()


def export_onnx(checkpoint: Path) -> bytes:
    """The model of ``checkpoint`` as the content of an ONNX file, float32, any batch, slices, height and width.

    Inputs and outputs are those of :class:`InMetres`. Raises CheckpointError, and ExportError without the package onnx.
    """
    if importlib.util.find_spec("onnx") is None:
        raise ExportError("export needs the package onnx: pip install 'focalsim[onnx]'")
    loaded = load_checkpoint(checkpoint)
    model = InMetres(fold_batch_norm(loaded.model), loaded.config.unit).eval()
    file = io.BytesIO()
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    with warnings.catch_warnings():
        # That the tracing exporter is deprecated (the new one needs one more package), and that our checks of
        # shapes are not recorded.
        warnings.simplefilter("ignore")
        exporter.setLevel(logging.ERROR)
        try:
            torch.onnx.export(
                model,
                (torch.rand(_EXAMPLE), torch.tensor([[1.0, 0.5, 0.2]])),
                file,  # type: ignore[arg-type]
                input_names=list(INPUTS),
                output_names=list(OUTPUTS),
                dynamic_axes=_DYNAMIC,
                opset_version=OPSET,
                dynamo=False,
            )
        finally:
            exporter.setLevel(level)
    return file.getvalue()
