"""What happens after the lens, argued from physics: photons, field angles, filters, codes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from focalsim.camera import NO_EFFECTS, draw_camera, focus_schedule_m, load_profile
from focalsim.camera.effects import BAYER_PATTERNS, Adc, Exposure, Jpeg, Mosaic, Noise, Tone, Vignetting
from focalsim.color import linear_to_srgb, srgb_to_linear
from focalsim.sensor import Settings, View, develop_sharp, develop_slice, draw_settings
from focalsim.sensor.light import falloff
from focalsim.sensor.picture import encode, jpeg
from focalsim.sensor.raw import add_noise, demosaic, digitise, mosaic

VIEW = View(axis_px=(31.5, 23.5), sensor_distance_px=50.0, half_diagonal_px=40.0)


def rng(seed=0):
    return np.random.default_rng(seed)


def flat(value, shape=(48, 64)):
    return np.full((*shape, 3), value, np.float32)


def scene(shape=(48, 64)):
    """Smooth colours with texture, as photographs have."""
    y, x = np.mgrid[: shape[0], : shape[1]] / 7
    return np.stack([0.4 + 0.3 * np.sin(x), 0.4 + 0.3 * np.cos(y + x), 0.4 + 0.3 * np.sin(y)], -1).astype(np.float32)


# Light


def test_the_natural_falloff_is_cos4_of_the_field_angle():
    light = falloff(Vignetting(), (48, 64), VIEW)
    for x, y in ((31, 23), (0, 23), (63, 47), (10, 40)):
        angle = np.arctan(np.hypot(x - 31.5, y - 23.5) / 50.0)
        assert light[y, x] == pytest.approx(np.cos(angle) ** 4, rel=1e-6)


def test_a_measured_falloff_is_a_polynomial_of_the_radius():
    # The corner of the sensor is r = 1.
    view = View(axis_px=(0.0, 0.0), sensor_distance_px=1.0, half_diagonal_px=50.0)
    light = falloff(Vignetting(natural=False, k1=-0.3, k2=0.1, k3=-0.05), (41, 31), view)
    assert light[0, 0] == 1
    assert light[40, 30] == pytest.approx(1 - 0.3 + 0.1 - 0.05)
    assert light[0, 25] == pytest.approx(1 - 0.3 / 4 + 0.1 / 16 - 0.05 / 64)


def test_the_falloff_of_a_phone():
    """At the edge of the picture the field angle is that of half a sensor at the lens-to-sensor distance."""
    profile = load_profile("pixel4")
    camera = draw_camera(profile, focus_schedule_m(0.1, 1.0, 3), 352, rng())
    view = View.of_slice(profile, camera, 0, 352, 224)
    half_sensor_m = profile.sensor_width_m / 2
    v = profile.focal_length_m * 1.0 / (1.0 - profile.focal_length_m)
    assert 176 / view.sensor_distance_px == pytest.approx(half_sensor_m / v, rel=1e-9)
    assert view.half_diagonal_px == pytest.approx(176 * np.hypot(4032, 3024) / 4032)
    shift = camera.principal_point_px[0]
    assert view.axis_px == pytest.approx((175.5 + shift[0], 111.5 + shift[1]))


def test_one_ev_doubles_the_light():
    effects = replace(NO_EFFECTS, exposure=Exposure((1.0, 1.0)))
    light = scene() / 3
    bright = develop_slice(light, effects, Settings(exposure_ev=1.0), VIEW, rng())
    np.testing.assert_array_equal(bright, linear_to_srgb(2 * light))
    np.testing.assert_array_equal(develop_sharp(light, effects, Settings(exposure_ev=1.0), VIEW), bright)


def test_a_corrected_falloff_leaves_the_brightness_and_more_noise_at_the_rim():
    effects = replace(
        NO_EFFECTS, vignetting=Vignetting(corrected=1.0), noise=Noise(full_well_e=500, read_noise_e=0, iso=(100, 100))
    )
    settings = Settings(shot_noise=1 / 500, read_noise=0.0)
    pictures = np.stack([develop_slice(flat(0.2), effects, settings, VIEW, rng(k)) for k in range(100)])
    light = srgb_to_linear(pictures).astype(float)
    centre, corner = light[:, 22:26, 30:34], light[:, :4, :4]
    assert corner.mean() == pytest.approx(centre.mean(), rel=0.02)
    kept = falloff(Vignetting(), (48, 64), VIEW)[:4, :4].mean()
    assert corner.var() / centre.var() == pytest.approx(1 / kept, rel=0.25)  # a y / gain^2 of a light gain * y


# Noise


def test_the_variance_of_noise_is_a_line_of_the_mean():
    """Foi et al. 2008: variance = a mean + b."""
    shot, read = 1 / 2000, 0.004
    means, variances = [], []
    for k, level in enumerate(np.linspace(0.02, 0.9, 8)):
        noisy = add_noise(np.full(200_000, level, np.float32), shot, read, rng(k)).astype(float)
        means.append(noisy.mean())
        variances.append(noisy.var())
        assert means[-1] == pytest.approx(level, abs=5 * np.sqrt((shot * level + read**2) / 200_000))
    slope, offset = np.polyfit(means, variances, 1)
    assert slope == pytest.approx(shot, rel=0.02)
    assert offset == pytest.approx(read**2, rel=0.15)


def test_few_photons_are_counted_whole_and_skewed():
    photons = add_noise(np.full(100_000, 0.1, np.float32), 0.05, 0.0, rng()) / 0.05
    np.testing.assert_allclose(photons, np.rint(photons), atol=1e-4)
    centred = photons - photons.mean()
    assert (centred**3).mean() / (centred**2).mean() ** 1.5 == pytest.approx(1 / np.sqrt(2), abs=0.05)  # Poisson(2)


def noise_of(profile, width=352, **changes):
    noise = Noise(**{"full_well_e": 6000.0, "read_noise_e": 3.0, "iso": (100.0, 100.0), **changes})
    return draw_settings(replace(profile, effects=replace(NO_EFFECTS, noise=noise)), width, rng())


def test_iso_gain_and_binning_set_the_noise():
    phone = load_profile("pixel4")
    base = noise_of(phone)
    assert base.shot_noise == pytest.approx(1 / 6000, rel=1e-6)
    assert base.read_noise == pytest.approx(3 / 6000, rel=1e-6)
    fast = noise_of(phone, iso=(800.0, 800.0))
    assert fast.shot_noise == pytest.approx(8 * base.shot_noise, rel=1e-5)
    assert fast.read_noise == pytest.approx(8 * base.read_noise, rel=1e-5)
    # The mean of k x k pixels has 1/k^2 of their variance.
    binned = noise_of(phone, binned=True)
    assert binned.shot_noise == pytest.approx(base.shot_noise * (352 / 4032) ** 2, rel=1e-5)
    assert binned.read_noise == pytest.approx(base.read_noise * 352 / 4032, rel=1e-5)


def test_draws_stay_in_their_ranges_and_do_not_disturb_each_other():
    phone = load_profile("pixel4")
    noise = Noise(full_well_e=5000, read_noise_e=1, iso=(100, 1600))
    both = replace(phone, effects=replace(NO_EFFECTS, noise=noise, jpeg=Jpeg((60, 95)), exposure=Exposure((-1, 2))))
    alone = replace(phone, effects=replace(NO_EFFECTS, jpeg=Jpeg((60, 95))))
    drawn = [draw_settings(both, 352, rng(k)) for k in range(300)]
    assert [s.jpeg_quality for s in drawn] == [draw_settings(alone, 352, rng(k)).jpeg_quality for k in range(300)]
    qualities = {s.jpeg_quality for s in drawn}
    assert min(qualities) == 60
    assert max(qualities) == 95
    assert all(-1 <= s.exposure_ev <= 2 for s in drawn)
    iso = np.array([s.shot_noise * 5000 * 100 for s in drawn])
    assert iso.min() >= 99.9
    assert iso.max() <= 1600.1
    assert np.median(iso) == pytest.approx(400, rel=0.25)  # even by its logarithm
    off = draw_settings(phone, 352, rng())
    assert off == Settings()


# Mosaic


@pytest.mark.parametrize("pattern", BAYER_PATTERNS)
def test_a_constant_colour_survives_the_mosaic(pattern):
    light = np.tile(np.array([0.2, 0.5, 0.7], np.float32), (10, 14, 1))
    np.testing.assert_allclose(demosaic(mosaic(light, pattern), pattern)[..., 1], 0.5, atol=0.2)
    grey = flat(0.37, (10, 14))
    np.testing.assert_allclose(demosaic(mosaic(grey, pattern), pattern), grey, atol=1e-6)


@pytest.mark.parametrize("pattern", BAYER_PATTERNS)
def test_what_was_measured_stays_and_the_rest_comes_close(pattern):
    light = scene()
    raw = mosaic(light, pattern)
    colour = demosaic(raw, pattern)
    np.testing.assert_array_equal(mosaic(colour, pattern), raw)
    inner = np.s_[4:-4, 4:-4]
    assert np.abs(colour - light)[inner].mean() < 0.01
    wrong = demosaic(raw, BAYER_PATTERNS[(BAYER_PATTERNS.index(pattern) + 1) % 4])
    assert np.abs(wrong - light)[inner].mean() > 0.1


def test_demosaicing_follows_a_grey_edge_better_than_bilinear():
    """The paper's point: the gradient of the measured colour corrects the interpolated ones."""
    y, x = np.mgrid[:32, :32]
    light = np.repeat((0.5 + 0.4 * np.sin(1.2 * x + 0.4 * y))[..., None], 3, 2).astype(np.float32)
    raw = mosaic(light, "RGGB")
    red_at_red_rows_green = 0.5 * (raw[4:-4:2, 4:-6:2] + raw[4:-4:2, 6:-4:2])
    ours = demosaic(raw, "RGGB")[4:-4:2, 5:-5:2, 0]
    truth = light[4:-4:2, 5:-5:2, 0]
    assert np.abs(ours - truth).mean() < 0.5 * np.abs(red_at_red_rows_green - truth).mean()


# Codes


def test_a_converter_rounds_to_its_codes_and_keeps_the_dark():
    raw = np.linspace(-0.2, 1.3, 5000).astype(np.float32)
    codes = digitise(raw, Adc(bits=10, black_level=64)) * 959 + 64
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-3)
    assert codes.min() == pytest.approx(0, abs=1e-3)  # a pedestal keeps noise below black
    assert codes.max() == pytest.approx(1023, abs=1e-3)
    inside = (raw >= 0) & (raw <= 1)
    assert np.abs(digitise(raw, Adc(8))[inside] - raw[inside]).max() <= 0.5 / 255 + 1e-6


def test_the_tone_curve_keeps_black_middle_and_white():
    light = srgb_to_linear(np.arange(256, dtype=np.uint8))
    np.testing.assert_array_equal(encode(light, Tone(0.0)), np.arange(256))
    bent = encode(light, Tone(1.0)).astype(int)
    assert (bent[0], bent[255]) == (0, 255)
    assert bent[127:129].tolist() == [127, 128]
    assert bent[64] < 64
    assert bent[192] > 192
    assert np.all(np.diff(bent) >= 0)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_jpeg_costs_more_the_lower_its_quality(subsampling):
    picture = linear_to_srgb(np.clip(scene((64, 96)) + 0.05 * rng().standard_normal((64, 96, 1)), 0, 1))
    errors = [np.abs(jpeg(picture, q, subsampling).astype(int) - picture).mean() for q in (98, 80, 30)]
    assert 0 < errors[0] < 4
    assert errors[0] < errors[1] < errors[2] < 30


def test_jpeg_works_on_blocks_of_eight_and_keeps_colours_apart():
    picture = np.full((32, 32, 3), (200, 60, 30), np.uint8)
    np.testing.assert_allclose(jpeg(picture, 95, "4:4:4"), picture, atol=4)
    dot = np.full((32, 32, 3), 90, np.uint8)
    dot[12, 12] = 250
    changed = np.any(jpeg(dot, 50, "4:4:4") != jpeg(np.full_like(dot, 90), 50, "4:4:4"), axis=2)
    rows, columns = np.nonzero(changed)
    assert 8 <= rows.min() <= rows.max() < 16
    assert 8 <= columns.min() <= columns.max() < 16


def test_less_colour_is_kept_with_subsampling():
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2] = (220, 40, 40)
    stripes[:, 1::2] = (40, 40, 220)
    errors = [np.abs(jpeg(stripes, 95, s).astype(int) - stripes).mean() for s in ("4:4:4", "4:2:0")]
    assert errors[1] > 5 * errors[0]


# All together


def test_without_effects_a_slice_is_only_encoded():
    light = scene() * 1.5
    np.testing.assert_array_equal(develop_slice(light, NO_EFFECTS, Settings(), VIEW, rng()), linear_to_srgb(light))
    np.testing.assert_array_equal(develop_sharp(light, NO_EFFECTS, Settings(), VIEW), linear_to_srgb(light))


def test_the_sharp_picture_is_the_mean_of_many_noisy_ones():
    effects = replace(
        NO_EFFECTS,
        vignetting=Vignetting(corrected=0.5),
        mosaic=Mosaic(),
        noise=Noise(full_well_e=2000, read_noise_e=2, iso=(100, 100)),
        adc=Adc(12, 256),
        tone=Tone(0.3),
        exposure=Exposure((0.5, 0.5)),
    )
    settings = Settings(exposure_ev=0.5, shot_noise=1 / 2000, read_noise=0.001)
    light = flat(0.25)
    noisy = np.mean([develop_slice(light, effects, settings, VIEW, rng(k)) for k in range(60)], axis=0)
    np.testing.assert_allclose(noisy, develop_sharp(light, effects, settings, VIEW), atol=3)
