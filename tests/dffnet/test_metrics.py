"""Each measure against a hand computation, and on predictions that are wrong in every way."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dffnet.metrics import MEASURES, average, bumpiness, depth_measures, pixel_measures, psnr, risk_coverage, ssim

TRUTH = np.array([[1.0, 2.0], [4.0, 5.0]])
ALL = np.ones((2, 2), bool)


def test_a_perfect_prediction() -> None:
    row = depth_measures(TRUTH, TRUTH, ALL)
    assert {k: row[k] for k in MEASURES if not k.startswith("delta")} == dict.fromkeys(
        [k for k in MEASURES if not k.startswith("delta")], 0.0
    )
    assert [row[f"delta_{k}"] for k in (1, 2, 3)] == [1.0, 1.0, 1.0]
    assert row["pixels"] == 4


def test_values_by_hand() -> None:
    row = depth_measures(np.array([[1.5, 2.0], [2.0, 5.0]]), TRUTH, ALL)
    assert row["mae"] == pytest.approx((0.5 + 2) / 4)
    assert row["mse"] == pytest.approx((0.25 + 4) / 4)
    assert row["rmse"] == pytest.approx(math.sqrt(4.25 / 4))
    assert row["log_rmse"] == pytest.approx(math.sqrt((math.log(1.5) ** 2 + math.log(2) ** 2) / 4))
    assert row["abs_rel"] == pytest.approx((0.5 + 0.5) / 4)
    assert row["sq_rel"] == pytest.approx((0.25 + 1.0) / 4)
    # ratios 1.5, 1, 2, 1 against 1.25, 1.5625, 1.953
    assert [row[f"delta_{k}"] for k in (1, 2, 3)] == [0.5, 0.75, 0.75]


def test_only_valid_pixels_count() -> None:
    valid = np.array([[True, False], [True, False]])
    prediction = np.array([[1.0, np.nan], [4.0, -9.0]])
    truth = np.array([[1.0, np.nan], [4.0, 0.0]])
    row = depth_measures(prediction, truth, valid)
    assert row["mae"] == row["log_rmse"] == row["non_finite"] == row["non_positive"] == row["bumpiness"] == 0
    assert row["delta_1"] == 1


@pytest.mark.parametrize("wrong", [0.0, -1.0, -5.0])
def test_a_non_positive_prediction_is_wrong_and_stays_in_view(wrong: float) -> None:
    prediction = TRUTH.copy()
    prediction[0, 0] = wrong
    row = depth_measures(prediction, TRUTH, ALL)
    assert [row[f"delta_{k}"] for k in (1, 2, 3)] == [0.75] * 3  # -p/t < 1.25 must not pass
    assert row["log_rmse"] == math.inf
    assert row["non_positive"] == 0.25
    assert row["non_finite"] == 0
    assert row["mae"] == pytest.approx((1 - wrong) / 4)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_non_finite_prediction_does_not_vanish(wrong: float) -> None:
    prediction = TRUTH.copy()
    prediction[1, 1] = wrong
    row = depth_measures(prediction, TRUTH, ALL)
    assert row["non_finite"] == 0.25
    assert row["delta_3"] == 0.75
    for name in ("mae", "mse", "rmse", "log_rmse", "abs_rel", "sq_rel", "bumpiness"):
        assert not math.isfinite(row[name]), name
    total = average([row, depth_measures(TRUTH, TRUTH, ALL)])
    assert not math.isfinite(total["per_image"]["mae"])
    assert not math.isfinite(total["per_pixel"]["rmse"])
    assert total["per_image"]["non_finite"] == 0.125


def test_a_constant_prediction() -> None:
    truth = np.linspace(1, 3, 100).reshape(10, 10)
    row = depth_measures(np.full((10, 10), 2.0), truth, np.ones((10, 10), bool))
    assert row["mae"] == pytest.approx(np.abs(truth - 2).mean())
    assert row["rmse"] == pytest.approx(truth.std())


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        depth_measures(TRUTH[:1], TRUTH, ALL)
    with pytest.raises(ValueError, match="without valid pixels"):
        depth_measures(TRUTH, TRUTH, ~ALL)
    for bad in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="truth must be finite and positive"):
            depth_measures(TRUTH, np.full((2, 2), bad), ALL)
    with pytest.raises(ValueError, match="no images"):
        average([])


def test_averages_by_image_and_by_pixel() -> None:
    one = depth_measures(TRUTH + 1.0, TRUTH, ALL)
    half = depth_measures(TRUTH + 3.0, TRUTH, np.array([[True, False], [False, False]]))
    total = average([one, half])
    assert total["per_image"]["rmse"] == pytest.approx((1 + 3) / 2)
    assert total["per_pixel"]["rmse"] == pytest.approx(math.sqrt((4 * 1 + 9) / 5))
    assert total["per_pixel"]["mae"] == pytest.approx((4 * 1 + 3) / 5)
    assert set(total["per_image"]) == set(total["per_pixel"]) == set(MEASURES)


def test_bumpiness_is_the_clipped_hessian() -> None:
    # Far from the border, which is reflected: a wide image, and the mean over it.
    y, x = np.mgrid[0:800, 0:800].astype(float)
    truth, whole = np.full((800, 800), 7.0), np.ones((800, 800), bool)
    # A plane has no Hessian. q x^2 has d2/dx2 = 2 q; each Scharr pass doubles the derivative: 8 q.
    assert bumpiness(truth + 1e-3 * x + 1e-3 * y, truth, whole) < 0.02
    assert bumpiness(truth + 1e-3 * x * x, truth, whole) == pytest.approx(100 * 8e-3, rel=0.1)
    # q x y has two mixed derivatives of q, each doubled twice: 4 sqrt(2) q.
    xy = bumpiness(truth + 1e-3 * x * y, truth, whole)
    assert xy == pytest.approx(100 * 4e-3 * math.sqrt(2), rel=0.15)
    assert bumpiness(truth + 10 * x * x, truth, whole) == pytest.approx(5.0, rel=0.05)  # clip at 0.05


def test_the_rim_of_a_hole_is_no_bump() -> None:
    truth = np.full((20, 20), 2.0)
    valid = np.ones((20, 20), bool)
    valid[8:12, 8:12] = False
    prediction = truth + 0.5
    prediction[~valid] = 99.0
    assert bumpiness(prediction, truth, valid) == pytest.approx(0.0, abs=1e-9)


def test_image_measures() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((40, 50, 3))
    assert psnr(image, image) == math.inf
    assert psnr(image + 0.1, image) == pytest.approx(20.0)
    assert ssim(image, image) == pytest.approx(1.0)
    # Against the definition with constant images: variance 0, so the luminance term alone.
    a, b = np.full((20, 20, 3), 0.3), np.full((20, 20, 3), 0.6)
    assert ssim(a, b) == pytest.approx((2 * 0.18 + 1e-4) / (0.09 + 0.36 + 1e-4), rel=1e-6)
    assert ssim(image, 1 - image) < 0
    assert ssim(rng.random((40, 50, 3)), image) < 0.2


def test_risk_coverage_ranks_by_confidence_and_shares_ties() -> None:
    error = np.array([4.0, 1.0, 3.0, 2.0, 0.0, 5.0, 6.0, 7.0, 8.0, 9.0])
    best = risk_coverage(error, -error)
    assert best.tolist() == pytest.approx([sum(range(k)) / k for k in range(1, 11)])
    assert risk_coverage(error, error).tolist() == pytest.approx([sum(range(10 - k, 10)) / k for k in range(1, 11)])
    assert risk_coverage(error, np.full(10, 0.5)).tolist() == pytest.approx([4.5] * 10)
    assert risk_coverage(error[:1], error[:1]).tolist() == [4.0] * 10


def test_any_set_of_pixels_has_measures_and_averages() -> None:
    rows = [pixel_measures(TRUTH + d, TRUTH, ALL) for d in (0.5, -0.5)]
    assert "bumpiness" not in rows[0]
    total = average(rows)
    assert total["per_pixel"]["mae"] == total["per_image"]["rmse"] == pytest.approx(0.5)
    assert set(total["per_pixel"]) == set(MEASURES) - {"bumpiness"}
