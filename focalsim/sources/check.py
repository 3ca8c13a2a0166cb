"""What a source holds and which of its frames will be skipped, without rendering anything."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from focalsim.errors import FrameError
from focalsim.sources.base import FrameRequest, Source
from focalsim.sources.survey import check_frame
from focalsim.sources.units import DepthRange, depth_range, typical_range, unit_warning


@dataclass
class SourceCheck:
    """Result of :func:`check_source`. Depths in metres, of the readable frames; NaN where there is none."""

    frames: int  # of the source
    read: int  # of these, how many were read
    usable: int  # of the read ones
    sizes_px: set[tuple[int, int]] = field(default_factory=set)  # (W, H)
    near_m: float = np.nan  # smallest 1 % quantile of a frame
    median_m: float = np.nan  # median over the frames of their medians
    far_m: float = np.nan  # largest 99 % quantile of a frame
    unit_warning: str = ""  # what to say where another unit of the depth would be plausible
    mean_holes: float = np.nan  # share of the pixels without depth
    most_holes: float = np.nan
    known_camera: bool = False  # every frame's intrinsics
    depth_enlarged: float = 1.0  # the largest factor of a readable frame
    skipped: dict[str, list[str]] = field(default_factory=dict)  # reason -> messages


def check_source(source: Source, request: FrameRequest, *, max_holes: float, limit: int) -> SourceCheck:
    """Read up to ``limit`` frames, evenly over the source, and say what rendering would meet."""
    from focalsim.progress import progress_bar

    chosen = np.unique(np.linspace(0, len(source) - 1, min(limit, len(source))).astype(int))
    found = SourceCheck(len(source), len(chosen), 0)
    depths: dict[str, DepthRange] = {}
    holes, cameras = [], []
    for index in progress_bar(chosen, desc="check", unit="frame", leave=False):
        try:
            scene = source.load(int(index), request, np.random.default_rng(0))
            depths[scene.source_id] = depth_range(scene)
            holes.append(float(np.mean(~scene.valid)))
            cameras.append(scene.intrinsics is not None)
            found.depth_enlarged = max(found.depth_enlarged, scene.depth_enlarged)
            found.sizes_px.add((scene.depth_m.shape[1], scene.depth_m.shape[0]))
            check_frame(scene, request, max_holes, match_fov=False)
        except FrameError as error:
            found.skipped.setdefault(error.reason, []).append(str(error))
        else:
            found.usable += 1
    if depths:
        found.near_m = min(depth.near_m for depth in depths.values())
        found.far_m = max(depth.far_m for depth in depths.values())
        found.median_m = typical_range(depths.values()).median_m
        found.unit_warning = unit_warning(source, depths)
        found.mean_holes, found.most_holes = float(np.mean(holes)), max(holes)
        found.known_camera = all(cameras)
    return found
