"""Sweeps: every cell is what a call gives at that point, and empty where a call is refused."""

from __future__ import annotations

from fractions import Fraction
from itertools import count, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fxcost
from fxcost.cost import Cost
from fxcost.errors import FxcostError, OutsideDomain, SpecError, UnknownName
from fxcost.ir.expr import Expr, const, floordiv, maximum, symbol
from fxcost.ir.graph import Standing
from fxcost.ir.predicate import Compare, Predicate
from fxcost.ir.specs import parse_over
from fxcost.ir.symbols import SymbolInfo
from fxcost.query.grid import Grid
from fxcost.query.quantity import Quantity
from fxcost.query.sweep import Plan, Sweep, plan_sweep
from tests.strategies import Shadowed, predicates, shadowed
from tests.support.commands import DATA

N, H, W = (symbol(name) for name in "NHW")
SYMBOLS = (SymbolInfo("N"), SymbolInfo("H"), SymbolInfo("W"))


def swept(value: Expr, over: dict[str, Any], *domain: Predicate, symbols: Any = SYMBOLS, **options: Any) -> Sweep:
    return planned(value, over, *domain, symbols=symbols, **options).table()


def planned(value: Expr, over: dict[str, Any], *domain: Predicate, symbols: Any = SYMBOLS, **options: Any) -> Plan:
    quantity = Quantity("macs", "MAC", value, domain=domain, symbols=symbols)
    return plan_sweep([quantity], Grid.of(symbols, over, **options))


@pytest.fixture(scope="module")
def resnet() -> Cost:
    return fxcost.analyze(str(DATA / "resnet18.mlir"))


# -- what a cell is ------------------------------------------------------------------------------------------------
@settings(max_examples=60)
@given(
    form=shadowed(),
    guard=predicates(),
    heights=st.lists(st.integers(-2, 40), min_size=1, max_size=6),
    widths=st.tuples(st.integers(-3, 9), st.integers(1, 7), st.integers(1, 4)),
    batch=st.integers(1, 5),
    low=st.integers(1, 9),
    span=st.integers(0, 30),
    multiple=st.integers(1, 3),
    length=st.integers(1, 9),
)
def test_a_cell_is_what_a_call_gives(
    form: Shadowed,
    guard: Predicate,
    heights: list[int],
    widths: tuple[int, int, int],
    batch: int,
    low: int,
    span: int,
    multiple: int,
    length: int,
) -> None:
    first, size, step = widths
    symbols = (SymbolInfo("N"), SymbolInfo("H", low, low + span, multiple), SymbolInfo("W"))
    quantity = Quantity("macs", "MAC", form.value, domain=(guard,), symbols=symbols)
    axis = range(first, first + size * step, step)
    plan = plan_sweep([quantity], Grid.of(symbols, {"H": heights, "W": axis}, {"N": batch}))
    expected = []
    for height, width in product(heights, axis):
        try:
            cell = quantity.at({"N": batch, "H": height, "W": width})
        except (OutsideDomain, SpecError):
            cell = None
        expected.append({"H": height, "W": width, "macs": cell})
    assert list(plan.table()) == expected
    assert [row for part in plan.slices(length) for row in part.rows()] == expected


@given(form=shadowed(names=("N", "H", "W")), factor=st.integers(1, 3), more=st.integers(0, 5))
def test_a_tied_symbol_follows(form: Shadowed, factor: int, more: int) -> None:
    table = swept(form.value, {"H": range(1, 9), "N": [2, 1]}, tie={"W": f"{factor}*H+{more}"})
    assert table.columns == ("H", "N", "W", "macs")
    for row, (height, batch) in zip(table, product(range(1, 9), [2, 1]), strict=True):
        point = {"H": height, "N": batch, "W": factor * height + more}
        assert row == point | {"macs": form.shadow(point)}


def test_a_tied_symbol_keeps_its_range() -> None:
    symbols = (SymbolInfo("H"), SymbolInfo("W", 4, 20, 4))
    table = swept(H * W, {"H": range(1, 13)}, symbols=symbols, tie={"W": "2*H"})
    assert [row["H"] for row in table if row["macs"] is not None] == [2, 4, 6, 8, 10]


def test_nothing_is_evaluated_outside_the_domain() -> None:
    """H // (W - 2) divides by zero at W = 2, where the guard is false, and the second guard would, too."""
    quotient = floordiv(H, W - 2)
    guards = (Compare(">", W, const(2)), Compare(">=", quotient, H - 8))
    table = swept(quotient, {"W": [1, 2, 3, 5]}, *guards, at={"H": 10})
    assert [row["macs"] for row in table] == [None, None, 10, 3]
    assert table.outside == {"macs": 2}


@pytest.mark.parametrize("stride", [3, 6, 7, 9, 11, 14])
def test_floors_stay_integers_where_floats_fail(stride: int) -> None:
    table = swept(floordiv(H - 1, stride) + 1, {"H": range(1, 5000)})
    assert [row["macs"] for row in table] == [(h - 1) // stride + 1 for h in range(1, 5000)]


def test_totals_beyond_64_bits() -> None:
    table = swept(N * H**3, {"H": [1, 10**7, 3 * 10**9, 10**30]}, at={"N": 10**9})
    assert [row["macs"] for row in table] == [10**9, 10**30, 27 * 10**36, 10**99]
    assert table.arrays["macs"].dtype == object
    half = swept(N * H**3, {"H": range(1, 10**12, 10**11)}, Compare(">", H, N), at={"N": 10**9})
    assert [row["macs"] for row in half] == [None, *(10**9 * h**3 for h in range(1 + 10**11, 10**12, 10**11))]


def test_a_mixture_of_widths_over_slices() -> None:
    plan = planned(H**3, {"H": [1, 2, 10**9, 3]})
    kinds = [part.columns["macs"].dtype.kind for part in plan.slices(2)]
    assert kinds == ["i", "O"]
    assert [row["macs"] for part in plan.slices(2) for row in part.rows()] == [1, 8, 10**27, 27]


# -- a whole model -------------------------------------------------------------------------------------------------
def test_metrics_of_a_model(resnet: Cost) -> None:
    table = resnet.sweep({"H": range(64, 513, 32)}, {"N": 2}, {"W": "H"}, ["macs", "peak_memory", "params"])
    assert table.columns == ("H", "W", "macs", "peak_memory", "params")
    assert len(table) == 15
    for row in table:
        point = {"N": 2, "H": row["H"], "W": row["H"]}
        assert (row["macs"], row["peak_memory"]) == (resnet.macs(**point), resnet.peak_memory(**point))
    assert {row["params"] for row in table} == {11_689_512}
    assert set(table.standing.values()) == {Standing.EXACT}
    assert table.outside == {}


def test_intensity_is_rounded_once(resnet: Cost) -> None:
    for row in resnet.sweep({"H": [33, 64]}, {"N": 1}, {"W": "H"}, "arithmetic_intensity"):
        assert row["arithmetic_intensity"] == float(resnet.arithmetic_intensity(N=1, H=row["H"], W=row["W"]))


@pytest.mark.parametrize("target", ["h100-sxm", "stm32h743", "t4"])
def test_latency_is_that_of_a_single_point(resnet: Cost, target: str) -> None:
    """Small images stay on chip, large ones do not: the conditions are decided point by point."""
    table = resnet.sweep({"H": [8, 64, 224, 1024]}, {"N": 1}, {"W": "H"}, [f"latency:{target}", f"energy:{target}"])
    kinds = [name.partition(":")[0] for name in table.columns[2:]]
    assert {"lecture", "bound", "roofline"} <= set(kinds)
    for row in table:
        estimate = resnet.on(target, at={"N": 1, "H": row["H"], "W": row["W"]})
        assert {kind: row[f"{kind}:{target}"] for kind in kinds} == {kind: getattr(estimate, kind) for kind in kinds}


def test_a_lower_bound_stays_one() -> None:
    lower = Quantity("macs", "MAC", H, Standing.LOWER, symbols=SYMBOLS)
    table = plan_sweep([lower], Grid.of(SYMBOLS, {"H": [1]})).table()
    assert table.standing == {"macs": Standing.LOWER}


# -- the table -----------------------------------------------------------------------------------------------------
def test_rows_are_a_sequence() -> None:
    table = swept(H * 2, {"H": range(1, 101)}, Compare("<=", H, const(99)))
    assert table[0] == {"H": 1, "macs": 2}
    assert table[-1] == {"H": 100, "macs": None}
    assert table.rows[2:4] == ({"H": 3, "macs": 6}, {"H": 4, "macs": 8})
    with pytest.raises(IndexError):
        table[100]
    assert table.to_csv().splitlines()[-2:] == ["99,198", "100,"]
    assert str(table).splitlines()[-1] == "100 points"
    assert type(table[0]["macs"]) is int


def test_pandas_keeps_integers_and_gaps() -> None:
    pandas = pytest.importorskip("pandas")
    frame = swept(H * 2, {"H": range(1, 4)}, Compare("<=", H, const(2))).to_pandas()
    assert str(frame["macs"].dtype) == "Int64"
    assert frame["macs"][1] == 4
    assert pandas.isna(frame["macs"][2])
    wide = swept(H * 10**30, {"H": [1, 2]}, Compare("<=", H, const(1))).to_pandas()
    assert wide["macs"][0] == 10**30


def test_a_range_of_any_length_costs_nothing_until_it_runs() -> None:
    plan = planned(maximum(H, 5), {"H": range(1, 10**15)})
    assert plan.grid.size == 10**15 - 1
    assert next(plan.slices(4)).cells("macs") == [5, 5, 5, 5]
    with pytest.raises(SpecError, match="too many for a table in memory"):
        plan.table()


# -- what is refused -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("over", "options", "part"),
    [
        ({}, {}, "sweep over nothing"),
        ({"H": []}, {}, "H takes no size: the list is empty"),
        ({"H": range(9, 3)}, {}, r"range\(9, 3\) is empty"),
        ({"Q": [1]}, {}, "no symbol 'Q'"),
        ({"H": "64"}, {}, "expected the sizes"),
        ({"H": 64}, {}, "expected the sizes"),
        ({"H": [1.5]}, {}, "sizes are integers"),
        ({"H": [True]}, {}, "sizes are integers"),
        ({"H": count(1)}, {}, "more than 16,777,216 sizes"),
        ({"H": range(1, 2**40), "W": range(1, 2**40)}, {}, "can be counted"),
        ({"H": [1]}, {"at": {"H": 2}}, "both swept and given"),
        ({"H": [1]}, {"at": {"W": 2}, "tie": {"W": "H"}}, "given and tied"),
        ({"H": [1]}, {"tie": {"H": "W"}}, "both swept and tied"),
        ({"H": [1]}, {"tie": {"W": "N"}}, "N is neither swept nor given"),
        ({"H": [1]}, {"at": {"N": 0}}, "outside its range"),
        ({"H": [1]}, {}, "also needs W"),
    ],
)  # fmt: skip
def test_bad_grids(over: dict[str, Any], options: dict[str, Any], part: str) -> None:
    with pytest.raises(SpecError, match=part):
        swept(H * W, over, **options)


@pytest.mark.parametrize(
    ("metrics", "error", "part"),
    [
        ([], SpecError, "without metrics"),
        (["mac"], UnknownName, "did you mean 'macs'"),
        (["speed:t4"], UnknownName, "no 'speed' of a target"),
        (["roofline:t5"], FxcostError, "t4"),
        (["min_peak_memory"], SpecError, "takes a search at every point"),
    ],
)
def test_bad_metrics(resnet: Cost, metrics: list[str], error: type[Exception], part: str) -> None:
    with pytest.raises(error, match=part):
        resnet.sweep({"H": [64]}, {"N": 1}, {"W": "H"}, metrics)


@pytest.mark.parametrize(
    ("text", "sizes"),
    [("H=64:512:32", range(64, 513, 32)), ("H=3:5", range(3, 6)), ("H = 7", [7]), ("H=64,128 , 96", [64, 128, 96])],
)
def test_sizes_as_text(text: str, sizes: range | list[int]) -> None:
    assert parse_over([text]) == {"H": sizes}


@pytest.mark.parametrize(
    ("texts", "part"),
    [
        (["H"], "is not NAME=FIRST:LAST:STEP"),
        (["H="], "is not NAME"),
        (["H=1:2:3:4"], "is not NAME"),
        (["H=a"], "'a' is not a number"),
        (["H=1:-2"], "'-2' is not a number"),
        (["H=9:3"], "is empty: 3 is less than 9"),
        (["H=1:9:0"], "the step is 0"),
        (["H=1,,2"], "'' is not a number"),
        (["H=1", "H=2"], "H is given twice"),
        (["H=" + "9" * 40], "up to 18 digits"),
    ],
)
def test_sizes_that_are_refused(texts: list[str], part: str) -> None:
    with pytest.raises(SpecError, match=part):
        parse_over(texts)


def test_intensity_is_a_quotient_of_integers() -> None:
    from fxcost.query.sweep import ratio

    above, below = (Quantity(name, "x", value, symbols=SYMBOLS) for name, value in (("a", H * 10**30), ("b", H + 1)))
    grid = Grid.of(SYMBOLS, {"H": range(1, 50)})
    for row in plan_sweep([ratio("r", "x", above, below, grid)], grid).table():
        assert row["r"] == float(Fraction(row["H"] * 10**30, row["H"] + 1))


def test_columns_are_arrays() -> None:
    arrays = swept(H * 2, {"H": range(1, 4)}).arrays
    assert not np.ma.isMaskedArray(arrays["macs"])
    assert arrays["macs"].tolist() == [2, 4, 6]
