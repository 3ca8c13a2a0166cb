"""Models by name. A new model is one file with a :class:`DepthFromFocusModel` and one line in ``MODELS``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dffnet.models.aif_depth_net import AiFDepthNet
from dffnet.models.classical import Classical
from dffnet.models.dff_wild import DffWild
from dffnet.models.dfv import DFV
from dffnet.models.ecc import ClassicalEndToEnd
from dffnet.models.end_to_end import DffWildEndToEnd
from dffnet.models.interface import DepthFromFocusModel, DepthOutput
from focalsim.errors import ConfigError

MODELS: dict[str, Callable[..., DepthFromFocusModel]] = {
    "aif-depth-net": AiFDepthNet,
    "classical": Classical,
    "classical-e2e": ClassicalEndToEnd,
    "dff-wild": DffWild,
    "dff-wild-e2e": DffWildEndToEnd,
    "dfv": DFV,
}

__all__ = ["MODELS", "DepthFromFocusModel", "DepthOutput", "build_model", "check_trainable"]


def build_model(name: str, options: dict[str, Any] | None = None) -> DepthFromFocusModel:
    """A fresh model; ``options`` are the keyword arguments of its constructor.

    Raises ConfigError for an unknown name and for options that the model does not take.
    """
    if name not in MODELS:
        raise ConfigError(f"unknown model {name!r}; known: {', '.join(sorted(MODELS))}")
    try:
        return MODELS[name](**(options or {}))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"model {name!r} cannot be built with {options}: {error}") from None


def check_trainable(name: str, *, align: str, loss: str) -> None:
    """Raise ConfigError where model, alignment of the data and loss cannot go together, before anything is written."""
    if name not in MODELS:
        return  # build_model says so
    model = build_model(name)
    if next(model.parameters(), None) is None:
        raise ConfigError(f"model {name!r} has nothing to learn: use its name in place of a checkpoint")
    if model.aligns and align == "metadata":
        raise ConfigError(f"model {name!r} aligns slices itself: train it with --align none or --align thin-lens")
    if not model.aligns and "alignment" in loss.split("+"):
        raise ConfigError(f"loss {loss!r} needs a model that aligns, such as 'dff-wild-e2e', not {name!r}")
