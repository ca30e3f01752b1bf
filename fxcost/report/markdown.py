"""The report as Markdown, for pull requests."""

from __future__ import annotations

from fxcost.query.table import Table
from fxcost.query.units import human
from fxcost.report.formats import register_format
from fxcost.report.patch import report_markdown_lines
from fxcost.report.rows import table
from fxcost.report.summary import Summary
from fxcost.report.training import training_markdown


@register_format("markdown")
def report_markdown(summary: Summary) -> str:
    """Totals, then the breakdown."""
    names = tuple(summary.quantities)
    values = summary.values(tuple(summary.quantities[n].value for n in names), summary.at)
    rows = []
    for name, value in zip(names, values, strict=True):
        quantity = summary.quantities[name]
        number = "" if value is None else f"{value:,} ({human(value, quantity.unit)})"
        rows.append({"quantity": name, "unit": quantity.unit, "value": number, "formula": f"`{quantity}`"})
    at = "" if summary.at is None else " at " + ", ".join(f"{n}={v}" for n, v in summary.at.items())
    lines = [f"## {summary.model}{at}", "", f"Standing: {summary.standing}.", ""]
    for label, items in (
        ("Unknown operators (totals are lower bounds)", [f"`{op}` x{n}" for op, n in summary.unknown_ops.items()]),
        ("Pinned dimensions", list(summary.fixed_dims.values())),
        ("Valid where", [f"`{guard}`" for guard in summary.domain]),
        ("Notes", list(summary.warnings)),
    ):
        if items:
            lines += [f"{label}: " + "; ".join(items) + ".", ""]
    step = "".join(f"\n{line}" for line in training_markdown(summary))
    totals = Table(("quantity", "unit", "value", "formula"), tuple(rows))
    patched = "".join(f"\n{line}" for line in report_markdown_lines(summary))
    return "\n".join(lines) + "\n" + totals.to_markdown() + step + patched + "\n" + table(summary).to_markdown()
