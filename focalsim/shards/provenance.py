"""Where the samples of a bundle come from that was put together from others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from focalsim.config import RenderConfig

SkippedFrames = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """A rendered or imported bundle, of which samples were taken; ``name`` is that of its folder."""

    name: str
    manifest_sha256: str
    config: RenderConfig
    license: str
    attribution: str
    made_with: dict[str, str]
    skipped_frames: SkippedFrames = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in a manifest."""
        return {
            "name": self.name,
            "manifest_sha256": self.manifest_sha256,
            "license": self.license,
            "attribution": self.attribution,
            "made_with": self.made_with,
            "config": json.loads(self.config.to_json()),
            "skipped_frames": frames_to_list(self.skipped_frames),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Origin:
        """Inverse of :meth:`to_dict`. Raises KeyError, TypeError, ValueError, ConfigError."""
        return cls(
            name=str(data["name"]),
            manifest_sha256=str(data["manifest_sha256"]),
            config=RenderConfig.from_json(json.dumps(data["config"])),
            license=str(data["license"]),
            attribution=str(data["attribution"]),
            made_with=dict(data["made_with"]),
            skipped_frames=frames_from_list(data["skipped_frames"]),
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One operation on the way from the origins to a bundle.

    ``options`` are what decided the result; ``inputs`` name and manifest sha256 of each bundle that went in.
    """

    operation: str
    options: dict[str, Any]
    inputs: tuple[dict[str, str], ...]
    focalsim_version: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in a manifest."""
        return asdict(self) | {"inputs": list(self.inputs)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Step:
        """Inverse of :meth:`to_dict`. Raises KeyError, TypeError, ValueError."""
        inputs = tuple({key: str(value[key]) for key in ("name", "manifest_sha256")} for value in data["inputs"])
        return cls(str(data["operation"]), dict(data["options"]), inputs, str(data["focalsim_version"]))

    def __str__(self) -> str:
        options = ", ".join(
            f"{key} {', '.join(map(str, value)) if isinstance(value, list) else value}"
            for key, value in sorted(self.options.items())
        )
        return f"{self.operation} of {', '.join(i['name'] for i in self.inputs)}{f' ({options})' if options else ''}"


def frames_to_list(frames: SkippedFrames) -> list[dict[str, str]]:
    """Skipped frames as they stand in a manifest."""
    return [{"source_id": name, "reason": why} for name, why in frames]


def frames_from_list(data: Any) -> SkippedFrames:
    """Inverse of :func:`frames_to_list`."""
    return tuple((str(frame["source_id"]), str(frame["reason"])) for frame in data)
