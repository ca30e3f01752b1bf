"""A seeded minute of the fuzzer that `make fuzz` runs for ten; random graphs come back from both forms of the text."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fxcost.ir.graph import Graph, Variant
from fxcost.ir.text import print_graph
from fxcost.ir.text_reader import parse_program
from tests.strategies import SYMBOLS, graphs


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(graphs(), st.lists(st.tuples(st.sets(st.sampled_from(SYMBOLS), min_size=1), graphs()), max_size=2))
def test_random_graphs_come_back_with_their_variants(graph: Graph, others: list[tuple[set[str], Graph]]) -> None:
    variants = tuple(Variant(frozenset(ones), other) for ones, other in others)
    for form in ("generic", "pretty"):
        text = print_graph(graph, None, variants, form=form)
        again = parse_program(text)
        assert (again.graph, again.variants) == (graph, variants)
        assert print_graph(again.graph, None, again.variants, form=form) == text


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("atheris") is None, reason="atheris is not installed (pip install -c constraints.txt atheris)"
)
def test_a_minute_of_fuzzing_finds_nothing(tmp_path: Path) -> None:
    from tests.fuzz.run import fuzz

    found = fuzz(tmp_path, seconds=60, seed=1)
    print(found)
    assert found.executions > 2_000
    assert found.coverage["reader"] > 0.9, str(found)
    assert found.coverage["text_reader"] > 0.8, str(found)
    assert found.coverage["mlir_reader"] > 0.9, str(found)
