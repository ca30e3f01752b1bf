"""Hypothesis strategies: expressions with an independent integer computation beside them, predicates, whole graphs."""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hypothesis import strategies as st

from fxcost.ir.expr import Expr, ceildiv, const, floordiv, maximum, minimum, mod, symbol
from fxcost.ir.graph import Attribute, Effects, Graph, Node, Standing, State, Value
from fxcost.ir.predicate import AllOf, AnyOf, Compare, Predicate
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.types import DType, ScalarType, TensorType, ValueType

SYMBOLS = ("N", "H", "W")
Point = Mapping[str, int]


@dataclass(frozen=True)
class Shadowed:
    """An expression and its shadow: the same computation in plain Python integers, with no code in common."""

    value: Expr
    shadow: Callable[[Point], int]

    def __repr__(self) -> str:
        return str(self.value)


def shadowed(names: tuple[str, ...] = SYMBOLS, size: int = 12) -> st.SearchStrategy[Shadowed]:
    """Expressions of every operator; divisors are positive at every point of positive symbols."""
    leaves = st.one_of(
        st.sampled_from(names).map(lambda n: Shadowed(symbol(n), lambda p: p[n])),
        st.integers(-40, 40).map(lambda c: Shadowed(const(c), lambda p: c)),
    )
    return st.recursive(leaves, _grown, max_leaves=size)


def _grown(inner: st.SearchStrategy[Shadowed]) -> st.SearchStrategy[Shadowed]:
    divisors = st.one_of(
        st.integers(1, 33).map(lambda c: Shadowed(const(c), lambda p: c)),
        inner.map(lambda d: Shadowed(maximum(1, d.value), lambda p: max(1, d.shadow(p)))),
    )
    pairs = st.tuples(inner, inner)
    divisions = st.tuples(inner, divisors)
    return st.one_of(
        pairs.map(lambda ab: Shadowed(ab[0].value + ab[1].value, lambda p: ab[0].shadow(p) + ab[1].shadow(p))),
        pairs.map(lambda ab: Shadowed(ab[0].value - ab[1].value, lambda p: ab[0].shadow(p) - ab[1].shadow(p))),
        pairs.map(lambda ab: Shadowed(ab[0].value * ab[1].value, lambda p: ab[0].shadow(p) * ab[1].shadow(p))),
        pairs.map(lambda ab: Shadowed(maximum(*[x.value for x in ab]), lambda p: max(x.shadow(p) for x in ab))),
        pairs.map(lambda ab: Shadowed(minimum(*[x.value for x in ab]), lambda p: min(x.shadow(p) for x in ab))),
        inner.map(lambda a: Shadowed(-a.value, lambda p: -a.shadow(p))),
        inner.map(lambda a: Shadowed(a.value**2, lambda p: a.shadow(p) ** 2)),
        divisions.map(
            lambda ab: Shadowed(floordiv(ab[0].value, ab[1].value), lambda p: ab[0].shadow(p) // ab[1].shadow(p))
        ),
        divisions.map(lambda ab: Shadowed(mod(ab[0].value, ab[1].value), lambda p: ab[0].shadow(p) % ab[1].shadow(p))),
        divisions.map(
            lambda ab: Shadowed(ceildiv(ab[0].value, ab[1].value), lambda p: -(-ab[0].shadow(p) // ab[1].shadow(p)))
        ),
    )


def points(names: tuple[str, ...] = SYMBOLS, high: int = 300) -> st.SearchStrategy[dict[str, int]]:
    """A size for every symbol; small ones more often."""
    sizes = st.one_of(st.integers(1, 12), st.integers(1, high))
    return st.fixed_dictionaries(dict.fromkeys(names, sizes))


def expressions(names: tuple[str, ...] = SYMBOLS, size: int = 6) -> st.SearchStrategy[Expr]:
    """Expressions alone."""
    return shadowed(names, size).map(lambda s: s.value)


def predicates(names: tuple[str, ...] = SYMBOLS) -> st.SearchStrategy[Predicate]:
    """Comparisons, conjunctions and disjunctions, the empty ones and those of one part included."""
    compare = st.builds(
        Compare, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), expressions(names, 3), expressions(names, 3)
    )
    return st.recursive(
        compare,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda p: AllOf(tuple(p))),
            st.lists(inner, max_size=3).map(lambda p: AnyOf(tuple(p))),
        ),
        max_leaves=4,
    )


# -- graphs --------------------------------------------------------------------------------------------------------
# Words that lowering makes, and text of any characters: lone surrogates, quotes, line ends, bytes below the blank.
WORDS = st.text(string.ascii_lowercase + "_.", min_size=1, max_size=8)
TEXTS = st.one_of(WORDS, st.text(st.characters(), max_size=6))
NAMES = TEXTS.filter(bool)
OPS = st.one_of(
    st.sampled_from(
        ["aten.conv2d", "aten.add.Tensor", "transformers.grouped_mm_fallback", "math.ceil", "func.call", "relu"]
    ),
    NAMES,
)


_N, _H, _W = (symbol(name) for name in SYMBOLS)
# Graphs draw from few formulas: test_reader covers their text, and drawing them is slow.
FORMULAS = st.sampled_from(
    [
        *[
            const(3),
            const(-7),
            const(10**299),
            const(0),
            _N,
            _H * 2 - _W,
            ceildiv(_H, 32) * ceildiv(_W, 32) * _N,
            -_H,
            _H**3,
        ],
        maximum(_H, 7 * _W + 1, 100),
        mod(_H * _W, _N + 1),
        minimum(floordiv(_H, _W), maximum(3, _N - 4)),
        _N * 10**40 + 1,
    ]
)
SIZES = st.one_of(
    st.integers(0, 2048).map(const),
    FORMULAS.map(lambda d: maximum(0, d)),
    st.sampled_from([2**62, 2**63 - 1, 2**63, 2**70]).map(const),
)
TENSORS = st.builds(TensorType, st.lists(SIZES, max_size=4).map(tuple), st.sampled_from(DType))
TYPES: st.SearchStrategy[ValueType] = st.one_of(
    TENSORS, TENSORS, st.sampled_from(["int", "float", "bool"]).map(ScalarType)
)
GUARDS = st.recursive(
    st.builds(Compare, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), FORMULAS, FORMULAS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda p: AllOf(tuple(p))),
        st.lists(inner, max_size=3).map(lambda p: AnyOf(tuple(p))),
    ),
    max_leaves=4,
)
# NaN only as `math.nan`, which equality can see.
NUMBERS = st.one_of(
    st.integers(),
    st.sampled_from(
        [2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**299, math.nan, -0.0, 0.0, 1e22, 5e-324, math.inf, -math.inf]
    ),
    st.floats(allow_nan=False),
)
ATTRIBUTES: st.SearchStrategy[Attribute] = st.recursive(
    st.one_of(st.booleans(), NUMBERS, TEXTS, FORMULAS, st.none()),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=5,
)
KEYS = NAMES.filter(lambda k: not k.startswith(("fxcost.", "fact.")))
DICTIONARIES = st.dictionaries(KEYS, ATTRIBUTES, max_size=3)
SOURCES = st.one_of(TEXTS, WORDS.map(lambda w: w + ".py:12"))


@st.composite
def graphs(draw: st.DrawFn, level: int = 0) -> Graph:
    """Well-formed graphs, with regions two levels deep."""
    symbols = tuple(draw(_symbol(name)) for name in SYMBOLS) if level == 0 else ()
    ids = draw(st.lists(NAMES, unique=True, min_size=1, max_size=14))
    known: list[str] = []

    def value(type: ValueType) -> Value:
        known.append(ids.pop())
        return Value(known[-1], type)

    states: list[State] = []
    inputs: list[Value] = []
    nodes: list[Node] = []
    paths = iter(draw(st.lists(TEXTS, unique=True, max_size=4)))
    for _ in range(draw(st.integers(0, min(2, len(ids))))):
        kind = draw(st.sampled_from(["parameter", "buffer", "constant"]))
        mine = tuple(path for _, path in zip(range(2), paths, strict=False))
        states.append(State(value(draw(TENSORS)), kind, mine, draw(st.booleans())))
    for _ in range(draw(st.integers(0, min(2, len(ids))))):
        inputs.append(value(draw(TYPES)))
    for name in draw(st.lists(NAMES, unique=True, max_size=4)):
        operands = draw(st.lists(st.sampled_from(known), max_size=3)) if known else []
        slots = draw(st.lists(TEXTS, unique=True, min_size=len(operands), max_size=len(operands)))
        regions = draw(st.lists(graphs(level + 1), max_size=2)) if level < 2 and draw(st.integers(0, 5)) == 0 else []
        results = tuple(value(draw(TYPES)) for _ in range(min(len(ids), draw(st.integers(0, 3)))))
        name = draw(st.sampled_from([name, results[0].id])) if len(results) == 1 else name
        if name in {node.name for node in nodes}:
            continue
        pairs = [(r, o) for r in range(len(results)) for o in range(len(operands))]
        effects = Effects(
            tuple(draw(st.lists(st.sampled_from(pairs), max_size=2))) if pairs else (),
            tuple(draw(st.lists(st.integers(0, len(operands) - 1), max_size=2))) if operands else (),
        )
        nodes.append(
            Node(
                name=name,
                op=draw(OPS),
                operands=tuple(operands),
                slots=tuple(slots),
                attrs=draw(DICTIONARIES),
                results=results,
                module=draw(TEXTS),
                call=draw(st.integers(0, 3)),
                source=draw(SOURCES),
                phase=draw(st.sampled_from(["forward", "backward", "update"])),
                effects=effects,
                regions=tuple(regions),
            )
        )
    return Graph(
        name=draw(TEXTS),
        symbols=symbols,
        states=tuple(states),
        inputs=tuple(inputs),
        nodes=tuple(nodes),
        outputs=tuple(draw(st.lists(st.sampled_from(known), max_size=3))) if known else (),
        updates=tuple((s.value.id, draw(st.sampled_from(known))) for s in states if draw(st.booleans())),
        domain=tuple(draw(st.lists(GUARDS, max_size=2))),
        fixed=draw(st.dictionaries(TEXTS, TEXTS, max_size=2)),
        standing=draw(st.sampled_from(Standing)),
        notes=tuple(draw(st.lists(TEXTS, max_size=2))),
    )


def _symbol(name: str) -> st.SearchStrategy[SymbolInfo]:
    maybe = st.one_of(st.none(), st.integers(1, 2**70))
    return st.builds(
        lambda low, span, multiple, hint, kind: SymbolInfo(
            name, low, None if span is None else low + span, multiple, hint, kind
        ),
        st.integers(1, 2**70),
        maybe,
        st.integers(1, 64),
        maybe,
        st.sampled_from(["size", "data"]),
    )
