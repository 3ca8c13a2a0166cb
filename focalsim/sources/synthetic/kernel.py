"""How the kernels of this folder are compiled: once, kept on disk, without the interpreter lock.

Multiplications and additions may be fused, nothing else is relaxed: infinities mark misses, and a machine
gives the same bytes on every run.
"""

from __future__ import annotations

from numba import njit

kernel = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
