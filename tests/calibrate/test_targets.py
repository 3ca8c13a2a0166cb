"""Targets to print, and their points in blurred photos."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from focalsim.calibrate import Target, target_image
from focalsim.calibrate.detect import find_target
from focalsim.cli import main
from focalsim.errors import ConfigError

KINDS = ["circles", "chessboard", "charuco"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_printed_target_has_the_size_that_was_asked_for(kind, tmp_path):
    out = tmp_path / "target.png"
    args = ["calibrate", "--make-target", str(out), "--pattern", kind, "--board", "7x5", "--spacing-mm", "20"]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0, result.output
    with Image.open(out) as image:
        # One spacing of white on every side: 9 x 7 spacings of 20 mm.
        inches = np.array(image.size) / np.array(image.info["dpi"])
        np.testing.assert_allclose(inches * 25.4, [180, 140], rtol=0.005)
        pixels = np.asarray(image)
    index, places = find_target(pixels, Target(kind, 7, 5))
    ideal = Target(kind, 7, 5).points()[index] * 236 + (pixels.shape[1] - 1) / 2 + 1j * (pixels.shape[0] - 1) / 2
    assert len(index) == len(Target(kind, 7, 5).points())
    np.testing.assert_allclose(np.abs(places - ideal), 0, atol=0.6)


def test_a_target_as_pdf(tmp_path):
    out = tmp_path / "target.pdf"
    assert CliRunner().invoke(main, ["calibrate", "--make-target", str(out)]).exit_code == 0
    assert out.read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("kind", ["circles", "chessboard"])
@pytest.mark.parametrize("diameter", [1, 9, 21])
def test_points_stay_where_they_are_in_a_defocused_photo(kind, diameter):
    """A uniform disc is symmetric about its point, and the spacing of 48 px leaves room for it."""
    target = Target(kind, 9, 6)
    sharp = target_image(target, 48)
    offset = np.arange(diameter) - diameter // 2
    disc = (np.hypot(offset[:, None], offset) <= diameter / 2).astype(float)
    photo = cv2.filter2D(sharp, cv2.CV_32F, disc / disc.sum())
    photo = np.clip(40 + 0.6 * photo + np.random.default_rng(0).normal(0, 3, sharp.shape), 0, 255).astype(np.uint8)
    index, places = find_target(photo, target)
    ideal = target.points()[index] * 48 + (photo.shape[1] - 1) / 2 + 1j * (photo.shape[0] - 1) / 2
    error = places - ideal
    assert np.abs(error).max() < 0.5
    # What matters is the scale: the least squares stretch of the points about the centre.
    stretch = np.vdot(ideal - ideal.mean(), error - error.mean()).real / np.sum(np.abs(ideal - ideal.mean()) ** 2)
    assert abs(stretch) < 1e-4


@pytest.mark.parametrize("turned", [0, 1, 2, 3])
def test_a_regular_grid_is_numbered_the_same_way_up(turned):
    """Rows run right and down in the picture however the paper was held, for the same paper at every capture."""
    photo = np.rot90(target_image(Target("circles", 9, 6), 40), turned)
    index, places = find_target(np.ascontiguousarray(photo), Target("circles", 9, 6))
    grid = places[np.argsort(index)].reshape(6, 9)
    along, down = grid[0, -1] - grid[0, 0], grid[-1, 0] - grid[0, 0]
    assert (along.conjugate() * down).imag > 0
    assert along.real + along.imag > 0


def test_nothing_is_found_where_there_is_nothing():
    noise = np.random.default_rng(0).integers(0, 255, (300, 400), np.uint8)
    for kind in KINDS:
        assert find_target(noise, Target(kind)) is None
        assert find_target(np.full((300, 400), 128, np.uint8), Target(kind)) is None


def test_boards_that_cannot_be():
    with pytest.raises(ConfigError, match="board of 2x6"):
        Target("circles", 2, 6)


def test_a_blurred_charuco_board_is_numbered_like_a_sharp_one():
    """The markers are lost by a blur of a fifth of a square, and the board is upside down: the corners agree anyway."""
    target = Target("charuco", 9, 6)
    sharp = np.ascontiguousarray(np.rot90(target_image(target, 60), 2))
    offset = np.arange(13) - 6
    disc = (np.hypot(offset[:, None], offset) <= 6).astype(float)
    blurred = cv2.filter2D(sharp, -1, disc / disc.sum())
    (index, places), (index_blurred, places_blurred) = (find_target(photo, target) for photo in (sharp, blurred))
    assert len(index) == len(index_blurred) == 40
    at = dict(zip(index, places, strict=True))
    difference = [abs(at[i] - place) for i, place in zip(index_blurred, places_blurred, strict=True)]
    assert max(difference) < 0.5
