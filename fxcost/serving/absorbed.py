"""Multi-head latent attention in absorbed form: a decoding step that reads the compressed cache as it is.

What is cached of a token are L channels of a latent c and R of a rotated key that all heads share. As written, the model
expands every cached latent in every step: keys k_h = U_h c and values v_h = V_h c of each head h, with U_h of A x L and
V_h of B x L numbers, the rows of one matrix. But a score is q_h . (U_h c) = (U_h^T q_h) . c, and the sum of values is
V_h (sum p c): both products move from the cached side to that of the new tokens (DeepSeek-V2, arXiv 2405.04434, section
2.1.2). With Hq heads, S new tokens, T tokens in the cache and N sequences, products by hand:

    as written   N*T*Hq*L*(A + B)  to expand,  N*Hq*S*T*(A + R + B)  to attend
    absorbed     N*S*Hq*L*(A + B)  to absorb,  N*Hq*S*T*(L + R + L)  to attend

The first is independent of T now, the second grows by L where A or B stood: fewer products for few new tokens behind a
long cache, more for a prompt, which engines keep expanding. Bytes read of the cache are T*(L + R) elements a sequence in
place of that and of Hq*T*(A + R + B) written and read again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fxcost.ir.expr import Expr
from fxcost.ir.graph import Effects, Node, Value
from fxcost.ir.types import TensorType
from fxcost.ops.serving import ABSORB, ATTENTION, LATENT

if TYPE_CHECKING:
    from fxcost.serving.view import Rewriting

_VIEWS = {"view", "reshape", "transpose", "expand", "unsqueeze", "slice", "alias", "split_with_sizes", "split"}
_NOTE = "absorbed: queries and results are multiplied with the up-projections, the compressed cache is read as it is"


@dataclass(frozen=True)
class Expanded:
    """An attention whose keys and values are expanded: the cache's latents and rotated keys, the matrix, its head's sizes.

    `fills` are the nodes that put keys together in place.
    """

    latent: str
    rope: str
    weight: str
    keys: Expr
    positions: Expr
    fills: tuple[str, ...]


def absorb(work: Rewriting) -> int:
    """Rewrite every attention to an expanded cache; gives how many there were."""
    found = {name: _expanded(work, node) for name, node in work.nodes.items() if node.op == ATTENTION}
    layers = {name: each for name, each in found.items() if each is not None}
    for name, each in layers.items():
        _absorbed(work, work.nodes[name], each)
        work.notes[_NOTE] = None
    return len(layers)


def _expanded(work: Rewriting, node: Node) -> Expanded | None:
    """What an attention's keys and values are made of; None where they are no expansion of a cache."""
    query, key, value = node.operands[:3]
    made = work.producer(_behind_views(work, value))
    if made is None or made.op != "aten.linear" or len(made.operands) != 2:
        return None
    latent, weight = _behind_views(work, made.operands[0]), made.operands[1]
    parts, fills = _parts(work, key)
    others = [part for part in (_behind_views(work, p) for p in parts) if part != made.results[0].id]
    if latent not in work.caches or len(parts) != 2 or len(others) != 1 or others[0] not in work.caches:
        return None
    matrix, result, rotated, asked = (work.types[v] for v in (weight, node.results[0].id, others[0], query))
    shapes = [kind.shape for kind in (matrix, result, rotated, asked) if isinstance(kind, TensorType)]
    if len(shapes) != 4 or len(shapes[0]) != 2 or len(shapes[1]) != 4:
        return None
    positions, keys = shapes[2][-1], shapes[3][-1] - shapes[2][-1]
    if shapes[0][0] != shapes[1][1] * (keys + shapes[1][-1]):
        return None
    return Expanded(latent, others[0], weight, keys, positions, fills)


def _behind_views(work: Rewriting, value: str) -> str:
    while (node := work.producer(value)) is not None and node.op.split(".")[1] in _VIEWS:
        value = node.operands[0]
    return value


def _parts(work: Rewriting, key: str) -> tuple[list[str], tuple[str, ...]]:
    """What keys are put together from along their channels: a concatenation, or copies into slices of empty memory."""
    node = work.producer(key)
    if node is not None and node.op.startswith("aten.cat"):
        return list(node.operands), ()
    if node is None or not node.op.startswith(("aten.new_empty", "aten.empty")):
        return [], ()
    fills = list(_fills(work, key))
    return [fill.operands[1] for fill in fills], tuple(fill.name for fill in fills)


def _fills(work: Rewriting, value: str) -> Iterator[Node]:
    for node in work.nodes.values():
        if node.op.startswith("aten.copy_") and _behind_views(work, node.operands[0]) == value:
            yield node


def _absorbed(work: Rewriting, node: Node, found: Expanded) -> None:
    """Three operators in place of one: queries into the latents' space, attention there, results back."""
    (result,) = node.results
    assert isinstance(result.type, TensorType), "attention gives a tensor"
    latents = work.types[found.latent]
    assert isinstance(latents, TensorType), "caches are tensors"
    kind, width = result.type, latents.shape[-1]
    inside = TensorType((*kind.shape[:-1], width), kind.dtype)
    queries, sums = Value(f"{node.name}_absorbed", inside), Value(f"{node.name}_latent", inside)
    work.types |= {value.id: value.type for value in (queries, sums)}
    bare = replace(node, attrs={}, effects=Effects())
    work.insert_before(
        node.name,
        replace(
            bare,
            name=queries.id,
            op=ABSORB,
            operands=(node.operands[0], found.weight),
            slots=("input", "weight"),
            attrs={"channels": found.keys},
            results=(queries,),
        ),
        replace(
            bare,
            name=sums.id,
            op=LATENT,
            operands=(queries.id, node.operands[0], found.latent, found.rope),
            slots=("absorbed", "query", "latent", "rope"),
            attrs={"rope": found.positions},
            results=(sums,),
        ),
    )
    work.nodes[node.name] = replace(
        bare, op=ABSORB, operands=(sums.id, found.weight), slots=("input", "weight"), attrs={"channels": width}
    )
    for name in found.fills:  # they write, and would stay
        work.remove(name)
