"""Frames that come again, kept ready for the renderer: they are read, framed and filled once in each process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from focalsim.sources.base import FrameRequest
    from focalsim.sources.prepare import PreparedScene

_ROOM_BYTES = 256 << 20  # some fifty frames for pictures of 352 x 224


class KeptScenes:
    """The first prepared scenes that fit ``room_bytes``, by frame and what was asked of it.

    None makes way for another: frames come in turn or by chance, and where there are more of them than room, the one
    that was used longest ago would be the next to be asked for. Pickles empty: every process has its own.
    """

    def __init__(self, room_bytes: int = _ROOM_BYTES) -> None:
        self._room_bytes = self._left_bytes = room_bytes
        self._scenes: dict[tuple[int, FrameRequest], PreparedScene] = {}

    def get(self, frame: int, request: FrameRequest, prepare: Callable[[], PreparedScene]) -> PreparedScene:
        """The scene of ``frame`` for ``request``: kept, else what ``prepare`` makes. Raises what that raises."""
        key = frame, request
        if key in self._scenes:
            return self._scenes[key]
        prepared = prepare()
        size = _bytes(prepared)
        if size <= self._left_bytes:
            self._left_bytes -= size
            self._scenes[key] = prepared
        return prepared

    def __reduce__(self) -> tuple[type[KeptScenes], tuple[int]]:
        return KeptScenes, (self._room_bytes,)


def _bytes(prepared: PreparedScene) -> int:
    scene = prepared.scene
    arrays = scene.rgb, scene.depth_m, scene.valid, scene.hidden_rgb_linear, scene.hidden_depth_m
    return sum(array.nbytes for array in arrays if array is not None)
