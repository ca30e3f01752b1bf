"""Crossovers against brute force: every size of a range, decided by the definition in fractions."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fxcost
from fxcost.cost import Cost
from fxcost.errors import SpecError, UnknownName
from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import Expr, as_expr, floordiv, maximum, symbol
from fxcost.ir.predicate import Compare
from fxcost.ir.symbols import SymbolInfo
from fxcost.passes._rates import Load, Loads, Residence
from fxcost.query.crossover import Crossover, Question, crossover
from fxcost.query.spans import intersection, spans_text, union
from fxcost.target import load_target

DATA = Path(__file__).parent.parent / "data"
H = symbol("H")


def ask(compute: Loads, memory: Loads, info: SymbolInfo | None = None, **more: object) -> Crossover:
    question = Question("H", (info or SymbolInfo("H"),), **more)  # type: ignore[arg-type]
    return crossover("op", "box", compute, memory, question)


def side(amount: Expr | int, rate: float) -> Loads:
    return (Load(as_expr(amount), rate),)


# -- by hand ---------------------------------------------------------------------------------------------------------
def test_a_tie_stands_between_both_sides() -> None:
    # H**2 / 1 against 96 * H / 1: equal at 96
    found = ask(side(H**2, 1.0), side(96 * H, 1.0))
    assert (found.memory, found.ties, found.compute) == (((1, 95),), ((96, 96),), ((97, None),))
    assert found.thresholds == (96,)
    assert [found.binds(size) for size in (95, 96, 97)] == ["memory", "compute", "compute"]
    assert str(found) == "memory-bound for H <= 95; compute-bound for H >= 97; equal for H = 96"


def test_thresholds_are_exact_where_floats_are_not() -> None:
    # 10**17 * H / 3e8 against (10**17 * 95 + 1) / 3e8: floats cannot tell 95 * 10**17 from one more
    found = ask(side(10**17 * H, 3e8), side(10**17 * 95 + 1, 3e8))
    assert found.memory == ((1, 95),)
    assert found.compute == ((96, None),)


def test_rounded_sizes_cross_several_times() -> None:
    # H**2 against 8 * ((H + 7) // 8) * 10: 10 at H = 1..8 is 80 (H <= 8 -> 64 < 80), 160 at 9..16 (13**2 = 169), ...
    found = ask(side(H**2, 1.0), side(floordiv(H + 7, 8) * 80, 1.0))
    assert [found.binds(h) == "compute" for h in range(1, 60)] == [h * h >= (h + 7) // 8 * 80 for h in range(1, 60)]
    assert found.memory == ((1, 12),)


def test_memory_binds_again_where_the_level_is_full() -> None:
    # 100 H of compute; bytes take H seconds on chip and 200 H off it; the arena of H bytes fits up to 1000
    place = Residence("l2", H, 1000)
    memory = (Load(H, 1.0, level="l2", inside=place), Load(200 * H, 1.0, level="dram", outside=place))
    found = ask(side(100 * H, 1.0), memory)
    assert (found.compute, found.memory, found.ties) == (((1, 1000),), ((1001, None),), ())
    assert "where data stays in l2" in found.proof
    assert "where data does not stay in l2" in found.proof


def test_ranges_multiples_and_domains_limit_the_answer() -> None:
    info = SymbolInfo("H", min=32, max=256, multiple_of=32)
    found = ask(side(H**2, 1.0), side(100 * H, 1.0), info)
    assert (found.memory, found.compute) == (((32, 96),), ((128, 256),))
    assert found.thresholds == (128,)
    guarded = ask(side(H**2, 1.0), side(96 * H, 1.0), domain=(Compare(">=", H, as_expr(50)),))
    assert (guarded.memory, guarded.ties) == (((50, 95),), ((96, 96),))
    assert guarded.binds(20) == "unknown"
    beyond = ask(side(H, 1.0), side(10**6, 1.0))
    assert beyond.memory == ((1, 10**6 - 1),)


def test_one_side_alone() -> None:
    assert ask((), side(H, 1.0)).memory == ((1, None),)
    assert ask(side(H, 1.0), ()).compute == ((1, None),)
    assert ask((), ()).ties == ((1, None),)


# -- random terms ----------------------------------------------------------------------------------------------------
ATOMS = st.sampled_from(
    [as_expr(1), H, H**2, floordiv(H + 7, 8), floordiv(H + 1, 2) ** 2, maximum(H, 20), H * floordiv(H, 3)]
)
AMOUNTS = st.lists(st.tuples(st.integers(1, 500), ATOMS), min_size=1, max_size=3).map(
    lambda terms: sum((factor * atom for factor, atom in terms), as_expr(0))
)
RATES = st.sampled_from([1.0, 3.0, 0.1, 7e9, 3350e9, 17.2e12])
PLACES = st.sampled_from([None, Residence("l2", H * 3, 100), Residence("l2", H**2, 5000)])


@st.composite
def sides(draw: st.DrawFn) -> Loads:
    found = []
    for _ in range(draw(st.integers(0, 3))):
        place, kind = draw(PLACES), draw(st.sampled_from(["inside", "outside"]))
        inside, outside = (place, None) if kind == "inside" else (None, place)
        found.append(Load(draw(AMOUNTS), draw(RATES), inside=inside, outside=outside))
    return tuple(found)


def by_definition(loads: Sequence[Load], size: int) -> Fraction:
    env, found = {"H": size}, Fraction(0)
    for load in loads:
        if load.inside and evaluate(load.inside.need_bytes, env) > load.inside.capacity_bytes:
            continue
        if load.outside and evaluate(load.outside.need_bytes, env) <= load.outside.capacity_bytes:
            continue
        found += evaluate(load.amount, env) / Fraction(load.rate)
    return found


@settings(deadline=None, max_examples=60)
@given(sides(), sides(), st.sampled_from([1, 4]), st.integers(40, 200))
def test_every_size_is_on_the_side_of_the_definition(compute: Loads, memory: Loads, step: int, last: int) -> None:
    check_sizes(compute, memory, SymbolInfo("H", max=last, multiple_of=step))


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(sides(), sides(), st.sampled_from([1, 4]))
def test_without_an_end_of_the_range(compute: Loads, memory: Loads, step: int) -> None:
    check_sizes(compute, memory, SymbolInfo("H", multiple_of=step))


def check_sizes(compute: Loads, memory: Loads, info: SymbolInfo) -> None:
    found = ask(compute, memory, info)
    for size in range(info.multiple_of, (info.max or 200) + 1, info.multiple_of):
        slow, fast = by_definition(compute, size), by_definition(memory, size)
        here = {
            name: any(low <= size and (high is None or size <= high) for low, high in spans)
            for name, spans in (("compute", found.compute), ("memory", found.memory), ("ties", found.ties))
        }
        assert here == {"compute": slow > fast, "memory": fast > slow, "ties": slow == fast}, size


SPANS = st.lists(st.tuples(st.integers(1, 40), st.none() | st.integers(0, 10)), max_size=4).map(
    lambda pairs: [(low, None if more is None else low + more) for low, more in pairs]
)


@given(SPANS, SPANS)
def test_spans_are_sets(a: list[tuple[int, int | None]], b: list[tuple[int, int | None]]) -> None:
    def members(spans: Sequence[tuple[int, int | None]]) -> set[int]:
        return {n for n in range(1, 80) for low, high in spans if low <= n and (high is None or n <= high)}

    assert members(union(a, b)) == members(a) | members(b)
    assert members(intersection(a, b)) == members(a) & members(b)
    joined = union(a, b)
    assert all(before[1] is not None and before[1] + 1 < after[0] for before, after in pairwise(joined))


def test_spans_in_words() -> None:
    spans = [(1, 3), (5, 5), (7, 9), (12, 12), (20, None)]
    assert spans_text("H", spans) == "H <= 3, H = 5, 7 <= H <= 9, H = 12 and 1 more intervals"
    assert spans_text("H", [(1, None)]) == "H >= 1"


# -- whole models ----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module", params=["resnet18", "mobilenet_v2", "tiny_llama"])
def model(request: pytest.FixtureRequest) -> Cost:
    return fxcost.analyze(str(DATA / f"{request.param}.mlir"))


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "target",
    ["t4", pytest.param("mi300x", marks=SLOW), "raspberry-pi-5", pytest.param("epyc-genoa-1core-vm", marks=SLOW)],
)
def test_models_cross_where_their_estimates_do(model: Cost, target: str) -> None:
    """Every op's threshold, and the sizes beside it: the estimate at that point says the same."""
    found, machine = model.crossovers(target), load_target(target)
    wrt, tied = found[0].wrt, "W" if "W" in model.symbols else None
    edges = {size + shift for each in found for size in each.thresholds for shift in (-1, 0)}
    sizes = sorted({1, 7, 64, 500} | {size for size in edges if 1 <= size <= 2000})[:6]
    for size in sizes:
        at = {"N": 1, wrt: size} | ({tied: size} if tied else {})
        estimate = model.on(target, at=at)
        rows = {row.name: row for row in estimate.by_node()}
        assert set(rows) == {each.name for each in found[1:]}
        for each in found[1:]:
            row = rows[each.name]
            assert row.binds in {each.binds(size), "unknown"}, (each.name, size)
            times = [t or 0.0 for t in (row.t_compute_s, row.t_memory_s)]
            if abs(times[0] - times[1]) > 1e-9 * max(times):  # type: ignore[operator]
                assert each.binds(size) == ("compute" if times[0] > times[1] else "memory")
        # the whole network: products against every byte, which is the lecture's latency
        products = sum(2 * int(str(row.macs)) / (machine.peak(row.dtype) or 1.0) for row in rows.values())
        lecture = estimate.lecture
        assert isinstance(lecture, float)
        assert found[0].binds(size) == ("compute" if lecture <= products * (1 + 1e-9) else "memory")


def test_a_module_and_the_whole_network(model: Cost) -> None:
    whole = model.crossover("t4")
    assert whole.name == "the whole network"
    assert whole.given["N"] == 1
    name = model.graph.nodes[0].module
    part = model.crossover("t4", node=name)
    assert part.name == name
    assert part.memory or part.compute
    with pytest.raises(UnknownName, match="there is no node or module"):
        model.crossover("t4", node="no.such.layer")
    with pytest.raises(SpecError, match="no symbol 'Z'"):
        model.crossover("t4", wrt="Z")


def test_what_is_missing_gives_no_threshold(model: Cost) -> None:
    found = model.crossover("ethos-u55-256")
    assert "states no fp32 peak" in found.unknown
    assert (found.memory, found.compute, found.binds(10)) == ((), (), "unknown")
    assert str(found).startswith("unknown: compute time of fp32 products")


def test_resnet18_by_hand() -> None:
    """Layer 1's first 3x3 convolution on a T4, N = 1: where (H/4)**2 * 64 positions pay for the weights."""
    model = fxcost.analyze(str(DATA / "resnet18.mlir"))
    found = model.crossover("t4", node="layer1.0.conv1")

    # q = ceil(H / 4): 2 * 576 * 64 * q**2 / 8.1e12 against 4 * (2 * 64 * q**2 + 36,864) / 320e9, no weights where all of
    # them fit the cache of 4 MiB, which they do not (46.8 MB)
    def compute_binds(h: int) -> bool:
        q = -(-h // 4)
        return Fraction(2 * 576 * 64 * q**2, 8_100) >= Fraction(4 * (128 * q**2 + 36_864), 320)

    assert [found.binds(h) == "compute" for h in range(1, 400)] == [compute_binds(h) for h in range(1, 400)]
    assert found.thresholds == (29,)
