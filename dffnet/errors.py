"""Errors of dffnet, branches of focalsim's tree: ``except FocalsimError`` catches both programs' errors.

FocalsimError
├── CheckpointError (OSError)       a checkpoint that is damaged, foreign or from a newer schema
├── ExportError     (RuntimeError)  a model that cannot be written for another runtime
├── PhotoError      (OSError)       a folder of photos that is no focal stack
├── RunError        (OSError)       a folder that holds no run, or a damaged one
└── TrainingError   (RuntimeError)  a training run that cannot go on
"""

from __future__ import annotations

from focalsim.errors import FocalsimError


class CheckpointError(FocalsimError, OSError):
    """A checkpoint that is missing, damaged, foreign, or written by a newer schema."""


class ExportError(FocalsimError, RuntimeError):
    """An export that cannot be made here."""


class PhotoError(FocalsimError, OSError):
    """A folder of photos that cannot be read as a focal stack."""


class RunError(FocalsimError, OSError):
    """A folder that holds neither a run nor an evaluation, or a log or a picture in it that cannot be read."""


class TrainingError(FocalsimError, RuntimeError):
    """A training run that cannot start or go on."""
