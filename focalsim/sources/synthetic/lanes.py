"""Eight numbers as one value in compiled code, for shading: the compiler finds no vector form of it by itself.

Lanes take part in arithmetic as numbers do, so that a kernel without branches serves both. Comparing lanes gives a
mask, which ``choose`` takes in place of a branch.
"""

# ruff: noqa: ARG001 (numba reads the names of arguments that typing ignores)

from __future__ import annotations

import builtins
import math
import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typeconv.castgraph import Conversion
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, lower_cast, models, register_model

LANES = 8


class _Lanes(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Lanes8")

    def can_convert_from(self, _typing: Any, other: Any) -> Any:
        return Conversion.safe if isinstance(other, (types.Float, types.Integer)) else None


class _Mask(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Mask8")


LANES_TYPE, _mask = _Lanes(), _Mask()
INTEGERS = ir.VectorType(ir.IntType(32), LANES)
FLOATS = ir.VectorType(ir.FloatType(), LANES)
_DOUBLES = ir.VectorType(ir.DoubleType(), LANES)
_BITS = ir.VectorType(ir.IntType(1), LANES)


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _DOUBLES)


@register_model(_Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _BITS)


def spread(builder: Any, scalar: Any) -> Any:
    """IR of eight times the same number."""
    undefined = ir.Constant(ir.VectorType(scalar.type, LANES), ir.Undefined)
    one = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, undefined, ir.Constant(INTEGERS, [0] * LANES))


def llvm(builder: Any, name: str, *args: Any) -> Any:
    """IR of an LLVM intrinsic of doubles."""
    kind = ir.FunctionType(_DOUBLES, [_DOUBLES] * len(args))
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f64"), args)


@lower_cast(types.Number, _Lanes)
def _cast(context: Any, builder: Any, kind: Any, _lanes: Any, value: Any) -> Any:
    return spread(builder, context.cast(builder, value, kind, types.float64))


def _register(function: Any, emit: Any, arguments: int, result: Any = LANES_TYPE, of: Any = LANES_TYPE) -> None:
    """Let ``function`` take ``arguments`` of which one at least is of the type ``of``; ``emit`` builds its IR."""

    class Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            fits = len(args) == arguments and of in args and not kws
            return signature(result, *[of] * arguments) if fits else None

    infer_global(function)(Template)
    lower_builtin(function, *[of] * arguments)(lambda _context, builder, _signature, args: emit(builder, *args))


_ARITHMETIC: dict[Any, str] = {
    operator.add: "fadd",
    operator.iadd: "fadd",
    operator.sub: "fsub",
    operator.mul: "fmul",
    operator.imul: "fmul",
    operator.truediv: "fdiv",
}
_COMPARISONS: dict[Any, str] = {operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">="}
_EXTREMES: dict[Any, str] = {builtins.min: "<", builtins.max: ">"}
_OF_ONE: dict[Any, str] = {math.sqrt: "sqrt", math.floor: "floor", builtins.abs: "fabs"}


def _register_all() -> None:
    for function, name in _ARITHMETIC.items():
        _register(function, lambda builder, a, b, name=name: getattr(builder, name)(a, b), 2)
    for function, sign in _COMPARISONS.items():
        _register(function, lambda builder, a, b, sign=sign: builder.fcmp_ordered(sign, a, b), 2, _mask)
    for function, sign in _EXTREMES.items():
        _register(function, lambda builder, a, b, sign=sign: builder.select(builder.fcmp_ordered(sign, b, a), b, a), 2)
    for function, name in _OF_ONE.items():
        _register(function, lambda builder, a, name=name: llvm(builder, name, a), 1)
    _register(operator.neg, lambda builder, a: builder.fsub(ir.Constant(_DOUBLES, [-0.0] * LANES), a), 1)
    _register(operator.and_, lambda builder, a, b: builder.and_(a, b), 2, _mask, _mask)


_register_all()


def _emit_choose(_typing: Any, mask: Any, a: Any, b: Any) -> Any:
    """``a`` where the mask is set, else ``b``; of numbers too."""
    kind = LANES_TYPE if mask is _mask else types.float64

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return kind(mask, kind, kind), codegen


def _emit_highest(_typing: Any, lanes: Any) -> Any:
    """The largest of the lanes."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        value = args[0]
        for half in (4, 2, 1):
            low, high = (
                builder.shuffle_vector(value, value, ir.Constant(ir.VectorType(ir.IntType(32), half), list(places)))
                for places in (range(half), range(half, 2 * half))
            )
            value = builder.select(builder.fcmp_ordered(">", low, high), low, high)
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return types.float64(LANES_TYPE), codegen


def _place(context: Any, builder: Any, kind: Any, array: Any, row: Any) -> Any:
    """Address of the eight doubles of a row of a contiguous (n, 8) array."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [builder.mul(row, row.type(LANES))]), _DOUBLES.as_pointer())


def _emit_load(_typing: Any, rows: Any, row: Any) -> Any:
    """Row ``row`` of a contiguous (n, 8) array of doubles as lanes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_place(context, builder, signature.args[0], *args), align=8)

    return LANES_TYPE(rows, types.int64), codegen


def _emit_store(_typing: Any, rows: Any, row: Any, value: Any) -> Any:
    """Write lanes into row ``row`` of a contiguous (n, 8) array of doubles."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _place(context, builder, signature.args[0], *args[:2]), align=8)
        return context.get_dummy_value()

    return types.void(rows, types.int64, LANES_TYPE), codegen


choose: Any = intrinsic(_emit_choose)
highest: Any = intrinsic(_emit_highest)
load: Any = intrinsic(_emit_load)
store: Any = intrinsic(_emit_store)
