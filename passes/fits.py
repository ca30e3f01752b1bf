"""Fit: what a model needs of a target's memories, what they have, and the margin.

Weights need their level (flash, or main memory) to take `model_bytes`; activations theirs to take `peak_memory`; where
both live in one level it must take the sum. A buffer cannot cross a bank: the largest one must fit the largest bank. A
runtime with one contiguous arena needs the whole arena in one bank; that row is there to be read, and does not decide.

Where the arena of a microcontroller's runtime is known (`fxcost.passes.arena`), it has a row of its own: padding, scratch
and structures come in, and it must lie in one bank. It decides for TensorFlow Lite for microcontrollers, in int8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fxcost.ir.domain import ranges_within
from fxcost.ir.expr import ZERO, Expr, Range, as_expr, substitute
from fxcost.ir.graph import Graph
from fxcost.ir.predicate import Compare, decide
from fxcost.ir.symbols import ranges_of
from fxcost.passes.arena import Arena, Arenas
from fxcost.passes.buffers import Buffers
from fxcost.passes.latency import target_of
from fxcost.passes.micro_runtimes import RUNTIMES
from fxcost.passes.peak import by_case, largest
from fxcost.passes.workload import Workload
from fxcost.pipeline import Facts, register_pass
from fxcost.target import Memory, Target


@dataclass(frozen=True)
class Check:
    """One comparison in bytes; `have_bytes` is None where no source states it. `decides`: the verdict depends on it."""

    what: str
    level: str
    need_bytes: Expr
    have_bytes: int | None
    decides: bool = True

    @property
    def margin_bytes(self) -> Expr | None:
        """What is left over, negative where it does not fit."""
        return None if self.have_bytes is None else self.have_bytes - self.need_bytes

    def verdict(self, ranges: Mapping[str, Range] | None = None) -> str:
        """`yes` or `no`, `unknown` without a capacity, `open` where the sizes decide."""
        if self.have_bytes is None:
            return "unknown"
        known = decide(Compare("<=", self.need_bytes, as_expr(self.have_bytes)), ranges)
        return "open" if known is None else "yes" if known else "no"


@dataclass(frozen=True)
class Fits:
    """All checks of a target, with the ranges of the symbols that are still open."""

    rows: tuple[Check, ...]
    ranges: tuple[tuple[str, Range], ...] = ()

    def at(self, env: Mapping[str, int]) -> Fits:
        """The checks with sizes put in; symbols that `env` leaves out stay open."""
        bound = tuple(replace(row, need_bytes=substitute(row.need_bytes, env)) for row in self.rows)
        return Fits(bound, tuple(pair for pair in self.ranges if pair[0] not in env))

    def verdict_of(self, row: Check) -> str:
        """Verdict of one row over the symbols' ranges."""
        return row.verdict(dict(self.ranges))

    @property
    def verdict(self) -> str:
        """`no` when a deciding check fails, else `open`, else `unknown`, else `yes`."""
        found = {self.verdict_of(row) for row in self.rows if row.decides}
        return next(word for word in ("no", "open", "unknown", "yes") if word in found or word == "yes")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; needs that sizes decide are expressions."""
        return {"verdict": self.verdict, "checks": [self._row_dict(row) for row in self.rows]}

    def _row_dict(self, row: Check) -> dict[str, Any]:
        return {
            "what": row.what,
            "level": row.level,
            "need_bytes": _plain(row.need_bytes),
            "have_bytes": row.have_bytes,
            "margin_bytes": _plain(row.margin_bytes),
            "verdict": self.verdict_of(row),
            "decides": row.decides,
        }


def _plain(amount: Expr | None) -> int | str | None:
    if amount is None:
        return None
    return str(amount) if amount.constant is None else amount.constant


@register_pass("fits", provides=Fits, requires=(Workload, Buffers, Arenas), options=("target", "activations"))
def fits(graph: Graph, facts: Facts) -> Fits:
    """Compare the model's needs with the target's memories."""
    ranges = ranges_of(graph.symbols)
    within = ranges_within(graph.symbols, graph.domain)
    cases = [(case.when, largest((b.size for b in case.buffers), within)) for case in facts[Buffers].cases]
    target = target_of(facts)
    rows = [*checks_on(target, facts[Workload], by_case(cases))]
    if (arena := facts[Arenas].found) is not None:
        rows.append(arena_check(target, arena, facts.options.activations == "int8"))
    return Fits(tuple(rows), tuple(ranges.items()))


def checks_on(target: Target, work: Workload, largest_buffer: Expr) -> Iterator[Check]:
    """The rows for a workload whose largest single buffer has that many bytes."""
    home, store = target.home("activations"), target.home("weights")
    weights, held = "weights", work.model_bytes
    if work.state_bytes is not ZERO:
        weights, held = "weights, optimizer state", work.model_bytes + work.state_bytes
    if home == store:
        need = held + work.arena_bytes
        yield Check(f"{weights} and activations", home.name, need, usable(target, home))
    else:
        yield Check(weights, store.name, held, usable(target, store))
        yield Check("activations", home.name, work.arena_bytes, usable(target, home))
    if home.banks_bytes:
        bank = max(home.banks_bytes)
        yield Check("largest buffer in the largest bank", home.name, largest_buffer, bank)
        yield Check("all activations in the largest bank", home.name, work.arena_bytes, bank, decides=False)


def arena_check(target: Target, arena: Arena, asked: bool) -> Check:
    """The row of the whole arena, which lies in one piece; it decides where int8 is `asked` and the runtime plans one."""
    home = target.home("activations")
    room = max(home.banks_bytes) if home.banks_bytes else usable(target, home)
    what = f"arena of {arena.runtime} in int8" + (", at least" if arena.unknown else "")
    return Check(what, home.name, arena.total, room, decides=asked and RUNTIMES[arena.runtime].keeps)


def usable(target: Target, level: Memory) -> int | None:
    """Capacity, or the limit where that is lower: on flash for what persists, on SRAM for a microcontroller's rest."""
    limit = None
    if level.persistent:
        limit = target.limits.flash_bytes
    elif target.kind == "mcu":
        limit = target.limits.sram_bytes
    stated = [size for size in (level.capacity_bytes, limit) if size is not None]
    return min(stated) if stated else None
