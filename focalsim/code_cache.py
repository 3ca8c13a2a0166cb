"""A place for compiled code where the usual ones cannot be written, as in containers without a home.

Numba keeps compiled functions beside their source or in the user's cache folder, and refuses to import them where it
can keep them in neither.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

VARIABLE = "NUMBA_CACHE_DIR"


def find_place() -> None:
    """Name a private folder for temporary files to Numba, in this process and its children, where it has no other."""
    if os.environ.get(VARIABLE) or any(map(_is_writable, _usual_places())):
        return
    import tempfile

    # Others may write where temporary files lie, and who writes compiled code has it run: the folder must be our own.
    folder = os.path.join(tempfile.gettempdir(), f"focalsim-{os.getuid()}")
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        if not _is_private(folder):
            folder = tempfile.mkdtemp(prefix="focalsim-")
    except OSError:
        return
    os.environ[VARIABLE] = folder
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = folder


def forgive_full_disks() -> None:
    """Let compiled functions be used where there is no room to keep them; loads Numba."""
    from numba.core import caching

    @contextmanager
    def forgiving(_cache: object) -> Iterator[None]:
        with suppress(OSError):
            yield

    # Numba forgives some failures already, but on Windows alone.
    cache: Any = caching.Cache
    cache._guard_against_spurious_io_errors = forgiving


def tell_when_compiling(tell: Callable[[], None]) -> None:
    """Call ``tell`` when this process first compiles what was not kept from before; loads Numba."""
    from numba.core import event

    class First(event.Listener):
        told = False

        def on_start(self, _event: object) -> None:
            if not self.told:
                self.told = True
                tell()

        def on_end(self, _event: object) -> None:
            pass

    register: Any = event.register
    register("numba:compile", First())


def _usual_places() -> tuple[str, ...]:
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__pycache__")
    return (beside, os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "numba"))


def _is_writable(folder: str) -> bool:
    """Whether ``folder`` can be written, or made."""
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)


def _is_private(folder: str) -> bool:
    found = os.lstat(folder)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
