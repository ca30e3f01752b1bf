"""`linalg` on tensors: loops from indexing maps, operations from bodies.

The body of an op says what happens at every point of its loops; a multiplication that is added to the accumulator of a
reduction is a MAC. What the body does not read of its destination is no operand; a destination that is read, and that
nobody else reads, is written over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from fxcost.dialects.operations import Block, Map, Operation, Shaped
from fxcost.dialects.translate import Fresh, Held, Tensor, Translator
from fxcost.ir.expr import Expr
from fxcost.ir.graph import Attribute
from fxcost.ir.types import TensorType
from fxcost.ops.arithmetic import ADD, DIVIDE, MULTIPLY, ROOT, TANH, TRANSCENDENTAL
from fxcost.ops.registry import find

_CASTS = frozenset(
    f"arith.{name}"
    for name in (
        "extf",
        "truncf",
        "extsi",
        "extui",
        "trunci",
        "sitofp",
        "uitofp",
        "fptosi",
        "fptoui",
        "bitcast",
        "index_cast",
    )
)
_FREE = _CASTS | {"arith.constant", "linalg.index", "tensor.extract", "tensor.dim", "linalg.yield", "cf.assert"}
_PRODUCTS = frozenset(["arith.mulf", "arith.muli", "complex.mul"])
_SUMS = frozenset(["arith.addf", "arith.addi", "complex.add"])
_WEIGHTS: Mapping[str, int] = {
    "math.sqrt": ROOT,
    "math.rsqrt": ROOT + DIVIDE,
    "math.tanh": TANH,
    "math.fma": MULTIPLY + ADD,
    "math.powf": 2 * TRANSCENDENTAL + MULTIPLY,
    "math.absf": 1,
    "math.absi": 1,
    "math.ceil": 1,
    "math.floor": 1,
    "math.round": 1,
    "math.roundeven": 1,
    "math.trunc": 1,
    "math.copysign": 1,
}
"""Operations of one; other functions of `math` are transcendental, whatever else is in a body counts one."""

# Contractions as sums over products, for texts that leave their maps out: letters of both operands, then of the result.
_CONTRACTIONS = {
    "matmul": "mk,kn,mn",
    "matmul_transpose_a": "km,kn,mn",
    "matmul_transpose_b": "mk,nk,mn",
    "batch_matmul": "bmk,bkn,bmn",
    "batch_matmul_transpose_a": "bkm,bkn,bmn",
    "batch_matmul_transpose_b": "bmk,bnk,bmn",
    "batch_reduce_matmul": "bmk,bkn,mn",
    "quantized_matmul": "mk,kn,mn",
    "quantized_batch_matmul": "bmk,bkn,bmn",
    "batch_matvec": "bmk,bk,bm",
    "batch_vecmat": "bk,bkn,bn",
    "matvec": "mk,k,m",
    "vecmat": "k,kn,n",
    "dot": "k,k,",
    "mmt4d": "mkab,nkcb,mnac",
    "batch_mmt4d": "BmkAb,BnkCb,BmnAC",
}
_CONVOLUTION = re.compile(r"(depthwise_)?conv_[123]d(?:_([a-z]+)_([a-z]+?))?(?:_q)?")
_POOLING = re.compile(r"pooling_[a-z]+_(?:max|min|sum)(?:_unsigned)?")


@dataclass(frozen=True)
class Body:
    """What happens at one point: MACs, other operations, and whether the destination is read, or one operand passed on."""

    macs: int
    other: int
    reads_result: bool
    passes: bool


def structured(to: Translator, op: Operation) -> bool:
    """Ops of `linalg`, and `arith` and `math` on whole tensors."""
    if op.name.startswith(("arith.", "math.")) and op.results and isinstance(op.results[0].type, Shaped):
        return _elementwise(to, op)
    if not op.name.startswith("linalg.") or not op.results:
        return False
    segments = op.attrs.get("operandSegmentSizes", (len(op.operands) - len(op.results), len(op.results)))
    ins, outs = op.operands[: segments[0]], op.operands[segments[0] :]
    targets = [to.form(number) for number in outs]
    shapes = [form.shape if form is not None else () for form in targets]
    if not op.blocks or any(form is None for form in targets) or len(outs) != len(op.results):
        return False
    body = body_cost(op.blocks[0], len(outs), "reduction" in kinds_of(op))
    extents = loops(to, op, ins, outs)
    if extents is None:
        return False
    operands: list[tuple[str, Held]] = [(f"ins.{i}", to.env[number]) for i, number in enumerate(ins)]
    over = None
    if body.reads_result:
        operands += [(f"outs.{i}", to.env[number]) for i, number in enumerate(outs)]
        over = "outs.0" if len(outs) == 1 and to.may_overwrite(outs[0]) else None
    if op.name == "linalg.fill" and _is_zero_fill(to, op, outs):
        to.env[op.results[0].id] = Fresh(to.formed(_shaped(op), shapes[0]))
        return True
    name = _named(op, body, extents, shapes[0])
    attrs: dict[str, Attribute] = {
        "loops": tuple(extents),
        "macs_per_point": body.macs,
        "other_ops_per_point": body.other,
    }
    to.emit(op, name, operands, attrs, shapes, over=over)
    return True


def _is_zero_fill(to: Translator, op: Operation, outs: tuple[int, ...]) -> bool:
    """A filled tensor is memory without contents as long as what reads it writes it over: it starts the accumulator."""
    (result,) = op.results
    return to.uses[result.id] == 1 and isinstance(to.env[outs[0]], Fresh)


def _shaped(op: Operation) -> Shaped:
    found = op.results[0].type
    assert isinstance(found, Shaped)
    return found


def kinds_of(op: Operation) -> tuple[str, ...]:
    """Kinds of the loops, outermost first; named ops without maps that contract or pool have a reduction."""
    told = op.attrs.get("iterator_types")
    if told is not None:
        return tuple("reduction" if "reduction" in str(kind) else "parallel" for kind in told)
    name = op.name.removeprefix("linalg.")
    reduces = name in _CONTRACTIONS or _CONVOLUTION.fullmatch(name) or _POOLING.fullmatch(name) or name == "reduce"
    return ("reduction",) if reduces or _reducing_maps(op) else ("parallel",)


def _reducing_maps(op: Operation) -> bool:
    maps = maps_of(op)
    return bool(maps) and len({form for form in maps[-1].results if form[0] == "d"}) < maps[-1].dims


def maps_of(op: Operation) -> tuple[Map, ...]:
    """Indexing maps, one an operand, where the text has them."""
    found = op.attrs.get("indexing_maps", op.attrs.get("linalg.memoized_indexing_maps", ()))
    return tuple(each for each in found if isinstance(each, Map))


def loops(to: Translator, op: Operation, ins: tuple[int, ...], outs: tuple[int, ...]) -> list[Expr] | None:
    """Lengths of all loops, or None where the text does not tell them."""
    maps = maps_of(op)
    if maps and len(maps) == len(ins) + len(outs):
        found: dict[int, Expr] = {}
        for each, number in zip(maps, (*ins, *outs), strict=True):
            form = to.form(number)
            for form_of_dim, size in zip(each.results, form.shape if form is not None else (), strict=False):
                if form_of_dim[0] == "d":
                    found.setdefault(form_of_dim[1], size)
        return [found[dim] for dim in range(maps[0].dims)] if len(found) == maps[0].dims else None
    name = op.name.removeprefix("linalg.")
    target = to.form(outs[0])
    sources = [form for form in (to.form(number) for number in ins) if form is not None]
    if target is None:
        return None
    if name in _CONTRACTIONS:
        lengths: dict[str, Expr] = {}
        for letters, form in zip(_CONTRACTIONS[name].split(","), (*sources[:2], target), strict=False):
            lengths |= dict(zip(letters, form.shape, strict=False))
        return list(lengths.values())
    convolution = _CONVOLUTION.fullmatch(name)
    if convolution and len(sources) > 1:
        layout = convolution[3] or "x" * sources[1].rank
        kept = "fogm" + ("c" if convolution[1] else "")
        return [*target.shape, *(s for letter, s in zip(layout, sources[1].shape, strict=False) if letter not in kept)]
    if _POOLING.fullmatch(name) and len(sources) > 1:
        return [*target.shape, *sources[1].shape]
    if name == "reduce" and sources:
        return list(sources[0].shape)
    return list(target.shape) if not _reducing_maps(op) and "generic" not in name else None


def body_cost(body: Block, results: int, reduces: bool) -> Body:
    """What a body does; only what its results need counts."""
    made = {result.id: op for op in body.operations for result in op.results}
    accumulators = {argument.id for argument in body.arguments[-results:]} if results else set()
    returned = body.operations[-1].operands if body.operations else ()
    wanted: dict[int, Operation] = {}
    pending = list(returned)
    seen: set[int] = set()
    while pending:
        number = pending.pop()
        if number in seen:
            continue
        seen.add(number)
        if number in made:
            op = made[number]
            wanted[id(op)] = op
            pending += op.operands

    def through_casts(number: int) -> int:
        while number in made and made[number].name in _CASTS:
            number = made[number].operands[0]
        return number

    macs = 0
    merged: set[int] = set()
    for number in returned if reduces else ():
        last = made.get(through_casts(number))
        if last is None:
            continue
        if last.name == "math.fma" and through_casts(last.operands[2]) in accumulators:
            macs, merged = macs + 1, merged | {id(last)}
        elif last.name in _SUMS:
            sources = [through_casts(operand) for operand in last.operands]
            product = next((made[s] for s in sources if s in made and made[s].name in _PRODUCTS), None)
            if product is not None and any(s in accumulators for s in sources):
                macs, merged = macs + 1, merged | {id(last), id(product)}
    other = sum(weight(op.name) for key, op in wanted.items() if key not in merged)
    passed = {through_casts(number) for number in returned} <= {argument.id for argument in body.arguments}
    return Body(macs, other, bool(seen & accumulators), passed)


def weight(name: str) -> int:
    """Elementary operations of an op of `arith` or `math` on numbers."""
    if name in _FREE:
        return 0
    return _WEIGHTS.get(name, TRANSCENDENTAL if name.startswith("math.") else 1)


def _named(op: Operation, body: Body, extents: list[Expr], shape: tuple[Expr, ...]) -> str:
    """The op's own name where it has a rule, else `linalg.generic` with what it is like."""
    if op.name != "linalg.generic" and find(op.name) is not None:
        return op.name
    if body.passes:
        return "linalg.generic.copy"
    return "linalg.generic.pointwise" if len(extents) == len(shape) and not body.macs else "linalg.generic"


def _elementwise(to: Translator, op: Operation) -> bool:
    """`arith.addf` and its like on whole tensors."""
    held = [to.env[number] for number in op.operands]
    forms = [each.type for each in held if isinstance(each, Tensor | Fresh)]
    shape = forms[0].shape if forms else None
    assert isinstance(op.results[0].type, Shaped)
    if shape is None or len(shape) != len(op.results[0].type.dims):
        return False
    result = TensorType(tuple(shape), op.results[0].type.dtype)
    attrs: dict[str, Attribute] = {
        "loops": result.shape,
        "macs_per_point": 0,
        "other_ops_per_point": weight(op.name),
        "named": op.name,
    }
    operands = [(f"ins.{i}", each) for i, each in enumerate(held)]
    to.emit(op, "linalg.generic.pointwise", operands, attrs, [shape])
    return True
