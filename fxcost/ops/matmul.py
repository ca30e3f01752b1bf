"""Matrix products in every spelling: MACs are result elements times the length of the contraction.

Additions of a bias or of `self` (addmm) are `other_ops`. A product without contraction (outer, kron) multiplies and
accumulates nothing: `other_ops` too, as in the graph that torch decomposes it to. `einsum.py` reads equations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fxcost.errors import ModelError
from fxcost.ir.expr import ONE, ZERO, Expr, product, total
from fxcost.ir.types import TensorType
from fxcost.ops.einsum import Labels, parse, sizes_of, steps
from fxcost.ops.names import aten
from fxcost.ops.registry import Call, OpCost, rule
from fxcost.ops.touched import reads


def contraction(rows: Expr, columns: Expr, inner: Expr, batch: Expr = ONE, other_ops: Expr = ZERO) -> OpCost:
    """B*M*N*K."""
    return OpCost(
        macs=batch * rows * columns * inner,
        other_ops=other_ops,
        formula="B*M*N*K",
        bind={"B": batch, "M": rows, "N": columns, "K": inner},
    )


@rule("aten.linear")
def linear(call: Call) -> OpCost:
    """Rows times transposed weight: M*N*K, M rows (all leading dimensions), K inputs, N outputs; bias one add each."""
    source, weight = call.tensor("input"), call.tensor("weight")
    columns = weight.shape[0] if weight.rank == 2 else ONE
    return contraction(
        product(source.shape[:-1]),
        columns,
        source.shape[-1],
        other_ops=call.result.numel if call.maybe("bias") else ZERO,
    )


def _matmul(call: Call, left: TensorType, right: TensorType) -> OpCost:
    rows = left.shape[-2] if left.rank > 1 else ONE
    columns = right.shape[-1] if right.rank > 1 else ONE
    matrix = (left.rank > 1) + (right.rank > 1)
    shape = call.result.shape
    return contraction(rows, columns, left.shape[-1], product(shape[: len(shape) - matrix]))


@rule(*aten("matmul linalg_matmul mm bmm mv dot vdot linalg_vecdot _int_mm _scaled_mm"))
def matmul(call: Call) -> OpCost:
    """Matrix product with broadcast batch dimensions: B*M*N*K; a vector has M or N of 1."""
    left, right = _pair(call)
    if call.op.startswith("aten.linalg_vecdot"):
        return contraction(ONE, ONE, left.shape[-1], call.result.numel)
    return _matmul(call, left, right)


def _pair(call: Call) -> tuple[TensorType, TensorType]:
    """The two factors: the first two tensors among the arguments that hold factors."""
    factors = [t for slot in ("self", "input", "x", "mat2", "vec", "tensor", "other", "y") if (t := call.maybe(slot))]
    return factors[0], factors[1]


def _scaled_sum(call: Call, left: str, right: str) -> OpCost:
    """beta*self + alpha*(left @ right)."""
    a, b = call.tensor(left), call.tensor(right)
    ignored = _is(call, "beta", 0)
    steps = (not ignored) + (not ignored and not _is(call, "beta", 1)) + (not _is(call, "alpha", 1))
    size = call.result.numel * int(steps)
    rows, columns = a.shape[-2], b.shape[-1] if b.rank > 1 else ONE
    cost = contraction(rows, columns, a.shape[-1], a.shape[0] if a.rank == 3 else ONE, size)
    return OpCost(
        cost.macs, cost.other_ops, reads(call, self=ZERO) if ignored else {}, formula=cost.formula, bind=cost.bind
    )


def _is(call: Call, name: str, value: int) -> bool:
    return call.attr(name, 1) == value


@rule("aten.addmm", "aten._addmm_activation")
def addmm(call: Call) -> OpCost:
    """beta*self + alpha*(mat1 @ mat2): M*N*K; one operation per result for each of the sum, beta != 1, alpha != 1.

    With beta = 0 torch does not read `self`.
    """
    return _scaled_sum(call, "mat1", "mat2")


@rule("aten.baddbmm", "aten.addbmm")
def baddbmm(call: Call) -> OpCost:
    """beta*self + alpha*(batch1 @ batch2): B*M*N*K; addbmm sums over the batch. With beta = 0 `self` is not read."""
    return _scaled_sum(call, "batch1", "batch2")


@rule("aten.addmv")
def addmv(call: Call) -> OpCost:
    """beta*self + alpha*(mat @ vec): M*K. With beta = 0 `self` is not read."""
    return _scaled_sum(call, "mat", "vec")


@rule("aten.outer", "aten.ger", "aten.kron")
def outer(call: Call) -> OpCost:
    """One multiplication per result element, no MACs: nothing is accumulated."""
    return OpCost(other_ops=call.result.numel)


@rule("aten.addr")
def addr(call: Call) -> OpCost:
    """beta*self + alpha*outer(vec1, vec2): a multiplication and an addition per result element, no MACs."""
    return OpCost(other_ops=call.result.numel * 2)


@rule("aten.inner")
def inner(call: Call) -> OpCost:
    """Sum over the last dimension of both: M*N*K with all other dimensions of each as rows and columns."""
    left, right = call.tensor("self"), call.tensor("other")
    if not left.rank or not right.rank:
        return OpCost(other_ops=call.result.numel)
    return contraction(product(left.shape[:-1]), product(right.shape[:-1]), left.shape[-1])


@rule("aten.tensordot")
def tensordot(call: Call) -> OpCost:
    """Contraction over `dims_self` and `dims_other`: M*N*K with K the contracted sizes, M and N the others'."""
    left, right = call.tensor("self"), call.tensor("other")
    kept, contracted = _divided(call, left, "dims_self")
    columns, _ = _divided(call, right, "dims_other")
    return contraction(product(kept), product(columns), product(contracted))


def _divided(call: Call, tensor: TensorType, name: str) -> tuple[list[Expr], list[Expr]]:
    listed = call.attr(name)
    dims = {d % tensor.rank for d in (listed if isinstance(listed, tuple) else (listed,)) if isinstance(d, int)}
    kept = [size for position, size in enumerate(tensor.shape) if position not in dims]
    return kept, [size for position, size in enumerate(tensor.shape) if position in dims]


@rule("aten.einsum")
def einsum(call: Call) -> OpCost:
    """Along the contraction path: for each pair, the product of the sizes of all indices it runs over.

    The path is the argument `path`, else left to right. An index that only one operand has is summed first. A pair that
    sums nothing only multiplies (torch runs `mul`), so it counts as `other_ops`, as a sum before a product does: one
    per element.
    """
    tensors = call.tensors("tensors")
    equation, path = call.attr("equation"), call.attr("path")
    if not isinstance(equation, str):
        raise ModelError("einsum needs its equation as text")
    operands, result = parse(equation, [tensor.rank for tensor in tensors])
    sizes = sizes_of(operands, [tensor.shape for tensor in tensors])
    pairs = steps(operands, result, [p for p in path if isinstance(p, int)] if isinstance(path, tuple) else None)
    products = [pair.labels for pair in pairs if pair.contracts]
    return OpCost(
        macs=total(_volume(labels, sizes) for labels in products),
        other_ops=total(_volume(pair.labels, sizes) for pair in pairs if not pair.contracts)
        + _summed_first(operands, result, tensors),
        formula=" + ".join("*".join(labels) for labels in products),
        bind={label: sizes[label] for labels in products for label in labels},
    )


def _volume(labels: Labels, sizes: Mapping[str, Expr]) -> Expr:
    return product(sizes[label] for label in labels)


def _summed_first(operands: Sequence[Labels], result: Labels, tensors: Sequence[TensorType]) -> Expr:
    """Elements of operands with an index of their own, which is summed by itself."""
    counts = [label for labels in operands for label in set(labels)]
    alone = [any(counts.count(label) == 1 and label not in result for label in labels) for labels in operands]
    return total(tensor.numel if sums else ZERO for tensor, sums in zip(tensors, alone, strict=True))


@rule("aten.bilinear")
def bilinear(call: Call) -> OpCost:
    """x1 @ W @ x2 for every output feature, contracted left to right: R*O*I*J + R*O*J, with R rows."""
    first, weight = call.tensor("input1"), call.tensor("weight")
    rows = product(first.shape[:-1])
    out, left, right = weight.shape
    return OpCost(
        macs=rows * out * (left * right + right),
        other_ops=call.result.numel if call.maybe("bias") else ZERO,
        formula="R*O*(I*J + J)",
        bind={"R": rows, "O": out, "I": left, "J": right},
    )


@rule("aten._weight_int8pack_mm", "aten._weight_int4pack_mm", "aten._weight_int4pack_mm_for_cpu")
def packed_weight(call: Call) -> OpCost:
    """Product with a packed integer weight: M*N*K; the scales multiply once per result element."""
    source, result = call.tensor("self"), call.result
    return contraction(product(source.shape[:-1]), result.shape[-1], source.shape[-1], other_ops=result.numel)


@rule("aten._grouped_mm")
def grouped_mm(call: Call) -> OpCost:
    """One product per group (expert): T*N*K for T rows in all, however they are split among the groups.

    All groups' weights count as read, the upper bound; how many are touched depends on the routing.
    """
    left, right = call.tensor("self"), call.tensor("mat2")
    if left.rank == 3 and right.rank == 2:  # the columns of `mat2` are divided
        return contraction(left.shape[-2], right.shape[-1], left.shape[-1])
    return contraction(product(left.shape[:-1]), right.shape[-1], left.shape[-1])


@rule("transformers.grouped_mm_fallback")
def grouped_mm_fallback(call: Call) -> OpCost:
    """Expert products of transformers: T*N*K for T routed rows; all experts' weights count as read (upper bound)."""
    left, right = call.tensor("input"), call.tensor("weight")
    return contraction(left.shape[0], right.shape[-1], left.shape[-1])


@rule("transformers.grouped_mm_fallback_backward")
def grouped_mm_fallback_backward(call: Call) -> OpCost:
    """Gradients of the expert products for input and weight: 2*T*N*K."""
    left, right = call.tensor("input"), call.tensor("weight")
    return contraction(left.shape[0], right.shape[-1], left.shape[-1], ONE + ONE)


@rule("aten.cdist", "aten._cdist_forward", "aten._euclidean_dist")
def cdist(call: Call) -> OpCost:
    """Pairwise distances: subtract, square, add for every pair and coordinate; no MACs, whichever kernel runs."""
    return OpCost(other_ops=call.result.numel * call.tensor("x1").shape[-1] * 3)
