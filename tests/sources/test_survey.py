"""The survey finds the frames that will render, says why others will not, and notices a changed source."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from focalsim.errors import FrameError, SourceError
from focalsim.sources import FrameRequest, open_source
from focalsim.sources.prepare import prepare_scene
from focalsim.sources.survey import source_digest, survey

WritePair = Callable[..., None]
FINE = np.full((60, 80), 500)


@pytest.fixture
def mixed(tmp_path: Path, write_pair: WritePair) -> Path:
    """Frames 0..5: fine, all zero, half holes, depth of another aspect, damaged, fine."""
    folder = tmp_path / "mixed"
    holes = FINE.copy()
    holes[:, :40] = 0
    for number, depth in enumerate((FINE, 0 * FINE, holes, np.full((60, 100), 500), FINE, FINE)):
        write_pair(folder, depth, number)
    (folder / "depth_4.png").write_text("just a text")
    return folder


def test_skipped_frames_are_counted_by_reason(mixed: Path, request_: FrameRequest) -> None:
    found = survey(open_source(mixed), [request_], max_holes=0.4)
    assert list(found.usable) == [0, 5]
    assert {reason: list(frames) for reason, frames in found.skipped.items()} == {
        "no valid depth": ["mixed/color_1.png"],
        "too many holes": ["mixed/color_2.png"],
        "depth of another aspect ratio": ["mixed/color_3.png"],
        "unreadable": ["mixed/color_4.png"],
    }
    assert found.depth.median_m == pytest.approx(0.5)
    assert found.summary().startswith("4 of 6 frames skipped (no valid depth: 1, too many holes: 1, ")


def test_survey_and_preparation_agree(mixed: Path, request_: FrameRequest) -> None:
    source = open_source(mixed)
    usable = survey(source, [request_], max_holes=0.4).usable
    for index in range(len(source)):
        try:
            scene = source.load(index, request_, np.random.default_rng(0))
            prepare_scene(scene, request_, max_holes=0.4, depth_policy="auto")
        except FrameError:
            assert index not in usable
        else:
            assert index in usable


def test_the_limit_on_holes_is_an_option(mixed: Path, request_: FrameRequest) -> None:
    assert list(survey(open_source(mixed), [request_], max_holes=0.6).usable) == [0, 2, 5]


def test_a_frame_must_serve_every_phone(tmp_path: Path, write_pair: WritePair, request_: FrameRequest) -> None:
    write_pair(tmp_path)
    (tmp_path / "camera.yaml").write_text("fx: 70\nfy: 70\ncx: 39.5\ncy: 29.5\n")
    source = open_source(tmp_path)
    narrow, wide = (replace(request_, focal_over_width=ratio) for ratio in (1.0, 0.5))
    assert list(survey(source, [narrow], max_holes=0.5, match_fov=True).usable) == [0]
    with pytest.raises(SourceError, match="narrower than the phone's view"):
        survey(source, [narrow, wide], max_holes=0.5, match_fov=True)


def test_it_stops_at_the_limit(mixed: Path, request_: FrameRequest) -> None:
    found = survey(open_source(mixed), [request_], max_holes=0.4, limit=1)
    assert list(found.usable) == [0]
    assert not found.skipped


def test_no_usable_frame_is_an_error_that_says_why(
    tmp_path: Path, write_pair: WritePair, request_: FrameRequest
) -> None:
    write_pair(tmp_path, 0 * FINE)
    with pytest.raises(SourceError, match=r"no frame of .* can be used: .*depth_0\.png: no pixel has a depth"):
        survey(open_source(tmp_path), [request_], max_holes=0.5)


@pytest.mark.parametrize(
    ("units", "told"),
    [
        (500, ""),
        (2500, ""),
        (12075, "give --depth-scale 5000 ("),
        (60, "give --depth-scale 100 (the numbers are centimetres: then it is 0.6 m)"),
        (1, "give --depth-scale 1 (the numbers are metres: then it is 1 m)"),
    ],
)
def test_an_unusual_median_depth_is_told_in_numbers(
    tmp_path: Path, write_pair: WritePair, request_: FrameRequest, units: int, told: str
) -> None:
    write_pair(tmp_path, np.full((60, 80), units))
    summary = survey(open_source(tmp_path), [request_], max_holes=0.5).summary()
    assert (f"the median depth is {units / 1000:.3g} m; if that is wrong, {told}" in summary) == bool(told)
    assert bool(summary) == bool(told)


def test_what_is_farther_than_sensors_measure_is_told(
    tmp_path: Path, write_pair: WritePair, request_: FrameRequest
) -> None:
    """A desk in TUM's units: at 6 m its median is usual, but nothing for rooms writes 15 m in millimetres."""
    write_pair(tmp_path, np.repeat([[4000] * 20 + [6000] * 40 + [15000] * 20], 60, axis=0))
    summary = survey(open_source(tmp_path), [request_], max_holes=0.5).summary()
    assert (
        "one pixel in a hundred is farther than 15 m: sensors of this kind measure nothing farther than 10 m" in summary
    )
    assert "give --depth-scale 5000 (the numbers are 1/5000 m, as TUM stores them: then it is 1.2 m)" in summary
    given = survey(open_source(tmp_path, depth_scale=1000), [request_], max_holes=0.5)
    assert given.summary() == ""  # who says so knows


def test_folders_of_several_origins_are_looked_at_one_by_one(
    tmp_path: Path, write_pair: WritePair, request_: FrameRequest
) -> None:
    for number, (folder, units) in enumerate((("a", 1500), ("b", 1500), ("b", 1600), ("c", 9000))):
        write_pair(tmp_path / folder, np.full((60, 80), units), number)
    summary = survey(open_source(tmp_path), [request_], max_holes=0.5).summary()
    start = (
        f"in 1 of 3 folders, as {tmp_path.name}/c, which should then be read by themselves: the median depth is 9 m;"
    )
    assert summary.startswith(start)
    assert "give --depth-scale 5000 (" in summary
    assert survey(open_source(tmp_path / "b"), [request_], max_holes=0.5).summary() == ""


def test_a_unit_that_nothing_explains(tmp_path: Path, write_pair: WritePair, request_: FrameRequest) -> None:
    write_pair(tmp_path)
    told = survey(open_source(tmp_path, depth_scale=1e9), [request_], max_holes=0.5).summary()
    assert told.endswith("(the numbers are millimetres: then it is 0.5 m)")
    np.save(tmp_path / "depth_0.npy", np.full((60, 80), 1e9, np.float32))
    (tmp_path / "depth_0.png").unlink()
    told = survey(open_source(tmp_path), [request_], max_holes=0.5).summary()
    assert told.endswith("if that is wrong, give --depth-scale UNITS, the number of stored units per metre")


def test_an_endless_source_needs_no_survey(request_: FrameRequest) -> None:
    found = survey(open_source(None), [request_], max_holes=0.5)
    assert found.usable == range(sys.maxsize)
    assert found.summary() == ""
    assert source_digest(open_source(None), ()) == ""


def test_digest_notices_changed_content_order_and_choice(mixed: Path, write_pair: WritePair) -> None:
    digest = source_digest(open_source(mixed), [0, 5])
    assert len(digest) == 64
    assert source_digest(open_source(mixed), [0, 5]) == digest
    assert source_digest(open_source(mixed), [5, 0]) != digest
    assert source_digest(open_source(mixed), [0]) != digest
    assert source_digest(open_source(mixed, depth_scale=5000), [0, 5]) != digest
    write_pair(mixed, FINE + 1, 2)  # not among the frames in use
    assert source_digest(open_source(mixed), [0, 5]) == digest
    write_pair(mixed, FINE + 1, 5)
    assert source_digest(open_source(mixed), [0, 5]) != digest


def test_digest_does_not_depend_on_where_the_folder_lies(tmp_path: Path, write_pair: WritePair) -> None:
    digests = set()
    for parent in ("a", "b"):
        write_pair(tmp_path / parent / "same")
        digests.add(source_digest(open_source(tmp_path / parent / "same"), [0]))
    assert len(digests) == 1
