"""Best orders against exhaustive search on random graphs, the checker against liveness, and published networks."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence

import networkx
import pytest

import fxcost
from fxcost.errors import OutsideDomain, SpecError
from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import as_expr, symbol
from fxcost.ir.graph import Graph, Node, State, Value
from fxcost.ir.predicate import Compare, holds
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.types import DType, TensorType
from fxcost.passes import schedule_search
from fxcost.passes.liveness import Liveness
from fxcost.passes.schedule import BestOrder, schedule
from fxcost.passes.schedule_bounds import Bound, Network, cut_bound, forced_live, links_of
from fxcost.passes.schedule_check import check_schedule
from fxcost.passes.schedule_groups import partition
from fxcost.passes.schedule_problem import Block, problem_of
from fxcost.passes.schedule_search import best_order
from fxcost.pipeline import Facts, Options
from tests.support.small_graphs import IN_PLACE, VIEW, Brute, cell, graph_of, node, random_graph, value

CASES = [(a, i) for a in ("eager", "inplace", "fused") for i in ("freed", "held", "excluded")]


def total_peak(graph: Graph, facts: Facts, order: Sequence[int] | None = None) -> int:
    """Peak of liveness, which knows no search."""
    found = facts.under(order=None if order is None else tuple(order))[Liveness]
    timeline = next(t for t in found.timelines if holds(t.when, {}))
    return max(evaluate(s, {}) for s in timeline.sums)


@pytest.mark.parametrize("start", range(0, 400, 40))
def test_random_graphs_equal_exhaustive_search(start: int) -> None:
    """Order, peak and proof on 400 graphs, each under two of the nine ways of counting."""
    refused = 0
    for seed in range(start, start + 40):
        graph = random_graph(seed)
        for accounting, inputs in (CASES[seed % 9], CASES[(seed // 9 + 3) % 9]):
            facts = Facts(graph, Options(accounting=accounting, inputs=inputs))
            try:
                found = schedule(graph, facts, {})
            except SpecError:
                assert (accounting, inputs) == ("inplace", "excluded")
                refused += 1
                continue
            where = f"seed {seed}, {accounting}, {inputs}"
            assert found.traced_peak == total_peak(graph, facts), where
            assert found.optimal, where
            assert found.peak == total_peak(graph, facts, found.order), where
            assert found.peak == check_schedule(graph, facts, {}, found.order), where
            assert found.peak == Brute(graph, accounting, inputs).best(), where
    assert refused < 10


def test_the_search_alone_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without first orders, beam and bounds, contraction and search must find and prove the optimum by themselves."""
    monkeypatch.setattr(schedule_search, "first_orders", lambda current: [list(range(len(current.groups)))])
    monkeypatch.setattr(schedule_search, "forced_live", lambda current, links: Bound(0, None, "inputs"))
    monkeypatch.setattr(schedule_search, "cut_bound", lambda current, links, g: 0)
    monkeypatch.setattr(schedule_search, "BEAM_ROUNDS", 0)
    for seed in range(1000, 1150):
        graph = random_graph(seed)
        for accounting in ("eager", "inplace"):
            found = schedule(graph, Facts(graph, Options(accounting=accounting)), {})
            assert found.peak == found.lower_bound == Brute(graph, accounting, "freed").best(), (seed, accounting)


def test_bounds_hold_for_every_operator() -> None:
    """The cut of an operator equals the least over all predecessor-closed sets before it, tried one by one."""
    for seed in range(60):
        graph = random_graph(seed)
        problem = problem_of(graph, Facts(graph), {})
        single = partition(problem, [(op,) for op in range(problem.size)])
        links = links_of(single)
        best = best_order(problem)
        assert forced_live(single, links).value <= best.peak
        closed = [s for s in range(single.everything + 1) if all(not single.before[g] & ~s for g in bits(s))]
        for g in range(problem.size):
            # The numbering of groups is a possible order, so an ascending walk to the set is one, too.
            starts = [s for s in closed if not single.above[g] & ~s and not (single.below[g] | 1 << g) & s]
            alive = [sum(b.size for b in problem.blocks if is_alive(b, s, single.groups)) for s in starts]
            cheapest = min(alive) + single.profiles[g].least[0]
            assert cut_bound(single, links, g) == cheapest, (seed, g)
            assert cheapest <= best.peak


def bits(mask: int) -> list[int]:
    return [i for i in range(mask.bit_length()) if mask >> i & 1]


def is_alive(block: Block, done: int, groups: Sequence[tuple[int, ...]]) -> bool:
    """Made, and not yet touched by all that touch it."""
    operators = {op for g in bits(done) for op in groups[g]}
    made = block.producer < 0 or block.producer in operators
    return made and (block.kept or not operators.issuperset(bits(block.touched)))


def test_flow_equals_networkx() -> None:
    """Our flow against an independent one."""
    rng = random.Random(7)
    for _ in range(40):
        ours, theirs = Network(8), networkx.DiGraph()
        theirs.add_nodes_from(range(8))
        for a, b in {(rng.randrange(8), rng.randrange(8)) for _ in range(24)}:
            if a != b:
                capacity = rng.randint(1, 9)
                ours.connect(a, b, capacity)
                theirs.add_edge(a, b, capacity=capacity)
        assert ours.max_flow() == networkx.maximum_flow_value(theirs, 0, 1)


# -- the problem ------------------------------------------------------------------------------------------------------


def test_two_branches_by_hand() -> None:
    """X (1) -> a (8) -> b (1) and x -> c (8) -> d (1), then cat: depth first needs x + a + b or b + c + d = 10.

    Breadth first as traced holds a and c together: while c runs 8 + 8 + x, at b and d less.
    """
    nodes = [
        node("test.mix", ["x"], [value("a", 8)]),
        node("test.mix", ["x"], [value("c", 8)]),
        node("test.mix", ["a"], [value("b", 1)]),
        node("test.mix", ["c"], [value("d", 1)]),
        node("test.mix", ["b", "d"], [value("e", 2)]),
    ]
    graph = graph_of([value("x")], nodes, ["e"])
    found = schedule(graph, Facts(graph), {})
    assert (found.traced_peak, found.peak, found.lower_bound) == (17, 10, 10)
    assert found.optimal
    assert found.certificate.startswith("optimal: ")
    assert found.order.index(2) < found.order.index(1) or found.order.index(3) < found.order.index(0)


def test_hazards_keep_their_order() -> None:
    """A write waits for earlier readers and goes before later ones; so do writes to a buffer of the model."""
    nodes = [
        node("test.mix", ["x"], [value("a", 4)]),
        node("test.mix", ["a"], [value("early", 4)]),
        node("aten.relu_", ["a"], [value("w", 4)], IN_PLACE),
        node("test.mix", ["a"], [value("late", 4)]),
        node("test.mix", ["early", "late"], [value("e", 4)]),
    ]
    graph = graph_of([value("x")], nodes, ["e"])
    facts = Facts(graph)
    assert check_schedule(graph, facts, {}, [0, 1, 2, 3, 4]) == total_peak(graph, facts)
    for order, complaint in (
        ([0, 2, 1, 3, 4], "early .* finds a after 1 writes"),
        ([0, 1, 3, 2, 4], "late .* finds a after 0 writes"),
        ([1, 0, 2, 3, 4], "early .* runs before a is there"),
        ([0, 1, 2, 3], "each of the 5 nodes once"),
    ):
        with pytest.raises(SpecError, match=complaint):
            check_schedule(graph, facts, {}, order)
    assert problem_of(graph, facts, {}).before == (0, 0b1, 0b11, 0b101, 0b1010)


def test_random_draws_keep_their_order() -> None:
    """Two draws in another order would give other numbers."""
    nodes = [
        node("aten.rand_like", ["x"], [value("a")]),
        node("aten.rand_like", ["x"], [value("b")]),
        node("test.mix", ["a", "b"], [value("c")]),
    ]
    graph = graph_of([value("x")], nodes, ["c"])
    assert problem_of(graph, Facts(graph), {}).before == (0, 0b1, 0b11)
    with pytest.raises(SpecError, match="random generator"):
        check_schedule(graph, Facts(graph), {}, [1, 0, 2])


def parameter_graph() -> Graph:
    """A weight scaled by another (both the model's own), then used: w * s, 16 bytes, is no input's work."""
    weight = State(value("w", 16), "parameter", ("w",), trainable=True)
    nodes = [
        node("test.mix", ["w"], [value("scaled", 16)]),
        node("test.mix", ["x"], [value("a", 2)]),
        node("test.mix", ["a", "scaled"], [value("b", 2)]),
    ]
    return graph_of([value("x", 3)], nodes, ["b"], weight)


def test_parameter_only_nodes_are_folded() -> None:
    """Folded: x and a, 5 bytes. Unfolded, as liveness: scaled, a and b = 20, beside it x and a with scaled = 21."""
    graph = parameter_graph()
    facts = Facts(graph)
    folded, whole = schedule(graph, facts, {}), schedule(graph, facts, {}, fold=False)
    assert (folded.folded, folded.peak, folded.traced_peak) == ((0,), 5, 5)
    assert (whole.folded, whole.traced_peak, whole.peak) == ((), 21, 20)
    assert whole.traced_peak == total_peak(graph, facts)
    assert check_schedule(graph, facts, {}, folded.order, folded.folded) == 5
    assert check_schedule(graph, facts, {}, whole.order) == 20
    with pytest.raises(SpecError, match="cannot be folded: an input"):
        check_schedule(graph, facts, {}, (1, 0, 2), (1,))
    with pytest.raises(SpecError, match="come first"):
        check_schedule(graph, facts, {}, (1, 0, 2), (0,))


def test_sizes_decide_aliases_at_the_point() -> None:
    """x^T flattened is a view at S = 1 and a copy at S = 8: another problem, another peak."""
    N, S = symbol("N"), symbol("S")
    x = Value("x", TensorType((N, S), DType.F32))
    turned = Value("t", TensorType((S, N), DType.F32))
    flat = Value("f", TensorType((N * S,), DType.F32))
    nodes = (
        Node("t", "aten.t", ("x",), ("self",), {}, (turned,), effects=VIEW),
        Node("f", "aten.reshape", ("t",), ("self",), {"shape": (N * S,)}, (flat,)),
    )
    graph = Graph("g", (SymbolInfo("N"), SymbolInfo("S")), (), (x,), nodes, ("f",))
    facts = Facts(graph)
    for point, expected in (({"N": 4, "S": 1}, 16), ({"N": 4, "S": 8}, 256)):
        timeline = next(t for t in facts[Liveness].timelines if holds(t.when, point))
        assert max(evaluate(s, point) for s in timeline.sums) == expected
        found = schedule(graph, facts, point)
        assert found.peak == found.traced_peak == expected == check_schedule(graph, facts, point, found.order)


def test_points_must_be_complete_and_inside_the_domain() -> None:
    graph = Graph("g", (SymbolInfo("N"),), (), (), (), (), domain=(Compare(">=", symbol("N"), as_expr(2)),))
    with pytest.raises(SpecError, match="give a size to N"):
        schedule(graph, Facts(graph), {})
    with pytest.raises(OutsideDomain, match="N=1"):
        schedule(graph, Facts(graph), {"N": 1})
    assert schedule(graph, Facts(graph), {"N": 2}).optimal


# -- random wirings ---------------------------------------------------------------------------------------------------


def by_sets(graph: Graph) -> int:
    """Least peak by a plain shortest-path search over sets of nodes: no contraction, no bound, no forced move."""
    problem = problem_of(graph, Facts(graph), {})
    readers = [(b.size, b.producer, b.touched, b.kept) for b in problem.blocks]
    born = [sum(size for size, producer, _, _ in readers if producer == op) for op in range(problem.size)]
    heap, best = [(problem.start_bytes, 0, 0)], {0: problem.start_bytes}
    while True:
        peak, _, done = heapq.heappop(heap)
        if done == (1 << problem.size) - 1:
            return peak
        if peak > best[done]:
            continue
        alive = sum(
            size
            for size, producer, touched, kept in readers
            if (producer < 0 or done >> producer & 1) and (kept or touched & ~done)
        )
        for op in range(problem.size):
            if not done >> op & 1 and not problem.before[op] & ~done:
                now, after = max(peak, alive + born[op]), done | 1 << op
                if now < best.get(after, now + 1):
                    best[after] = now
                    heapq.heappush(heap, (now, -after.bit_count(), after))


def test_small_cells_equal_a_plain_search() -> None:
    """Cells of 16 nodes, dense enough that nothing but the search closes some of them."""
    searched = 0
    for seed in range(12):
        graph = cell(16, 4, seed, adds=bool(seed % 2))
        found = schedule(graph, Facts(graph), {})
        assert found.optimal
        assert found.peak == check_schedule(graph, Facts(graph), {}, found.order) == by_sets(graph), seed
        searched += found.states > 0
    assert searched


@pytest.mark.parametrize("seed", range(7))
def test_cells_of_32_nodes_close_in_seconds(seed: int) -> None:
    """Proven optima, with sums in one call and in pairs; every state counts once, whatever the machine."""
    for adds in (False, True):
        graph = cell(32, 4, seed, adds=adds)
        found = schedule(graph, Facts(graph), {}, time_limit=20)
        assert found.optimal
        assert found.states < 20_000
        assert found.peak == check_schedule(graph, Facts(graph), {}, found.order)


# -- stopping early, and the same answer every time -------------------------------------------------------------------


def test_the_same_answer_every_time() -> None:
    graph = cell(40, 4, 0)
    first, second = (schedule(graph, Facts(graph), {}) for _ in range(2))
    assert (first.order, first.states, first.certificate) == (second.order, second.states, second.certificate)


def test_a_time_limit_leaves_an_order_and_a_bound() -> None:
    """No time at all: still the best first order and the forced-live bound; nothing claimed that is not proven."""
    graph = cell(64, 4, 0, adds=True)
    found = schedule(graph, Facts(graph), {}, time_limit=0)
    assert not found.optimal
    assert found.lower_bound < found.peak <= found.traced_peak
    assert found.certificate.startswith("not proven (time limit)")
    assert 0 < found.gap < 1
    assert found.peak == check_schedule(graph, Facts(graph), {}, found.order)


def test_a_state_limit_leaves_an_order_and_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is finite: a search that would keep too many states stops."""
    monkeypatch.setattr(schedule_search, "FIRST_LIMIT", 10)
    monkeypatch.setattr(schedule_search, "MOST_STATES", 40)
    graph = cell(48, 4, 0)
    found = schedule(graph, Facts(graph), {})
    assert found.certificate.startswith("not proven (state limit)")
    assert found.lower_bound < found.peak == check_schedule(graph, Facts(graph), {}, found.order)


def test_ctrl_c_leaves_an_order_and_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(schedule_search.Explorer, "search", interrupted)
    graph = cell(32, 4, 0)
    found = schedule(graph, Facts(graph), {})
    assert found.certificate.startswith("not proven (interrupted)")
    assert found.peak == check_schedule(graph, Facts(graph), {}, found.order)


# -- real networks ----------------------------------------------------------------------------------------------------


def captured(model: str, size: int) -> tuple[Graph, Facts, BestOrder]:
    """The network at batch one, float32, with its schedule; the peaks of both orders checked by replay and liveness."""
    cost = fxcost.analyze(model, f"1,3,{size},{size}", check=False)
    graph, facts = cost.graph, cost.facts
    found = schedule(graph, facts, {}, time_limit=60)
    assert found.traced_peak == total_peak(graph, facts) == check_schedule(graph, facts, {}, range(len(graph.nodes)))
    assert found.peak == check_schedule(graph, facts, {}, found.order, found.folded)
    return graph, facts, found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "size", "traced", "best"),
    [
        ("timm:nasnetalarge", 331, 39_922_080, 34_190_928),
        ("timm:pnasnet5large", 331, 43_450_872, 33_106_200),
        ("torchvision:googlenet", 224, 6_422_528, 6_422_528),
        ("torchvision:inception_v3", 299, 11_063_808, 11_063_808),
        ("torchvision:densenet121", 224, 8_429_568, 8_429_568),
        ("timm:hrnet_w18", 224, 9_633_792, 9_633_792),
    ],
)
def test_published_networks_are_proven_optimal(model: str, size: int, traced: int, best: int) -> None:
    """Peaks found before by an independent prototype, with Inductor's estimator agreeing on every order."""
    _, _, found = captured(model, size)
    assert (found.traced_peak, found.peak, found.lower_bound) == (traced, best, best)
    assert found.states < 10_000
