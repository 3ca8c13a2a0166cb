"""Sources of RGB-D frames. A new kind of file source is one file and one line in ``_READERS``."""

from __future__ import annotations

from pathlib import Path

from focalsim.errors import ConfigError, SourceError
from focalsim.sources.base import FileSource, FrameRequest, Source
from focalsim.sources.diode import DiodeSource
from focalsim.sources.folder import FolderSource
from focalsim.sources.hci import HciSource
from focalsim.sources.hypersim import HypersimSource
from focalsim.sources.middlebury import MiddleburySource
from focalsim.sources.mono import MonoDepthSource
from focalsim.sources.nyu import NyuSource
from focalsim.sources.sceneflow import SceneFlowSource
from focalsim.sources.tartanair import TartanAirSource
from focalsim.sources.tum import TumSource

__all__ = ["SOURCE_FORMATS", "FileSource", "FrameRequest", "Source", "open_source"]

# Asked in this order which of them reads a path; the most specific layout comes first.
_READERS: tuple[type[FileSource], ...] = (
    NyuSource,
    MonoDepthSource,
    MiddleburySource,
    TumSource,
    DiodeSource,
    HypersimSource,
    SceneFlowSource,
    HciSource,
    TartanAirSource,
    FolderSource,
)
SOURCE_FORMATS: dict[str, type[FileSource]] = {reader.format: reader for reader in _READERS}


def open_source(
    path: str | Path | None,
    *,
    source_format: str | None = None,
    depth_scale: float | None = None,
    textures: Path | None = None,
) -> Source:
    """Open the source at ``path``; None = scenes that the program makes itself.

    source_format  a name of ``SOURCE_FORMATS``; None = the kind is detected by the layout of ``path``
    depth_scale    stored depth units per metre, for files that do not say
    textures       folder of photos for the scenes that the program makes

    >>> from focalsim.rng import sample_rng
    >>> request = FrameRequest(width=48, height=32, near_m=0.1, far_m=1.0, focal_over_width=0.8)
    >>> scene = open_source(None).load(0, request, sample_rng(0, 0, "scene"))  # made twice as large
    >>> scene.rgb_linear.shape, scene.depth_m.shape, scene.source_id
    ((64, 96, 3), (64, 96), 'synthetic/00000000')

    Raises SourceError for a path that is missing, of no known kind, or holds no frame, and ConfigError for
    options that do not belong together.
    """
    if depth_scale is not None and not 0 < depth_scale < float("inf"):
        raise ConfigError(f"the depth scale must be a positive number of units per metre, got {depth_scale}")
    if path is None:
        if source_format not in (None, "synthetic") or depth_scale is not None:
            raise ConfigError("a source format and a depth scale need the path of a source")
        from focalsim.sources.synthetic import SyntheticSource

        return SyntheticSource(textures)
    if textures is not None:
        raise ConfigError("textures are for scenes that the program makes, not for the frames of a path")
    path = Path(path)
    if source_format is not None and source_format not in SOURCE_FORMATS:
        raise ConfigError(f"unknown source format {source_format!r}; known: {', '.join(SOURCE_FORMATS)}")
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder")
    if source_format is not None:
        return SOURCE_FORMATS[source_format](path, depth_scale)
    for reader in _READERS:
        if reader.detects(path):
            return reader(path, depth_scale)
    kinds = "; ".join(f"{name} ({reader.description})" for name, reader in SOURCE_FORMATS.items())
    raise SourceError(f"{path}: not a source of a known kind; known: {kinds}")
