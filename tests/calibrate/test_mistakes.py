"""Captures that cannot be a calibration: one line that says why, exit code 1."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from focalsim.calibrate import read_captures
from focalsim.calibrate.exif import read_exif
from focalsim.cli import main
from focalsim.errors import SourceError

LENS = ["--focal-length-mm", "4.4", "--f-number", "1.7", "--sensor-width-mm", "5.6448"]


@pytest.fixture
def photo(tmp_path):
    """``photo(name, size=(80, 60), **tags)``: a grey JPEG with EXIF tags by name."""
    numbers = {"subject_distance": 0x9206, "focal_length": 0x920A, "f_number": 0x829D, "film": 0xA405}

    def make(name, size=(80, 60), orientation=None, camera=None, **tags):
        folder = tmp_path / "captures"
        folder.mkdir(exist_ok=True)
        exif = Image.Exif()
        if orientation:
            exif[0x0112] = orientation
        if camera:
            exif[0x0110] = camera
        exif.get_ifd(0x8769).update({numbers[tag]: value for tag, value in tags.items()})
        Image.new("L", size, 128).save(folder / name, exif=exif)
        return folder

    return make


def refused(*args):
    result = CliRunner().invoke(main, ["calibrate", *map(str, args)])
    assert result.exit_code == 1, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("Error: ")
    return lines[0]


def test_no_target_in_any_capture(photo, tmp_path):
    for s in ("0.10", "0.20", "0.30"):
        folder = photo(f"shot_{s}.jpg")
    assert "circles target 9x6 found in none of 3 captures" in refused(folder, "--out", tmp_path / "p.toml", *LENS)
    line = refused(folder, "--out", tmp_path / "p.toml", "--pattern", "none", *LENS)
    assert "features that match found in none of 3 captures" in line
    assert not (tmp_path / "p.toml").exists()


def test_one_focus_distance_only(photo, tmp_path):
    photo("a_0.20.jpg")
    folder = photo("b_0.20.jpg")
    assert "one focus distance only" in refused(folder, "--out", tmp_path / "p.toml", *LENS)


def test_mixed_sizes_and_orientations(photo, tmp_path):
    photo("a_0.20.jpg")
    folder = photo("b_0.30.jpg", size=(60, 80))
    assert "has size 80x60, but b_0.30.jpg has 60x80" in refused(folder, "--out", tmp_path / "p.toml", *LENS)
    folder = photo("b_0.30.jpg", orientation=6)
    assert "EXIF orientation" in refused(folder, "--out", tmp_path / "p.toml", *LENS)


def test_photos_of_two_cameras(photo, tmp_path):
    photo("a_0.20.jpg", camera="Phone 1")
    folder = photo("b_0.30.jpg", camera="Phone 2")
    line = refused(folder, "--out", tmp_path / "p.toml", *LENS)
    assert "has EXIF camera Phone 1, but b_0.30.jpg has Phone 2" in line


def test_names_tell_where_photos_have_lost_their_exif(photo):
    photo("a_20cm.jpg", subject_distance=0.21)  # rounded differently: EXIF counts
    photo("b_40cm.jpg")
    folder = photo("c.jpg")
    found = read_captures(folder)
    assert dict(zip([p.name for p in found.paths], found.focus_distance_m, strict=True)) == {
        "b_40cm.jpg": 0.4, "a_20cm.jpg": 0.21,
    }  # fmt: skip
    assert found.left_out == {"c.jpg": "no focus distance in EXIF or name"}


def test_metadata_that_contradict(photo, tmp_path):
    photo("a.jpg", subject_distance=0.2, focal_length=4.4)
    folder = photo("b.jpg", subject_distance=0.4, focal_length=4.4)
    table = tmp_path / "d.csv"
    table.write_text("file,focus_distance_m\na.jpg,0.2\nb.jpg,1.5\n")
    out = ["--out", tmp_path / "p.toml"]
    line = refused(folder, *out, "--distances", table, *LENS)
    assert "EXIF says focused at 0.4 m, d.csv says 1.5 m" in line
    (folder / "focus_distance.txt").write_text("0.2 1.5")
    assert "EXIF says focused at 0.4 m, focus_distance.txt says 1.5 m" in refused(folder, *out, *LENS)
    (folder / "focus_distance.txt").unlink()
    photo("c_90cm.jpg", subject_distance=0.2)
    assert "c_90cm.jpg: EXIF says focused at 0.2 m, its name says 0.9 m" in refused(folder, *out, *LENS)
    (folder / "c_90cm.jpg").unlink()
    assert "--focal-length-mm is 6.8, but EXIF says 4.4" in refused(folder, *out, "--focal-length-mm", 6.8, *LENS[2:])
    photo("b.jpg", subject_distance=0.4, focal_length=6.8)
    assert "EXIF focal length" in refused(folder, *out, *LENS)


def test_photos_in_a_format_of_phones_are_to_be_converted(tmp_path):
    (tmp_path / "IMG_1.HEIC").write_bytes(b"heic")
    with pytest.raises(SourceError, match=r"no photos .*convert the \.HEIC files to JPEG"):
        read_captures(tmp_path)


def test_what_is_missing_is_asked_for_by_its_option(photo, tmp_path):
    photo("a_0.20.jpg")
    folder = photo("b_0.30.jpg")
    out = ["--out", tmp_path / "p.toml"]
    assert "--focal-length-mm" in refused(folder, *out)
    assert "--f-number" in refused(folder, *out, *LENS[:2])
    assert "--sensor-width-mm" in refused(folder, *out, *LENS[:4])
    photo("a_one.jpg")
    (folder / "a_0.20.jpg").unlink()
    assert "focus distances are unknown" in refused(folder, *out, *LENS)
    assert "expected a folder" in refused(tmp_path / "absent", *out, *LENS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg,0.2\n", "expected the header file,focus_distance_m"),
        ("file,focus_distance_m\na.jpg,near\n", "expected a file and a positive distance"),
        ("file,focus_distance_m\nc.jpg,0.2\n", "no file c.jpg"),
        ("file,focus_distance_m\na.jpg,0.2\na.jpg,0.3\n", "stands in it twice"),
    ],
)
def test_tables_that_cannot_be(photo, tmp_path, text, message):
    folder = photo("a.jpg")
    table = tmp_path / "d.csv"
    table.write_text(text)
    assert message in refused(folder, "--out", tmp_path / "p.toml", "--distances", table, *LENS)


def test_wrong_usage(photo, tmp_path):
    folder = photo("a_0.20.jpg")
    for args in (
        [],
        [folder],
        [folder, "--out", tmp_path / "p.txt"],
        [folder, "--make-target", tmp_path / "t.png"],
        ["--make-target", tmp_path / "t.gif"],
        [folder, "--out", tmp_path / "p.toml", "--target-distance", 1],
    ):
        assert CliRunner().invoke(main, ["calibrate", *map(str, args)]).exit_code == 2, args


def test_files_are_not_replaced_unasked(photo, tmp_path):
    folder = photo("a_0.20.jpg")
    (tmp_path / "p.toml").write_text("mine")
    assert "use --overwrite" in refused(folder, "--out", tmp_path / "p.toml", *LENS)
    assert (tmp_path / "p.toml").read_text() == "mine"


def test_distances_from_exif_and_names(photo):
    photo("a.jpg", subject_distance=0.25)
    photo("b.jpg", subject_distance=4294967295.0)
    (photo("c.jpg") / "d.jpg").write_bytes(b"no image")
    captures = read_captures(photo("e.jpg", subject_distance=0.5))
    assert [p.name for p in captures.paths] == ["b.jpg", "e.jpg", "a.jpg"]
    np.testing.assert_allclose(captures.focus_distance_m, [np.inf, 0.5, 0.25])
    assert set(captures.left_out) == {"c.jpg", "d.jpg"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["shot_0.35.jpg", "shot_1.2.jpg"], [1.2, 0.35]),
        (["IMG_7_35cm.jpg", "IMG_8_120mm.jpg"], [0.35, 0.12]),
        (["f4.4mm 2.5dpt.jpg", "f4.4mm 0.5m.jpg"], [0.5, 0.4]),
    ],
)
def test_distances_in_names(photo, names, expected):
    for name in names:
        folder = photo(name)
    np.testing.assert_allclose(read_captures(folder).focus_distance_m, expected)


def test_lens_from_exif(photo):
    from focalsim.calibrate import find_lens

    tags = {"focal_length": 4.4, "f_number": 1.7, "film": 27}
    photo("a.jpg", subject_distance=0.2, **tags)
    lens = find_lens(read_captures(photo("b.jpg", subject_distance=0.3, **tags)), sensor_px=(4000, 3000))
    assert (lens.focal_length_m, lens.f_number) == pytest.approx((0.0044, 1.7))
    # 43.27 mm x 4.4 / 27 of diagonal over 5000 px of diagonal
    assert lens.pixel_pitch_m == pytest.approx(43.2666e-3 * 4.4 / 27 / 5000, rel=1e-4)
    assert lens.pitch_source == "assumed"


def test_a_distance_that_cannot_be_is_told(shoot, tmp_path):
    """Metres given for what was 0.35 m make a field of view that no lens has."""
    shot = shoot(4, (504, 378))
    scale = ["--spacing-mm", 20, "--target-distance", 0.7]
    line = refused(shot.folder, "--distances", shot.table, "--out", tmp_path / "p.toml", *LENS, *scale)
    assert "off the thin lens: check" in line
    assert cv2.imread(str(tmp_path / "p.png")) is None


class TestFocusDistanceOfAPhoto:
    """What real phones and programs write, and what means nothing."""

    def written(self, tmp_path, xmp="", subject=None, comment=None, description=None):
        exif = Image.Exif()
        details = exif.get_ifd(0x8769)
        if subject is not None:
            details[0x9206] = subject
        if comment is not None:
            details[0x9286] = b"ASCII\0\0\0" + comment.encode()
        if description is not None:
            exif[0x010E] = description
        path = tmp_path / "photo.jpg"
        packet = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>{xmp}</rdf:RDF></x:xmpmeta>'.encode()
        Image.new("L", (80, 60), 128).save(path, exif=exif, xmp=packet)
        return read_exif(path).focus_distance_m

    @pytest.mark.parametrize(
        ("tags", "metres"),
        [
            ({}, None),
            ({"subject": 0.353}, 0.353),
            ({"subject": 4294967295}, float("inf")),
            ({"xmp": '<rdf:Description aux:ApproximateFocusDistance="71/100"/>'}, 0.71),
            ({"xmp": "<aux:ApproximateFocusDistance>0.26</aux:ApproximateFocusDistance>"}, 0.26),
            ({"xmp": '<rdf:Description aux:ApproximateFocusDistance="4294967295/1"/>'}, float("inf")),
            ({"xmp": '<rdf:Description my:LensFocusDistance="4.0"/>'}, 0.25),
            ({"comment": '{"android.lens.focusDistance": 2.5, "android.lens.aperture": 1.8}'}, 0.4),
            ({"comment": "LENS_FOCUS_DISTANCE=0.0;ISO=55"}, float("inf")),
            ({"description": "focusDistanceDiopters: 8"}, 0.125),
            ({"subject": 0.5, "comment": "LENS_FOCUS_DISTANCE=2.5"}, 0.5),
            # The lens that a portrait is blurred with afterwards, and numbers that are none.
            ({"xmp": '<rdf:Description GFocus:FocalDistance="28.8"/>'}, None),
            ({"xmp": '<rdf:Description aux:ApproximateFocusDistance="0/0"/>'}, None),
            ({"comment": "LENS_FOCUS_DISTANCE=-1"}, None),
            ({"comment": "LENS_FOCUS_DISTANCE=e"}, None),
        ],
    )
    def test_read(self, tmp_path, tags, metres):
        found = self.written(tmp_path, **tags)
        assert found == (None if metres is None else pytest.approx(metres))


def test_a_list_of_distances_in_the_unit_of_the_focal_length(photo):
    """10 units at a focal length of 0.2 units, which is 4 mm, are 20 cm."""
    photo("a.jpg")
    folder = photo("b.jpg")
    (folder / "focus_distance.txt").write_text("50\n10\n")
    captures = read_captures(folder)
    assert captures.focus_distance_m == (50, 10)
    (folder / "focal_length.txt").write_text("0.2\n")
    with pytest.raises(SourceError, match="--focal-length-mm"):
        read_captures(folder)
    assert read_captures(folder, focal_length_mm=4).focus_distance_m == pytest.approx((1, 0.2))
    (folder / "focus_distance.txt").write_text("50\n10\n5\n")
    with pytest.raises(SourceError, match="expected 2 positive numbers, got 3"):
        read_captures(folder)
