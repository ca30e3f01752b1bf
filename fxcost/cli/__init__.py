"""The command line: arguments in, report out. One file a command; no logic lives here."""

from fxcost.cli.application import app, main

# Each module adds its command; `--help` lists them in this order.
from fxcost.cli import report, query, solve, sweep, compare, fit, arena, crossover, explain  # isort: skip
from fxcost.cli import llm, parallel, schedule, patch, recompute, plan  # isort: skip
from fxcost.cli import check, opt, export, schema, calibrate, targets, ops, cache  # isort: skip

__all__ = [
    "app",
    "arena",
    "cache",
    "calibrate",
    "check",
    "compare",
    "crossover",
    "explain",
    "export",
    "fit",
    "llm",
    "main",
    "ops",
    "opt",
    "parallel",
    "patch",
    "plan",
    "query",
    "recompute",
    "report",
    "schedule",
    "schema",
    "solve",
    "sweep",
    "targets",
]
