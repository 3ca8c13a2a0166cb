"""Sixteen floats as one value in compiled code: the compiler by itself finds no vector form of the loops that need it.

Multiplication and addition are fused (one rounding) on every machine, so that results do not depend on the processor.
Memory is named by its address, unchecked: an array whose :func:`address` is taken must be an argument of the compiled
function, which keeps it alive.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES = 16
BYTES = 4 * LANES
GROUP = 8


class _Lanes(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Lanes16")


_lanes = _Lanes()
_vector = ir.VectorType(ir.FloatType(), LANES)
_places = ir.VectorType(ir.IntType(32), LANES)


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _vector)


def _emit_address(_typing: Any, array: Any) -> Any:
    """Address of the first element of a contiguous array."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.int64(array), codegen


def _emit_zero(_typing: Any) -> Any:
    """Sixteen zeros."""

    def codegen(_context: Any, _builder: Any, _signature: Any, _args: Any) -> Any:
        return ir.Constant(_vector, [0.0] * LANES)

    return _lanes(), codegen


def _emit_load(_typing: Any, place: Any) -> Any:
    """The sixteen floats from address ``place`` on, which need not be aligned."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], _vector.as_pointer()), align=4)

    return _lanes(types.int64), codegen


def _emit_store(_typing: Any, place: Any, value: Any) -> Any:
    """Write sixteen floats from address ``place`` on."""

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        builder.store(args[1], builder.inttoptr(args[0], _vector.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, _lanes), codegen


def _splat(builder: Any, scalar: Any) -> Any:
    undefined = ir.Constant(_vector, ir.Undefined)
    one = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, undefined, ir.Constant(_places, [0] * LANES))


def _fused(builder: Any, total: Any, a: Any, b: Any) -> Any:
    kind = ir.FunctionType(_vector, [_vector] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32"), [a, b, total])


def _emit_fma(_typing: Any, total: Any, value: Any, scalar: Any) -> Any:
    """total + value * scalar, the same scalar for all sixteen."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return _fused(builder, args[0], args[1], _splat(builder, args[2]))

    return _lanes(_lanes, _lanes, types.float32), codegen


def _emit_fma_each(_typing: Any, total: Any, value: Any, other: Any) -> Any:
    """total + value * other, one by one."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return _fused(builder, *args)

    return _lanes(_lanes, _lanes, _lanes), codegen


def _emit_add(_typing: Any, a: Any, b: Any) -> Any:
    """a + b."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.fadd(*args)

    return _lanes(_lanes, _lanes), codegen


def _emit_subtract(_typing: Any, a: Any, b: Any) -> Any:
    """a - b."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.fsub(*args)

    return _lanes(_lanes, _lanes), codegen


def _emit_add_group(width: int, mirrored: bool) -> Any:
    def emit(_typing: Any, above: Any, below: Any, plane: Any, light: Any, rows: Any, move: Any) -> Any:
        """Add two rows of the kernels of GROUP neighbours to two windows of ``width`` vectors in each of four planes.

        above, below  addresses of the two windows in the first plane; the other planes follow ``plane`` bytes apart.
                      Where both are the same, it is one window and one row
        light         address of the four floats of each neighbour
        rows          address of GROUP addresses for the row below and as many for the one above, which are not read
                      where it is ``mirrored``, that is, the same; the k-th neighbour's row stands ``move`` bytes from
                      the k-th of them and is read from k places before that, where zeros must stand
        """

        def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            whole = ir.IntType(64)

            def at(place: Any, distance: int, kind: Any) -> Any:
                return builder.inttoptr(builder.add(place, ir.Constant(whole, distance)), kind.as_pointer())

            def weights(k: int, side: int) -> list[Any]:
                row = builder.add(builder.load(at(args[4], 8 * (k + GROUP * side), whole)), args[5])
                return [builder.load(at(row, BYTES * n - 4 * k, _vector), align=4) for n in range(width)]

            def windows(place: Any) -> list[list[Any]]:
                planes = [place]
                for _ in range(3):
                    planes.append(builder.add(planes[-1], args[2]))
                return [[at(plane, BYTES * n, _vector) for n in range(width)] for plane in planes]

            def add(sides: list[int]) -> None:
                places = [windows(args[1 - side]) for side in sides]
                totals = [[[builder.load(p, align=4) for p in plane] for plane in planes] for planes in places]
                for k in range(GROUP):
                    kernels = [weights(k, 0 if mirrored else side) for side in sides]
                    for c in range(4):
                        scalar = _splat(builder, builder.load(at(args[3], 16 * k + 4 * c, ir.FloatType())))
                        for total, kernel in zip(totals, kernels, strict=True):
                            total[c] = [_fused(builder, t, w, scalar) for t, w in zip(total[c], kernel, strict=True)]
                for planes, total in zip(places, totals, strict=True):
                    for plane, values in zip(planes, total, strict=True):
                        for place, value in zip(plane, values, strict=True):
                            builder.store(value, place, align=4)

            with builder.if_else(builder.icmp_signed("==", args[0], args[1])) as (one, two):
                with one:
                    add([0])
                with two:
                    add([0, 1])
            return context.get_dummy_value()

        return types.void(*[types.int64] * 6), codegen

    return emit


address: Any = intrinsic(_emit_address)
zero: Any = intrinsic(_emit_zero)
load: Any = intrinsic(_emit_load)
store: Any = intrinsic(_emit_store)
fma: Any = intrinsic(_emit_fma)
fma_each: Any = intrinsic(_emit_fma_each)
add: Any = intrinsic(_emit_add)
subtract: Any = intrinsic(_emit_subtract)
add_16: Any = intrinsic(_emit_add_group(1, False))
add_32: Any = intrinsic(_emit_add_group(2, False))
add_mirrored_16: Any = intrinsic(_emit_add_group(1, True))
add_mirrored_32: Any = intrinsic(_emit_add_group(2, True))
