"""Growth, shares, doubling and assumptions: against limits computed with large numbers, and by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings

import fxcost
from fxcost.errors import SpecError, UnknownName
from fxcost.ir.expr import floordiv, maximum, mod, symbol
from fxcost.query.asymptotics import growth
from tests.strategies import Shadowed, shadowed
from tests.support.commands import DATA

N, S, H = symbol("N"), symbol("S"), symbol("H")


@settings(max_examples=150, deadline=None)
@given(shadowed(("H",), 8))
def test_the_leading_coefficient_is_the_limit(drawn: Shadowed) -> None:
    """Value / H**degree comes close to the coefficient at a huge size, and never outgrows the order."""
    found = growth(drawn.value)
    size = 10**40
    value = Fraction(drawn.shadow({"H": size}))
    degree = max((dict(powers).get("H", 0) for _, powers in found.terms), default=0)
    assert abs(value) <= 10**30 * size**degree
    if len(found.terms) == 1 and found.terms[0][0] is not None:
        coefficient = found.terms[0][0]
        assert abs(value / Fraction(size) ** degree - coefficient) < Fraction(1, 10**6)


def test_orders_as_people_write_them() -> None:
    assert growth(12 * N * S * S + 768 * N * S + 5).order == "O(N*S**2)"
    assert growth(N * H * H + N * S).order == "O(H**2*N + N*S)"
    assert growth(floordiv(H + 1, 2) * floordiv(H - 1, 3)).terms == ((Fraction(1, 6), (("H", 2),)),)
    assert growth(maximum(100 * S, S * S)).order == "O(S**2)"
    assert growth(mod(S, 7)).terms == ((None, ()),)
    assert str(growth(floordiv(S, 2) - floordiv(S, 2) * 1)) == "0"
    assert growth(floordiv(S, 3) + floordiv(2 * S, 3) - S).terms == ((None, ()),), "what is left is bounded, no more"


def test_attention_is_quadratic_and_convolution_linear_in_each_side() -> None:
    llama, resnet = fxcost.analyze(DATA / "tiny_llama.mlir"), fxcost.analyze(DATA / "resnet18.mlir")
    assert llama.macs.growth.order == "O(N*S**2)"
    assert llama.macs.growth.degrees == {"N": 1, "S": 2}
    assert resnet.macs.growth.order == "O(H*N*W)"
    assert resnet.params.growth.order == "O(1)"


def test_doubling_is_the_exact_quotient() -> None:
    cost = fxcost.analyze(DATA / "resnet18.mlir")
    at = {"N": 1, "H": 224, "W": 224}
    assert cost.macs.doubled("N", **at) == 2
    assert cost.macs.doubled("H", **at) == Fraction(cost.macs(N=1, H=448, W=224), cost.macs(**at))
    with pytest.raises(SpecError, match="give every symbol"):
        cost.macs.doubled("H", N=1)


def test_shares_of_modules_add_up_and_tend_to_their_limit() -> None:
    cost = fxcost.analyze(DATA / "resnet18.mlir")
    parts = [cost.share(name) for name in ("conv1", "layer1", "layer2", "layer3", "layer4", "fc")]
    assert sum(part(N=1, H=97, W=33) for part in parts) == 1
    limits = [part.limit for part in parts]
    assert sum(limit for limit in limits if limit is not None) == 1
    assert limits[-1] == 0, "the classifier does not grow with the image"
    huge = parts[1](N=1, H=10**9, W=10**9)
    assert limits[1] is not None
    assert abs(huge - limits[1]) < Fraction(1, 10**6)
    with pytest.raises(UnknownName, match="did you mean"):
        cost.share("layer11")


def test_an_assumption_turns_floors_into_polynomials() -> None:
    cost = fxcost.analyze(DATA / "resnet18.mlir")
    made = cost.macs.assume(H="32*h", W="32*w")
    assert "//" not in str(made)
    assert {s.name for s in made.symbols} == {"N", "h", "w"}
    for h, w in ((1, 1), (7, 7), (10, 3)):
        assert made(N=2, h=h, w=w) == cost.macs(N=2, H=32 * h, W=32 * w)
    with pytest.raises(SpecError, match="no symbol"):
        cost.macs.assume(X="32*x")
    with pytest.raises(fxcost.errors.FxcostError):
        cost.macs.assume(H="32*")
