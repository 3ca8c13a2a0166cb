"""Shard schema version 1: one table from which the writer, the reader and the documents derive.

A shard is one HDF5 file with n samples. Its data sets lie in the root; axis 0 is always the sample.
Images are chunked one slice a chunk and maps one sample a chunk: either is read without its neighbours.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import h5py
import numpy as np

SCHEMA_VERSION = 1
TEXT = "utf-8"  # marks the string columns; of fixed length, because HDF5 cannot checksum other strings

Dims = tuple[int, int, int]  # S slices, H and W pixels
Axis = str | int


@dataclass(frozen=True, slots=True)
class DataSet:
    """One data set of a shard; ``shape`` is that of one sample, in terms of S, H, W."""

    name: str
    dtype: str
    shape: tuple[Axis, ...]
    meaning: str
    # There only where a phone has this effect, NaN in samples of phones that lack it; or where the config has this key.
    effect: str = ""

    @property
    def is_map(self) -> bool:
        """Whether the data set holds pixels, which are read sample by sample; the others are read whole."""
        return "H" in self.shape

    def sample_shape(self, dims: Dims) -> tuple[int, ...]:
        """Shape of one sample for S, H, W = ``dims``."""
        sizes = dict(zip("SHW", dims, strict=True))
        return tuple(axis if isinstance(axis, int) else sizes[axis] for axis in self.shape)

    def sample_bytes(self, dims: Dims) -> int:
        """Size of one sample, for data sets that are maps."""
        return prod(self.sample_shape(dims)) * np.dtype(self.dtype).itemsize

    def chunks(self, n: int, dims: Dims) -> tuple[int, ...]:
        """Chunk shape in a shard of ``n`` samples."""
        shape = self.sample_shape(dims)
        if not self.is_map:
            return (n, *shape)
        return (1, 1, *shape[1:]) if self.shape[0] == "S" else (1, *shape)

    def accepts(self, dtype: Any) -> bool:
        """Whether ``dtype``, as h5py gives it, is the type of this data set."""
        if self.dtype == TEXT:
            return h5py.check_string_dtype(dtype) is not None
        return bool(dtype == np.dtype(self.dtype))


DATA_SETS: tuple[DataSet, ...] = (
    DataSet("images", "u1", ("S", "H", "W", 3), "the slices as the phone delivers them, sRGB, far to near"),
    DataSet("all_in_focus", "u1", ("H", "W", 3), "pinhole image, geometry of the reference slice, sRGB"),
    DataSet("depth_m", "<f4", ("H", "W"), "z in metres, geometry of the reference slice; 0 where not valid"),
    DataSet("valid", "?", ("H", "W"), "depth known"),
    DataSet("focus_distance_m", "<f4", ("S",), "lens to plane in focus, metres, far to near"),
    DataSet("magnification", "<f4", ("S",), "image scale relative to the reference slice (1 there)"),
    DataSet("principal_point_px", "<f4", ("S", 2), "shift (x right, y down) relative to the reference slice"),
    DataSet("fov_error", "<f4", ("S",), "drawn relative field-of-view error alpha of the slice"),
    DataSet("focal_length_m", "<f4", (), "focal length of the sample's camera, metres"),
    DataSet("f_number", "<f4", (), "focal length over aperture diameter"),
    DataSet("sensor_width_m", "<f4", (), "width of the sensor, metres"),
    DataSet("phone", TEXT, (), "name of the phone's profile"),
    DataSet("source_id", TEXT, (), "which frame of which source"),
    DataSet("depth_scale", "<f4", (), "factor applied to the source's metres to fit the focus range (1: kept)"),
    DataSet("sample_index", "<i8", (), "index in the whole bundle; with the seed it names the random draws"),
    DataSet("exposure_ev", "<f4", (), "light was multiplied by 2^ev", "exposure"),
    DataSet("shot_noise", "<f4", (), "variance of raw values (white is 1) per unit of their expectation", "noise"),
    DataSet("read_noise", "<f4", (), "standard deviation of raw values in the dark", "noise"),
    DataSet("jpeg_quality", "<f4", (), "1 to 100, on libjpeg's scale", "jpeg"),
    DataSet(
        "depth_enlarged",
        "<f4",
        (),
        "by how much the source's depth map was enlarged along the image's edges; 1: measured as it is",
        "depth_enlarged",
    ),
)
REQUIRED_DATA_SETS = tuple(data_set for data_set in DATA_SETS if not data_set.effect)
EFFECT_DATA_SETS = tuple(data_set for data_set in DATA_SETS if data_set.effect)


def demanded(config: str) -> set[str]:
    """Names of the data sets that a shard of this config (JSON) must have."""
    names = {data_set.name for data_set in REQUIRED_DATA_SETS}
    try:
        keys = json.loads(config)
        effects = {effect for phone in keys.get("phones", []) for effect in phone.get("effects", {})} | set(keys)
    except (ValueError, AttributeError, TypeError, RecursionError):  # a config of another make demands nothing
        effects = set()
    return names | {data_set.name for data_set in EFFECT_DATA_SETS if data_set.effect in effects}


# name -> (type, meaning) of the root attributes.
ATTRIBUTES: dict[str, tuple[type, str]] = {
    "schema_version": (int, "version of this schema"),
    "reference_slice": (int, "index of the slice whose geometry depth and all-in-focus image have"),
    "seed": (int, "root of all randomness"),
    "config": (str, "the RenderConfig as JSON"),
    "focalsim_version": (str, "version of the program that wrote the shard"),
    "license": (str, "license of the source"),
    "attribution": (str, "whom the source asks to be named"),
}


# Hex digest of the other attributes, because HDF5 keeps no checksum of strings; shards of old may lack it.
ATTRIBUTES_SHA256 = "attributes_sha256"


def attributes_sha256(attributes: Mapping[str, Any]) -> str:
    """sha256 over the attributes of :data:`ATTRIBUTES` as sorted JSON in UTF-8, ASCII-escaped."""
    plain = {name: attributes[name] if kind is str else int(attributes[name]) for name, (kind, _) in ATTRIBUTES.items()}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def markdown_table(data_sets: Iterable[DataSet] = REQUIRED_DATA_SETS) -> str:
    """The schema as a Markdown table, for the documents."""
    rows = ["| data set | shape | type | meaning |", "|---|---|---|---|"]
    for data_set in data_sets:
        shape = ", ".join(str(axis) for axis in ("n", *data_set.shape))
        kind = "UTF-8 string" if data_set.dtype == TEXT else np.dtype(data_set.dtype).name
        rows.append(f"| `{data_set.name}` | ({shape}) | {kind} | {data_set.meaning} |")
    return "\n".join(rows) + "\n"
