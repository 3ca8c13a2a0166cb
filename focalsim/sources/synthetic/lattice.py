"""Noise between the eight corners of a lattice cell, worked out as one vector.

It is the innermost loop of all shading, and the compiler by itself finds no vector form of it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

# Odd multipliers of the hash: of the steps along x, y and z, of the seed, and the one that mixes them.
STEPS = (0x2C1B3C6D, 0x5BD1E995, 0x1B873593)
SEED_STEP = 0x6C8E9CF5
_MIX = 0x846CA68B
_CORNERS = [STEPS[0] * x + STEPS[1] * y + STEPS[2] * z for x in (0, 1) for y in (0, 1) for z in (0, 1)]
_int, _float = ir.IntType(32), ir.FloatType()


def _constant(value: int, lanes: int = 8) -> Any:
    return ir.Constant(ir.VectorType(_int, lanes), [value & 0xFFFFFFFF] * lanes)


def _spread(builder: Any, scalar: Any, lanes: int) -> Any:
    """``lanes`` times the same number."""
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    one = builder.insert_element(undefined, scalar, ir.Constant(_int, 0))
    return builder.shuffle_vector(one, undefined, _constant(0, lanes))


def _emit(_typing: Any, corner: Any, tx: Any, ty: Any, tz: Any) -> Any:
    """Value in [-1, 1] between the corners of a cell: ``corner`` is the sum of steps to its first one."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        h = _spread(builder, builder.trunc(args[0], _int), 8)
        h = builder.add(h, ir.Constant(h.type, [c & 0xFFFFFFFF for c in _CORNERS]))
        h = builder.mul(builder.xor(h, builder.lshr(h, _constant(15))), _constant(_MIX))
        h = builder.lshr(h, _constant(8))
        value = builder.sitofp(h, ir.VectorType(_float, 8))
        for lanes, t in zip((4, 2, 1), args[1:], strict=True):
            near = builder.shuffle_vector(value, value, ir.Constant(ir.VectorType(_int, lanes), list(range(lanes))))
            far = builder.shuffle_vector(
                value, value, ir.Constant(ir.VectorType(_int, lanes), list(range(lanes, 2 * lanes)))
            )
            share = _spread(builder, builder.fptrunc(t, _float), lanes)
            value = builder.fadd(near, builder.fmul(share, builder.fsub(far, near)))
        total = builder.fpext(builder.extract_element(value, ir.Constant(_int, 0)), ir.DoubleType())
        scaled = builder.fmul(total, ir.Constant(ir.DoubleType(), 2.0**-23))
        return builder.fsub(scaled, ir.Constant(ir.DoubleType(), 1.0))

    return types.float64(types.int64, types.float64, types.float64, types.float64), codegen


between_corners: Any = intrinsic(_emit)
