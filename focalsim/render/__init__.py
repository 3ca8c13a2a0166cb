"""The renderer: a focal stack from one RGB-D frame.

Once per scene: layers (what is seen and what stands behind it at edges), visibility (from which part of the lens).
Once per slice: scatter (each sample by its own kernel), resample (breathing and shift).
"""

from focalsim.render.stack import render_stack, warp_frame

__all__ = ["render_stack", "warp_frame"]
