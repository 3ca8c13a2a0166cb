"""Formats of other people's training code, written (export) and read (import). One file per format.

A new format is a class of :class:`focalsim.exchange.base.Format` in a file of its own, and one line in ``_FORMATS``.
"""

from __future__ import annotations

from focalsim.exchange.base import Format, Imported, Provenance
from focalsim.exchange.ddff import Ddff, DdffLarge
from focalsim.exchange.disparity_list import FlyingThingsList, MiddleburyList
from focalsim.exchange.export import export_stacks
from focalsim.exchange.folder import Folder
from focalsim.exchange.fs6 import Fs6
from focalsim.exchange.hci import Hci
from focalsim.exchange.importing import import_stacks
from focalsim.exchange.real_scene import RealScene

__all__ = ["EXCHANGE_FORMATS", "Format", "Imported", "Provenance", "export_stacks", "import_stacks"]

_FORMATS: tuple[type[Format], ...] = (
    Ddff,
    DdffLarge,
    Fs6,
    Hci,
    FlyingThingsList,
    MiddleburyList,
    RealScene,
    Folder,
)
EXCHANGE_FORMATS: dict[str, Format] = {kind.name: kind() for kind in _FORMATS}
