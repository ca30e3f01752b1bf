"""What collectives send, against devices that really send pieces to each other, and against textbook formulas."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxcost.errors import ModelError
from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import Expr, as_expr, symbol
from fxcost.ops.exchanges import ALGORITHMS, REFERENCE, sending
from fxcost.ops.registry import OpCost, find
from tests.support import network
from tests.support.calls import call, tensor
from tests.support.network import Network, Send, split

DEVICES = st.integers(1, 9)


def counted(kind: str, algorithm: str, devices: int, elements: int) -> Network:
    """A run of the algorithm, with what it must have achieved checked."""
    everybody, pieces = frozenset(range(devices)), split(elements, devices)
    match kind, algorithm:
        case "all_reduce", "ring":
            held = [{p: frozenset({d}) for p in range(devices)} for d in range(devices)]
            made = Network(devices, lambda p: pieces[p], held).run(network.ring_all_reduce(devices))
            assert all(made.holdings[d][p] == everybody for d in range(devices) for p in range(devices))
        case "all_reduce", "tree":
            made = Network(devices, lambda _: elements, [{0: frozenset({d})} for d in range(devices)])
            made.run(network.tree_all_reduce(devices))
            assert all(held == {0: everybody} for held in made.holdings)
        case "all_reduce", "direct":
            made = Network(devices, lambda _: elements, [{d: frozenset({d})} for d in range(devices)])
            made.run(network.direct_all_reduce(devices))
            assert all(frozenset().union(*held.values()) == everybody for held in made.holdings)
        case "reduce_scatter", "ring":
            held = [{p: frozenset({d}) for p in range(devices)} for d in range(devices)]
            made = Network(devices, lambda p: pieces[p], held).run(network.ring_reduce_scatter(devices))
            assert all(made.holdings[d][(d + 1) % devices] == everybody for d in range(devices))
        case "all_gather", "ring":
            held = [{d: frozenset({d})} for d in range(devices)]
            made = Network(devices, lambda p: pieces[p], held).run(network.ring_all_gather(devices))
            assert all(sorted(held) == list(range(devices)) for held in made.holdings)
        case (("reduce_scatter" | "all_gather"), "direct"):
            made = Network(devices, lambda p: pieces[p], [{d: frozenset({d})} for d in range(devices)])
            made.run(network.direct_all_reduce(devices))
            assert all(sorted(held) == list(range(devices)) for held in made.holdings)
        case "all_to_all", _:
            block = elements // devices  # a device holds one for each device
            made = Network(
                devices, lambda _: block, [{(d, o): everybody for o in range(devices)} for d in range(devices)]
            )
            runs = {"pairwise": network.pairwise_all_to_all, "ring": network.ring_all_to_all, "direct": at_once}
            made.run(runs[algorithm](devices))
            assert all((o, d) in made.holdings[d] for d in range(devices) for o in range(devices))
        case "broadcast", "ring":
            held = [dict.fromkeys(range(devices), everybody) if d == 0 else {} for d in range(devices)]
            made = Network(devices, lambda p: pieces[p], held).run(network.chain_broadcast(devices))
            assert all(sorted(held) == list(range(devices)) for held in made.holdings)
        case "broadcast", "tree":
            made = Network(devices, lambda _: elements, [{0: everybody} if d == 0 else {} for d in range(devices)])
            made.run(network.tree_broadcast(devices))
            assert all(held == {0: everybody} for held in made.holdings)
        case "broadcast", "direct":
            made = Network(devices, lambda _: elements, [{0: everybody} if d == 0 else {} for d in range(devices)])
            made.run([[Send(0, other, 0) for other in range(1, devices)]] if devices > 1 else [])
            assert all(held == {0: everybody} for held in made.holdings)
        case "reduce", "tree":
            made = Network(devices, lambda _: elements, [{0: frozenset({d})} for d in range(devices)])
            made.run(network.tree_reduce(devices))
            assert made.holdings[0] == {0: everybody}
        case _:
            raise AssertionError(f"{kind} by {algorithm} is not simulated")
    return made


def at_once(devices: int) -> Iterator[list[Send]]:
    """All pairwise exchanges in one step."""
    if devices > 1:
        yield [send for step in network.pairwise_all_to_all(devices) for send in step]


SIMULATED = [
    (k, a) for k, names in ALGORITHMS.items() for a in names if (k, a) not in {("reduce", "ring"), ("reduce", "direct")}
]
"""All but those of a reduce that are its broadcast in the other direction."""


@pytest.mark.parametrize(("kind", "algorithm"), SIMULATED)
@given(devices=DEVICES, share=st.integers(0, 40))
def test_formulas_count_what_devices_send(kind: str, algorithm: str, devices: int, share: int) -> None:
    """Even messages: steps, and bytes on the longest path; the mean over the devices is what is `sent`."""
    made = counted(kind, algorithm, devices, share * devices)
    found = sending(kind, algorithm, as_expr(devices), as_expr(share * devices))
    assert found is not None
    mean = Fraction(sum(made.sent), devices)
    assert found.sent.constant == -(-mean.numerator // mean.denominator)
    assert found.longest.constant == made.longest
    assert found.steps.constant == made.steps
    if algorithm in {"ring", "pairwise"} and kind not in {"broadcast", "reduce"}:
        assert made.sent == [found.sent.constant] * devices  # every device sends as much as the others


@pytest.mark.parametrize("kind", ["all_reduce", "reduce_scatter", "all_gather"])
@given(devices=DEVICES, elements=st.integers(0, 200))
def test_uneven_messages_are_counted_in_the_mean(kind: str, devices: int, elements: int) -> None:
    made = counted(kind, "ring", devices, elements)
    found = sending(kind, "ring", as_expr(devices), as_expr(elements))
    assert found is not None
    assert found.sent.constant == -(-sum(made.sent) // devices)


@given(devices=DEVICES, elements=st.integers(0, 10**6))
def test_the_reference_sends_least(devices: int, elements: int) -> None:
    for kind, best in REFERENCE.items():
        sent = {a: sending(kind, a, as_expr(devices), as_expr(elements)) for a in ALGORITHMS[kind]}
        counts = {name: found.sent.constant for name, found in sent.items() if found is not None}
        assert counts[best] == min(counts.values())  # type: ignore[type-var]


# -- rules -----------------------------------------------------------------------------------------------------------
def cost(op: str, operands: dict[str, str], result: str | tuple[str, ...], **attrs: object) -> OpCost:
    made = call(op, operands, result=result, **attrs)  # type: ignore[arg-type]
    rule = find(op)
    assert rule is not None
    return rule.function(made)


def sent(found: OpCost, width: int = 4, **sizes: int) -> int:
    """Bytes that one device sends, by the reference."""
    exchange = found.exchange
    assert exchange is not None
    nbytes = sum((part.numel for part in exchange.message), start=as_expr(0)) * width
    own = None if exchange.own is None else exchange.own * width
    made = sending(exchange.kind, REFERENCE[exchange.kind], exchange.devices, nbytes, own)
    assert made is not None
    return evaluate(made.sent, sizes)


def test_all_reduce_in_megatron() -> None:
    """Shoeybi et al. 2019: an all-reduce of N*S*D elements, 2*(P-1)/P of them sent."""
    found = cost("_c10d_functional.all_reduce", {"input": "f32[N, S, D]"}, "f32[N, S, D]", group_size=8)
    assert sent(found, N=2, S=16, D=64) == 2 * 7 * (2 * 16 * 64 * 4) // 8
    assert evaluate(found.other_ops, {"N": 2, "S": 16, "D": 64}) == 7 * 2 * 16 * 64 // 8


def test_the_number_of_devices_may_be_a_symbol() -> None:
    found = cost("_c10d_functional.all_reduce", {"input": "f32[N, 64]"}, "f32[N, 64]", group_size=symbol("P"))
    assert [sent(found, N=4, P=p) for p in (1, 2, 4, 64)] == [0, 1024, 1536, 2016]


def test_all_gather_counts_the_whole_and_reduce_scatter_too() -> None:
    gathered = cost("_c10d_functional.all_gather_into_tensor", {"input": "f32[N, 8]"}, "f32[4*N, 8]", group_size=4)
    scattered = cost("_c10d_functional.reduce_scatter_tensor", {"input": "f32[4*N, 8]"}, "f32[N, 8]", group_size=4)
    assert sent(gathered, N=3) == sent(scattered, N=3) == 3 * (3 * 8 * 4)  # its own part, to three others


def test_coalesced_messages_are_one() -> None:
    names = {"inputs.0": "f32[N]", "inputs.1": "f32[8]"}
    found = cost("_c10d_functional.all_reduce_coalesced", names, ("f32[N]", "f32[8]"), group_size=2)
    assert sent(found, N=8) == 16 * 4
    names = {"inputs.0": "f32[4]", "inputs.1": "f32[8]"}
    found = cost("_c10d_functional.reduce_scatter_tensor_coalesced", names, ("f32[2]", "f32[4]"), group_size=2)
    assert sent(found) == 6 * 4


def test_all_to_all_keeps_its_own_part() -> None:
    even = cost("_c10d_functional.all_to_all_single", {"input": "f32[12, 8]"}, "f32[12, 8]", group_size=3)
    assert sent(even) == 8 * 8 * 4
    splits = {"group_size": 3, "group_rank": 2, "input_split_sizes": (1, 4, 7), "output_split_sizes": (4, 4, 4)}
    uneven = cost("_c10d_functional.all_to_all_single", {"input": "f32[12, 8]"}, "f32[12, 8]", **splits)
    assert sent(uneven) == 5 * 8 * 4


@pytest.mark.parametrize(
    ("op", "operands", "expected"),
    [
        ("c10d.allreduce_", {"tensors.0": "f32[8]"}, 2 * 3 * 32 // 4),
        ("c10d.broadcast_", {"tensors.0": "f32[8]"}, 3 * 32 // 4),
        ("c10d._allgather_base_", {"output_tensor": "f32[32]", "input_tensor": "f32[8]"}, 3 * 32),
        ("c10d._reduce_scatter_base_", {"output_tensor": "f32[2]", "input_tensor": "f32[8]"}, 3 * 32 // 4),
        ("c10d.alltoall_base_", {"output": "f32[8]", "input": "f32[8]"}, 3 * 32 // 4),
        ("_c10d_functional.broadcast", {"input": "f32[8]"}, 3 * 32 // 4),
        ("_dtensor.shard_dim_alltoall", {"input": "f32[8]"}, 3 * 32 // 4),
        ("_c10d_functional_autograd.all_to_all_single", {"input": "f32[8]"}, 3 * 32 // 4),
        ("_c10d_functional.all_reduce_", {"input": "f32[8]"}, 2 * 3 * 32 // 4),
    ],
)
def test_other_spellings(op: str, operands: dict[str, str], expected: int) -> None:
    assert sent(cost(op, operands, "f32[8]", group_size=4)) == expected


def test_waiting_sends_nothing() -> None:
    found = cost("_c10d_functional.wait_tensor", {"tensor": "f32[8]"}, "f32[8]")
    assert found.exchange is None
    assert all(value.constant == 0 for value in found.reads.values())


def test_a_collective_among_nobody_knows_how_many_is_refused() -> None:
    with pytest.raises(ModelError, match="among how many devices"):
        cost("_c10d_functional.all_reduce", {"input": "f32[8]"}, "f32[8]")


def test_tensors_of_a_message_keep_their_types() -> None:
    found = cost("_c10d_functional.all_reduce", {"input": "bf16[N, 8]"}, "bf16[N, 8]", group_size=2)
    exchange = found.exchange
    assert exchange is not None
    assert exchange.message == (tensor("bf16[N, 8]"),)
    assert isinstance(exchange.devices, Expr)
