"""Which frames of a source can be used, found before anything is rendered."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from focalsim.errors import FrameError, SourceError
from focalsim.scene import Scene
from focalsim.sources.base import FileSource, FrameRequest, Source
from focalsim.sources.framing import frame_window
from focalsim.sources.prepare import check_holes
from focalsim.sources.units import UNKNOWN, DepthRange, depth_range, typical_range, unit_warning


@dataclass(frozen=True, slots=True)
class Survey:
    """Result of :func:`survey`.

    usable          indices of the frames that can be used, ascending; a ``range`` for an endless source
    skipped         reason -> {frame id: message}
    depth           typical of the usable frames; NaN for an endless source
    unit_warning    what to say where another unit of the depth would be plausible
    depth_enlarged  the largest of the usable frames
    """

    usable: Sequence[int]
    skipped: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    depth: DepthRange = UNKNOWN
    unit_warning: str = ""
    depth_enlarged: float = 1.0

    def summary(self) -> str:
        """What the user should know, a line each; empty where all is as expected."""
        lines = []
        if self.skipped:
            n = sum(len(frames) for frames in self.skipped.values())
            reasons = ", ".join(f"{reason}: {len(frames)}" for reason, frames in self.skipped.items())
            example = next(message for frames in self.skipped.values() for message in frames.values())
            lines.append(f"{n} of {n + len(self.usable)} frames skipped ({reasons}); {example}")
        if self.unit_warning:
            lines.append(self.unit_warning)
        if self.depth_enlarged > 1:
            lines.append(enlargement(self.depth_enlarged))
        return "\n".join(lines)


def enlargement(factor: float) -> str:
    """What to say of depth maps that are smaller than their images."""
    return (
        f"depth maps are enlarged up to {factor:.3g} times along the images' edges; the shards say so (depth_enlarged)"
    )


def survey(
    source: Source,
    requests: Sequence[FrameRequest],
    *,
    max_holes: float,
    match_fov: bool = False,
    limit: int | None = None,
) -> Survey:
    """Find the frames that can be prepared for EVERY one of ``requests`` (one per phone); reads each once.

    Stops after ``limit`` usable frames. Raises SourceError, with the reason, where there is none.
    """
    if not isinstance(source, FileSource):
        return Survey(range(len(source)))
    from focalsim.progress import progress_bar

    usable: list[int] = []
    depths: dict[str, DepthRange] = {}
    enlarged = 1.0
    skipped: dict[str, dict[str, str]] = {}
    for index in progress_bar(range(len(source)), desc="survey", unit="frame", leave=False):
        if len(usable) == (limit or sys.maxsize):
            break
        try:
            scene = source.load(index, requests[0], np.random.default_rng(0))
            for request in requests:
                check_frame(scene, request, max_holes, match_fov)
        except FrameError as error:
            skipped.setdefault(error.reason, {})[source.frame_id(index)] = str(error)
        else:
            usable.append(index)
            depths[scene.source_id] = depth_range(scene)
            enlarged = max(enlarged, scene.depth_enlarged)
    found = Survey(usable, skipped, typical_range(depths.values()), unit_warning(source, depths), enlarged)
    if not usable:
        raise SourceError(f"no frame of {source.name} can be used: {found.summary()}")
    return found


def source_digest(source: Source, indices: Iterable[int]) -> str:
    """sha256 over the content of these frames, or over what a source that makes its own makes them from."""
    if not isinstance(source, FileSource):
        return str(getattr(source, "digest", ""))
    digest = hashlib.sha256()
    for index in indices:
        digest.update(f"{source.frame_id(index)} {source.content_digest(index)}\n".encode())
    return digest.hexdigest()


def check_frame(scene: Scene, request: FrameRequest, max_holes: float, match_fov: bool) -> None:
    """Raise FrameError where a frame cannot serve ``request``."""
    framing = frame_window(scene, request, match_fov=match_fov)
    check_holes(framing.inside(framing.pick(scene.valid)), max_holes, scene.source_id)
