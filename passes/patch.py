"""Patch by patch: which stretches of a graph to cut into which patches, for the least memory or the fewest MACs.

A plan runs the nodes in traced order; some stretches of it, the *stages*, run once for every patch of their result. All
plans are weighed whose stages begin and end at the cuts of `_patch_setting.cuts` and use one of the grids: a stage's
peak depends on nothing but what is alive around it, so a label at every cut, a pair of peak and MACs that no other pair
beats, gives the exact frontier (dynamic programming, as msf-CNN fuses blocks). MCUNetV2's rule, one stage from the input
on in p x p patches, is among them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

from fxcost.errors import SpecError
from fxcost.ir.expr import Expr, maximum, minimum, total
from fxcost.ir.graph import Graph, Node
from fxcost.ops.locality import Local
from fxcost.passes._patch_setting import Setting, cuts, may_overwrite, windows_of
from fxcost.passes._patch_sweep import Candidate, Grid, Sweep
from fxcost.passes._patch_tiles import stage_of, touched
from fxcost.passes.buffers import Buffers
from fxcost.passes.storage import Storage
from fxcost.pipeline import Facts

SQUARES = tuple(Grid(n, n) for n in range(2, 9))
STRIPS = tuple(Grid(n) for n in (2, 3, 4, 6, 8, 12, 16))
CACHED = (
    *(Grid(n, cached=True) for n in (2, 3, 4, 6, 8, 12, 16, 24, 32)),
    *(Grid(n, n, cached=True) for n in (2, 3, 4, 6, 8)),
)
GRIDS = (*SQUARES, *STRIPS, *CACHED)
"""Square patches, strips of rows, and both where halos are kept."""

MOST_OVERHEAD = 1.0
"""Plans with more than this share of MACs on top are not looked at."""

MOST_SQUARE = 16
"""Squares of patches are tried up to this many a side."""


@dataclass(frozen=True)
class Plan:
    """Stages in order, the peak in bytes and the MACs of the whole run."""

    peak: int
    macs: int
    stages: tuple[Candidate, ...] = field(repr=False)


@dataclass(frozen=True)
class Traffic:
    """Bytes that a plan moves: activations read and written by all calls, weights fetched once for every patch.

    `copied` is what is copied besides: borders laid around tiles, results put in their place, rows kept.
    """

    read: int
    write: int
    weights: int
    copied: int


@dataclass(frozen=True)
class _Label:
    peak: int
    macs: int
    before: _Label | None
    stage: Candidate | None


T = TypeVar("T", _Label, Candidate)
N = TypeVar("N", int, Expr)


def frontier(
    setting: Setting,
    grids: Iterable[Grid] = GRIDS,
    overhead: float = MOST_OVERHEAD,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Plan, ...]:
    """Plans that no other beats in both peak and MACs, from the fewest MACs to the least peak; the first has no patches.

    `overhead` is the largest share of MACs on top. Raises SpecError for a grid that cuts nothing.
    """
    places = cuts(setting)
    arriving = stages_by_end(setting, places, grids, overhead, progress)
    most = int(setting.total_macs * (1 + overhead))
    labels: dict[int, list[_Label]] = {0: [_Label(setting.start, 0, None, None)]}
    for before, here in pairwise(places):
        alive = max(setting.alive[before:here])
        macs = sum(setting.macs[before:here])
        found = [_Label(max(label.peak, alive), label.macs + macs, label, None) for label in labels[before]]
        for stage in arriving.get(here, ()):
            found += [
                _Label(max(label.peak, stage.peak), label.macs + stage.macs, label, stage)
                for label in labels[stage.first]
            ]
        rest = sum(setting.macs[here:])
        labels[here] = _undominated(label for label in found if label.macs + rest <= most)
    return tuple(_helping(setting, _plan(label)) for label in labels[places[-1]])


def _helping(setting: Setting, plan: Plan) -> Plan:
    """The plan without stages that its peak and MACs do not need: a lower peak in one place may be for nothing in all."""
    stages = tuple(s for s in plan.stages if max(setting.alive[s.first : s.stop]) > plan.peak)
    return plan if len(stages) == len(plan.stages) else Plan(plan.peak, plan.macs, stages)


def stages_by_end(
    setting: Setting,
    places: Sequence[int],
    grids: Iterable[Grid],
    overhead: float,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[int, list[Candidate]]:
    """Stages worth running, by where they end: with a lower peak than whole maps, and not beaten by another grid."""
    chosen = tuple(dict.fromkeys(grids))
    for grid in chosen:
        check_grid(grid)
    wanted, spare = set(places), int(setting.total_macs * overhead)
    found: dict[int, list[Candidate]] = {}
    for number, stop in enumerate(places[1:], 1):
        progress(f"stages that end at cut {number} of {len(places) - 1}")
        if not isinstance(setting.local[stop - 1], Local):
            continue
        best: dict[int, list[Candidate]] = {}
        for grid in chosen:
            for stage in Sweep(setting, stop, grid).candidates(wanted):
                if stage.macs - sum(setting.macs[stage.first : stop]) > spare:
                    break  # a longer stage computes no less twice
                if stage.peak < max(setting.alive[stage.first : stop]):
                    best.setdefault(stage.first, []).append(stage)
        found[stop] = [stage for stages in best.values() for stage in _undominated(stages)]
    return found


def check_grid(grid: Grid) -> None:
    """Raise SpecError for a grid that cuts nothing."""
    if grid.rows * grid.columns < 2 or min(grid.rows, grid.columns) < 1:
        raise SpecError(f"a grid of {grid}: expected at least two patches")


def _undominated(found: Iterable[T]) -> list[T]:
    """Those that no other beats, from the fewest MACs on."""
    kept: list[T] = []
    for one in sorted(found, key=lambda each: (each.macs, each.peak)):
        if not kept or one.peak < kept[-1].peak:
            kept.append(one)
    return kept


def _plan(label: _Label) -> Plan:
    stages = []
    at: _Label | None = label
    while at is not None:
        if at.stage is not None:
            stages.append(at.stage)
        at = at.before
    return Plan(label.peak, label.macs, tuple(reversed(stages)))


def lower_bound(setting: Setting) -> int:
    """Bytes that no order and no patches stay under: the inputs, and every call that needs its whole maps at once."""
    sizes = [life.size for life in setting.lives]
    return max(setting.start, *_needs(setting.graph, setting.local, setting.over, setting.block_of, sizes))


def bound_formula(graph: Graph, facts: Facts) -> Expr:
    """`lower_bound` as a formula in the sizes; where sizes decide what shares memory, the least of all cases."""
    facts = facts.under(order=None)
    local = windows_of(graph, facts[Storage])
    found = []
    for case in facts[Buffers].cases:
        block_of = {value: i for i, buffer in enumerate(case.buffers) for value in buffer.values}
        start = total(buffer.size for buffer in case.buffers if buffer.first < 0)
        sizes = [buffer.size for buffer in case.buffers]
        found.append(maximum(start, *_needs(graph, local, may_overwrite(facts), block_of, sizes)))
    return minimum(*found)


def _needs(
    graph: Graph,
    local: Sequence[Local | str],
    over: Collection[int],
    block_of: Mapping[str, int],
    sizes: Sequence[N],
) -> list[N | int]:
    """What must be there at once: the outputs, and operands and results of every call that cannot be cut.

    A result that may be written over an operand needs nothing more: in another order that operand may die there.
    """
    needed: list[tuple[str, ...]] = [graph.outputs]
    for position, window in enumerate(local):
        if isinstance(window, str):
            call: Node = graph.nodes[position]
            made: list[str] = [] if position in over else [value.id for value in call.results]
            needed.append((*call.operands, *made))
    return [sum(sizes[i] for i in dict.fromkeys(block_of[v] for v in values if v in block_of)) for values in needed]


def traffic_of(setting: Setting, stages: Sequence[Candidate]) -> Traffic:
    """Bytes that a plan moves."""
    inside = {k for stage in stages for k in range(stage.first, stage.stop)}
    plain = [row for k, row in enumerate(setting.traffic) if k not in inside]
    read, write, weights = (sum(row[i] for row in plain) for i in range(3))
    copied = 0
    for stage in stages:
        patches = stage.grid.rows * stage.grid.columns
        for tile in stage.nodes:
            node, local = setting.graph.nodes[tile.position], setting.local[tile.position]
            assert isinstance(local, Local)
            rows, columns = (int((span[1] - span[0]).sum()) for span in tile.made)
            write += _bytes(setting, node.results[0].id, rows * columns)
            places = 1
            for axis, cut, made in zip(local.axes, tile.cut, tile.made, strict=True):
                places *= touched(axis, cut, made)
            for index in local.moving:
                read += _bytes(setting, node.operands[index], places)
            weights += setting.traffic[tile.position][2] * patches
        copied += _copied(setting, stage)
    return Traffic(read, write, weights, copied)


def _copied(setting: Setting, stage: Candidate) -> int:
    """Bytes read and written by copies; a runtime that pads on the way and writes in place only keeps rows."""
    moved = 0
    for patch in stage_of(setting, stage).patches:
        for call in patch.calls:
            node, local = setting.graph.nodes[call.node], setting.local[call.node]
            result = node.results[0].id
            moved += sum(2 * _bytes(setting, result, box.area) for box in call.kept)
            if call.joined is not None and not setting.direct:
                moved += 2 * _bytes(setting, result, call.joined.area)
            tile = next((read.box for read in call.reads if read.box is not None), None)
            bordered = isinstance(local, Local) and local.form == "window" and any(call.border)
            if bordered and tile is not None and not setting.direct:
                above, below, left, right = call.border
                height, width = (stop - first for first, stop in (tile.rows, tile.columns))
                whole = (height + above + below) * (width + left + right)
                moved += _bytes(setting, node.operands[0], height * width + whole)
        if not setting.direct:
            moved += sum(2 * _bytes(setting, store.value, store.box.area) for store in patch.stores)
    return moved


def _bytes(setting: Setting, value: str, places: int) -> int:
    return (places * setting.shapes[value].bits + 7) // 8


def one_stage(setting: Setting, grid: Grid, memory: int | None = None, macs: int | None = None) -> list[Plan]:
    """MCUNetV2's rule: one stage from the inputs to any cut, in these patches; the best of them, fewest MACs first.

    With `memory` those within so many bytes, with `macs` those within so many MACs.
    """
    found = [
        label
        for stop in cuts(setting)[1:]
        if (label := _stage_to(setting, grid, stop, memory)) is not None and (macs is None or label.macs <= macs)
    ]
    return [_plan(label) for label in _undominated(found)]


def least_stage(setting: Setting, grid: Grid, macs: int | None = None) -> Plan | None:
    """The one stage from the inputs on in these patches that needs least, within so many MACs; None without any.

    Ends are tried from the one behind which least is alive; what cannot beat the best so far is left early.
    """
    behind = {stop: max(setting.alive[stop:], default=0) for stop in cuts(setting)[1:]}
    best: _Label | None = None
    for stop in sorted(behind, key=lambda stop: behind[stop]):
        if best is not None and max(setting.start, behind[stop]) >= best.peak:
            break
        found = _stage_to(setting, grid, stop, None if best is None else best.peak - 1)
        if found is not None and (macs is None or found.macs <= macs):
            best = found
    return None if best is None else _plan(best)


def _stage_to(setting: Setting, grid: Grid, stop: int, memory: int | None) -> _Label | None:
    """A run with one stage from the inputs to before node `stop`; None where there is none within the bytes."""
    rest = max(setting.start, max(setting.alive[stop:], default=0))
    if memory is not None and rest > memory:
        return None
    stage = next(Sweep(setting, stop, grid, memory).candidates({0}), None)
    if stage is None or (memory is not None and stage.peak > memory):
        return None
    return _Label(max(rest, stage.peak), stage.macs + sum(setting.macs[stop:]), None, stage)


def fitting_stage(
    setting: Setting, grids: Sequence[Grid], memory: int, macs: int | None = None, guess: Candidate | None = None
) -> Plan | None:
    """Any one stage from the inputs on within so many bytes and MACs; `guess` is what to try first."""
    if lower_bound(setting) > memory:
        return None
    tried = [] if guess is None else [(guess.grid, guess.stop)]
    for grid, stop in (*tried, *((grid, stop) for grid in grids for stop in cuts(setting)[1:])):
        found = _stage_to(setting, grid, stop, memory)
        if found is not None and (macs is None or found.macs <= macs):
            return _plan(found)
    return None


def smallest_square(setting: Setting, memory: int, most: int = MOST_SQUARE) -> Plan | None:
    """The smallest p for which one stage of p x p patches stays within the bytes, with its fewest MACs; None without."""
    if lower_bound(setting) > memory:
        return None
    for p in range(2, most + 1):
        fitting = one_stage(setting, Grid(p, p), memory)
        if fitting:
            return fitting[0]
    return None
