"""A known phone, photographed by the program's own renderer, is found again; a real stack breathes as measured."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from focalsim.camera import load_profile
from focalsim.cli import main

LENS = ["--focal-length-mm", 4.4, "--f-number", 1.7, "--sensor-width-mm", 5.6448]
SENSOR = ["--sensor-size", "4032x3024"]
SCALE = ["--spacing-mm", 20, "--target-distance", 0.35]  # as in the fixture


def calibrate(*args):
    result = CliRunner().invoke(main, ["calibrate", *map(str, args)])
    assert result.exit_code == 0, result.output
    return result.stdout


def true_points(shoot):
    """Drawn principal points at full resolution: the fit can know these, not the law that they were drawn from."""
    return shoot.camera.principal_point_px * 4032 / shoot.width


def check(profile, shoot, images, tolerance=0.02):
    truth = load_profile("pixel4")
    assert profile.fov_error_slope_m == pytest.approx(truth.fov_error_slope_m, rel=tolerance)
    assert profile.fov_error_intercept == pytest.approx(truth.fov_error_intercept, rel=tolerance)
    points = true_points(shoot)
    mean = (profile.principal_point_x_mean_px, profile.principal_point_y_mean_px)
    std = (profile.principal_point_x_std_px, profile.principal_point_y_std_px)
    np.testing.assert_allclose(mean, points.mean(axis=0), rtol=0.05, atol=0.2)
    np.testing.assert_allclose(std, points.std(axis=0, ddof=1), rtol=0.05)
    assert profile.sources["fov_error_slope_m"] == f"calibrated from {images} images"
    assert profile.sources["principal_point_x_mean_px"] == f"calibrated from {images} images"
    assert profile.sources["focal_length_m"] == "data sheet"


def test_a_known_phone_is_found_again(shoot, tmp_path):
    """Bounds of 2 and 5 per cent: centres are good to about 0.03 px of 500, so alpha to 1e-4."""
    shot = shoot(9, (504, 378))
    out = tmp_path / "phone.toml"
    text = calibrate(shot.folder, "--out", out, "--distances", shot.table, *LENS, *SENSOR, *SCALE)
    check(load_profile(str(out)), shot, 9)
    assert "9 of 9 captures used" in text
    figure = cv2.imread(str(tmp_path / "phone.png"))
    assert figure is not None
    assert min(figure.shape[:2]) > 300
    assert figure.std() > 10


@pytest.mark.slow
def test_fifty_captures_with_a_spread_of_the_field_of_view(shoot, tmp_path):
    """As many photos as the paper took, with vignetting, noise, mosaic, tone and JPEG.

    A spread of 5e-4 leaves the slope uncertain by 1 % (one sigma).
    """
    shot = shoot(50, (1008, 756), fov_error_std=5e-4, seed=3, effects="typical")
    out = tmp_path / "phone.toml"
    text = calibrate(shot.folder, "--out", out, "--distances", shot.table, *LENS, *SENSOR, *SCALE)
    images = int(text.split("of 50 captures used")[0].split()[-1])
    assert images >= 48
    profile = load_profile(str(out))
    check(profile, shot, images, tolerance=0.1)
    assert profile.fov_error_std == pytest.approx(5e-4, rel=0.3)


def test_without_a_known_distance_the_breathing_is_still_right(shoot, tmp_path):
    """Only ratios are seen then, so magnification must be right, while the intercept is a convention."""
    shot = shoot(5, (504, 378))
    out = tmp_path / "phone.toml"
    text = calibrate(shot.folder, "--out", out, "--distances", shot.table, *LENS, *SENSOR)
    profile = load_profile(str(out))
    s = shot.camera.focus_distances_m
    v = 1 / (1 / profile.focal_length_m - 1 / s)
    r = v[-1] / v + profile.fov_error_slope_m / s + profile.fov_error_intercept
    assert r[-1] == pytest.approx(1, abs=2e-4)
    np.testing.assert_allclose(r[0] / r, shot.camera.magnification, atol=3e-4)
    assert "only ratios are measured" in text


def test_a_stray_capture_and_a_blank_one_are_named_and_left_out(shoot, tmp_path):
    shot = shoot(9, (504, 378))
    rows = dict(line.split(",") for line in shot.table.read_text().splitlines()[1:])
    by_distance = sorted(rows, key=lambda name: float(rows[name]))
    stray, blank = by_distance[3], by_distance[6]
    image = cv2.imread(str(shot.folder / stray))
    zoom = cv2.getRotationMatrix2D((251.5, 188.5), 0, 1.02)  # as if its focus distance were another
    cv2.imwrite(str(shot.folder / stray), cv2.warpAffine(image, zoom, (504, 378), borderMode=cv2.BORDER_REPLICATE))
    cv2.imwrite(str(shot.folder / blank), np.full_like(image, 200))
    out = tmp_path / "phone.toml"
    text = calibrate(shot.folder, "--out", out, "--distances", shot.table, *LENS, *SENSOR, *SCALE)
    lines = {line.split()[0]: line for line in text.splitlines() if line.startswith("shot")}
    assert lines[stray].endswith("outlier")
    assert "failed: no circles target found" in lines[blank]
    assert sum(line.endswith("outlier") for line in lines.values()) == 1
    truth = load_profile("pixel4")
    assert load_profile(str(out)).fov_error_slope_m == pytest.approx(truth.fov_error_slope_m, rel=0.02)


def test_breathing_of_a_real_stack_without_a_target(tmp_path):
    """6.5 % from the first to the last slice. Its distances have an arbitrary unit, here taken for centimetres."""
    stack = Path(__file__).resolve().parents[2] / "../shared/data/stacks/mobiledepth_balls"
    if not stack.is_dir():
        pytest.skip("the real stack is not beside the project")
    table = tmp_path / "distances.csv"
    distances = [float(word) / 100 for word in (stack / "focus_distance.txt").read_text().split()]
    table.write_text("file,focus_distance_m\n" + "".join(f"{n:02d}.jpg,{s}\n" for n, s in enumerate(distances)))
    out = tmp_path / "phone.toml"
    lens = ["--focal-length-mm", 2, "--f-number", 2, "--sensor-width-mm", 4]
    text = calibrate(stack.resolve(), "--pattern", "none", "--out", out, "--distances", table, *lens)
    rows = [line.split() for line in text.splitlines() if ".jpg" in line]
    assert [row[0] for row in rows] == [f"{n:02d}.jpg" for n in range(10)]
    magnification, turn = np.array([[float(row[2]), float(row[6])] for row in rows]).T
    assert magnification[-1] - 1 == pytest.approx(0.065, abs=0.003)
    assert (np.diff(magnification) > 0).all()
    assert np.abs(turn).max() < 0.15
    profile = load_profile(str(out))
    assert profile.principal_point_x_mean_px == 0
    assert profile.sources["principal_point_x_mean_px"] == "assumed"
    assert max(profile.principal_point_x_std_px, profile.principal_point_y_std_px) < 1.5


def test_distances_that_are_no_metres_are_doubted(shoot, tmp_path):
    """Written in centimetres, the lens would hardly breathe; the measured magnifications do not depend on it."""
    shot = shoot(5, (504, 378))
    rows = [line.split(",") for line in shot.table.read_text().splitlines()]
    table = tmp_path / "centimetres.csv"
    table.write_text("\n".join([",".join(rows[0]), *(f"{name},{100 * float(s):g}" for name, s in rows[1:])]) + "\n")
    told = []
    for distances in (shot.table, table):
        out = tmp_path / f"{distances.stem}_phone.toml"
        told.append(calibrate(shot.folder, "--out", out, "--distances", distances, *LENS, *SENSOR))
    assert ["are the focus distances metres" in text for text in told] == [False, True]
    assert [line.split()[2] for line in told[0].splitlines() if line.startswith("shot")] == [
        line.split()[2] for line in told[1].splitlines() if line.startswith("shot")
    ]


def test_focus_at_infinity_is_a_focus_distance(shoot, tmp_path):
    """Phones write infinity for far scenes: 1/s is 0 there, and the fit stays a fit (here of a mislabelled metre)."""
    shot = shoot(5, (504, 378))
    table = tmp_path / "d.csv"
    table.write_text(shot.table.read_text().replace(",1\n", ",inf\n"))
    out = tmp_path / "phone.toml"
    text = calibrate(shot.folder, "--out", out, "--distances", table, *LENS, *SENSOR, *SCALE)
    assert "inf" in text
    assert load_profile(str(out)).fov_error_slope_m < 0
