"""What changed between two revisions, for the terminal, as JSON and as Markdown for pull requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fxcost.query import table as plain_table
from fxcost.query.difference import Change, Difference
from fxcost.query.units import fraction, human
from fxcost.report.terminal import for_output

MOST_MODULES = 16
"""Rows of modules that are shown; --json has all of them."""
COSTS = {
    "MACs": ("macs",),
    "params": ("params",),
    "bytes moved": ("read_bytes", "write_bytes", "weight_bytes"),
    "other ops": ("other_ops",),
}
"""Columns of a module, and which metrics they add up."""
MODULE_COLUMNS = ("module", *COSTS, "")
MOST_FORMULA = 120
"""Characters of a difference as a formula that are shown."""


def difference_text(found: Difference) -> str:
    """Totals before and after, then the modules that moved them most."""
    return for_output(Group(Text(_title(found), style="bold"), Text(_where(found)), *_notes(found), *_tables(found)))


def _title(found: Difference) -> str:
    return f"{found.after.name} against {found.before.name}"


def _where(found: Difference) -> str:
    return "At " + ", ".join(f"{n}={v}" for n, v in found.point.items()) if found.point else "As formulas"


def _notes(found: Difference) -> list[RenderableType]:
    return [Text(note, style="yellow") for note in notes(found)]


def notes(found: Difference) -> list[str]:
    """What makes the two hard to compare."""
    said = []
    for which, revision in (("before", found.before), ("now", found.after)):
        if revision.standing == "lower":
            said.append(f"The totals {which} are lower bounds: operators had no cost rule.")
        elif revision.standing != "exact":
            said.append(f"The standing {which} is {revision.standing}.")
    if found.before.version != found.after.version:
        said.append(f"Counted by fxcost {found.before.version or '?'} before, {found.after.version or '?'} now.")
    return said


def _tables(found: Difference) -> list[RenderableType]:
    changed = [change for change in found.totals if change.formula_changed]
    if not changed:
        return [Text("\nNothing changed: every total is the same formula.")]
    parts: list[RenderableType] = [Text(""), _table(changed)]
    same = [change.metric for change in found.totals if not change.formula_changed]
    if same:
        parts.append(Text(f"unchanged: {', '.join(same)}", style="dim"))
    formulas = [
        f"{change.metric} {_signed(text)}"
        for change in changed
        if (text := difference_formula(change)) and len(text) <= MOST_FORMULA
    ]
    if formulas:
        parts += [Text("\nGrew by, as formulas", style="bold"), *(Text(f"  {line}") for line in formulas)]
    rows = module_rows(found)
    if rows:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in MODULE_COLUMNS:
            table.add_column(column, justify="left" if column in {"module", ""} else "right", overflow="fold")
        for row in rows[:MOST_MODULES]:
            table.add_row(*row)
        parts += [Text("\nWhere, what moved most first", style="bold"), table]
        if len(rows) > MOST_MODULES:
            parts.append(Text(f"and {len(rows) - MOST_MODULES:,} more modules (--json)", style="dim"))
    return parts


def difference_formula(change: Change) -> str:
    """After minus before as text; empty where there is nothing symbolic to say."""
    formula = change.formula
    return "" if formula is None or formula.constant is not None else str(formula)


def _signed(text: str) -> str:
    return text if text.startswith("-") else f"+{text}"


def _table(changes: Sequence[Change]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("", "before", "now", "change"):
        table.add_column(column, justify="right" if column else "left", overflow="fold")
    for change in changes:
        table.add_row(change.metric, *cells(change))
    return table


def module_rows(found: Difference) -> list[tuple[str, ...]]:
    """A row for each module that changed, what moved most first: how much each cost grew, and whether it is new."""
    grouped: dict[str, list[Change]] = {}
    for change in found.modules:
        grouped.setdefault(change.module or "(outside modules)", []).append(change)
    return [
        (module, *(_grown(changes, names) for names in COSTS.values()), _fate(changes))
        for module, changes in grouped.items()
    ]


def _grown(changes: Sequence[Change], metrics: Sequence[str]) -> str:
    mine = [change for change in changes if change.metric in metrics]
    if any(change.delta is None for change in mine):
        return "formula"
    delta = sum(change.delta or 0 for change in mine)
    return "" if not delta else f"{'+' if delta > 0 else '-'}{human(abs(delta), '').strip()}"


def _fate(changes: Sequence[Change]) -> str:
    if all(change.before is None for change in changes):
        return "new"
    if all(change.after is None for change in changes):
        return "gone"
    return "the same here" if all(change.delta == 0 for change in changes) else ""


def cells(change: Change) -> tuple[str, str, str]:
    """Before, now and the change of a row; a formula where there is no number, nothing where there was no such module."""
    if change.before is None or change.after is None:
        what = "new" if change.before is None else "gone"
    elif change.delta is None:
        what = "formula changed" if change.formula_changed else "same"
    elif not change.delta:
        what = "formula changed, same here" if change.formula_changed else "same"
    elif change.growth is None:
        what = f"{change.delta:+,}"
    else:
        what = f"{'+' if change.growth > 0 else '-'}{fraction(100 * abs(change.growth))} %"
    return _cell(change.before is not None, change.old), _cell(change.after is not None, change.new), what


def _cell(exists: bool, value: int | None) -> str:
    return ("a formula" if value is None else f"{value:,}") if exists else ""


def difference_data(found: Difference) -> dict[str, Any]:
    """Plain data for JSON."""
    return {
        "before": found.before.name,
        "now": found.after.name,
        "at": dict(found.point),
        "notes": notes(found),
        "totals": {change.metric: _plain(change) for change in found.totals},
        "modules": [{"module": change.module, "metric": change.metric, **_plain(change)} for change in found.modules],
    }


def _plain(change: Change) -> dict[str, Any]:
    def side(formula: object, value: int | None) -> dict[str, Any] | None:
        return None if formula is None else {"expr": str(formula)} | ({} if value is None else {"value": value})

    return {
        "unit": change.unit,
        "before": side(change.before, change.old),
        "now": side(change.after, change.new),
        "delta": change.delta,
        "growth": None if change.growth is None else float(change.growth),
        "formula_changed": change.formula_changed,
    }


def difference_markdown(found: Difference) -> str:
    """Two tables for a comment on a pull request."""
    lines = [f"### {_title(found)}", "", f"{_where(found)}.", ""]
    for note in notes(found):
        lines += [note, ""]
    changed = [change for change in found.totals if change.formula_changed]
    if not changed:
        return "\n".join([*lines, "Nothing changed: every total is the same formula."]) + "\n"
    rows = [{"total": c.metric, **dict(zip(("before", "now", "change"), cells(c), strict=True))} for c in changed]
    text = "\n".join(lines) + "\n" + plain_table.Table(("total", "before", "now", "change"), rows).to_markdown()
    modules = module_rows(found)
    if modules:
        parts = [dict(zip(MODULE_COLUMNS, (f"`{row[0]}`", *row[1:]), strict=True)) for row in modules[:MOST_MODULES]]
        text += "\n" + plain_table.Table(MODULE_COLUMNS, parts).to_markdown()
        if len(modules) > MOST_MODULES:
            text += f"\nand {len(modules) - MOST_MODULES:,} more modules\n"
    return text
