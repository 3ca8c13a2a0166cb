"""The photos of a calibration and their focus distances.

Where the distances come from, in this order:

table   a CSV file with the header ``file,focus_distance_m``
list    ``focus_distance.txt`` in the folder, a number a photo in the order of their names, in metres, or in the unit of
        ``focal_length.txt`` where that lies beside it (the layout of Won & Jeon's real scenes)
EXIF    SubjectDistance, or what else the photos say (:mod:`focalsim.calibrate.exif`)
names   a number with its unit (``IMG_35cm.jpg``, ``near-0.12m.jpg``, ``2.5dpt.png``), else, where every name ends in
        a decimal number, that number in metres (``shot_0.35.jpg``)
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from focalsim.calibrate.exif import Exif, read_exif
from focalsim.errors import SourceError

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
_TO_CONVERT = (".heic", ".heif", ".avif", ".dng")  # what phones write besides
_HEADER = ["file", "focus_distance_m"]
_UNIT_M = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}
_WITH_UNIT = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?) ?(mm|cm|m|dpt|dioptres?|diopters?)(?![a-z])", re.IGNORECASE)
_DECIMAL_END = re.compile(r"(?<![\d.])(\d+\.\d+)$")
# Phones round the distance that they write; beyond this factor it is another distance.
_CONTRADICTION = 1.5
_LIST, _LIST_UNIT = "focus_distance.txt", "focal_length.txt"


@dataclass(frozen=True, slots=True)
class CaptureSet:
    """N photos of one size and orientation, far to near, and those of the folder that are left out.

    ``exif`` has one entry for each photo; ``left_out`` is file name -> reason.
    """

    paths: tuple[Path, ...]
    focus_distance_m: tuple[float, ...]  # positive, infinity allowed
    exif: tuple[Exif, ...]
    size_px: tuple[int, int]  # (W, H) as stored
    left_out: Mapping[str, str]


def read_captures(folder: Path, table: Path | None = None, focal_length_mm: float | None = None) -> CaptureSet:
    """Photos of ``folder`` with their focus distances; ``table`` is the CSV file, if there is one.

    ``focal_length_mm`` None = that of EXIF; it is needed for a list of distances that counts in focal lengths.

    Raises SourceError where the photos cannot be one calibration: none there, distances unknown, fewer than two
    distances, mixed sizes, orientations or focal lengths, or a table that contradicts the folder or EXIF.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: expected a folder of captures")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    if not paths:
        others = sorted({p.suffix for p in folder.iterdir() if p.suffix.lower() in _TO_CONVERT})
        hint = f"; convert the {', '.join(others)} files to JPEG or PNG, with their EXIF" if others else ""
        raise SourceError(f"{folder}: no photos ({', '.join(SUFFIXES)}) in this folder{hint}")
    left_out: dict[str, str] = {}
    exif: dict[Path, Exif] = {}
    for path in paths:
        try:
            exif[path] = read_exif(path)
        except SourceError as error:
            left_out[path.name] = str(error).removeprefix(f"{path}: ")
    if not exif:
        raise SourceError(f"{folder}: none of {len(paths)} photos can be read")
    distances = _distances(folder, paths, exif, table, focal_length_mm, left_out)
    chosen = sorted(distances, key=lambda path: (-distances[path], path.name))
    _check_alike({path: exif[path] for path in chosen})
    if len({distances[path] for path in chosen}) < 2:
        raise SourceError(
            f"{folder}: {len(chosen)} captures at one focus distance only: a calibration needs at least two distances"
        )
    return CaptureSet(
        paths=tuple(chosen),
        focus_distance_m=tuple(distances[path] for path in chosen),
        exif=tuple(exif[path] for path in chosen),
        size_px=exif[chosen[0]].size_px,
        left_out=left_out,
    )


def _distances(
    folder: Path,
    paths: Sequence[Path],
    exif: Mapping[Path, Exif],
    table: Path | None,
    focal_length_mm: float | None,
    left_out: dict[str, str],
) -> dict[Path, float]:
    if table is not None:
        listed = _read_table(table, folder)
        for path in exif:
            if path.name not in listed:
                left_out[path.name] = f"no focus distance in {table.name}"
        found = {path: listed[path.name] for path in exif if path.name in listed}
        if not found:
            raise SourceError(f"{table}: names none of the readable photos in {folder}")
        _refuse_contradictions(found, exif, table.name)
        return found
    if (folder / _LIST).is_file():
        focal_mm = focal_length_mm or next(iter(exif.values())).focal_length_mm
        listed_m = dict(zip(paths, _read_list(folder, len(paths), focal_mm), strict=True))
        found = {path: listed_m[path] for path in exif}
        _refuse_contradictions(found, exif, _LIST)
        return found
    named = _from_names(list(exif))
    _refuse_contradictions(named, exif, "its name")
    # Where some photos have lost their EXIF, their names still tell.
    found = named | {path: told for path, data in exif.items() if (told := data.focus_distance_m) is not None}
    if not found:
        raise SourceError(
            f"{folder}: focus distances are unknown: the photos do not say, so give a CSV file with the header "
            f"{','.join(_HEADER)} by --distances, put a {_LIST} into the folder, or put them into the names, as in "
            "shot_0.35m.jpg"
        )
    left_out.update({path.name: "no focus distance in EXIF or name" for path in exif if path not in found})
    return found


def _refuse_contradictions(found: Mapping[Path, float], exif: Mapping[Path, Exif], origin: str) -> None:
    for path, given in found.items():
        told = exif[path].focus_distance_m
        if told is None or told == given:
            continue
        if not 1 / _CONTRADICTION <= told / given <= _CONTRADICTION:
            raise SourceError(f"{path}: EXIF says focused at {told:g} m, {origin} says {given:g} m")


def _read_table(table: Path, folder: Path) -> dict[str, float]:
    try:
        rows = [row for row in csv.reader(table.read_text("utf-8-sig").splitlines()) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{table}: cannot be read: {error}") from None
    if not rows or [cell.strip() for cell in rows[0]] != _HEADER:
        raise SourceError(
            f"{table}: expected the header {','.join(_HEADER)}, got {','.join(rows[0]) if rows else ''!r}"
        )
    listed: dict[str, float] = {}
    for row in rows[1:]:
        name = row[0].strip()
        try:
            distance = float(row[1]) if len(row) == 2 else 0.0
        except ValueError:
            distance = 0.0
        if not distance > 0:
            raise SourceError(f"{table}: expected a file and a positive distance in metres, got {','.join(row)!r}")
        if name in listed:
            raise SourceError(f"{table}: {name} stands in it twice")
        if not (folder / name).is_file():
            raise SourceError(f"{table}: no file {name} in {folder}")
        listed[name] = distance
    return listed


def _read_list(folder: Path, photos: int, focal_length_mm: float | None) -> list[float]:
    """Distances in metres from ``focus_distance.txt``, whose unit ``focal_length.txt`` tells, if it is there."""
    numbers = _read_numbers(folder / _LIST, photos)
    if not (folder / _LIST_UNIT).is_file():
        return numbers
    if focal_length_mm is None:
        raise SourceError(
            f"{folder}: {_LIST} counts in the unit of {_LIST_UNIT}: give the focal length in millimetres by "
            "--focal-length-mm to turn it into metres"
        )
    unit_m = focal_length_mm * 1e-3 / _read_numbers(folder / _LIST_UNIT, 1)[0]
    return [number * unit_m for number in numbers]


def _read_numbers(path: Path, expected: int) -> list[float]:
    try:
        numbers = [float(word) for word in path.read_text("utf-8-sig").split()]
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: expected one number a line: {error}") from None
    if len(numbers) != expected or not all(number > 0 for number in numbers):
        raise SourceError(f"{path}: expected {expected} positive numbers, got {len(numbers)}: {numbers[:3]}...")
    return numbers


def _from_names(paths: Sequence[Path]) -> dict[Path, float]:
    found: dict[Path, float] = {}
    for path in paths:
        matches = _WITH_UNIT.findall(path.stem.replace("_", " "))
        if matches:
            number, unit = float(matches[-1][0]), matches[-1][1].lower()
            metres = number * _UNIT_M[unit] if unit in _UNIT_M else (1 / number if number else float("inf"))
            if metres > 0:
                found[path] = metres
    if found:
        return found
    bare = {path: float(match[1]) for path in paths if (match := _DECIMAL_END.search(path.stem))}
    return bare if len(bare) == len(paths) and min(bare.values()) > 0 else {}


def _check_alike(exif: Mapping[Path, Exif]) -> None:
    first_path, first = next(iter(exif.items()))
    for path, data in exif.items():
        for what, a, b in (
            ("size", _size(first), _size(data)),
            ("EXIF camera", first.camera, data.camera),
            ("EXIF orientation", first.orientation, data.orientation),
            ("EXIF focal length (mm)", first.focal_length_mm, data.focal_length_mm),
        ):
            if a != b and None not in (a, b):
                raise SourceError(f"{path}: has {what} {b}, but {first_path.name} has {a}; captures must be alike")


def _size(exif: Exif) -> str:
    return f"{exif.size_px[0]}x{exif.size_px[1]}"
