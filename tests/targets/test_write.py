"""Targets written as text and read back."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxcost.target import Efficiency, Share, Source, load_target, parse_target, targets
from fxcost.target.write import to_toml


@pytest.mark.parametrize("name", targets())
def test_every_shipped_target_survives(name: str) -> None:
    target = load_target(name)
    assert parse_target(to_toml(target).encode(), "again") == target


RATES = st.floats(1e-6, 1e12)
SHARES = st.builds(Share, RATES, RATES, st.none() | RATES, st.none() | RATES)
LINES = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1)


@given(
    SHARES,
    SHARES,
    st.none() | RATES,
    st.sampled_from(["max", "sum"]),
    st.booleans(),
    st.dictionaries(st.sampled_from(["conv", "conv_depthwise", "view", "default"]), st.floats(0, 1), min_size=1),
    LINES,
)
def test_any_fit_survives(
    first: Share,
    second: Share,
    noise: float | None,
    combine: str,
    counts: bool,
    overheads: dict[str, float],
    line: str,
) -> None:
    shares = (("default", first), ("conv_depthwise", second))
    fit = Efficiency(line, 3, 0.1, shares, counts, combine, noise, 1, "bf16", line)
    source = Source(("efficiency.*", "overhead.*"), line, date(2026, 11, 22), "yes", line)
    plain = load_target("epyc-genoa-1core-vm")
    keeps = tuple(s for s in plain.sources if not any(f.startswith(("efficiency", "overhead")) for f in s.figures))
    target = replace(plain, efficiency=fit, overhead_s=tuple(overheads.items()), sources=(*keeps, source), notes=line)
    assert parse_target(to_toml(target).encode(), "again") == target
