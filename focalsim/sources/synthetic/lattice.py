"""Noise between the eight corners of a lattice cell, worked out as vectors: corners of one point, or eight points.

It is the innermost loop of all shading, and the compiler by itself finds no vector form of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from focalsim.sources.synthetic.lanes import LANES, LANES_TYPE, spread

# Odd multipliers of the hash: of the steps along x, y and z, of the seed, and the one that mixes them.
_STEPS = (0x2C1B3C6D, 0x5BD1E995, 0x1B873593)
_SEED_STEP = 0x6C8E9CF5
_MIX = 0x846CA68B
_CORNERS = [_STEPS[0] * x + _STEPS[1] * y + _STEPS[2] * z for x in (0, 1) for y in (0, 1) for z in (0, 1)]
_int, _float, _double = ir.IntType(32), ir.FloatType(), ir.DoubleType()


def _integers(values: Sequence[int]) -> Any:
    return ir.Constant(ir.VectorType(_int, len(values)), [value & 0xFFFFFFFF for value in values])


def _hash(builder: Any, h: Any) -> Any:
    """Floats in [0, 2^24) of integers."""
    h = builder.mul(builder.xor(h, builder.lshr(h, _integers([15] * LANES))), _integers([_MIX] * LANES))
    return builder.sitofp(builder.lshr(h, _integers([8] * LANES)), ir.VectorType(_float, LANES))


def _lerp(builder: Any, near: Any, far: Any, share: Any) -> Any:
    return builder.fadd(near, builder.fmul(share, builder.fsub(far, near)))


def _halves(builder: Any, value: Any, lanes: int) -> list[Any]:
    """The first ``lanes`` and the next ones of a vector."""
    return [builder.shuffle_vector(value, value, _integers(range(k, k + lanes))) for k in (0, lanes)]


def _emit(_typing: Any, x: Any, y: Any, z: Any, seed: Any) -> Any:
    """Smoothly interpolated lattice noise in [-1, 1] at numbers or lanes, one cell per unit."""
    lanes = LANES_TYPE in (x, y, z)
    kind = LANES_TYPE if lanes else types.float64

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        def same(value: float) -> Any:  # of the kind of a coordinate
            return ir.Constant(args[0].type, [value] * LANES if lanes else value)

        def narrow(value: Any, to: Any, convert: Any) -> Any:
            return convert(value, ir.VectorType(to, LANES) if lanes else to)

        name = "llvm.floor.v8f64" if lanes else "llvm.floor.f64"
        floor = cgutils.get_or_insert_function(builder.module, ir.FunctionType(args[0].type, [args[0].type]), name)
        first = builder.mul(builder.trunc(args[3], _int), ir.Constant(_int, _SEED_STEP))
        first = spread(builder, first) if lanes else first
        shares = []
        for coordinate, step in zip(args[:3], _STEPS, strict=True):
            whole = builder.call(floor, [coordinate])
            t = builder.fsub(coordinate, whole)
            t = builder.fmul(builder.fmul(t, t), builder.fsub(same(3.0), builder.fmul(same(2.0), t)))
            shares.append(narrow(t, _float, builder.fptrunc))
            # By way of 64 bits where it is one number: far out the steps go round instead of failing.
            at = (
                narrow(whole, _int, builder.fptosi)
                if lanes
                else builder.trunc(builder.fptosi(whole, ir.IntType(64)), _int)
            )
            first = builder.add(first, builder.mul(at, _integers([step] * LANES) if lanes else ir.Constant(_int, step)))
        if lanes:
            corners = [_hash(builder, builder.add(first, _integers([c] * LANES))) for c in _CORNERS]
            for share in shares:
                half = len(corners) // 2
                corners = [_lerp(builder, corners[k], corners[k + half], share) for k in range(half)]
            total = corners[0]
        else:
            total = _hash(builder, builder.add(spread(builder, first), _integers(_CORNERS)))
            for count, share in zip((4, 2, 1), shares, strict=True):
                near, far = _halves(builder, total, count)
                total = _lerp(
                    builder, near, far, builder.shuffle_vector(*[spread(builder, share)] * 2, _integers([0] * count))
                )
            total = builder.extract_element(total, ir.Constant(_int, 0))
        wide = builder.fpext(total, args[0].type)
        return builder.fsub(builder.fmul(wide, same(2.0**-23)), same(1.0))

    return kind(kind, kind, kind, types.int64), codegen


lattice_noise: Any = intrinsic(_emit)


def _emit_hash(_typing: Any, x: Any, y: Any, z: Any, seed: Any) -> Any:
    """Uniform numbers in [0, 1) of the lattice points at lanes x, y (whole numbers) and number z."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        long = ir.VectorType(ir.IntType(64), LANES)

        def same(value: int) -> Any:
            return ir.Constant(long, [value] * LANES)

        row = builder.add(
            builder.mul(args[2], ir.Constant(ir.IntType(64), 2862933555777941757)),
            builder.mul(args[3], ir.Constant(ir.IntType(64), 3202034522624059733)),
        )
        h = builder.add(
            builder.mul(builder.fptosi(args[0], long), same(5871781006564002453)),
            builder.mul(builder.fptosi(args[1], long), same(3935559000370003845)),
        )
        h = builder.add(h, spread(builder, row))
        h = builder.mul(builder.xor(h, builder.ashr(h, same(32))), same(7046029254386353131))
        bits = builder.trunc(builder.and_(builder.lshr(h, same(36)), same(0xFFFFFF)), ir.VectorType(_int, LANES))
        value = builder.sitofp(bits, ir.VectorType(_double, LANES))
        return builder.fmul(value, ir.Constant(value.type, [2.0**-24] * LANES))

    return LANES_TYPE(LANES_TYPE, LANES_TYPE, types.int64, types.int64), codegen


hash01: Any = intrinsic(_emit_hash)
