"""How the kernels of this folder are compiled: once, kept on disk, without the interpreter lock.

Multiplications and additions may be fused, nothing else is relaxed: infinities mark misses, and a machine
gives the same bytes on every run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from numba import njit


def _sources_stamp() -> str:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()


_STAMP = _sources_stamp()
Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def kernel(function: Kernel) -> Kernel:
    """Compile ``function`` by numba, cached until any file of this folder changes.

    numba's own cache looks at the function's file alone, and would go on using a kernel whose callee in
    another file has changed: the same seed would then give other bytes than on a fresh machine.
    """
    compiled: Any = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})(function)
    with suppress(AttributeError):  # not a public name of numba; without it caching is as numba does it
        compiled._cache._cache_file._source_stamp = _STAMP
    return compiled  # type: ignore[no-any-return]
