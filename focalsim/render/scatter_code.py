"""The innermost loops of the scatter, as vector code (:mod:`focalsim.simd`): here it is decided what registers hold."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from focalsim.simd import BYTES, INTEGER, LANES, ONES, VECTOR, ZEROS, fused, not_negative, pointer, splat

GROUP = 8  # neighbouring samples that share a window


def _emit_look_up(_typing: Any, table: Any, rows: Any, quads: Any, planes: Any, plane: Any) -> Any:
    """Rows of a table for sixteen samples, turned: what stands at one place of all rows becomes sixteen floats.

    table   address of the table, whose rows are ``quads`` times four floats or more
    rows    address of sixteen int32, the bytes from there to each sample's row
    planes  address where the first place of all rows goes; the following ones go ``plane`` bytes apart
    """

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        table, rows, quads, planes, plane = args
        quarter = ir.VectorType(ir.FloatType(), 4)

        def joined(a: Any, b: Any, places: list[int]) -> Any:
            kind = ir.VectorType(ir.IntType(32), len(places))
            return builder.shuffle_vector(a, b, ir.Constant(kind, places))

        def turned(a: Any, b: Any, places: tuple[int, ...]) -> Any:
            """Of each quarter of a and b the places named, those of b from 4 on."""
            picked = [4 * q + (n if n < 4 else LANES + n - 4) for q in range(4) for n in places]
            return joined(a, b, picked)

        # A vector holds the quads of four samples four apart, so that turning within its quarters orders all sixteen.
        with cgutils.for_range(builder, quads) as loop:
            move = builder.mul(loop.index, ir.Constant(INTEGER, 16))
            base = builder.add(table, move)
            vectors = []
            for first in range(4):
                fours = []
                for k in range(first, LANES, 4):
                    row = builder.zext(builder.load(pointer(builder, rows, 4 * k, ir.IntType(32))), INTEGER)
                    fours.append(builder.load(pointer(builder, builder.add(base, row), 0, quarter), align=4))
                low_half, high_half = (joined(fours[n], fours[n + 1], list(range(8))) for n in (0, 2))
                vectors.append(joined(low_half, high_half, list(range(LANES))))
            a, b, c, d = vectors
            low = turned(a, b, (0, 4, 1, 5)), turned(c, d, (0, 4, 1, 5))
            high = turned(a, b, (2, 6, 3, 7)), turned(c, d, (2, 6, 3, 7))
            place = builder.add(planes, builder.mul(builder.mul(loop.index, ir.Constant(INTEGER, 4)), plane))
            for pair in (low, high):
                for places in ((0, 1, 4, 5), (2, 3, 6, 7)):
                    builder.store(turned(*pair, places), pointer(builder, place, 0, VECTOR), align=4)
                    place = builder.add(place, plane)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), codegen


def _emit_gather(rows: int) -> Any:
    def emit(
        _typing: Any, light: Any, stride: Any, weights: Any, planes: Any, step: Any, reach: Any, above: Any, below: Any,
        column: Any, plane: Any,
    ) -> Any:  # fmt: skip
        """Add what sixteen pixels of ``rows`` neighbouring rows either side receive from the samples of one row.

        light         address of the first of the samples level with the pixels; four planes, ``stride`` bytes apart
        weights       address of the weights of this sample in the first plane of weights
        planes        address of the distances (bytes) of the planes of the ``rows`` weights at a distance dx = 0; those
                      of dx = 1 stand ``step`` bytes on, and so to ``reach``
        above, below  addresses of ``rows`` addresses each, of rows of sums; where both are the same, it is one row
        column        bytes from there to the pixels in the first of four planes, which follow ``plane`` bytes apart
        """

        def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            light, stride, weights, planes, step, reach, above, below, column, plane = args
            totals = [[cgutils.alloca_once_value(builder, ZEROS) for _ in range(4)] for _ in range(rows)]
            one = ir.Constant(INTEGER, 1)
            taps = builder.add(builder.add(reach, reach), one)
            with cgutils.for_range(builder, taps) as loop:
                dx = builder.sub(loop.index, reach)
                away = builder.select(builder.icmp_signed("<", dx, ir.Constant(INTEGER, 0)), builder.neg(dx), dx)
                move = builder.mul(dx, ir.Constant(INTEGER, 4))
                place = builder.add(light, move)
                colors = []
                for _ in range(4):
                    colors.append(builder.load(pointer(builder, place, 0, VECTOR), align=4))
                    place = builder.add(place, stride)
                here = builder.add(weights, move)
                distances = builder.add(planes, builder.mul(away, step))
                for row, total in enumerate(totals):
                    distance = builder.load(pointer(builder, distances, 8 * row, INTEGER))
                    weight = builder.load(pointer(builder, builder.add(here, distance), 0, VECTOR), align=4)
                    for sum_place, color in zip(total, colors, strict=True):
                        builder.store(fused(builder, builder.load(sum_place), weight, color), sum_place)
            for row, total in enumerate(totals):
                ends = [builder.load(pointer(builder, side, 8 * row, INTEGER)) for side in (above, below)]

                def add(end: Any, total: Any = total) -> None:
                    end = builder.add(end, column)
                    for sum_place in total:
                        pixels = pointer(builder, end, 0, VECTOR)
                        before = builder.load(pixels, align=4)
                        builder.store(builder.fadd(before, builder.load(sum_place)), pixels, align=4)
                        end = builder.add(end, plane)

                add(ends[0])
                if row:
                    add(ends[1])
                else:
                    with builder.if_then(builder.icmp_signed("!=", *ends)):
                        add(ends[1])
            return context.get_dummy_value()

        return types.void(*[types.int64] * 10), codegen

    return emit


def _code_to_add(width: int, rows_of: Any) -> Any:
    """Code that adds two rows of kernels of some neighbours to two windows, ``width`` vectors in each of four planes.

    ``rows_of`` (builder, kernel, coefficients, extra) gives the row below and the row above of a sample's kernel.
    """

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        above, below, plane, count, samples, stride, move, extra = args

        def windows(place: Any) -> list[list[Any]]:
            planes = [place]
            for _ in range(3):
                planes.append(builder.add(planes[-1], plane))
            return [[pointer(builder, plane, BYTES * n, VECTOR) for n in range(width)] for plane in planes]

        def add(sides: list[int]) -> None:
            places = [windows((below, above)[side]) for side in sides]
            totals = [
                [[cgutils.alloca_once_value(builder, builder.load(p, align=4)) for p in row] for row in rows]
                for rows in places
            ]
            with cgutils.for_range(builder, count) as loop:
                sample = builder.add(samples, builder.mul(loop.index, ir.Constant(INTEGER, 24)))
                light, kernel, coefficients = (builder.load(pointer(builder, sample, 8 * n, INTEGER)) for n in range(3))
                weights = rows_of(builder, builder.add(kernel, move), coefficients, extra)
                for c in range(4):
                    scalar = splat(builder, builder.load(pointer(builder, light, 0, ir.FloatType())))
                    light = builder.add(light, stride)
                    for side, total in zip(sides, totals, strict=True):
                        for place, weight in zip(total[c], weights[side], strict=True):
                            builder.store(fused(builder, builder.load(place), weight, scalar), place)
            for rows, total in zip(places, totals, strict=True):
                for row, values in zip(rows, total, strict=True):
                    for place, value in zip(row, values, strict=True):
                        builder.store(builder.load(value), place, align=4)

        with builder.if_else(builder.icmp_signed("==", above, below)) as (one, two):
            with one:
                add([0])
            with two:
                add([0, 1])
        return context.get_dummy_value()

    return codegen


def _emit_spread(width: int) -> Any:
    def rows_of(builder: Any, kernel: Any, coefficients: Any, basis: Any) -> list[list[Any]]:
        even, odd = ([ZEROS] * width for _ in range(2))
        for k in range(6):
            scalar = splat(builder, builder.load(pointer(builder, coefficients, 4 * k, ir.FloatType())))
            total = odd if k in (2, 3) else even
            for n in range(width):
                values = builder.load(pointer(builder, kernel, BYTES * n, VECTOR), align=4)
                total[n] = fused(builder, total[n], values, scalar)
            kernel = builder.add(kernel, basis)
        return [[combine(e, o) for e, o in zip(even, odd, strict=True)] for combine in (builder.fadd, builder.fsub)]

    def emit(
        _typing: Any, above: Any, below: Any, plane: Any, count: Any, samples: Any, stride: Any, move: Any, basis: Any
    ) -> Any:
        """Add two rows of the kernels of ``count`` neighbours to two windows, ``width`` vectors in each of four planes.

        A kernel is a sum of six basis kernels; the third and fourth change their sign from the row below to that above.

        above, below  addresses of the two windows in the first plane; the other planes follow ``plane`` bytes apart.
                      Where both are the same, it is one window and one row
        samples       address of three addresses a sample: its light (four floats ``stride`` bytes apart), its first
                      basis kernel, the others following ``basis`` bytes apart, and its six coefficients
        move          bytes from a basis kernel to the row to take
        """
        return types.void(*[types.int64] * 8), _code_to_add(width, rows_of)

    return emit


def _emit_lay(width: int) -> Any:
    order = [ir.Constant(VECTOR, [float(LANES * n + lane) for lane in range(LANES)]) for n in range(width)]

    def rows_of(builder: Any, kernel: Any, coefficients: Any, dy: Any) -> list[list[Any]]:
        one, x, y, xy, xx, yy, start = (
            builder.load(pointer(builder, coefficients, 4 * k, ir.FloatType())) for k in range(7)
        )
        level = builder.fadd(one, builder.fmul(builder.fmul(yy, dy), dy))
        tilt, twist = builder.fmul(y, dy), builder.fmul(xy, dy)
        columns = [builder.fadd(n, splat(builder, start)) for n in order]
        rows = []
        for combine in (builder.fadd, builder.fsub):
            constant, slope = splat(builder, combine(level, tilt)), splat(builder, combine(x, twist))
            row = []
            for n in range(width):
                value = fused(builder, constant, columns[n], fused(builder, slope, columns[n], splat(builder, xx)))
                value = not_negative(builder, value)
                value = builder.select(builder.fcmp_ordered("<", value, ONES), value, ONES)
                weights = builder.load(pointer(builder, kernel, BYTES * n, VECTOR), align=4)
                row.append(builder.fmul(weights, value))
            rows.append(row)
        return rows

    def emit(
        _typing: Any, above: Any, below: Any, plane: Any, count: Any, samples: Any, stride: Any, move: Any, dy: Any
    ) -> Any:
        """The same with kernels that are the whole lens' times a polynomial over pixels, cut to 0..1.

        samples  address of three addresses a sample: its light, its first basis kernel, and seven floats: what 1, x, y,
                 x y, x x and y y count, and x at the window's first pixel
        dy       y of the row below, a float
        """
        return types.void(*[types.int64] * 7, types.float32), _code_to_add(width, rows_of)

    return emit


look_up: Any = intrinsic(_emit_look_up)
gather_1: Any = intrinsic(_emit_gather(1))
gather_2: Any = intrinsic(_emit_gather(2))
gather_3: Any = intrinsic(_emit_gather(3))
gather_4: Any = intrinsic(_emit_gather(4))
gather_5: Any = intrinsic(_emit_gather(5))
gather_6: Any = intrinsic(_emit_gather(6))
spread_16: Any = intrinsic(_emit_spread(1))
spread_32: Any = intrinsic(_emit_spread(2))
lay_16: Any = intrinsic(_emit_lay(1))
lay_32: Any = intrinsic(_emit_lay(2))
