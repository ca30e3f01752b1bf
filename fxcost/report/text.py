"""The report for a terminal: numbers first, then formulas, the costliest modules, who owns the peak, and every caveat.

Fits 80 columns. Rich draws it; where the output is no terminal the same text comes without colour.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fxcost.ir.expr import Atom, Expr
from fxcost.ir.printing import name_parts, python
from fxcost.query.breakdown import METRICS, ModuleRow, NodeRow, op_sums
from fxcost.query.units import human
from fxcost.report.formats import register_format
from fxcost.report.summary import Summary
from fxcost.report.targets import target_tables

HEADLINES: tuple[tuple[str, str], ...] = (
    ("macs", "MACs (1 multiply + 1 add)"),
    ("flops", "FLOPs (2 per MAC)"),
    ("other_ops", "other operations"),
    ("params", "parameters"),
    ("model_bytes", "model size"),
    ("peak_memory", "peak activation memory"),
    ("peak_memory_with_scratch", "  with scratch inside ops"),
    ("activation_bytes", "all activations allocated"),
    ("total_activations", "total activations (lecture)"),
    ("peak_activations", "peak activations (lecture)"),
    ("read_bytes", "activations read"),
    ("write_bytes", "activations written"),
    ("weight_bytes", "weights fetched"),
)

FORMULAS = ("macs", "params", "peak_memory", "total_activations")


@register_format("text")
def report_text(summary: Summary, width: int = 80) -> str:
    """The whole report as plain text."""
    console = Console(file=io.StringIO(), width=width, no_color=True)
    console.print(layout(summary))
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def layout(summary: Summary) -> RenderableType:
    """Everything, top to bottom."""
    parts: list[RenderableType] = [_title(summary), *_alarms(summary), _totals(summary)]
    parts += target_tables(summary)
    parts += [_formulas(summary), _breakdown(summary)]
    if summary.owner is not None:
        parts.append(_owner(summary))
    parts.append(_notes(summary))
    return Group(*(Padding(part, (0, 0, 1, 0)) for part in parts))


def _title(summary: Summary) -> RenderableType:
    title = Text(summary.model, style="bold")
    title.append(f"  ({', '.join(summary.inputs)})" if summary.inputs else "")
    options = summary.options
    widths = ", ".join(
        [f"weights {name}" for _, name in options.weights]
        + ([f"activations {options.activations}"] * bool(options.activations))
    )
    line = f"{summary.mode}, accounting {options.accounting}, inputs {options.inputs}" + (
        f", {widths}" if widths else ""
    )
    return Group(title, Text(f"{line}; standing: {summary.standing}", style="dim"))


def _alarms(summary: Summary) -> Iterable[RenderableType]:
    if summary.unknown_ops:
        listed = ", ".join(f"{op} x{n}" for op, n in summary.unknown_ops.items())
        yield Text(f"Unknown operators, totals are lower bounds: {listed}", style="bold red")
    for warning in summary.warnings:
        yield Text(f"Warning: {warning}", style="bold red")
    if summary.standing == "numeric":
        yield Text(
            "Numeric: one run was recorded; there are no formulas, and other sizes need another run.",
            style="bold yellow",
        )


def _at(point: Mapping[str, int] | None) -> str:
    return ", ".join(f"{n}={v}" for n, v in point.items()) if point else ""


def _totals(summary: Summary) -> RenderableType:
    where = _at(summary.point)
    note = "" if summary.at is not None or not where else " (the traced sizes; choose others with --at)"
    table = Table(title=f"At {where}{note}" if where else None, title_justify="left", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("exactly", justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    names = [n for n, _ in HEADLINES]
    values = summary.values(tuple(summary.quantities[n].value for n in names), summary.point)
    for (name, label), value in zip(HEADLINES, values, strict=True):
        quantity = summary.quantities[name]
        mark = "" if quantity.standing == summary.standing == "exact" else f"{quantity.standing}"
        least = ">= " if quantity.standing == "lower" else ""
        if value is None:
            table.add_row(label, "", "", "a formula, see below")
        else:
            table.add_row(label, least + human(value, quantity.unit), f"{value:,}", mark or _aside(summary, name))
    intensity = _intensity(summary)
    if intensity is not None:
        table.add_row("arithmetic intensity", f"{intensity:.3g} FLOP/byte", "", "")
    return table


def _aside(summary: Summary, name: str) -> str:
    if name == "params":
        (bias,) = summary.values((summary.quantities["params_bias"].value,), summary.point)
        return f"{bias:,} bias" if bias else ""
    if name == "peak_memory" and summary.owner is not None:
        return "by " + (summary.owner.module or summary.owner.node)
    return ""


def _intensity(summary: Summary) -> float | None:
    names = ("flops", "read_bytes", "write_bytes", "weight_bytes")
    values = summary.values(tuple(summary.quantities[n].value for n in names), summary.point)
    if any(v is None for v in values):
        return None
    flops, *moved = (v or 0 for v in values)
    return flops / sum(moved) if sum(moved) else None


def _formulas(summary: Summary) -> RenderableType:
    shown = [n for n in FORMULAS if summary.quantities[n].value.constant is None]
    if not shown:
        return Text("No formula: every size is fixed.", style="dim")
    names = name_parts(summary.quantities[n].value for n in shown)
    lines: list[RenderableType] = [Text("Formulas  (// rounds down)", style="bold")]
    if names:
        where = ", ".join(f"{short} = {_definition(atom, names)}" for atom, short in names.items())
        lines.append(Text(f"  with {where}", style="dim"))
    lines += [_formula(n, summary.quantities[n].value, names) for n in shown]
    ranges = "; ".join(str(s) for s in summary.symbols)
    lines.append(Text(f"  for {ranges}", style="dim"))
    return Group(*lines)


def _definition(atom: Atom, names: Mapping[Atom, str]) -> str:
    inner = {a: n for a, n in names.items() if a is not atom}
    left, right = atom.args
    sign = "//" if atom.kind == "floordiv" else "%"
    text = python(left, inner)
    return (f"{text}" if text.isidentifier() else f"({text})") + f"{sign}{python(right, inner)}"


def _formula(name: str, value: Expr, names: Mapping[Atom, str]) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(f"  {name} =", style="cyan"), Text(python(value, names)))
    return grid


# -- breakdowns ----------------------------------------------------------------------------------------------------
def _breakdown(summary: Summary) -> RenderableType:
    if summary.by == "node":
        return _flat("By node", [(r.name, f"{r.op.removeprefix('aten.')}", r.metrics) for r in summary.nodes], summary)
    if summary.by == "op":
        rows = [(op, f"x{count}", sums) for op, (count, sums) in op_sums(summary.nodes).items()]
        return _flat("By operator", _costliest(rows, summary), summary)
    return _tree(summary)


def _costliest(
    rows: list[tuple[str, str, Mapping[str, Expr]]], summary: Summary
) -> list[tuple[str, str, Mapping[str, Expr]]]:
    keys = summary.values(tuple(m["macs"] for _, _, m in rows), summary.point)
    traffic = summary.values(tuple(m["read_bytes"] + m["write_bytes"] for _, _, m in rows), summary.point)
    order = sorted(range(len(rows)), key=lambda i: (-(keys[i] or 0), -(traffic[i] or 0)))
    return [rows[i] for i in order]


def _flat(title: str, rows: list[tuple[str, str, Mapping[str, Expr]]], summary: Summary) -> RenderableType:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column, justify in (("name", "left"), ("", "left"), ("params", "right"), ("MACs", "right"), ("bytes", "right")):
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for name, second, metrics in rows:
        table.add_row(name, second, *_numbers(metrics, summary))
    return table


def _numbers(metrics: Mapping[str, Expr], summary: Summary) -> tuple[str, str, str]:
    moved = metrics["read_bytes"] + metrics["write_bytes"] + metrics["weight_bytes"]
    params, macs, traffic = summary.values((metrics["params"], metrics["macs"], moved), summary.point)
    return (
        human(params, "elements") if params else "",
        human(macs, "") if macs else "" if macs == 0 else "?",
        human(traffic, "bytes") if traffic else "",
    )


def _tree(summary: Summary) -> RenderableType:
    table = Table(
        title=f"Modules, {summary.depth} level(s) deep; every level adds up",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("module", overflow="fold", ratio=1)
    for column in ("params", "MACs", "share", "bytes"):
        table.add_column(column, justify="right", no_wrap=True)
    (whole,) = summary.values((summary.modules.metrics["macs"],), summary.point)
    _grow(table, summary.modules, summary, whole or 0, "", summary.depth, summary.model)
    return table


def _grow(table: Table, row: ModuleRow, summary: Summary, whole: int, indent: str, depth: int, label: str) -> None:
    (macs,) = summary.values((row.metrics["macs"],), summary.point)
    share = f"{100 * (macs or 0) / whole:.1f} %" if whole and macs is not None else ""
    params, count, traffic = _numbers(row.metrics, summary)
    calls = f"  x{row.calls}" if row.calls > 1 else ""
    table.add_row(Text(indent + label + calls), params, count, share, traffic)
    if depth <= 0 or not row.children:
        return
    for child in row.children:
        _grow(table, child, summary, whole, indent + "  ", depth - 1, child.path.rpartition(".")[2])
    own = {m: row.own.get(m, row.metrics[m]) for m in METRICS}
    values = summary.values(tuple(own.values()), summary.point)
    if any(values) and any(child.metrics["macs"] is not None for child in row.children):
        (mine,) = summary.values((own["macs"],), summary.point)
        share = f"{100 * (mine or 0) / whole:.1f} %" if whole and mine is not None else ""
        params, count, traffic = _numbers(own, summary)
        table.add_row(Text(indent + "  (its own ops)", style="dim"), params, count, share, traffic)


def _owner(summary: Summary) -> RenderableType:
    owner = summary.owner
    assert owner is not None, "called only with an owner"
    place = f"{owner.module} " if owner.module else ""
    head = Text(f"The peak, {human(owner.nbytes, 'bytes')}, stands at {place}({owner.node}); alive there:")
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    by_name: Mapping[str, NodeRow] = {r.name: r for r in summary.nodes}
    for name, size in owner.alive[:6]:
        row = by_name.get(name)
        what = f"  {name}" + (f" [{row.module}]" if row is not None and row.module else "")
        table.add_row(Text(what), human(size, "bytes"))
    if len(owner.alive) > 6:
        rest = sum(size for _, size in owner.alive[6:])
        table.add_row(f"  and {len(owner.alive) - 6} more", human(rest, "bytes"))
    return Group(head, table)


def _notes(summary: Summary) -> RenderableType:
    lines: list[Text] = []
    if not summary.unknown_ops:
        lines.append(Text("Unknown operators: none."))
    lines += [Text(f"Pinned: {why}", style="yellow") for why in summary.fixed_dims.values()]
    if summary.domain:
        lines.append(Text(f"Valid where {'; '.join(summary.domain[:8])}" + (" ..." if len(summary.domain) > 8 else "")))
    lines += [Text(note, style="dim") for note in summary.notes]
    lines.append(Text(_conventions(summary), style="dim"))
    return Group(*lines)


def _conventions(summary: Summary) -> str:
    inputs = {
        "freed": "inputs counted until their last reader",
        "held": "inputs held by the caller throughout",
        "excluded": "inputs not counted",
    }[summary.options.inputs]
    return (
        "Counting: MACs of convolutions, products and attention, padded taps included; norms, activations and pooling are "
        f"other operations. Memory: values of the graph in traced order, views share their base, {inputs}, outputs to the "
        "end, parameters apart. KB = 1000 bytes. Any line: fxcost explain MODEL NODE."
    )
