"""Memory plans against brute force, perfect packings, public stress instances, and a checker apart from the maker."""

from __future__ import annotations

import random
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fxcost
from fxcost.errors import Infeasible, SpecError
from fxcost.passes import memory_plan, memory_plan_problem
from fxcost.passes.memory_plan import Plan, plan
from fxcost.passes.memory_plan_check import check_plan
from fxcost.passes.memory_plan_csv import read_buffers
from fxcost.passes.memory_plan_problem import Request, components, large_first, load_bound, padded
from tests.support.packings import Buffer, guillotine, pinwheels

INSTANCES = Path(__file__).parents[1] / "data" / "minimalloc"


def overlapping(a: Buffer, b: Buffer) -> bool:
    return max(a[1], b[1]) < min(a[2], b[2])


def assert_holds(found: Plan, buffers: list[Buffer], alignment: int = 1) -> None:
    """Pair by pair, from the definition: no overlap, aligned, within the height, not below the load at any time."""
    at = found.offsets
    for i, a in enumerate(buffers):
        assert at[a[0]] >= 0
        assert at[a[0]] % alignment == 0
        assert at[a[0]] + a[3] <= found.height
        for b in buffers[:i]:
            if overlapping(a, b):
                assert at[a[0]] + a[3] <= at[b[0]] or at[b[0]] + b[3] <= at[a[0]]
    loads = [sum(padded(s, alignment) for _, lo, up, s in buffers if lo <= t < up) for _, t, _, _ in buffers]
    assert found.load_bound == max([*loads, *(padded(b[3], alignment) for b in buffers)], default=0)
    assert found.load_bound <= found.lower_bound <= found.height
    assert found.optimal is (found.lower_bound == found.height)


def least_height(buffers: list[Buffer]) -> int:
    """Exhaustive: sorted by address, every buffer of some best plan rests on the highest earlier one that it meets."""
    best = sum(b[3] for b in buffers)
    for order in permutations(buffers):
        tops: list[int] = []
        for i, b in enumerate(order):
            tops.append(b[3] + max((tops[j] for j in range(i) if overlapping(order[j], b)), default=0))
        best = min(best, max(tops, default=0))
    return best


@st.composite
def buffer_lists(draw: st.DrawFn, most: int, longest: int = 8, largest: int = 6) -> list[Buffer]:
    count = draw(st.integers(0, most))
    found = []
    for i in range(count):
        lower = draw(st.integers(-2, longest))
        found.append((f"b{i}", lower, lower + draw(st.integers(0, longest)), draw(st.integers(0, largest))))
    return found


@settings(max_examples=150, deadline=None)
@given(buffer_lists(most=6))
def test_heights_are_those_of_exhaustive_search(buffers: list[Buffer]) -> None:
    found = plan(buffers)
    assert_holds(found, buffers)
    assert found.optimal
    assert found.height == max([least_height(buffers), *(b[3] for b in buffers)])


@pytest.mark.parametrize("seed", range(12))
def test_seven_buffers_with_fragmentation(seed: int) -> None:
    """Long lifetimes and coarse sizes, where the load bound is often out of reach."""
    rng = random.Random(seed)
    buffers: list[Buffer] = []
    for i in range(7):
        lower = rng.randrange(6)
        buffers.append((str(i), lower, lower + rng.randint(1, 4), rng.choice((2, 3, 5, 7))))
    found = plan(buffers)
    assert_holds(found, buffers)
    assert (found.height, found.optimal) == (least_height(buffers), True)


def crowded(seed: int, total: int, pieces: int) -> list[Buffer]:
    """Memory that is full at every moment: what dies is followed by other sizes of the same sum."""
    rng = random.Random(seed)
    found: list[tuple[int, int, int]] = []
    alive: list[tuple[int, int]] = []
    room, now = total, 0
    while True:
        while room:
            size = rng.randint(1, min(room, 4))
            alive.append((now, size))
            room -= size
        now += 1
        if len(found) + len(alive) >= pieces:
            found += [(lower, now, size) for lower, size in alive]
            return [(str(i), *buffer) for i, buffer in enumerate(found)]
        for gone in rng.sample(alive, min(len(alive), rng.choice((1, 2, 2, 3)))):
            alive.remove(gone)
            found.append((gone[0], now, gone[1]))
            room += gone[1]


def fits_below(height: int, buffers: list[Buffer], placed: tuple[tuple[Buffer, int], ...] = ()) -> bool:
    """Exhaustive: every address for every buffer, in order of their starts."""
    if len(placed) == len(buffers):
        return True
    buffer = sorted(buffers, key=lambda b: b[1])[len(placed)]
    meets = [(at, at + b[3]) for b, at in placed if overlapping(buffer, b)]
    return any(
        fits_below(height, buffers, (*placed, (buffer, at)))
        for at in range(height - buffer[3] + 1)
        if all(at + buffer[3] <= low or high <= at for low, high in meets)
    )


def test_heights_above_the_load_are_proven() -> None:
    """Where the load bound is out of reach, the search has to refute it: every address tried, nothing fits there."""
    refuted = 0
    for seed in range(400):
        buffers = crowded(seed, 6, 16)
        found = plan(buffers)
        assert_holds(found, buffers)
        if found.height > found.load_bound:
            assert found.optimal
            assert not fits_below(found.height - 1, buffers)
            refuted += 1
    assert refuted


@settings(max_examples=60, deadline=None)
@given(buffer_lists(most=40, longest=30, largest=200), st.sampled_from((1, 4, 16)))
def test_plans_hold(buffers: list[Buffer], alignment: int) -> None:
    assert_holds(plan(buffers, alignment=alignment, time_limit=0.3), buffers, alignment)


@settings(max_examples=60, deadline=None)
@given(buffer_lists(most=6, largest=5), st.lists(st.integers(1, 8), min_size=2, max_size=3))
def test_banks_against_every_assignment(buffers: list[Buffer], banks: list[int]) -> None:
    """A plan in banks exists exactly where some assignment of the buffers packs into each bank."""

    def fits(rest: list[Buffer], chosen: list[list[Buffer]]) -> bool:
        if not rest:
            return all(least_height(mine) <= room for mine, room in zip(chosen, banks, strict=True))
        head, *tail = rest
        return any(
            head[3] <= banks[i] and fits(tail, [[*c, head] if i == k else c for k, c in enumerate(chosen)])
            for i in range(len(banks))
        )

    real = [b for b in buffers if b[1] < b[2] and b[3]][:5]
    possible = fits(real, [[] for _ in banks])
    if not possible:
        with pytest.raises(Infeasible):
            plan(real, banks)
        return
    found = plan(real, banks)
    check_plan(found.buffers, found.offsets, banks, 1, found.banks)


@pytest.mark.parametrize("name", [*"ABCDGK", *(pytest.param(name, marks=pytest.mark.slow) for name in "EFHIJ")])
def test_stress_instances_fit_into_a_mebibyte(name: str) -> None:
    """Most have no byte to spare; no greedy order fits any of them."""
    source = read_buffers(INSTANCES / f"{name}.1048576.csv")
    found = plan(source.requests, 1 << 20)
    assert found.height <= 1 << 20
    assert_holds(found, list(source.requests))


@pytest.mark.parametrize("cut", [guillotine, pinwheels])
@pytest.mark.parametrize("pieces", [40, 80])
@pytest.mark.parametrize("seed", range(4))
def test_perfect_packings_are_found(cut: object, pieces: int, seed: int) -> None:
    buffers = cut(pieces, seed)  # type: ignore[operator]
    found = plan(buffers)
    assert_holds(found, buffers)
    assert (found.height, found.optimal) == (1000, True)


def test_interrupted_it_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fxcost.passes.memory_plan_search.Fitting.run", interrupt)
    buffers = pinwheels(40, 0)
    found = plan(buffers)
    assert_holds(found, buffers)
    assert (found.stopped, found.optimal) == ("interrupted", False)


def test_out_of_time_it_keeps_what_it_has() -> None:
    buffers = pinwheels(80, 0)
    found = plan(buffers, time_limit=0)
    assert_holds(found, buffers)
    assert not found.optimal


@pytest.mark.slow
@pytest.mark.parametrize("side", [20, 30, 50])
@pytest.mark.parametrize("seed", range(100, 106))
def test_perfect_packings_on_coarse_grids(side: int, seed: int) -> None:
    """Small numbers leave many equal sizes and lifetimes: harder than fine cuts."""
    assert plan(pinwheels(80, seed, side)).height == side


def test_the_same_plan_every_time() -> None:
    buffers = pinwheels(40, 3)
    assert plan(buffers).offsets == plan(buffers).offsets


def test_the_checker_sees_what_is_wrong() -> None:
    requests = [Request("a", 0, 2, 4), Request("b", 1, 3, 4), Request("c", 2, 4, 4)]
    assert check_plan(requests, {"a": 0, "b": 4, "c": 0}, 8, 4) == (8,)
    for offsets, capacity, alignment, complaint in (
        ({"a": 0, "b": 3, "c": 8}, None, 1, "overlap"),
        ({"a": 0, "b": 4, "c": 0}, 7, 1, "beyond its arena"),
        ({"a": 0, "b": 6, "c": 0}, None, 4, "multiple of 4"),
        ({"a": 0, "b": -4, "c": 0}, None, 1, "multiple of 1"),
        ({"a": 0, "b": 4}, None, 1, "no place"),
    ):
        with pytest.raises(SpecError, match=complaint):
            check_plan(requests, offsets, capacity, alignment)


def test_the_checker_agrees_with_the_definition() -> None:
    """Random offsets: refused exactly where two buffers that live at the same time share a byte."""
    rng = random.Random(1)
    verdicts = set()
    for _ in range(400):
        requests = [
            Request(str(i), lo := rng.randrange(5), lo + rng.randint(1, 4), rng.randint(1, 3)) for i in range(5)
        ]
        offsets = {r.id: rng.randrange(9) for r in requests}
        clash = any(
            overlapping(a, b) and offsets[a.id] < offsets[b.id] + b.size and offsets[b.id] < offsets[a.id] + a.size
            for i, a in enumerate(requests)
            for b in requests[:i]
        )
        verdicts.add(clash)
        try:
            check_plan(requests, offsets)
        except SpecError:
            assert clash
        else:
            assert not clash
    assert verdicts == {True, False}


def test_what_cannot_fit_is_infeasible() -> None:
    buffers = [("a", 0, 2, 6), ("b", 1, 3, 6)]
    with pytest.raises(Infeasible, match="12 bytes are alive"):
        fxcost.plan(buffers, 11)
    with pytest.raises(Infeasible, match="largest bank"):
        fxcost.plan(buffers, [5, 5, 5])
    assert fxcost.plan(buffers, [6, 6]).heights == (6, 6)


@pytest.mark.parametrize(
    ("buffers", "complaint"),
    [
        ([("a", 0, 1, -1)], "size is -1"),
        ([("a", 2, 1, 1)], "before it begins"),
        ([("a", 0, 1, 1), ("a", 0, 1, 1)], "used twice"),
        ([("a", 0, 1)], "expected"),
        ([("a", 0, 1, 1.5)], "three integers"),
        ([7], "expected"),
    ],
)
def test_malformed_buffers_are_one_error(buffers: list[object], complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint):
        plan(buffers)


def test_any_number_of_buffers_gets_a_plan() -> None:
    """Twenty thousand lifetimes at random, then all at once."""
    rng = random.Random(0)
    buffers = [
        (str(i), lo := rng.randrange(10**6), lo + rng.randint(1, 2000), rng.randint(1, 10**18)) for i in range(20_000)
    ]
    found = plan(buffers, time_limit=2)
    assert check_plan(found.buffers, found.offsets) == (found.height,)
    assert found.lower_bound == found.load_bound == load_bound(found.buffers)
    together = plan([(str(i), 0, 1, 3) for i in range(20_000)], time_limit=2)
    assert (together.height, together.optimal) == (60_000, True)


def test_arrays_say_what_loops_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many buffers go through arrays: the same load, parts and order, with idle, empty and aligned ones among them."""
    for seed in range(200):
        rng = random.Random(seed)
        buffers = tuple(
            Request(str(i), lo := rng.randrange(-5, 60), lo + rng.randint(0, 6), rng.choice((0, 1, 7, 10**15)))
            for i in range(rng.randint(1, 30))
        )
        for alignment in (1, 16):
            monkeypatch.setattr(memory_plan_problem, "MANY", 50_000)
            loops = load_bound(buffers, alignment), [sorted(part) for part in components(buffers)]
            sizes = [buffers[i].size for i in large_first(buffers, list(range(len(buffers))))]
            monkeypatch.setattr(memory_plan_problem, "MANY", 0)
            assert (load_bound(buffers, alignment), [sorted(part) for part in components(buffers)]) == loops
            assert [buffers[i].size for i in large_first(buffers, list(range(len(buffers))))] == sizes


@pytest.mark.slow
def test_very_many_buffers_keep_to_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty thousand without any time: a plan all the same, by rounded sizes; with time a better one."""
    rng = random.Random(0)
    buffers = [
        (str(i), lo := rng.randrange(60_000), lo + rng.randint(1, 200), rng.randint(1, 999)) for i in range(60_000)
    ]
    first = plan(buffers, time_limit=0)
    monkeypatch.setattr(memory_plan, "PATIENCE", 0)
    hurried = plan(buffers, time_limit=0)
    assert first.stopped == "time limit"
    assert first.height < hurried.height
    assert check_plan(hurried.buffers, hurried.offsets) == (hurried.height,)
    assert hurried.stopped == "time limit"
    assert plan(buffers, time_limit=60).height < hurried.height


def test_nothing_to_place() -> None:
    assert (plan([]).height, plan([]).optimal) == (0, True)
    assert plan([("a", 3, 3, 8), ("b", 0, 9, 0)]).height == 8  # never alive, but inside the arena
