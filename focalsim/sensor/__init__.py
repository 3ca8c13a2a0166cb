"""After the lens: the light of a slice becomes the picture that a phone delivers.

Linear light -> exposure, vignetting (light) -> mosaic, noise, rounding and back (raw) -> tone, sRGB, JPEG (picture).
Every step is off unless the phone's effects name it; the aperture's shape and lateral colour are focalsim.render's.
"""

from focalsim.sensor.develop import Settings, develop_sharp, develop_slice, draw_settings
from focalsim.sensor.light import View

__all__ = ["Settings", "View", "develop_sharp", "develop_slice", "draw_settings"]
