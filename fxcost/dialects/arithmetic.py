"""Index arithmetic and the `tensor` dialect: what sizes are, what shares memory, what copies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fxcost.dialects.operations import Form, Map, Operation, Scalar, Shaped
from fxcost.dialects.translate import Fresh, Number, Tensor, Translator, numbers_or
from fxcost.ir.expr import (
    Expr,
    as_expr,
    ceildiv,
    const,
    floordiv,
    is_nonnegative,
    maximum,
    minimum,
    mod,
    product,
    total,
)
from fxcost.ir.predicate import Compare, decide
from fxcost.ir.types import TensorType

_Binary = Callable[[Expr, Expr], Expr | None]


def _positive(divide: Callable[[Expr, Expr], Expr]) -> _Binary:
    """Division where the divisor is a positive number; others are not followed."""
    return lambda a, b: divide(a, b) if b.constant is not None and b.constant > 0 else None


def _truncated(divide: Callable[[Expr, Expr], Expr]) -> _Binary:
    """Division that rounds towards zero: the same for what is not negative."""
    return lambda a, b: divide(a, b) if b.constant is not None and b.constant > 0 and is_nonnegative(a) else None


_BINARY: Mapping[str, _Binary] = {
    "arith.addi": lambda a, b: a + b,
    "arith.subi": lambda a, b: a - b,
    "arith.muli": lambda a, b: a * b,
    "arith.floordivsi": _positive(floordiv),
    "arith.ceildivsi": _positive(ceildiv),
    "arith.divsi": _truncated(floordiv),
    "arith.divui": _truncated(floordiv),
    "arith.ceildivui": _truncated(ceildiv),
    "arith.remsi": _truncated(mod),
    "arith.remui": _truncated(mod),
    "arith.maxsi": maximum,
    "arith.minsi": minimum,
}
_SAME = frozenset(["arith.index_cast", "arith.index_castui", "arith.extsi", "arith.extui", "arith.trunci"])
_COMPARISONS = {0: "==", 1: "!=", 2: "<", 3: "<=", 4: ">", 5: ">="}
_AFFINE: Mapping[str, _Binary] = {
    "Add": lambda a, b: a + b,
    "Mul": lambda a, b: a * b,
    "Mod": _positive(mod),
    "FloorDiv": _positive(floordiv),
    "CeilDiv": _positive(ceildiv),
}


def arithmetic(to: Translator, op: Operation) -> bool:
    """Numbers: constants, sizes of tensors, sums and quotients of them."""
    if op.name in {"arith.constant", "stablehlo.constant"}:
        to.constant(op)
        return True
    if len(op.results) != 1 or not isinstance(op.results[0].type, Scalar):
        return False
    value: Expr | None = None
    numbers = [to.number(operand) for operand in op.operands]
    known = [number for number in numbers if number is not None]
    if op.name == "tensor.dim":
        form, at = to.form(op.operands[0]), to.number(op.operands[1])
        if form is not None and at is not None and at.constant is not None and at.constant < form.rank:
            value = form.shape[at.constant]
    elif op.name == "arith.select":
        value = _selected(numbers)
    elif len(known) == len(numbers):
        if op.name in _BINARY and len(known) == 2:
            value = _BINARY[op.name](known[0], known[1])
        elif op.name in _SAME:
            value = known[0]
        elif op.name == "arith.cmpi" and op.attrs.get("predicate") in _COMPARISONS:
            truth = decide(Compare(_COMPARISONS[op.attrs["predicate"]], known[0], known[1]))
            value = None if truth is None else const(int(truth))
        elif op.name in {"affine.apply", "affine.min", "affine.max"} and isinstance(op.attrs.get("map"), Map):
            value = _applied(op.attrs["map"], known, op.name)
    to.env[op.results[0].id] = Number(value)
    return not any(to.form(operand) is not None for operand in op.operands) or op.name.startswith("tensor.")


def _selected(numbers: Sequence[Expr | None]) -> Expr | None:
    condition, yes, no = numbers
    if yes is not None and yes is no:
        return yes
    if condition is None or condition.constant is None:
        return None
    return yes if condition.constant else no


def _applied(found: Map, numbers: Sequence[Expr], name: str) -> Expr | None:
    dims, symbols = numbers[: found.dims], numbers[found.dims :]
    values = [_formula(result, dims, symbols) for result in found.results]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return known[0] if name == "affine.apply" else (minimum if name == "affine.min" else maximum)(*known)


def _formula(form: Form, dims: Sequence[Expr], symbols: Sequence[Expr]) -> Expr | None:
    kind = form[0]
    if kind in {"d", "s"}:
        given = dims if kind == "d" else symbols
        return given[form[1]] if form[1] < len(given) else None
    if kind == "c":
        return const(form[1])
    left, right = (_formula(part, dims, symbols) for part in form[1:])
    return None if left is None or right is None or kind not in _AFFINE else _AFFINE[kind](left, right)


# -- tensors -------------------------------------------------------------------------------------------------------
def tensors(to: Translator, op: Operation) -> bool:
    """The `tensor` dialect: reshaping is a view, padding and joining copy."""
    if not op.name.startswith("tensor.") or not op.results:
        return False
    if op.name == "tensor.empty":
        sizes = iter([to.number(operand) for operand in op.operands])
        shaped = op.results[0].type
        assert isinstance(shaped, Shaped)
        shape = tuple(next(sizes, None) if size is None else None for size in shaped.dims)
        to.env[op.results[0].id] = Fresh(to.formed(shaped, shape))
        return True
    source = to.env[op.operands[0]] if op.operands else None
    if op.name in _VIEWS and isinstance(source, Tensor | Fresh):
        to.view(op, "source", _VIEWS[op.name](to, op, source.type))
        return True
    if op.name == "tensor.pad" and isinstance(source, Tensor | Fresh):
        to.emit(op, op.name, [("source", source)], {}, [_padded(to, op, source.type)])
        return True
    if op.name == "tensor.concat":
        parts = [to.env[operand] for operand in op.operands]
        dim = int(op.attrs.get("dim", 0))
        forms = [part.type for part in parts if isinstance(part, Tensor | Fresh)]
        joined = list(forms[0].shape)
        joined[dim] = total(form.shape[dim] for form in forms)
        to.emit(op, op.name, [(f"inputs.{i}", part) for i, part in enumerate(parts)], {"dim": dim}, [joined])
        return True
    if op.name == "tensor.insert_slice":
        target = to.form(op.operands[1])
        over = "dest" if to.may_overwrite(op.operands[1]) else None
        operands = [("source", to.env[op.operands[0]]), ("dest", to.env[op.operands[1]])]
        to.emit(op, op.name, operands, {}, [target.shape if target is not None else ()], over=over)
        return True
    return False


def _same(to: Translator, op: Operation, form: TensorType) -> Sequence[Expr | None]:
    return form.shape


def _expanded(to: Translator, op: Operation, form: TensorType) -> Sequence[Expr | None]:
    dynamic = [to.number(operand) for operand in op.operands[1:]]
    static = op.attrs.get("static_output_shape")
    if static is not None:
        return numbers_or(static, dynamic)
    shaped = op.results[0].type
    assert isinstance(shaped, Shaped)
    return tuple(None if size is None else as_expr(size) for size in shaped.dims)


def _collapsed(to: Translator, op: Operation, form: TensorType) -> Sequence[Expr | None]:
    groups = op.attrs.get("reassociation", ())
    return tuple(product(form.shape[int(dim)] for dim in group) for group in groups)


def _sliced(to: Translator, op: Operation, form: TensorType) -> Sequence[Expr | None]:
    segments = op.attrs.get("operandSegmentSizes", (1, 0, 0, 0))
    static = op.attrs.get("static_sizes")
    shaped = op.results[0].type
    assert isinstance(shaped, Shaped)
    if static is None or len(static) != len(shaped.dims):  # a slice that drops dimensions of one
        return tuple(None if size is None else as_expr(size) for size in shaped.dims)
    first = sum(segments[:2])
    return numbers_or(static, [to.number(operand) for operand in op.operands[first : first + segments[2]]])


def _padded(to: Translator, op: Operation, form: TensorType) -> Sequence[Expr | None]:
    segments = op.attrs.get("operandSegmentSizes", (1, 0, 0))
    given = [to.number(operand) for operand in op.operands[1:]]
    low = numbers_or(op.attrs["static_low"], given[: segments[1]])
    high = numbers_or(op.attrs["static_high"], given[segments[1] :])
    return tuple(
        None if before is None or after is None else size + before + after
        for size, before, after in zip(form.shape, low, high, strict=True)
    )


_VIEWS: Mapping[str, Callable[[Translator, Operation, TensorType], Sequence[Expr | None]]] = {
    "tensor.cast": _same,
    "tensor.bitcast": _same,
    "tensor.expand_shape": _expanded,
    "tensor.collapse_shape": _collapsed,
    "tensor.extract_slice": _sliced,
}
