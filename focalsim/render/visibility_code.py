"""The innermost loops of the visibility, as vector code (:mod:`focalsim.simd`): sixteen neighbours or rays at once."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from focalsim.simd import INTEGER, LANES, MASK, ONES, VECTOR, ZEROS, fused, not_negative, pointer, splat

_ORDER = ir.Constant(VECTOR, [float(n) for n in range(LANES)])
SURE = 0.02  # a ray that sees less sees nothing, and one that lacks less sees all


def _emit_hiders(_typing: Any, place: Any, count: Any, own: Any, dx: Any, dy: Any, edge: Any, ray: Any) -> Any:
    """Which of sixteen neighbours in a row may hide a sample, a bit each.

    place   address of the disparity of the first, which is (dx, dy) pixels away; ``count`` of them are in the picture
    own     the sample's disparity; a neighbour hides it that is nearer by a gap of more than ``edge`` and no farther
            away than gap / 2 + ``ray``
    """

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        place, count, own, dx, dy, edge, ray = args
        inside = builder.fcmp_ordered("<", _ORDER, splat(builder, count))
        load = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(VECTOR, [VECTOR.as_pointer(), ir.IntType(32), MASK, VECTOR]),
            f"llvm.masked.load.v{LANES}f32.p0",
        )
        own = splat(builder, own)
        q = builder.call(load, [pointer(builder, place, 0, VECTOR), ir.Constant(ir.IntType(32), 4), inside, own])
        gap = builder.fsub(q, own)
        x, y = builder.fadd(splat(builder, dx), _ORDER), splat(builder, dy)
        reach = fused(builder, splat(builder, ray), gap, ir.Constant(VECTOR, [0.5] * LANES))
        near = builder.fcmp_ordered("<=", fused(builder, builder.fmul(y, y), x, x), builder.fmul(reach, reach))
        hides = builder.and_(builder.fcmp_ordered(">", gap, splat(builder, edge)), near)
        return builder.zext(builder.bitcast(hides, ir.IntType(LANES)), INTEGER)

    return types.int64(types.int64, *[types.float32] * 6), codegen


def _emit_first_bit(_typing: Any, bits: Any) -> Any:
    """Place of the lowest bit that is set."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), codegen


def _emit_hide(_typing: Any, seen: Any, ray_x: Any, ray_y: Any, gap: Any, dx: Any, dy: Any, coverage: Any) -> Any:
    """What sixteen rays still see, less what a neighbour hides: visibility's V(u)."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        seen, ray_x, ray_y, gap, dx, dy, coverage = args
        magnitude = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(VECTOR, [VECTOR]), f"llvm.fabs.v{LANES}f32"
        )
        less = splat(builder, builder.fneg(gap))

        def tent(ray: Any, away: Any) -> Any:
            value = builder.fsub(ONES, builder.call(magnitude, [fused(builder, splat(builder, away), ray, less)]))
            return not_negative(builder, value)

        share = builder.fmul(tent(ray_x, dx), splat(builder, builder.fneg(coverage)))
        return fused(builder, seen, share, tent(ray_y, dy))

    return seen(seen, seen, seen, *[types.float32] * 4), codegen


def _emit_clip(_typing: Any, seen: Any) -> Any:
    """Negative numbers made 0."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return not_negative(builder, args[0])

    return seen(seen), codegen


def _emit_missing(_typing: Any, seen: Any, found: Any) -> Any:
    """What polynomials lack to what sixteen rays see: where these see all or nothing, it may go beyond."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        seen, found = args
        lack = builder.fsub(seen, found)
        for nothing, limit in ((">", 1 - SURE), ("<", SURE)):
            beyond = builder.and_(
                builder.fcmp_ordered(nothing, seen, ir.Constant(VECTOR, [limit] * LANES)),
                builder.fcmp_ordered(nothing, found, seen),
            )
            lack = builder.select(beyond, ZEROS, lack)
        return lack

    return seen(seen, seen), codegen


def _emit_any_below(_typing: Any, seen: Any, least: Any) -> Any:
    """Whether one of sixteen is smaller than ``least``."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        below = builder.bitcast(builder.fcmp_ordered("<", args[0], splat(builder, args[1])), ir.IntType(LANES))
        return builder.icmp_unsigned("!=", below, ir.Constant(ir.IntType(LANES), 0))

    return types.boolean(seen, types.float32), codegen


hiders: Any = intrinsic(_emit_hiders)
first_bit: Any = intrinsic(_emit_first_bit)
hide: Any = intrinsic(_emit_hide)
clip: Any = intrinsic(_emit_clip)
missing: Any = intrinsic(_emit_missing)
any_below: Any = intrinsic(_emit_any_below)
