"""The error tree. Every error a user can cause is a ``FocalsimError`` and also the builtin it specialises.

FocalsimError
├── ConfigError    (ValueError)   an option, config or combination of them that cannot be
├── ProfileError   (ValueError)   a phone profile that is unknown, incomplete or impossible
├── SourceError    (OSError)      a source that cannot be read at all
│   └── FrameError                one frame of a source that cannot be used; the others may be
├── RenderError    (ValueError)   arrays given to the renderer that cannot be
├── ShardError     (OSError)      a shard or bundle that is damaged, foreign or from a newer schema
└── OutputError    (OSError)      an output that cannot be written
"""

from __future__ import annotations


class FocalsimError(Exception):
    """Root of all errors that focalsim raises on purpose."""


class ConfigError(FocalsimError, ValueError):
    """An option, a config or a combination of options that cannot be."""


class ProfileError(FocalsimError, ValueError):
    """A phone profile that is unknown, incomplete or physically impossible."""


class SourceError(FocalsimError, OSError):
    """A source that cannot be read."""


class FrameError(SourceError):
    """One frame of a source that cannot be used; callers may skip it and count it by ``reason``."""

    def __init__(self, message: str, reason: str = "unreadable") -> None:
        super().__init__(message)
        self.reason = reason


class RenderError(FocalsimError, ValueError):
    """Arrays or camera numbers that cannot be rendered."""


class ShardError(FocalsimError, OSError):
    """A shard or bundle that is damaged, foreign, or written by a newer schema."""


class OutputError(FocalsimError, OSError):
    """An output folder or file that cannot be written."""
