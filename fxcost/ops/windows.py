"""Which input elements do sliding windows cover? Exact, by dimension: windows are boxes, so dimensions multiply.

Along one dimension, with the input at [before, before + size) of the padded axis, output o and tap j look at position
o*stride + j*dilation. `covered` counts the distinct input positions looked at.
"""

from __future__ import annotations

from math import gcd

from fxcost.ir.expr import ZERO, Expr, as_expr, floordiv, maximum, minimum, product, total
from fxcost.ops.registry import Call


def windows_out(size: Expr, kernel: Expr, stride: Expr, dilation: Expr, padding: Expr) -> Expr:
    """Number of windows that fit: floor((size + padding - dilation*(kernel - 1) - 1) / stride) + 1."""
    return floordiv(size + padding - dilation * (kernel - 1) - 1, stride) + 1


def covered(
    size: Expr, count: Expr, kernel: Expr, stride: Expr, dilation: Expr, before: Expr, after: Expr | None
) -> Expr:
    """Distinct input positions under `count` windows; `after` is None where the count was rounded up (ceil mode).

    Kernel, stride, dilation and padding must be numbers, as they are in every layer; otherwise the whole input is
    taken, an upper bound.
    """
    numbers = [value.constant for value in (kernel, stride, dilation, before)]
    k, s, d, lo = numbers
    if k is None or s is None or d is None or lo is None:
        return size
    d = 1 if k == 1 else d
    hi = None if after is None else after.constant
    if d == 1 and lo < k and k >= s:
        return _contiguous(size, count, k, s, lo, hi)
    if s == 1 and count is size and lo % d == 0 and lo <= (k - 1) * d:
        return size  # one tap alone sees every position: "same" padding
    if d == 1 and hi == 0 and lo == 0:
        return count * k  # windows apart from each other, all inside
    return _by_residue(size, count, k, s, d, lo)


def _contiguous(size: Expr, count: Expr, k: int, s: int, lo: int, hi: int | None) -> Expr:
    """Windows that touch or overlap cover one interval: only its right end can miss input."""
    end = (count - 1) * s + k - lo
    if hi is None or hi >= s - 1:  # rounding up, or padding that swallows what rounding down leaves over
        return size
    if hi == 0:
        return end
    return minimum(size, end)


def _by_residue(size: Expr, count: Expr, k: int, s: int, d: int, lo: int) -> Expr:
    """The general case: taps j = first, first + step ... look at the same residue modulo the stride.

    Divided by the stride's share, each such class is a stride-1 problem with dilation d/g: position y is looked at when
    y = o + m*(d/g) for a window o and a tap m, that is runs of min(count, d/g) positions, one run per tap.
    """
    shared = gcd(s, d)
    step, gap = s // shared, d // shared
    run = minimum(count, as_expr(gap))
    parts = []
    for first in range(min(step, k)):
        taps = (k - first + step - 1) // step
        span = count + (taps - 1) * gap  # one past the last position of this class

        def below(position: Expr, first: int = first, span: Expr = span) -> Expr:
            place = floordiv(position - first * d + s - 1, as_expr(s))  # ceiling: class positions before `position`
            place = minimum(maximum(ZERO, place), span)
            return floordiv(place, as_expr(gap)) * run + minimum(run, place % gap)

        parts.append(below(size + lo) - below(as_expr(lo)))
    return total(parts)


def covered_volume(
    call: Call,
    source: tuple[Expr, ...],
    counts: tuple[Expr, ...],
    kernel: tuple[Expr, ...],
    padding: tuple[tuple[Expr, Expr], ...],
    *,
    stride: tuple[Expr, ...] | None = None,
    rounded_up: bool = False,
) -> Expr:
    """Input elements of one channel that some window covers; stride and dilation are the call's own."""
    rank = len(source)
    steps = call.ints("stride", rank, 1) if stride is None else stride
    gaps = call.ints("dilation", rank, 1)
    return product(
        covered(size, count, k, s, d, before, None if rounded_up else after)
        for size, count, k, s, d, (before, after) in zip(source, counts, kernel, steps, gaps, padding, strict=True)
    )


def adaptive_window_total(size: Expr, count: Expr) -> Expr:
    """Sum of the adaptive windows' lengths along one dimension: window i is [i*size//count, ceil((i+1)*size/count)).

    Neighbours share one element wherever count does not divide i*size, so the sum is size + count - gcd(size, count).
    Exact where the greatest common divisor is known or the count is at most 16; else size + count - 1, an upper bound.
    """
    known, number = size.constant, count.constant
    if known is not None and number is not None:
        return as_expr(known + number - gcd(known, number))
    if (size % count).constant == 0:
        return size
    if number is not None and number <= 16:
        shared = [(size * i + number - 1) // number - (size * i) // number for i in range(1, number)]
        return total([size, *shared])
    return size + count - 1
