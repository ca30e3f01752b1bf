"""Frontiers of two sizes equal brute force over the grid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fxcost
from fxcost.errors import SpecError
from fxcost.ir.expr import floordiv, maximum, symbol
from fxcost.ir.symbols import SymbolInfo
from fxcost.query.frontier import frontier
from fxcost.query.quantity import Quantity
from tests.support.commands import DATA, answer, shell

N, S = symbol("N"), symbol("S")


@settings(max_examples=80, deadline=None)
@given(
    st.tuples(*[st.integers(0, 9)] * 4),
    st.integers(1, 400),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.booleans(),
)
def test_a_pair_is_admitted_exactly_where_the_constraint_holds(
    factors: tuple[int, int, int, int], limit: int, steps: tuple[int, int], ends: bool
) -> None:
    a, b, c, d = factors
    value = maximum(a * N * S + b * floordiv(S, 2), c * N + d * S * S)
    top = 40 if ends else None
    symbols = (SymbolInfo("N", 1, top, steps[0]), SymbolInfo("S", 1, top, steps[1]))
    cost = Quantity("cost", "bytes", value, symbols=symbols)
    found = frontier([cost <= limit], ("N", "S"), symbols, {})
    for n in range(steps[0], 41, steps[0]):
        for s in range(steps[1], 41, steps[1]):
            worth = max(a * n * s + b * (s // 2), c * n + d * s * s)
            assert found.admits(n, s) is (worth <= limit)
    firsts = [point[0] for point in found.points]
    seconds = [float("inf") if point[1] is None else point[1] for point in found.points]
    assert firsts == sorted(set(firsts))
    assert seconds == sorted(set(seconds), reverse=True)


def test_batch_against_length_of_a_language_model() -> None:
    cost = fxcost.analyze(DATA / "tiny_llama.mlir")
    limit = 1_000_000
    found = cost.frontier(cost.peak_memory <= limit, ("N", "S"))
    for n, s in found.points:
        assert s is not None
        assert cost.peak_memory(N=n, S=s) <= limit
        assert cost.peak_memory(N=n + 1, S=s) > limit
        assert cost.peak_memory(N=n, S=s + 1) > limit


def test_what_is_not_monotone_or_unknown_is_refused() -> None:
    symbols = (SymbolInfo("N"), SymbolInfo("S"))
    wavy = Quantity("cost", "bytes", N * S - 7 * S, symbols=symbols)
    with pytest.raises(SpecError, match="not proven to tighten"):
        frontier([wavy <= 10], ("N", "S"), symbols, {})
    with pytest.raises(SpecError, match="no symbol"):
        frontier([wavy <= 10], ("N", "X"), symbols, {})
    with pytest.raises(SpecError, match="no constraint"):
        frontier([], ("N", "S"), symbols, {})


def test_on_the_command_line() -> None:
    assert "N = 1  S = 23" in answer("solve DATA/tiny_llama.mlir 'peak_memory < 100KB' --for N,S")
    assert shell("solve DATA/tiny_llama.mlir 'peak_memory < 1KB' --for N,S").code == 4
    assert shell("solve DATA/tiny_llama.mlir 'roofline < 1ms' --target t4 --for N,S").code == 2
    assert "H <= 176" in answer("solve DATA/resnet18.mlir 'energy <= 20mJ' --target t4 --for H --at N=1 --tie W=H")
    assert "name one with --target" in shell("solve DATA/resnet18.mlir 'energy <= 20mJ' --for H --tie W=H").err
    assert "expected a number with s" in shell("solve DATA/resnet18.mlir 'bound <= 5' --target t4 --for H").err


def test_compare_on_the_command_line() -> None:
    line = "compare DATA/resnet18.mlir DATA/mobilenet_v2.mlir --metric peak_memory --at N=1 --tie W=H"
    assert "resnet18 needs less peak_memory for H >= 1" in answer(line)
    other = "compare DATA/resnet18.mlir DATA/mobilenet_v2.mlir --metric macs --at N=1 --tie W=H --json"
    assert json.loads(answer(other))["more"] == [[1, None]]
    assert shell("compare DATA/resnet18.mlir DATA/resnet18.mlir --metric nothing").code == 2
    assert shell("compare DATA/resnet18.mlir DATA/resnet18.mlir --at N=1").code == 2


def test_a_comparison_as_a_picture(tmp_path: Path) -> None:
    """Both names and the crossing are in the picture; a name that is no picture's is refused before any work."""
    path = tmp_path / "curves.svg"
    line = (
        "compare DATA/tiny_llama.mlir DATA/tiny_llama.mlir --metric roofline --target t4 --target jetson-orin-nano-8gb"
    )
    ran = shell(f"{line} --at N=1 --plot {path}")
    assert (ran.code, ran.err) == (0, "")
    text = path.read_text()
    assert "t4" in text
    assert "roofline along S" in text
    assert shell(f"{line} --at N=1 --plot {tmp_path}/curves.txt").code == 2
    assert [p.name for p in tmp_path.iterdir()] == ["curves.svg"]
