"""Costs along one size as numbers, for pictures: two that are compared, or the two sides of a roofline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import Expr
from fxcost.ir.reader import parse_expr
from fxcost.passes._rates import LatencyFormula, RateFormula, Term
from fxcost.query.compare import Comparison
from fxcost.query.crossover import Crossover, point_at

SAMPLED = 1 << 20
"""Crossings beyond this size are not drawn: everything before them would be a speck."""

SIZES = 300


def comparison_curves(found: Comparison) -> tuple[list[int], dict[str, list[float]]]:
    """Both costs at some 300 sizes: up to twice the last crossing, or to a thousand steps where there is none."""
    step = found.step
    last = max([size for size in found.crossings if size <= SAMPLED], default=0)
    end = max(2 * last, 512 * step) // step * step
    sizes = sorted({max(step, k * end // SIZES // step * step) for k in range(1, SIZES + 1)})
    sizes = [size for size in sizes if found.cheaper_at(size) is not None]
    points = [point_at(found.wrt, size, _fixed(found.given)) for size in sizes]
    return sizes, {
        name: [side.at(p) if isinstance(side, RateFormula) else float(evaluate(side.value, p)) for p in points]
        for name, side in zip(found.names, found.sides, strict=True)
    }


def end_of(answers: Iterable[Crossover]) -> int:
    """How far a picture of crossovers goes: four times the last one, or a thousand steps where there is none."""
    return max(
        max([4 * size for size in found.thresholds if size <= SAMPLED] + [1024 * found.step]) for found in answers
    )


def crossover_formulas(found: Crossover) -> dict[str, LatencyFormula]:
    """Seconds of the `compute` and of the `memory` side in the symbol alone."""
    fixed = _fixed(found.given)
    sides = {"compute": found.sides.compute, "memory": found.sides.memory}
    return {name: LatencyFormula.of([Term(memory=side)]).bind(fixed) for name, side in sides.items()}


def crossover_sizes(found: Crossover, end: int) -> list[int]:
    """Some 300 sizes up to `end` for a logarithmic axis, and those on both sides of each crossing."""
    last = end // found.step
    sizes = {found.step * round(last ** (k / SIZES)) for k in range(SIZES + 1)}
    sizes |= {size for after in found.thresholds for size in (after - found.step, after) if size <= end}
    return sorted(size for size in sizes if found.binds(size) != "unknown")


def _fixed(given: Mapping[str, int | str]) -> dict[str, Expr | int]:
    return {name: parse_expr(value, where=name) if isinstance(value, str) else value for name, value in given.items()}
