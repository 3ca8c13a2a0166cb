"""Which reader opens a path, and what is said where none can."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from focalsim.errors import ConfigError, SourceError
from focalsim.sources import SOURCE_FORMATS, FileSource, open_source

WritePair = Callable[..., None]


def test_every_format_is_named_once_and_described() -> None:
    for name, reader in SOURCE_FORMATS.items():
        assert issubclass(reader, FileSource)
        assert reader.format == name != "synthetic"
        assert reader.description


def test_a_folder_is_detected(tmp_path: Path, write_pair: WritePair) -> None:
    write_pair(tmp_path)
    assert open_source(tmp_path).format == "folder"
    assert open_source(str(tmp_path), source_format="folder").format == "folder"


def test_without_a_path_the_program_makes_scenes() -> None:
    assert open_source(None).format == "synthetic"


def test_missing_path(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere: no such file or folder"):
        open_source(tmp_path / "nowhere")


def test_a_file_of_no_known_kind_lists_the_kinds(tmp_path: Path) -> None:
    (tmp_path / "a.zip").touch()
    with pytest.raises(SourceError, match=r"a\.zip: not a source of a known kind; known: nyu .*; folder"):
        open_source(tmp_path / "a.zip")


def test_a_file_forced_to_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(SourceError, match=r"a\.png: expected a folder"):
        open_source(tmp_path / "a.png", source_format="folder")


def test_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown source format 'zip'; known: nyu, .*folder"):
        open_source(tmp_path, source_format="zip")


def test_options_that_do_not_belong_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="textures"):
        open_source(tmp_path, textures=tmp_path)
    with pytest.raises(ConfigError, match="need the path"):
        open_source(None, depth_scale=1000)
    with pytest.raises(ConfigError, match="need the path"):
        open_source(None, source_format="folder")


@pytest.mark.parametrize("depth_scale", [0, -1, float("nan"), float("inf")])
def test_impossible_depth_scale(tmp_path: Path, depth_scale: float) -> None:
    with pytest.raises(ConfigError, match="positive number of units per metre"):
        open_source(tmp_path, depth_scale=depth_scale)
