"""Published ways of making defocus from RGB-D, each in its plainest form, to compare with.

All take linear RGB (H, W, 3), depth (H, W) in metres and one slice's ``gain`` (pixel metres) and focus distance, and
give linear RGB. Discs are area-sampled, layers stand every ``STEP_PX`` of radius.
"""

from __future__ import annotations

import cv2
import numpy as np

STEP_PX = 0.25


def area_disc(radius):
    """Uniform disc averaged over each pixel's area; a single 1 for radius 0."""
    if radius <= 0:
        return np.ones((1, 1), np.float32)
    half = int(np.ceil(radius + 0.5))
    fine = (np.arange((2 * half + 1) * 8) + 0.5) / 8 - half - 0.5
    inside = (fine[:, None] ** 2 + fine[None] ** 2 <= radius**2).astype(np.float64)
    n = 2 * half + 1
    kernel = inside.reshape(n, 8, n, 8).mean(axis=(1, 3))
    if kernel.sum() == 0:
        kernel[half, half] = 1.0
    return (kernel / kernel.sum()).astype(np.float32)


def gaussian(radius):
    """Gaussian with the disc's standard deviation, radius / 2 per axis."""
    sigma = radius / 2
    if sigma < 0.05:
        return np.ones((1, 1), np.float32)
    x = np.arange(-int(np.ceil(4 * sigma)), int(np.ceil(4 * sigma)) + 1)
    line = np.exp(-0.5 * (x / sigma) ** 2)
    kernel = line[:, None] * line[None]
    return (kernel / kernel.sum()).astype(np.float32)


def power_exponential(radius):
    """exp(-(r / a)^4) with standard deviation 0.289 radius per axis, as measured of a released implementation."""
    if radius <= 0:
        return np.ones((1, 1), np.float32)
    a = 0.289 * radius / 0.531
    half = int(np.ceil(2 * a)) + 1
    x = np.arange(-half, half + 1)
    kernel = np.exp(-(((x[:, None] ** 2 + x[None] ** 2) / a**2) ** 2))
    return (kernel / kernel.sum()).astype(np.float32)


def blur(image, kernel):
    return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE)


def _layers(depth, gain, focus, step):
    """Signed layer number of every pixel, far to near, and the layers' radii."""
    number = np.rint(gain * (1 / focus - 1 / depth) / 2 / step).astype(int)
    return number, {k: abs(k) * step for k in np.unique(number)[::-1]}


def per_layer_select(rgb, depth, gain, focus, make=area_disc, step=2 * STEP_PX):
    """Blur the whole image once per layer, take each pixel from its own layer."""
    number, radii = _layers(depth, gain, focus, step)
    result = np.empty_like(rgb)
    for k, radius in radii.items():
        result[number == k] = blur(rgb, make(radius))[number == k]
    return result


def own_gaussian(rgb, depth, gain, focus):
    """Every pixel gathers with its own Gaussian."""
    return per_layer_select(rgb, depth, gain, focus, gaussian, STEP_PX)


def normalised_scatter(rgb, depth, gain, focus, make=area_disc):
    """Spread every pixel by its own disc, divide by the sum of weights; no occlusion."""
    number, radii = _layers(depth, gain, focus, STEP_PX)
    light, weight = np.zeros_like(rgb), np.zeros_like(depth)
    for k, radius in radii.items():
        mask = (number == k).astype(np.float32)
        light += blur(rgb * mask[..., None], make(radius))
        weight += blur(mask, make(radius))
    return light / np.maximum(weight, 1e-6)[..., None]


def normalised_layers(rgb, depth, gain, focus):
    """Alpha-normalised layers composited far to near (Ikoma et al. 2021, eq. 5)."""
    number, radii = _layers(depth, gain, focus, STEP_PX)
    result, so_far = np.zeros_like(rgb), np.zeros_like(depth)
    for k, radius in radii.items():
        mask = (number == k).astype(np.float32)
        so_far += mask
        kernel = area_disc(radius)
        norm = np.maximum(blur(so_far, kernel), 1e-6)
        alpha = (blur(mask, kernel) / norm)[..., None]
        result = blur(rgb * mask[..., None], kernel) / norm[..., None] + (1 - alpha) * result
    return result


def power_exponential_srgb(rgb, depth, gain, focus):
    """Normalised scatter with the power-exponential kernel, mixing sRGB codes instead of light."""
    codes = np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * np.clip(rgb, 0, 1) ** (1 / 2.4) - 0.055).astype(np.float32)
    mixed = np.clip(normalised_scatter(np.clip(codes, 0, 1), depth, gain, focus, power_exponential), 0, 1)
    return np.where(mixed <= 0.04045, mixed / 12.92, ((mixed + 0.055) / 1.055) ** 2.4)


SCHEMES = {
    "select": per_layer_select,
    "own Gaussian": own_gaussian,
    "scatter": normalised_scatter,
    "normalised layers": normalised_layers,
    "power-exponential sRGB": power_exponential_srgb,
}
IN_LINEAR_LIGHT = [name for name, scheme in SCHEMES.items() if scheme is not power_exponential_srgb]
