"""focalsim: physically right focal stacks from RGB-D.

Everything a user of the library needs is here; names are imported when they are first used, so that
``import focalsim`` stays light.

>>> import numpy as np
>>> phone = load_profile("pixel4")
>>> wall, black = np.full((32, 48), 0.5, np.float32), np.zeros((32, 48, 3), np.float32)
>>> black[16, 24] = 1  # a point of light at 0.5 m, seen with the focus at 1, 0.5 and 0.1 m
>>> stack = render_stack(
...     black,
...     wall,
...     focal_length_m=phone.focal_length_m,
...     f_number=phone.f_number,
...     sensor_width_m=phone.sensor_width_m,
...     focus_distances_m=[1.0, 0.5, 0.1],
...     magnification="thin-lens",
... )
>>> stack.shape, int(stack.max(axis=(1, 2, 3)).argmax())  # sharpest in the slice focused at it
((3, 32, 48, 3), 1)

What ``focalsim render`` writes is read as a sequence:

>>> from focalsim.cli import main
>>> main("render --samples 2 --size 48x32 --slices 3 --workers 1 --out bundle".split(), standalone_mode=False)
bundle
>>> for path in shard_paths(["bundle"]):
...     with ShardReader(path) as shard:
...         print(path, len(shard), shard[-1].images.shape, shard[-1].source_id)
bundle/shard-00000.h5 2 (3, 32, 48, 3) synthetic/00000001
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from focalsim import code_cache

if TYPE_CHECKING:
    from focalsim.camera import load_profile
    from focalsim.errors import FocalsimError
    from focalsim.live import RenderedStacks
    from focalsim.render import render_stack
    from focalsim.sample import Sample
    from focalsim.scene import Scene
    from focalsim.shards import ShardReader, shard_paths
    from focalsim.shards.remote import Location

code_cache.find_place()

__version__ = "0.1.0"
__all__ = [
    "FocalsimError",
    "Location",
    "RenderedStacks",
    "Sample",
    "Scene",
    "ShardReader",
    "__version__",
    "load_profile",
    "render_stack",
    "shard_paths",
]

_HOME = {
    "FocalsimError": "focalsim.errors",
    "Location": "focalsim.shards.remote",
    "RenderedStacks": "focalsim.live",
    "Sample": "focalsim.sample",
    "Scene": "focalsim.scene",
    "ShardReader": "focalsim.shards",
    "load_profile": "focalsim.camera",
    "render_stack": "focalsim.render",
    "shard_paths": "focalsim.shards",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'focalsim' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
