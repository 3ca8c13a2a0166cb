"""Files are paired by name alone, so empty files will do."""

from __future__ import annotations

from pathlib import Path

import pytest

from focalsim.errors import SourceError
from focalsim.sources.pairing import pair_files


def pairs(folder: Path, *names: str) -> list[tuple[str, str]]:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = pair_files(folder)
    return [(p.colour.relative_to(folder).as_posix(), p.depth.relative_to(folder).as_posix()) for p in found]


@pytest.mark.parametrize(
    ("colour", "depth"),
    [
        ("rgb_00000.jpg", "depth_00000.png"),
        ("color_1.png", "depth_1.pgm"),
        ("000000080_rgb.jpg", "000000080_depth.exr"),
        ("TUM_color.png", "TUM_depth.png"),
        ("scene_left.png", "scene_depth_m.npz"),
        ("7.jpg", "7.npy"),
        ("rgb/0001.jpg", "depth/1.png"),
        ("images/a/3.png", "depth/a/3.pfm"),
        ("room1/image_2.png", "room1/depth_2.png"),
        ("image.jpg", "arkit_depth.png"),  # one of each: a pair whatever the names
        ("Rgb7.PNG", "Depth007.PNG"),
    ],
)
def test_layouts(tmp_path: Path, colour: str, depth: str) -> None:
    others = () if colour == "image.jpg" else (colour.replace("1", "9"), depth.replace("1", "9"))
    assert (colour, depth) in pairs(tmp_path, colour, depth, *others)


def test_disparity_right_eye_and_other_files_are_left_out(tmp_path: Path) -> None:
    ignored = ("m_right.png", "m_disp.npz", "m_mask.png", "README.txt", ".hidden/x_rgb.png", "camera.json")
    assert pairs(tmp_path, "m_left.png", "m_depth_m.npz", *ignored) == [("m_left.png", "m_depth_m.npz")]


def test_one_frame_in_two_formats_is_one_pair_and_floats_come_first(tmp_path: Path) -> None:
    names = ("80_rgb.jpg", "80_depth.exr", "80_depth.npz", "81_rgb.jpg", "81_depth.exr", "81_depth.png")
    assert pairs(tmp_path, *names) == [("80_rgb.jpg", "80_depth.npz"), ("81_rgb.jpg", "81_depth.exr")]


def test_frames_are_sorted_by_number_not_by_text(tmp_path: Path) -> None:
    names = [f"{role}_{n}.png" for n in (10, 9, 1) for role in ("color", "depth")]
    assert [colour for colour, _ in pairs(tmp_path, *names)] == ["color_1.png", "color_9.png", "color_10.png"]


def test_scenes_in_folders_do_not_mix(tmp_path: Path) -> None:
    names = [f"room{room}/{role}/1.png" for room in (1, 2) for role in ("rgb", "depth")]
    assert pairs(tmp_path, *names) == [
        ("room1/rgb/1.png", "room1/depth/1.png"),
        ("room2/rgb/1.png", "room2/depth/1.png"),
    ]


def test_image_without_depth_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no depth map found for rgb_2\.png"):
        pairs(tmp_path, "rgb_1.png", "depth_1.png", "rgb_2.png")


def test_one_image_alone_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no depth map found for photo\.jpg"):
        pairs(tmp_path, "photo.jpg")


def test_depth_without_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no colour image found for depth_2\.png"):
        pairs(tmp_path, "rgb_1.png", "depth_1.png", "depth_2.png")


def test_three_of_many_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"rgb_0\.png, rgb_1\.png, rgb_2\.png and 4 more$"):
        pairs(tmp_path, *(f"rgb_{n}.png" for n in range(7)), "depth_9.png")


def test_two_images_for_one_depth_map(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"2 images for one depth map: a\.jpg, a\.png"):
        pairs(tmp_path, "a.jpg", "a.png", "a_depth.png")


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no colour image and no depth map"):
        pair_files(tmp_path)


def test_a_folder_of_captures_of_one_pair_each(tmp_path: Path) -> None:
    """image.jpg with arkit_depth.png in every folder: what is alone there belongs together."""
    for name in ("a", "b"):
        for file in ("image.jpg", "arkit_depth.png"):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / file).touch()
    found = [(pair.colour.parent.name, pair.depth.parent.name) for pair in pair_files(tmp_path)]
    assert found == [("a", "a"), ("b", "b")]
    (tmp_path / "b" / "second.jpg").touch()
    with pytest.raises(SourceError, match="no depth map found for"):
        pair_files(tmp_path)
