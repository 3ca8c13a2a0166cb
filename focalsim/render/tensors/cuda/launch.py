"""What all launches of kernels share."""

from __future__ import annotations

# Multiplications are joined with additions, as in the compiled code.
OPTIONS = {"num_warps": 4, "enable_fp_fusion": True}


def blocks(size: int, block: int) -> int:
    """Programs that share out ``size`` elements."""
    return -(-size // block)
