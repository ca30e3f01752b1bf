"""Sample and fit: formulas in sizes that no symbolic trace keeps open, from captures at several of them.

A loop over time in Python, or a branch on data, pins a size. The model is then captured on a grid of such sizes; every
total is interpolated exactly (rational Lagrange polynomials, degree 1 in a batch and 2 in other sizes; terms in
sizes that did stay open keep their own coefficients), and must give every total of further captures that took no part.
What does is `fitted`: verified at those sizes, not proven between and beyond them. A total that is no polynomial is left
as it was captured, at its one size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import gcd, lcm, prod

from fxcost.ir.expr import ONE, Expr, const, exact_quotient, floordiv, mod, substitute, symbol, total
from fxcost.ir.graph import Graph
from fxcost.ir.predicate import Compare, Predicate, symbols_of
from fxcost.ir.symbols import SymbolInfo
from fxcost.passes.totals import Totals
from fxcost.pipeline import Facts, Options

HELD_OUT = 2
"""Fewest captures that a formula must agree with besides those that it was made of."""

STEPS: tuple[Mapping[str, int], ...] = (
    {"spatial": 32},
    {"sequence": 64, "spatial": 64},
    {"sequence": 2560, "spatial": 224},
)
"""What sizes are multiples of, by role: rounded up sizes (windows, strides) are polynomials on their own grid only."""

FAR = {"sequence": 120, "spatial": 2, "time": 4}
"""How many times larger than the grid a size is that lies well beyond it."""


@dataclass(frozen=True)
class Axis:
    """Sizes of one symbol on the grid: `step` times consecutive numbers, one more than the degree of the polynomial."""

    name: str
    step: int
    multiples: tuple[int, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes themselves."""
        return tuple(self.step * multiple for multiple in self.multiples)

    @property
    def variable(self) -> Expr:
        """What the polynomial is one in: the symbol, or how many steps it has."""
        return floordiv(symbol(self.name), self.step)

    def __str__(self) -> str:
        return f"{self.name}={','.join(map(str, self.sizes))}"


@dataclass(frozen=True)
class Fit:
    """A total as a formula, and where it does not hold besides."""

    value: Expr
    guards: tuple[Predicate, ...] = ()


@dataclass(frozen=True)
class Sampled:
    """Captures at several sizes: a grid in the order of `product` over the axes, and others held out.

    `info` are the symbols of the axes; `most` sizes beyond which no capture was to be had.
    """

    axes: tuple[Axis, ...]
    grid: tuple[Graph, ...]
    held_out: tuple[tuple[Mapping[str, int], Graph], ...]
    info: tuple[SymbolInfo, ...]
    most: Mapping[str, int] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """The symbols that were sampled."""
        return frozenset(axis.name for axis in self.axes)

    @property
    def below(self) -> Iterator[dict[str, int]]:
        """Smaller sizes than the grid's, the nearest first; batches stay as small as they are there."""
        multiples = {axis.name: axis.multiples[0] for axis in self.axes}
        while any(multiple > 2 for multiple in multiples.values()):
            multiples = {name: multiple if multiple <= 2 else multiple * 2 // 3 for name, multiple in multiples.items()}
            yield {axis.name: axis.step * multiples[axis.name] for axis in self.axes}

    def with_held_out(self, point: Mapping[str, int], graph: Graph) -> Sampled:
        """With one more capture that formulas have to give."""
        return replace(self, held_out=(*self.held_out, (point, graph)))

    @property
    def domain(self) -> tuple[Predicate, ...]:
        """Where the formulas are claimed: on the grid's step, from the least sample on.

        What the captures demand of the sizes that stayed open holds as well.
        """
        found: dict[Predicate, None] = {}
        for graph in (*self.grid, *(graph for _, graph in self.held_out)):
            found.update(dict.fromkeys(guard for guard in graph.domain if not symbols_of(guard) & self.names))
        for axis in self.axes:
            least = min(axis.sizes[0], *(point[axis.name] for point, _ in self.held_out))
            if least > 1:
                found[Compare(">=", symbol(axis.name), const(least))] = None
            if axis.step > 1:
                found[Compare("==", mod(symbol(axis.name), axis.step), const(0))] = None
            if axis.name in self.most:
                found[Compare("<=", symbol(axis.name), const(self.most[axis.name]))] = None
        return tuple(found)

    def formulas(self, options: Options) -> dict[str, Fit]:
        """Every total that is a polynomial on the grid and right at all captures held out.

        One that is right but where a size is one (copies that only a larger size makes) excludes that size.
        """
        grid = [Facts(graph, options)[Totals].values for graph in self.grid]
        held = [(point, Facts(graph, options)[Totals].values) for point, graph in self.held_out]
        found: dict[str, Fit] = {}
        for name in grid[0]:
            if not all(name in values for values in (*grid, *(values for _, values in held))):
                continue
            formula = interpolated(self.axes, [values[name] for values in grid])
            wrong = [point for point, values in held if substitute(formula, point) is not values[name]]
            ones = {n for point in wrong for n, size in point.items() if size == 1}
            if all(1 in point.values() for point in wrong) and len(held) - len(wrong) >= HELD_OUT:
                found[name] = Fit(formula, tuple(Compare(">=", symbol(n), const(2)) for n in sorted(ones)))
        return found

    def __str__(self) -> str:
        points = "; ".join(",".join(f"{n}={v}" for n, v in point.items()) for point, _ in self.held_out)
        return f"fitted on captures at {' x '.join(map(str, self.axes))}, right at {points} as well, not proven"


def interpolated(axes: Sequence[Axis], values: Sequence[Expr]) -> Expr:
    """The polynomial through values on the grid.

    Its values are integers: a polynomial that is one at degree + 1 consecutive integers is one at all of them.
    """
    weights = [_lagrange(axis) for axis in axes]
    common = prod(denominator for denominator, _ in weights)
    terms = [
        value * prod((basis for basis in chosen), start=ONE)
        for value, chosen in zip(values, product(*(bases for _, bases in weights)), strict=True)
    ]
    numerator = total(terms)
    shared = gcd(common, *numerator.terms.values())
    numerator = numerator if shared == 1 else exact_quotient(numerator, const(shared)) or numerator
    return floordiv(numerator, common // shared)


def _lagrange(axis: Axis) -> tuple[int, list[Expr]]:
    """Lagrange's basis polynomials of an axis over their common denominator."""
    denominators = [prod(here - other for other in axis.multiples if other != here) for here in axis.multiples]
    common = lcm(*denominators)
    variable = axis.variable
    return common, [
        const(common // denominator) * prod((variable - other for other in axis.multiples if other != here), start=ONE)
        for here, denominator in zip(axis.multiples, denominators, strict=True)
    ]


# -- choosing and taking samples -----------------------------------------------------------------------------------
@dataclass(frozen=True)
class Plan:
    """A grid of sizes to capture at, and others to hold out; `far` is one that lies well beyond them."""

    axes: tuple[Axis, ...]
    held_out: tuple[Mapping[str, int], ...]
    far: Mapping[str, int]

    @property
    def grid(self) -> list[dict[str, int]]:
        """The points of the grid."""
        names = [axis.name for axis in self.axes]
        return [dict(zip(names, sizes, strict=True)) for sizes in product(*(axis.sizes for axis in self.axes))]


def plans(traced: Mapping[str, int], info: Mapping[str, SymbolInfo], roles: Mapping[str, str]) -> Iterator[Plan]:
    """Grids to try, for the sizes that each symbol was traced at: plain sizes, then multiples of larger and larger steps.

    `roles` say what a symbol is: batch, spatial, time or sequence. Small sizes come first, for a loop that is unrolled
    costs as much as it is long. Held out are the traced sizes, which every formula has to give, and larger ones.
    """
    tried: list[Plan] = []
    for stepped in STEPS:
        axes = []
        for name, size in traced.items():
            role = roles.get(name, "sequence")
            step = stepped.get(role, 1) * info[name].multiple_of
            degree = 1 if role == "batch" else 2
            first = {"batch": 2, "spatial": max(size // step - 1, 1), "time": 4}.get(role, 5 if step == 1 else 1)
            axes.append(Axis(name, step, tuple(range(first, first + degree + 1))))
        if any(traced[axis.name] % axis.step for axis in axes):
            continue  # the size that is known would be outside
        after = [{axis.name: axis.step * (axis.multiples[-1] + more) for axis in axes} for more in (1, 3, 6)]
        known = traced in after or all(traced[axis.name] in axis.sizes for axis in axes)
        last = after[2] if known else dict(traced)
        alone = {n: 1 if roles.get(n) == "batch" else size for n, size in after[0].items()}
        held = [point for point in (*after[:2], last, *[alone] * (alone != after[0])) if _within(point, info)]
        far = {
            axis.name: axis.sizes[-1] * (FAR.get(roles.get(axis.name, ""), 1) if axis.sizes[-1] < 1000 else 2)
            for axis in axes
        }
        plan = Plan(tuple(axes), tuple(held), far)
        if len(held) >= HELD_OUT and all(_within(point, info) for point in plan.grid) and plan not in tried:
            tried.append(plan)
            yield plan


def _within(point: Mapping[str, int], info: Mapping[str, SymbolInfo]) -> bool:
    """True where every size lies in its symbol's range."""
    return all(info[n].min <= size <= (size if (most := info[n].max) is None else most) for n, size in point.items())


def sampled(
    plan: Plan, info: Mapping[str, SymbolInfo], capture: Callable[[Mapping[str, int]], Graph | None], far: bool = False
) -> Sampled | None:
    """Capture at all points of a plan; None where the grid has a hole or too few of the held out points answer.

    With `far` one of the captures lies well beyond the others, where windows and blocks show; a model that has none there
    has formulas up to the largest size seen.
    """
    held: list[tuple[Mapping[str, int], Graph]] = []
    for point in plan.held_out:
        found = capture(point)
        if found is not None:
            held.append((point, found))
    if len(held) < HELD_OUT:
        return None
    most: dict[str, int] = {}
    if far:
        found = capture(plan.far) if _within(plan.far, info) else None
        if found is not None:
            held.append((plan.far, found))
        else:
            seen = {axis.name: max(axis.sizes[-1], *(point[axis.name] for point, _ in held)) for axis in plan.axes}
            most = {name: size for name, size in seen.items() if plan.far[name] > size}
    grid: list[Graph] = []
    for point in plan.grid:
        found = capture(point)
        if found is None:
            return None
        grid.append(found)
    return Sampled(plan.axes, tuple(grid), tuple(held), tuple(info[axis.name] for axis in plan.axes), most)
