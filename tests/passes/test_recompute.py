"""Recomputation on graphs as text: plans against all subsets of operators, and graphs under a plan against their plan."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxcost.cost import Cost
from fxcost.errors import Infeasible, SpecError
from fxcost.ir.expr import as_expr, symbol
from fxcost.ir.graph import Graph, Node, State, Value
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.types import DType, TensorType
from fxcost.ir.verify import verify
from fxcost.passes.recompute import frontier
from fxcost.passes.recompute_plan import Plans, plans_of
from fxcost.passes.recompute_problem import Problem
from fxcost.pipeline import Options

N = symbol("N")


def tensor(*shape: object) -> TensorType:
    return TensorType(tuple(as_expr(size) for size in shape), DType.F32)  # type: ignore[arg-type]


def step(layers: list[tuple[str, int, int]]) -> Graph:
    """A training step of layers `(kind, width, source)`: a product with a weight, or a pointwise one; sources by number.

    Layer 0 is the input. Every layer's backward node reads the gradient and what its kind needs: a product its source
    (and the weight), a pointwise one its own result.
    """
    widths = [8]
    states, nodes, values = [], [], ["x"]
    for number, (kind, width, source) in enumerate(layers, 1):
        wide = width if kind == "product" else widths[source]
        widths.append(wide)
        name = f"v{number}"
        operands: tuple[str, ...]
        slots: tuple[str, ...]
        values.append(name)
        if kind == "product":
            weight = Value(f"w{number}", tensor(widths[source], wide))
            states.append(State(weight, "parameter", (f"{number}.weight",), trainable=True))
            operands, slots, op = (values[source], weight.id), ("self", "mat2"), "aten.mm"
        else:
            operands, slots, op = (values[source],), ("self",), "aten.relu"
        nodes.append(Node(name, op, operands, slots, {}, (Value(name, tensor(N, wide)),), module=str(number)))
    gradient = "seed"
    last = Value("seed", tensor(N, widths[-1]))
    shape = {"size": last.type.shape, "dtype": "f32"}  # type: ignore[union-attr]
    nodes.append(Node("seed", "aten.ones", (), (), shape, (last,), phase="backward"))
    for number, (kind, _, source) in reversed(list(enumerate(layers, 1))):
        read = values[source] if kind == "product" else values[number]
        made = Value(f"g{number}", tensor(N, widths[source]))
        given = (gradient, read)
        node = Node(
            made.id, "test.gradient", given, ("grad", "seen"), {}, (made,), module=str(number), phase="backward"
        )
        nodes.append(node)
        gradient = made.id
    return Graph(
        "step",
        symbols=(SymbolInfo("N"),),
        states=tuple(states),
        inputs=(Value("x", tensor(N, 8)),),
        nodes=tuple(nodes),
        outputs=(gradient,),
    )


def by_hand(problem: Problem, plans: Plans, of: str) -> list[tuple[int, int]]:
    """Bytes and MACs of all subsets of operators that run again, without those that another one beats."""
    found: dict[int, int] = {}
    for count in range(len(problem.operators) + 1):
        for chosen in combinations(problem.operators, count):
            needed, made = problem.wanted, 0
            for operator in reversed(chosen):
                made |= operator.makes
                if operator.makes & needed:
                    needed |= operator.needs
            kept = problem.size_of(needed & ~made)
            need = kept if of == "saved_activations" else plans.curves.peak([each.position for each in chosen])
            macs = sum(each.macs for each in chosen)
            found[macs] = min(need, found.get(macs, need))
    best: list[tuple[int, int]] = []
    for macs, need in sorted(found.items()):
        if not best or need < best[-1][0]:
            best.append((need, macs))
    return best


def without_plain(plans: Plans) -> list[tuple[int, int]]:
    pairs = list(zip(plans.bytes, plans.macs, strict=True))
    return pairs[1:] if len(pairs) > 1 and pairs[1][1] == 0 else pairs


LAYERS = st.lists(
    st.tuples(st.sampled_from(["product", "product", "pointwise"]), st.sampled_from([2, 8, 24, 64])),
    min_size=1,
    max_size=7,
)


@settings(max_examples=40, deadline=None)
@given(LAYERS, st.sampled_from(["saved_activations", "peak_memory"]), st.sampled_from([1, 7, 300]))
def test_chains_are_optimal(kinds: list[tuple[str, int]], of: str, n: int) -> None:
    graph = step([(kind, width, i) for i, (kind, width) in enumerate(kinds)])
    plans = plans_of(graph, Cost(graph, mode="training").facts, {"N": n}, of)
    assert plans.exact
    assert without_plain(plans) == by_hand(plans.curves.problem, plans, of)


@settings(max_examples=40, deadline=None)
@given(LAYERS, st.data())
def test_graphs_with_branches_keep_the_fewest_bytes(kinds: list[tuple[str, int]], data: st.DataObject) -> None:
    layers = [(k, w, data.draw(st.integers(max(0, i - 3), i))) for i, (k, w) in enumerate(kinds)]
    graph = step(layers)
    plans = plans_of(graph, Cost(graph, mode="training").facts, {"N": 5})
    assert plans.exact
    assert without_plain(plans) == by_hand(plans.curves.problem, plans, "saved_activations")


@settings(max_examples=30, deadline=None)
@given(LAYERS, st.sampled_from(["saved_activations", "peak_memory"]), st.data())
def test_a_plan_is_what_the_graph_under_it_costs(kinds: list[tuple[str, int]], of: str, data: st.DataObject) -> None:
    """Bytes, peak and MACs of the rewritten graph by the ordinary passes, which know nothing of plans."""
    layers = [(k, w, data.draw(st.integers(max(0, i - 2), i))) for i, (k, w) in enumerate(kinds)]
    cost = Cost(step(layers), mode="training")
    plans = plans_of(cost.graph, cost.facts, {"N": 4}, of)
    for budget in plans.bytes:
        found = cost.recompute(budget, {"N": 4}, of=of)  # checks bytes against the graph
        verify(found.cost.graph)
        assert found.macs == plans.macs[found.index]
        assert found.peak == plans.curves.peak(plans.again(found.index)) == found.cost.peak_memory(N=4)
        assert max(found.kept, found.peak) <= max(
            found.plain["saved_activations"], found.plain["peak_memory"], found.peak
        )


@pytest.mark.parametrize("inputs", ["freed", "held", "excluded"])
@pytest.mark.parametrize("of", ["saved_activations", "peak_memory"])
def test_plans_follow_what_is_counted(inputs: str, of: str) -> None:
    """Other inputs in memory, narrower activations, the other rule: plan and graph agree in each (`recompute` checks)."""
    graph = step([("product", 24, 0), ("pointwise", 24, 1), ("product", 8, 2), ("product", 64, 3), ("product", 8, 4)])
    for options in (
        Options(inputs=inputs),
        Options(inputs=inputs, activations="bf16"),
        Options(inputs=inputs, rule="tinytl"),
    ):
        cost = Cost(graph, options, "training")
        for budget in cost.recompute(at={"N": 6}, of=of).plans.bytes:
            found = cost.recompute(budget, {"N": 6}, of=of)
            assert found.peak == found.plans.curves.peak(found.plans.again(found.index))
    with pytest.raises(SpecError, match="eager execution alone"):
        Cost(graph, Options(accounting="inplace"), "training").recompute(at={"N": 6}, of=of)


def test_few_labels_and_sets_are_bounded_from_below(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [("product", 8 + 3 * i * i, max(0, i - i % 2)) for i in range(12)]
    graph = step(layers)
    facts = Cost(graph, mode="training").facts
    exact = plans_of(graph, facts, {"N": 3})
    monkeypatch.setattr("fxcost.passes.recompute.LABELS", 6)
    monkeypatch.setattr("fxcost.passes.recompute.SETS", 2)
    rough = frontier(exact.curves.problem)
    assert not rough.exact
    for need, macs in zip(exact.bytes, exact.macs, strict=True):
        bound = rough.least_macs(need)
        assert bound is None or bound <= macs
        at = rough.within(need)
        assert at is None or rough.macs[at] >= macs


def test_as_a_function_of_a_size() -> None:
    """Widths 8, 64, 64, 64: a product's source is kept, so 4 x 8 N always, and 4 x 64 N for each that is."""
    cost = Cost(step([("product", 64, 0), ("product", 64, 1), ("product", 64, 2)]), mode="training")
    rulings = cost.recompute_over(100_000, "N")
    assert [(row.low, row.high, str(row.bytes), str(row.macs)) for row in rulings.rows] == [
        (1, 183, "544*N", "0"),  # 32 + 2 x 256; 183 x 544 = 99,552
        (184, 347, "288*N", "512*N"),  # the first product again: 8 x 64
        (348, 3125, "32*N", "4608*N"),  # and the second: 64 x 64 more
    ]
    assert (rulings.ends, rulings.proven) == (3126, True)
    for size in (1, 183, 184, 347, 348, 3125):
        row = next(r for r in rulings.rows if r.high is None or size <= r.high)
        assert cost.recompute(100_000, {"N": size}).macs == row.macs(N=size)
    assert "N = 184 to 347: 1 operators run again" in str(rulings)


def test_what_is_random_or_written_again_is_kept() -> None:
    graph = step([("product", 8, 0), ("pointwise", 8, 1), ("product", 8, 2)])
    drawn = [
        node if node.name != "v2" else Node("v2", "aten.bernoulli", node.operands, node.slots, {}, node.results)
        for node in graph.nodes
    ]
    found = Cost(Graph(**{**vars(graph), "nodes": tuple(drawn)}), mode="training").recompute(0x7FFF, {"N": 2})
    positions = {graph.nodes[p].name for i in range(len(found.plans)) for p in found.plans.again(i)}
    assert "v2" not in positions


def test_bad_input() -> None:
    cost = Cost(step([("product", 8, 0)]), mode="training")
    with pytest.raises(SpecError, match="give every symbol a size"):
        cost.recompute()
    with pytest.raises(SpecError, match="of='peak' is not one of"):
        cost.recompute(at={"N": 1}, of="peak")
    with pytest.raises(SpecError, match="zero bytes or more"):
        cost.recompute(-1, {"N": 1})
    with pytest.raises(Infeasible, match="within 3 bytes: the least found is 32"):
        cost.recompute(3, {"N": 1})
    with pytest.raises(SpecError, match="no backward pass"):
        Cost(Graph("empty")).recompute()
    with pytest.raises(SpecError, match="there is no size 'M'"):
        cost.recompute_over(100, "M")
