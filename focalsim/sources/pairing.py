"""Which colour image belongs to which depth map. Decided by names alone.

The path inside the folder is taken apart into words and numbers: ``scene1/rgb_0007.png`` is scene, 1, rgb, 7.

1. A file's role is told by a word of its name, else of its innermost folder, and so on outwards. "Ignored"
   (disparity, right eye, mask, normals, confidence) comes before "depth", and that before "colour". Without
   any such word a ``.npy``, ``.npz``, ``.pfm``, ``.exr`` or ``.pgm`` is depth, another image is colour.
2. What is left without the words that tell roles is the key; equal keys are one frame. ``rgb/0001.jpg`` goes
   with ``depth/1.png``, ``color_3.png`` with ``depth_3.pgm``, ``left.png`` with ``depth_m.npz``.
3. One colour image and one depth map left alone in a folder are a pair whatever they are called.
4. A depth map stored in several formats is read from the first of ``image_files.DEPTH_SUFFIXES``, an image also
   stored in linear light from that (``rgb/1.exr``, ``left.hdr``).
5. A file left alone is an error: where only a part of the files pairs, the names are not what was meant.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from focalsim.errors import SourceError
from focalsim.sources.image_files import COLOUR_SUFFIXES, DEPTH_SUFFIXES, LINEAR_SUFFIXES

_ROLE_WORDS = {
    "ignored": {"disp", "disparity", "right", "mask", "masks", "normal", "normals", "conf", "confidence"},
    "depth": {"depth", "depths", "depthmap", "depthmaps"},
    "colour": {"rgb", "color", "colors", "colour", "colours", "image", "images", "img", "imgs", "left"},
}
# depth_m, depth_mm; the folders of ARKitScenes: lowres_wide with lowres_depth, vga_wide with it too
_SIZE_WORDS = {"m", "mm", "wide", "lowres", "highres", "vga"}
_KEYLESS_WORDS = _ROLE_WORDS["depth"] | _ROLE_WORDS["colour"] | _SIZE_WORDS
_DEPTH_ONLY_SUFFIXES = set(DEPTH_SUFFIXES) - set(COLOUR_SUFFIXES)
_NAMED = 3  # files that an error names

Key = tuple[str, ...]
Files = Mapping[Key, list[Path]]


@dataclass(frozen=True, slots=True)
class Pair:
    """The two files of one frame."""

    colour: Path
    depth: Path


def pair_files(folder: Path) -> list[Pair]:
    """All frames of ``folder`` and its subfolders, sorted by name, numbers by value.

    Raises SourceError where there is no frame, a file has no partner, or two images claim one depth map.
    """
    files: dict[str, dict[Key, list[Path]]] = {"colour": defaultdict(list), "depth": defaultdict(list)}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        role = "ignored" if hidden else _role(inside)
        if role in files and path.is_file():
            files[role][_key(inside)].append(path)
    colours, depths = files["colour"], files["depth"]
    if not colours and not depths:
        raise SourceError(f"{folder}: no colour image and no depth map in this folder")
    partners = _paired_by_folder(colours, depths)
    _refuse_alone(folder, colours, partners, "depth map")
    _refuse_alone(folder, partners, colours, "colour image")
    return [
        Pair(_only(folder, colours[key]), min(partners[key], key=_preference)) for key in sorted(colours, key=_order)
    ]


def _words(part: str) -> list[str]:
    return re.findall(r"[a-z]+|[0-9]+", part.lower())


def _role(inside: Path) -> str:
    """Role of the file at this path relative to the folder: "colour", "depth" or "ignored"."""
    suffix = inside.suffix.lower()
    if suffix not in (*COLOUR_SUFFIXES, *LINEAR_SUFFIXES, *DEPTH_SUFFIXES):
        return "ignored"
    for part in (inside.stem, *reversed(inside.parts[:-1])):
        for role, words in _ROLE_WORDS.items():
            if words.intersection(_words(part)):
                colour = (*COLOUR_SUFFIXES, *LINEAR_SUFFIXES)
                fits = role == "ignored" or suffix in (DEPTH_SUFFIXES if role == "depth" else colour)
                return role if fits else "ignored"
    return "depth" if suffix in _DEPTH_ONLY_SUFFIXES else "colour"


def _key(inside: Path) -> Key:
    words = [word for part in inside.with_suffix("").parts for word in _words(part)]
    return tuple(word.lstrip("0") or "0" for word in words if word not in _KEYLESS_WORDS)


def _order(key: Key) -> list[tuple[int, str]]:
    """Numbers by value, for they have lost their leading zeros, and before words."""
    return [(len(word), word) if word.isdigit() else (sys.maxsize, word) for word in key]


def _paired_by_folder(colours: Files, depths: Files) -> Files:
    """``depths`` with the key of the colour image where both are the only ones of their folder without a partner."""
    if len(colours) == len(depths) == 1:  # alone in all folders
        return {next(iter(colours)): next(iter(depths.values()))}
    # folder -> keys, of colour images and of depth maps
    alone: tuple[dict[Path, list[Key]], dict[Path, list[Key]]] = (defaultdict(list), defaultdict(list))
    for found, files, partners in zip(alone, (colours, depths), (depths, colours), strict=True):
        for key in files.keys() - partners.keys():
            for folder in {path.parent for path in files[key]}:
                found[folder].append(key)
    renamed = {
        alone[1][folder][0]: keys[0]
        for folder, keys in alone[0].items()
        if len(keys) == 1 and len(alone[1].get(folder, ())) == 1
    }
    return {renamed.get(key, key): paths for key, paths in depths.items()}


def _refuse_alone(folder: Path, files: Files, partners: Files, partner: str) -> None:
    alone = [path for key in files if key not in partners for path in files[key]]
    if alone:
        raise SourceError(f"{folder}: no {partner} found for {_names(folder, alone)}")


def _only(folder: Path, images: list[Path]) -> Path:
    linear = [image for image in images if image.suffix.lower() in LINEAR_SUFFIXES]
    images = linear if len(linear) == 1 else images
    if len(images) > 1:
        raise SourceError(f"{folder}: {len(images)} images for one depth map: {_names(folder, images)}")
    return images[0]


def _names(folder: Path, paths: list[Path]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(path.relative_to(folder).as_posix() for path in paths[:_NAMED]) + more


def _preference(depth: Path) -> tuple[int, str]:
    return DEPTH_SUFFIXES.index(depth.suffix.lower()), depth.as_posix()
