"""Patches as an answer: the smallest p x p that fits a memory, and the largest size that fits with patches; with proofs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, pairwise

from fxcost.errors import SpecError
from fxcost.ir.symbols import SymbolInfo
from fxcost.passes._patch_setting import Setting
from fxcost.passes._patch_sweep import Grid
from fxcost.passes.patch import MOST_SQUARE, Plan, fitting_stage, least_stage, lower_bound, one_stage
from fxcost.query.solve import Solution
from fxcost.query.spans import contains, union

SQUARE = "p"
"""The unknown of `solve`: one stage from the input on, cut into p x p patches; one patch is the whole map."""

MOST_SIZES = 1 << 12
"""Sizes that are tried one by one."""


def smallest_p(setting: Setting, memory: int, overhead: float | None = None) -> Solution:
    """Every p up to 16 for which one stage of p x p patches keeps to the bytes, and to the share of MACs on top."""
    macs = _most_macs(setting, overhead)
    bound = lower_bound(setting)
    if bound > memory:
        return _none(SQUARE, f"no order and no patches stay under {bound:,} bytes", setting)
    fitting = {p: plan for p in range(1, MOST_SQUARE + 1) if (plan := _square(setting, p, memory, macs)) is not None}
    least = min(fitting, default=MOST_SQUARE + 1)
    lines = [_says(setting, f"p = {p}", _least_square(setting, p, macs), least=True) for p in range(1, least)]
    if not fitting:
        return _none(SQUARE, "; ".join([f"none up to {MOST_SQUARE} is within {memory:,} bytes", *lines]), setting)
    return Solution(
        SQUARE,
        max(fitting),
        least,
        union([(p, p) for p in fitting]),
        f"every p up to {MOST_SQUARE} and every end of the stage tried",
        "; ".join([_says(setting, f"p = {least}", fitting[least]), *reversed(lines)]),
        setting.graph.standing,
    )


def largest_in_patches(
    info: SymbolInfo,
    setting_at: Callable[[int], Setting],
    memory: int,
    most: int,
    overhead: float | None,
    plain: Solution,
    bound: Solution,
    progress: Callable[[str], None] = lambda _: None,
) -> Solution:
    """Every size that fits with one stage of up to `most` x `most` patches, or without patches.

    `plain` is the solution without patches, `bound` that of what no patches stay under: sizes between them are tried one
    by one, with every end of the stage. Raises SpecError where there are too many.
    """
    sizes = list(_between(info, plain, bound))
    grids = [Grid(p, p) for p in range(most, 1, -1)]
    found: dict[int, Plan] = {}
    guess = None
    for size in reversed(sizes):
        progress(f"{info.name} = {size}")
        setting = setting_at(size)
        plan = fitting_stage(setting, grids, memory, _most_macs(setting, overhead), guess)
        if plan is not None:
            found[size], guess = plan, plan.stages[0]
    fitting = union(plain.set, [(size, size) for size in found], _joined(info, plain, found))
    if not fitting:
        return Solution(info.name, None, None, (), _METHOD, f"{bound.proof}; {plain.proof}", plain.standing)
    largest = fitting[-1][1]
    assert largest is not None, "sizes are bounded"
    lines = []
    if largest in found:
        lines.append(_says(setting_at(largest), f"{info.name} = {largest}", found[largest]))
    beyond = next((size for size in sizes if size > largest), None)
    if beyond is not None:
        setting = setting_at(beyond)
        plans = [least_stage(setting, grid, _most_macs(setting, overhead)) for grid in grids]
        best = min((plan for plan in plans if plan is not None), key=lambda plan: plan.peak, default=None)
        lines.append(_says(setting, f"{info.name} = {beyond}", best, least=True))
    tried = [size for size in sizes if size > largest]
    if len(tried) > 1:
        lines.append(f"{info.name} = {tried[0]} to {tried[-1]} tried one by one: none fits")
    lines += [f"no patches help elsewhere: {bound.proof}", f"without patches: {plain.proof}"]
    return Solution(
        info.name, largest, fitting[0][0], fitting, _METHOD, "; ".join(lines), plain.standing.combine(bound.standing)
    )


_METHOD = "sizes between two proven bounds tried one by one, every end of the stage"


def _between(info: SymbolInfo, plain: Solution, bound: Solution) -> Iterator[int]:
    """Sizes that patches may help: within the bound, and too large without patches."""
    number = count()
    for low, high in bound.set:
        at = low
        while high is None or at <= high:
            span = next((span for span in plain.set if contains(span, at)), None)
            if span is None:
                if next(number) >= MOST_SIZES:
                    raise SpecError(
                        f"more than {MOST_SIZES:,} sizes of {info.name} would have to be tried: give it a range, such as "
                        f"{info.name}=32..512, or a multiple, {info.name}=32*{info.name.lower()}"
                    )
                yield at
                at += info.multiple_of
            elif span[1] is None:
                return
            else:
                at = span[1] + info.multiple_of


def _joined(info: SymbolInfo, plain: Solution, found: dict[int, Plan]) -> list[tuple[int, int]]:
    """Between neighbours among multiples there is no size: their intervals are one."""
    known = sorted({*found, *(end for span in plain.set for end in span if end is not None)})
    step = info.multiple_of
    return [(low, high) for low, high in pairwise(known) if high - low <= step]


def _most_macs(setting: Setting, overhead: float | None) -> int | None:
    return None if overhead is None else int(setting.total_macs * (1 + overhead))


def _square(setting: Setting, p: int, memory: int, macs: int | None) -> Plan | None:
    """Fewest MACs of p x p patches within the bytes."""
    if p == 1:
        return Plan(setting.peak, setting.total_macs, ()) if setting.peak <= memory else None
    return next(iter(one_stage(setting, Grid(p, p), memory, macs)), None)


def _least_square(setting: Setting, p: int, macs: int | None) -> Plan | None:
    if p == 1:
        return Plan(setting.peak, setting.total_macs, ())
    return least_stage(setting, Grid(p, p), macs)


def _says(setting: Setting, what: str, plan: Plan | None, *, least: bool = False) -> str:
    if plan is None:
        return f"{what}: nothing can be cut so"
    if not plan.stages:
        return f"{what}: {plan.peak:,} bytes without patches"
    stage = plan.stages[0]
    last = setting.graph.nodes[stage.stop - 1]
    more = f", {plan.macs / setting.total_macs - 1:.2%} more MACs" if setting.total_macs else ""
    need = f"need {'at least ' * least}{plan.peak:,} bytes{more}"
    return f"{what}: {stage.grid} patches up to {last.module or last.name} {need}"


def _none(wrt: str, proof: str, setting: Setting) -> Solution:
    return Solution(wrt, None, None, (), "a bound on all patches", proof, setting.graph.standing)
