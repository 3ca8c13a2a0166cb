"""A trained model ready to answer: one stack in, depth in metres and what goes with it out."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dffnet.checkpoint import load_model
from dffnet.config import TrainConfig
from dffnet.models.fold import fold_batch_norm
from dffnet.models.interface import FocusVolumeModel
from dffnet.models.onednn import use_onednn
from dffnet.units import to_metres


class Prediction(NamedTuple):
    """The answer for one stack; maps (H, W) in the geometry of the reference slice."""

    depth_m: NDArray[np.float32]
    confidence: NDArray[np.float32]  # in [0, 1]
    all_in_focus: NDArray[np.float32]  # (H, W, 3) sRGB in [0, 1]
    magnification: Tensor  # (N,) found by the model; 1 of a model that does not align
    shift_px: Tensor  # (N, 2) found by the model; 0 of a model that does not align


class Predictor:
    """The model of a checkpoint (or of a name, as ``classical``), on the GPU where there is one.

    Networks take images larger than ``tile_px`` in tiles. Raises CheckpointError.
    """

    def __init__(self, checkpoint: Path, *, tile_px: int | None = None) -> None:
        loaded = load_model(checkpoint)
        self.config: TrainConfig = loaded.config
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = fold_batch_norm(loaded.model).to(self.device)
        if self.device.type == "cpu":
            use_onednn(self._model)
        for module in self._model.modules():
            if isinstance(module, FocusVolumeModel):
                module.tile_px = tile_px

    def __call__(self, images: Tensor, focus_positions: Tensor) -> Prediction:
        """What the model finds in one stack.

        images           (N, 3, H, W) sRGB in [0, 1]
        focus_positions  (N,) far to near, in ``config.unit``
        """
        with torch.inference_mode():
            output = self._model(images[None].to(self.device), focus_positions[None].to(self.device))
            found = output.alignment
            return Prediction(
                depth_m=to_metres(output.depth[0], self.config.unit).cpu().numpy(),
                confidence=output.confidence[0].cpu().numpy(),
                all_in_focus=output.all_in_focus()[0].permute(1, 2, 0).cpu().numpy(),
                magnification=torch.ones(len(images)) if found is None else found.magnification[0].cpu(),
                shift_px=torch.zeros(len(images), 2) if found is None else found.shift_px[0].cpu(),
            )
