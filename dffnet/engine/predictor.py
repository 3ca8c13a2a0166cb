"""A trained model ready to answer: one stack in, depth in metres and confidence out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dffnet.checkpoint import load_model
from dffnet.config import TrainConfig
from dffnet.units import to_metres


class Predictor:
    """The model of a checkpoint (or of a name, as ``classical``), on the GPU where there is one.

    Raises CheckpointError.
    """

    def __init__(self, checkpoint: Path) -> None:
        loaded = load_model(checkpoint)
        self.config: TrainConfig = loaded.config
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = loaded.model.to(self.device)

    def __call__(self, images: Tensor, focus_positions: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Depth in metres and confidence in [0, 1], both (H, W).

        images           (N, 3, H, W) sRGB in [0, 1]
        focus_positions  (N,) far to near, in ``config.unit``
        """
        with torch.inference_mode():
            output = self._model(images[None].to(self.device), focus_positions[None].to(self.device))
            depth_m = to_metres(output.depth[0], self.config.unit)
        return depth_m.cpu().numpy(), output.confidence[0].cpu().numpy()
