"""focalsim: physically right focal stacks from RGB-D."""

from focalsim.errors import FocalsimError

__version__ = "0.1.0"
__all__ = ["FocalsimError", "__version__"]
