"""Batch norm folded into the convolutions before it: the same answers with half the passes over memory."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_Model = TypeVar("_Model", bound=nn.Module)

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)


def fold_batch_norm(model: _Model) -> _Model:
    """A copy of ``model`` for inference alone: each convolution takes over scale and offset of its batch norm.

    Pairs are found in ``nn.Sequential``. Raises ValueError for a model in training mode, whose batch norms
    still depend on the batch.
    """
    if model.training:
        raise ValueError("batch norm can be folded in eval mode alone")
    folded = copy.deepcopy(model)
    for module in folded.modules():
        if isinstance(module, nn.Sequential):
            _fold_pairs(module)
    return folded


def _fold_pairs(layers: nn.Sequential) -> None:
    for k in range(len(layers) - 1):
        conv, norm = layers[k], layers[k + 1]
        if isinstance(conv, _CONVOLUTIONS + _TRANSPOSED) and isinstance(norm, _NORMS):
            layers[k] = fuse_conv_bn_eval(conv, norm, transpose=isinstance(conv, _TRANSPOSED))
            layers[k + 1] = nn.Identity()
