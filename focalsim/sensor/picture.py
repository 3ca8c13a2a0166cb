"""From linear light to the 8-bit picture: tone curve, sRGB, JPEG."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from focalsim.camera.effects import Tone
from focalsim.color import encode_srgb, linear_to_srgb
from focalsim.errors import RenderError

_SAMPLING_FACTORS = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}


def encode(linear: NDArray[np.float32], tone: Tone | None) -> NDArray[np.uint8]:
    """8-bit sRGB codes of linear light, cut to [0, 1]; ``tone`` bends the encoded values.

    The curve 3 x^2 - 2 x^3 on encoded values is that of Brooks et al., "Unprocessing images for learned raw denoising",
    CVPR 2019; ``tone.contrast`` mixes it in.
    """
    if tone is None:
        return linear_to_srgb(linear)
    x = encode_srgb(linear)
    bent = x + tone.contrast * (x * x * (3 - 2 * x) - x)
    return np.rint(255 * bent).astype(np.uint8)


def jpeg(picture: NDArray[np.uint8], quality: int, subsampling: str) -> NDArray[np.uint8]:
    """``picture`` (H, W, 3) after a JPEG file (ITU-T T.81) of ``quality`` 1..100 on libjpeg's scale."""
    factor = _SAMPLING_FACTORS[subsampling]
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
    done, file = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    decoded = cv2.imdecode(file, cv2.IMREAD_COLOR_RGB) if done else None
    if decoded is None:
        raise RenderError(f"a picture of {picture.shape[1]}x{picture.shape[0]} cannot be stored as JPEG")
    return np.asarray(decoded, np.uint8)
