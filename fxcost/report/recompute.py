"""Recomputation, for the terminal, as JSON and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fxcost.query.units import human
from fxcost.report.json import compact
from fxcost.report.pictures import figure, save, titled
from fxcost.report.terminal import for_output

Recomputation: TypeAlias = Any
Rulings: TypeAlias = Any
"""Those of `fxcost.recomputing`, which stands above reports."""

SHOWN = 12
"""Plans and nodes that are printed; JSON has them all."""

LABELS = {"saved_activations": "kept for the backward pass", "peak_memory": "peak of the step"}
COLOUR, BOUND = "#0072b2", "#d55e00"


def recompute_text(found: Recomputation) -> str:
    """What the plan keeps, its peak and its MACs beside those without it, what runs again, and the frontier."""
    head = Table.grid(padding=(0, 2))
    for _ in range(4):
        head.add_column(justify="right")
    head.columns[0].justify = "left"
    for name, now in (("saved_activations", found.kept), ("peak_memory", found.peak)):
        before = found.plain[name]
        # A plan runs as two programs, in which values die after their last reader; eager torch holds some for longer.
        plain = "as torch does" if name == "saved_activations" else "run as a program"
        head.add_row(f"{LABELS[name]}, {plain}", human(before, "bytes"), f"{before:,}", "")
        less = 100 * (1 - now / before) if before else 0.0
        head.add_row("  under the plan", human(now, "bytes"), f"{now:,}", f"{less:.1f} % less")
    head.add_row("MACs on top", human(found.macs, "MAC"), f"{found.macs:,}", f"{found.overhead:.2%}")
    again = found.again
    more = f" and {len(again) - SHOWN} more (--json)" if len(again) > SHOWN else ""
    runs = f"runs again, {len(again)} of {_forward(found)} operators: {', '.join(again[:SHOWN])}{more}"
    parts: list[RenderableType] = [
        head,
        Text(found.certificate),
        Text(""),
        Text(runs if again else "nothing runs again"),
    ]
    parts += [Text(""), Text(f"plans that no other beats, by {LABELS[found.plans.of]}", style="bold")]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("bytes", "", "MACs on top", "", ""):
        table.add_column(column, justify="right")
    whole = found.plain["macs"] or 1
    for index in _spread(len(found.plans), found.index):
        need, macs = found.plans.bytes[index], found.plans.macs[index]
        mark = "<- this" if index == found.index else ""
        table.add_row(human(need, "bytes"), f"{need:,}", f"{macs:,}", f"{macs / whole:.2%}", mark)
    parts.append(table)
    if len(found.plans) > SHOWN:
        parts.append(Text(f"{SHOWN} of {len(found.plans):,} (--json has them all)", style="dim"))
    return for_output(Group(*parts))


def _forward(found: Recomputation) -> int:
    return len(found.plans.curves.problem.operators)


def _spread(count: int, chosen: int) -> list[int]:
    """Up to SHOWN of so many plans, the ends and the chosen one among them."""
    if count <= SHOWN:
        return list(range(count))
    found = {round(i * (count - 1) / (SHOWN - 2)) for i in range(SHOWN - 1)}
    return sorted(found | {chosen})


def rulings_text(found: Rulings) -> str:
    """Which plan rules for which sizes."""
    lines = [f"the cheapest plan with {LABELS[found.of]} within {human(found.budget, 'bytes')}, by {found.wrt}"]
    for row in found.rows:
        span = (
            f"{row.low} and more" if row.high is None else f"{row.low} to {row.high}" if row.high > row.low else row.low
        )
        runs = f"{len(row.again)} operators run again" if row.again else "nothing runs again"
        lines.append(f"  {found.wrt} = {span}: {runs}{'' if row.optimal else ' (not proven best)'}")
        lines.append(f"    bytes = {row.bytes}")
        lines.append(f"    MACs on top = {row.macs}")
    if found.ends is not None:
        lines.append(f"  {found.wrt} = {found.ends} and more: no plan is within it")
    elif found.rows and found.rows[-1].high is not None:
        lines.append("  and so on for larger sizes")
    proven = "proven: bytes grow with it, MACs in proportion, and each plan is optimal"
    lines.append(proven if found.proven else "found at the first size of each row; between, others may be cheaper")
    return "\n".join(lines)


def recompute_data(found: Recomputation) -> dict[str, Any]:
    """Everything as plain data."""
    return {
        "model": found.model,
        "at": dict(found.point),
        "of": found.plans.of,
        "budget": found.budget,
        "saved_activations": found.kept,
        "peak_memory": found.peak,
        "macs_on_top": found.macs,
        "least_macs_on_top": found.least_macs,
        "optimal": found.optimal,
        "certificate": found.certificate,
        "plain": dict(found.plain),
        "again": list(found.again),
        "frontier": [
            {"bytes": need, "macs_on_top": macs} for need, macs in zip(found.plans.bytes, found.plans.macs, strict=True)
        ],
        "frontier_exact": found.plans.exact,
    }


def rulings_data(found: Rulings) -> dict[str, Any]:
    """Which plan rules where, as plain data."""
    rows = [
        {
            "low": row.low,
            "high": row.high,
            "bytes": str(row.bytes),
            "macs_on_top": str(row.macs),
            "optimal": row.optimal,
            "again": list(row.again),
        }
        for row in found.rows
    ]
    head = {"wrt": found.wrt, "budget": found.budget, "of": found.of, "proven": found.proven}
    return {**head, "infeasible_from": found.ends, "rows": rows}


def recompute_json(found: Recomputation) -> str:
    """The plan as JSON."""
    return compact(recompute_data(found))


def rulings_json(found: Rulings) -> str:
    """Which plan rules where, as JSON."""
    return compact(rulings_data(found))


def draw_frontier(found: Recomputation, path: Path) -> None:
    """Bytes against MACs on top: what is possible, what is not, what torch does and the chosen plan."""
    whole = found.plain["macs"] or 1
    made, axes = figure(8, 4.5)
    share = [100 * macs / whole for macs in found.plans.macs]
    needs = [need / 1e6 for need in found.plans.bytes]
    reach = 1.05 * max(share[-1], 0.1)
    plain = found.plain[found.plans.of] / 1e6
    axes.step([*share, reach], [*needs, needs[-1]], where="post", color=COLOUR, linewidth=1.6, label="plans found")
    if not found.plans.exact:
        low = [(100 * macs / whole, need / 1e6) for need, macs in found.plans.bounds]
        axes.step(
            [*(x for x, _ in low), reach], [*(y for _, y in low), low[-1][1]],
            where="post", color=BOUND, linestyle="--", linewidth=1.1, label="no plan is below",
        )  # fmt: skip
    axes.axhline(plain, color="#555555", linestyle=":", linewidth=1, label="nothing made again")
    axes.plot([share[found.index]], [needs[found.index]], marker="o", color=COLOUR, markersize=7, label="this plan")
    at = ", ".join(f"{name}={size}" for name, size in found.point.items())
    axes.set_title(
        f"{titled(found.model)}: what recomputation saves{f' at {at}' if at else ''}", loc="left", fontsize=11
    )
    axes.set_xlabel("MACs on top of the step (%)")
    axes.set_ylabel(f"{LABELS[found.plans.of]} (MB)")
    axes.set_xlim(-0.02 * reach, reach)
    axes.set_ylim(0, 1.08 * max(plain, needs[0]))
    axes.legend(frameon=False, fontsize=9)
    save(made, path)
