"""Which frames of a source can be used, found before anything is rendered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from focalsim.sources.base import FrameRequest, Source


@dataclass(frozen=True, slots=True)
class Survey:
    """Result of :func:`survey`.

    usable   indices of the frames that can be used, ascending; ``range(sys.maxsize)`` for an endless source
    skipped  reason -> {frame id: message}
    """

    usable: Sequence[int]
    skipped: Mapping[str, Mapping[str, str]]

    def summary(self) -> str:
        """One line for the log, empty where nothing was skipped."""
        raise NotImplementedError


def survey(
    source: Source,
    requests: Sequence[FrameRequest],
    *,
    max_holes: float,
    match_fov: bool = False,
    limit: int | None = None,
) -> Survey:
    """Find the frames that :func:`prepare_scene` takes for EVERY one of ``requests`` (one per phone).

    Stops after ``limit`` usable frames. Raises SourceError where no frame is usable.
    """
    raise NotImplementedError


def source_digest(source: Source, indices: Iterable[int]) -> str:
    """sha256 over the content of these frames; empty for a source that makes its own."""
    raise NotImplementedError
