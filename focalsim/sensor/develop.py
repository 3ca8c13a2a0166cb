"""One slice's way through the phone, and what a stack draws for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from focalsim.camera.effects import Effects
from focalsim.camera.profile import PhoneProfile
from focalsim.sensor.light import View, falloff
from focalsim.sensor.picture import encode, jpeg
from focalsim.sensor.raw import add_noise, demosaic, digitise, mosaic


@dataclass(frozen=True, slots=True)
class Settings:
    """What one stack draws; None where the effect is off. Raw values have white at 1.

    shot_noise  variance of a raw value per unit of its expectation ("a" of Foi et al.)
    read_noise  standard deviation of a raw value in the dark (the root of their "b")
    """

    exposure_ev: float | None = None
    shot_noise: float | None = None
    read_noise: float | None = None
    jpeg_quality: int | None = None


def draw_settings(profile: PhoneProfile, width_px: int, rng: np.random.Generator) -> Settings:
    """Draw the settings of one stack of ``width_px`` wide pictures; ISO is drawn evenly by its logarithm."""
    effects = profile.effects
    # Always the same number of draws, so that switching one effect on leaves the others' alone.
    u = rng.random(3)
    shot = read = None
    if effects.noise is not None:
        iso = float(np.exp(_between((np.log(effects.noise.iso[0]), np.log(effects.noise.iso[1])), u[1])))
        gain = iso / effects.noise.base_iso
        # The mean of k x k sensor pixels has 1/k^2 of their variance.
        k = max(profile.sensor_width_px / width_px, 1.0) if effects.noise.binned else 1.0
        shot = float(np.float32(gain / effects.noise.full_well_e / k**2))
        read = float(np.float32(gain * effects.noise.read_noise_e / effects.noise.full_well_e / k))
    quality = None if effects.jpeg is None else effects.jpeg.quality
    return Settings(
        exposure_ev=None if effects.exposure is None else float(np.float32(_between(effects.exposure.ev, u[0]))),
        shot_noise=shot,
        read_noise=read,
        # Every whole number from the lowest to the highest is as likely.
        jpeg_quality=None if quality is None else min(int(quality[0] + u[2] * (quality[1] - quality[0] + 1)), 100),
    )


def develop_slice(
    linear: NDArray[np.float32], effects: Effects, settings: Settings, view: View, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The picture (H, W, 3) that the phone makes of the light ``linear`` (H, W, 3) of one slice."""
    light, shading = _exposed(linear, effects, settings, view)
    light = light * shading[..., None]
    raw = light if effects.mosaic is None else mosaic(light, effects.mosaic.pattern)
    if settings.shot_noise is not None and settings.read_noise is not None:
        raw = add_noise(raw, settings.shot_noise, settings.read_noise, rng)
    if effects.adc is not None:
        raw = digitise(raw, effects.adc)
    raw = np.minimum(raw, np.float32(1.0))  # the sensor is full at white
    if effects.vignetting is not None:
        undone = shading ** np.float32(-effects.vignetting.corrected)
        raw = raw * (undone if raw.ndim == 2 else undone[..., None])
    colour = raw if effects.mosaic is None else demosaic(raw, effects.mosaic.pattern)
    picture = encode(colour, effects.tone)
    if effects.jpeg is None or settings.jpeg_quality is None:
        return picture
    return jpeg(picture, settings.jpeg_quality, effects.jpeg.subsampling)


def develop_sharp(linear: NDArray[np.float32], effects: Effects, settings: Settings, view: View) -> NDArray[np.uint8]:
    """The all-in-focus picture as bright as the slices are, without noise, mosaic, rounding and JPEG: it is truth."""
    light, shading = _exposed(linear, effects, settings, view)
    corrected = 0.0 if effects.vignetting is None else effects.vignetting.corrected
    return encode(light * (shading ** np.float32(1.0 - corrected))[..., None], effects.tone)


def _exposed(
    linear: NDArray[np.float32], effects: Effects, settings: Settings, view: View
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Light (H, W, 3) after the exposure, and the relative illumination (H, W)."""
    light = linear if settings.exposure_ev is None else linear * np.float32(2.0**settings.exposure_ev)
    if effects.vignetting is None:
        return light, np.ones(linear.shape[:2], np.float32)
    return light, falloff(effects.vignetting, (linear.shape[0], linear.shape[1]), view)


def _between(ends: tuple[float, float], u: float) -> float:
    return ends[0] + u * (ends[1] - ends[0])
