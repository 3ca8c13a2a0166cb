"""Sixteen floats as one value in compiled code: the compiler by itself finds no vector form of the loops that need it.

They have the operators + - * / < >, and & for what comparisons give. In ``fma`` and ``fma_each`` multiplication and
addition are fused (one rounding) on every machine, elsewhere on none, so that results do not depend on the processor.
Memory is named by its address, unchecked: an array whose :func:`address` is taken must be an argument of the compiled
function, which keeps it alive.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model
from numpy.typing import NDArray

LANES = 16
BYTES = 4 * LANES


class _Lanes(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Lanes16")


class _Mask(types.Type):
    """Sixteen times yes or no."""

    def __init__(self) -> None:
        super().__init__(name="Mask16")


_lanes, _mask = _Lanes(), _Mask()
VECTOR = ir.VectorType(ir.FloatType(), LANES)
MASK = ir.VectorType(ir.IntType(1), LANES)
_places = ir.VectorType(ir.IntType(32), LANES)
INTEGER = ir.IntType(64)
_BYTE = ir.IntType(8)
ZEROS, ONES = (ir.Constant(VECTOR, [value] * LANES) for value in (0.0, 1.0))


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, VECTOR)


@register_model(_Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, MASK)


def _emit_address(_typing: Any, array: Any) -> Any:
    """Address of the first element of a contiguous array."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.int64(array), codegen


def _emit_zero(_typing: Any) -> Any:
    """Sixteen zeros."""

    def codegen(_context: Any, _builder: Any, _signature: Any, _args: Any) -> Any:
        return ZEROS

    return _lanes(), codegen


def _emit_fill(_typing: Any, scalar: Any) -> Any:
    """Sixteen times the same."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return splat(builder, args[0])

    return _lanes(types.float32), codegen


def pointer(builder: Any, place: Any, distance: int, kind: Any) -> Any:
    """A pointer to what stands ``distance`` bytes after address ``place``."""
    return builder.inttoptr(builder.add(place, ir.Constant(INTEGER, distance)), kind.as_pointer())


def _emit_load(_typing: Any, place: Any) -> Any:
    """The sixteen floats from address ``place`` on, which need not be aligned."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.load(pointer(builder, args[0], 0, VECTOR), align=4)

    return _lanes(types.int64), codegen


def _emit_load_pixels(_typing: Any, place: Any) -> Any:
    """Red, green and blue of sixteen pixels, three floats each, from address ``place`` on."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, b, c = (builder.load(pointer(builder, args[0], BYTES * part, VECTOR), align=4) for part in range(3))
        channels = []
        for channel in range(3):
            values = range(channel, 3 * LANES, 3)
            first_two = [n if n < 2 * LANES else 0 for n in values]
            all_three = [n - LANES if n >= 2 * LANES else lane for lane, n in enumerate(values)]
            mixed = builder.shuffle_vector(a, b, ir.Constant(_places, first_two))
            channels.append(builder.shuffle_vector(mixed, c, ir.Constant(_places, all_three)))
        return context.make_tuple(builder, signature.return_type, channels)

    return types.UniTuple(_lanes, 3)(types.int64), codegen


def _emit_store(_typing: Any, place: Any, value: Any) -> Any:
    """Write sixteen floats from address ``place`` on."""

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        builder.store(args[1], pointer(builder, args[0], 0, VECTOR), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, _lanes), codegen


def _emit_largest_of(_typing: Any, place: Any) -> Any:
    """The largest of the sixteen int32 from address ``place`` on."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [_places])
        reduce = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.smax.v{LANES}i32")
        return builder.call(reduce, [builder.load(pointer(builder, args[0], 0, _places), align=4)])

    return types.int32(types.int64), codegen


def _emit_any_at(_typing: Any, place: Any) -> Any:
    """Whether any of the sixteen floats from address ``place`` on is not 0."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        values = builder.load(pointer(builder, args[0], 0, VECTOR), align=4)
        bits = builder.bitcast(builder.fcmp_unordered("!=", values, ZEROS), ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(ir.IntType(LANES), 0))

    return types.boolean(types.int64), codegen


def _emit_prefetch(_typing: Any, place: Any) -> Any:
    """Have the line of memory with address ``place``, which need not be valid, brought into the cache."""

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        where = builder.inttoptr(args[0], _BYTE.as_pointer())
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer(), flag, flag, flag])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        # To be read, into the second level, data.
        builder.call(function, [where, ir.Constant(flag, 0), ir.Constant(flag, 2), ir.Constant(flag, 1)])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


def _emit_take_number(_typing: Any, place: Any) -> Any:
    """The int64 at address ``place``, which becomes one more: of all threads that ask, none is told the same."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", pointer(builder, args[0], 0, INTEGER), ir.Constant(INTEGER, 1), "monotonic")

    return types.int64(types.int64), codegen


def _emit_store_pixels(_typing: Any, place: Any, red: Any, green: Any, blue: Any) -> Any:
    """Write sixteen pixels, three floats each, from address ``place`` on."""

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        for part in range(3):
            values = range(part * LANES, (part + 1) * LANES)
            first_two = [n // 3 + (LANES if n % 3 == 1 else 0) for n in values]
            all_three = [LANES + n // 3 if n % 3 == 2 else lane for lane, n in enumerate(values)]
            # In two steps, each of which is one instruction.
            mixed = builder.shuffle_vector(args[1], args[2], ir.Constant(_places, first_two))
            pixels = builder.shuffle_vector(mixed, args[3], ir.Constant(_places, all_three))
            builder.store(pixels, pointer(builder, args[0], BYTES * part, VECTOR), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, _lanes, _lanes, _lanes), codegen


def splat(builder: Any, scalar: Any) -> Any:
    undefined = ir.Constant(VECTOR, ir.Undefined)
    one = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, undefined, ir.Constant(_places, [0] * LANES))


def not_negative(builder: Any, value: Any) -> Any:
    """Sixteen values, 0 in place of negative ones."""
    return builder.select(builder.fcmp_ordered(">", value, ZEROS), value, ZEROS)


def fused(builder: Any, total: Any, a: Any, b: Any) -> Any:
    kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32"), [a, b, total])


def _emit_fma(_typing: Any, total: Any, value: Any, scalar: Any) -> Any:
    """total + value * scalar, the same scalar for all sixteen."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return fused(builder, args[0], args[1], splat(builder, args[2]))

    return _lanes(_lanes, _lanes, types.float32), codegen


def _emit_fma_each(_typing: Any, total: Any, value: Any, other: Any) -> Any:
    """total + value * other, one by one."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return fused(builder, *args)

    return _lanes(_lanes, _lanes, _lanes), codegen


def _emit_choose(_typing: Any, mask: Any, value: Any, other: Any) -> Any:
    """``value`` where ``mask`` says yes, else ``other``."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return _lanes(_mask, _lanes, _lanes), codegen


def _emit_chosen(sign: str) -> Any:
    def emit(_typing: Any, value: Any, other: Any) -> Any:
        """One by one the value that compares so with the other."""

        def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return builder.select(builder.fcmp_ordered(sign, *args), *args)

        return _lanes(_lanes, _lanes), codegen

    return emit


def _define(operation: Callable[..., Any], of: types.Type, to: types.Type, build: Callable[..., Any]) -> None:
    """Let an operator mean, for two of type ``of``, what ``build`` makes of their vectors."""

    def emit(_typing: Any, value: Any, other: Any) -> Any:
        def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return build(builder, *args)

        return to(of, of), codegen

    function: Any = intrinsic(emit)

    @overload(operation)
    def choose_for(value: Any, other: Any) -> Any:
        def compiled(value: Any, other: Any) -> Any:
            return function(value, other)

        return compiled if value == other == of else None


_define(operator.add, _lanes, _lanes, lambda builder, a, b: builder.fadd(a, b))
_define(operator.sub, _lanes, _lanes, lambda builder, a, b: builder.fsub(a, b))
_define(operator.mul, _lanes, _lanes, lambda builder, a, b: builder.fmul(a, b))
_define(operator.truediv, _lanes, _lanes, lambda builder, a, b: builder.fdiv(a, b))
_define(operator.lt, _lanes, _mask, lambda builder, a, b: builder.fcmp_ordered("<", a, b))
_define(operator.gt, _lanes, _mask, lambda builder, a, b: builder.fcmp_ordered(">", a, b))
_define(operator.and_, _mask, _mask, lambda builder, a, b: builder.and_(a, b))
choose: Any = intrinsic(_emit_choose)
smaller: Any = intrinsic(_emit_chosen("<"))
larger: Any = intrinsic(_emit_chosen(">"))
address: Any = intrinsic(_emit_address)
zero: Any = intrinsic(_emit_zero)
fill: Any = intrinsic(_emit_fill)
load: Any = intrinsic(_emit_load)
load_pixels: Any = intrinsic(_emit_load_pixels)
store: Any = intrinsic(_emit_store)
largest_of: Any = intrinsic(_emit_largest_of)
any_at: Any = intrinsic(_emit_any_at)
prefetch: Any = intrinsic(_emit_prefetch)
take_number: Any = intrinsic(_emit_take_number)
store_pixels: Any = intrinsic(_emit_store_pixels)
fma: Any = intrinsic(_emit_fma)
fma_each: Any = intrinsic(_emit_fma_each)


def aligned(shape: tuple[int, ...], *, zeros: bool = True) -> NDArray[np.float32]:
    """Zeros (float32), or whatever, of which the first stands at the start of a line of the cache."""
    size = math.prod(shape)
    room = np.zeros(size + LANES, np.float32) if zeros else np.empty(size + LANES, np.float32)
    first = -room.ctypes.data // 4 % LANES
    return room[first : first + size].reshape(shape)
