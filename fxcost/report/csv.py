"""The breakdown as comma-separated values."""

from __future__ import annotations

from dataclasses import replace

from fxcost.report.formats import register_format
from fxcost.report.rows import table
from fxcost.report.summary import Summary


@register_format("csv")
def report_csv(summary: Summary) -> str:
    """Header and one line a row, repeated blocks too; formulas where no point was given."""
    return table(replace(summary, fold=False)).to_csv()
