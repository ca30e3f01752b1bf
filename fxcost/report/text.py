"""The report for a terminal: caveats, numbers, machines, formulas, where the costs lie, what owns the peak.

Fits 80 columns. Rich draws it; where the output is no terminal the same text comes without colour.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import groupby

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fxcost.ir.expr import Atom, Expr
from fxcost.ir.printing import name_parts, python
from fxcost.query.breakdown import ModuleRow, NodeRow, flatten
from fxcost.query.units import fraction, human
from fxcost.report.arrange import module_tree, node_list, op_list
from fxcost.report.formats import register_format
from fxcost.report.patch import report_section
from fxcost.report.summary import Summary
from fxcost.report.targets import target_tables
from fxcost.report.terminal import WIDTH, Branch, plain
from fxcost.report.training import training_section

HEADLINES: Mapping[str, str] = {
    "macs": "MACs (1 multiply + 1 add)",
    "macs_causal": "  without masked pairs",
    "macs_forward": "  forward",
    "macs_backward": "  backward",
    "flops": "FLOPs (2 per MAC)",
    "other_ops": "other operations",
    "params": "parameters",
    "model_bytes": "model size",
    "peak_memory": "peak activation memory",
    "peak_memory_with_scratch": "  with scratch inside ops",
    "saved_activations": "kept for the backward pass",
    "saved_activations_tinytl": "  by layer (TinyTL's rule)",
    "gradient_bytes": "gradients",
    "momentum_bytes": "optimizer state, momentum",
    "adam_bytes": "optimizer state, Adam",
    "mixed_momentum_bytes": "  momentum, float32 beside 16 bits",
    "mixed_adam_bytes": "  Adam, float32 beside 16 bits",
    "optimizer_bytes": "  as asked for (--optimizer)",
    "training_memory": "memory of the whole step",
    "activation_bytes": "all activations allocated",
    "total_activations": "total activations (lecture)",
    "peak_activations": "peak activations (lecture)",
    "read_bytes": "activations read",
    "write_bytes": "activations written",
    "weight_bytes": "weights fetched",
    "wire_bytes": "sent to other devices",
}

FORMULAS = ("macs", "params", "peak_memory", "saved_activations", "total_activations", "wire_bytes")
LONGEST_FORMULA = 1_600
OWNERS = 6
MAX_GUARDS = 8


@register_format("text")
def report_text(summary: Summary, width: int = WIDTH) -> str:
    """The whole report as plain text."""
    return plain(layout(summary), width)


def layout(summary: Summary) -> RenderableType:
    """Everything, top to bottom."""
    parts = [
        _title(summary),
        *_caveats(summary),
        _totals(summary),
        *target_tables(summary),
        *report_section(summary),
        _formulas(summary),
        *_breakdown(summary),
        *training_section(summary),
        *_owner(summary),
        _notes(summary),
    ]
    return Group(*(Padding(part, (0, 0, 1, 0), expand=False) for part in parts))


def _table(*columns: str) -> Table:
    """A table without lines whose first column is text and whose others are numbers."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for position, column in enumerate(columns):
        table.add_column(column, justify="right" if position else "left", overflow="fold")
    return table


# -- what was analysed ---------------------------------------------------------------------------------------------
def _title(summary: Summary) -> RenderableType:
    title = Text(summary.model, style="bold")
    inputs = [(kind, len(list(same))) for kind, same in groupby(summary.inputs)]
    listed = ", ".join(f"{kind} x{count}" if count > 1 else kind for kind, count in inputs)
    title.append(f"  ({listed})" if listed else "")
    options = summary.options
    knobs = [summary.mode, f"accounting {options.accounting}", f"inputs {options.inputs}"]
    knobs += [f"weights {name}" if at == "*" else f"weights {at}={name}" for at, name in options.weights]
    knobs += [f"activations {options.activations}"] * bool(options.activations)
    return Group(title, Text(f"{', '.join(knobs)}; standing: {summary.standing}", style="dim"))


def _caveats(summary: Summary) -> Iterable[RenderableType]:
    lines = []
    if summary.unknown_ops:
        listed = ", ".join(f"{op} x{n}" for op, n in summary.unknown_ops.items())
        lines.append(Text(f"Unknown operators, totals are lower bounds: {listed}", style="bold red"))
    lines += [Text(f"Warning: {warning}", style="bold red") for warning in summary.warnings]
    if summary.standing == "numeric":
        lines.append(Text("Numeric: one run was recorded; numbers hold at its sizes alone.", style="bold yellow"))
    lines += [Text(f"Pinned {why}", style="yellow") for why in summary.fixed_dims.values()]
    return [Group(*lines)] if lines else []


# -- numbers -------------------------------------------------------------------------------------------------------
def _where(summary: Summary) -> str:
    """`At N=1, H=224, W=416 (W chosen here, give yours with --at)`."""
    point = summary.point if summary.point is not None else summary.at or {}
    where = "At " + ", ".join(f"{n}={v}" for n, v in point.items()) if point else ""
    missing = [s.name for s in summary.symbols if s.name not in point]
    if missing:
        data = ", ".join(s.name for s in summary.symbols if s.kind == "data" and s.name in missing)
        why = f"{data} decided by the data, " if data else ""
        return f"{where or 'Totals'} ({why}give {', '.join(missing)} with --at)"
    chosen = [n for n in point if n not in (summary.at or {})]
    if not chosen:
        return where
    who = "sizes" if len(chosen) == len(point) else ", ".join(chosen)
    return f"{where} ({who} chosen here, give yours with --at)"


def _totals(summary: Summary) -> RenderableType:
    table = _table("", "", "exactly")
    table.add_column("", overflow="fold")
    quantities = summary.quantities
    names = [name for name in HEADLINES if name in quantities]  # those of a training step are only there
    found = summary.values(tuple(quantities[n].value for n in names), summary.point or summary.at)
    values = dict(zip(names, found, strict=True))
    for name in names:
        label = HEADLINES[name]
        quantity, value = quantities[name], values[name]
        if name == "macs_causal" and quantity.value is quantities["macs"].value:
            continue
        if value is None:
            table.add_row(label, "a formula", "", "")
            continue
        least = ">= " if quantity.standing == "lower" else ""
        remark = "" if quantity.standing in {"exact", summary.standing} and not least else str(quantity.standing)
        table.add_row(label, least + human(value, quantity.unit), f"{value:,}", remark or _bias(summary, name))
    moved = [values[n] for n in ("read_bytes", "write_bytes", "weight_bytes")]
    traffic = sum(value or 0 for value in moved)
    if values["flops"] is not None and None not in moved and traffic:
        table.add_row("arithmetic intensity", f"{fraction(Fraction(values['flops'], traffic))} FLOP/byte")
    where = _where(summary)
    return Group(Text(where, style="bold"), table) if where else table


def _bias(summary: Summary, name: str) -> str:
    if name != "params":
        return ""
    (bias,) = summary.values((summary.quantities["params_bias"].value,), summary.point)
    return f"{bias:,} bias" if bias else ""


# -- formulas ------------------------------------------------------------------------------------------------------
def _formulas(summary: Summary) -> RenderableType:
    formulas = FORMULAS if summary.point is not None else tuple(HEADLINES)  # without numbers, formulas say everything
    wanted = [name for name in formulas if name in summary.quantities]
    shown = [n for n in wanted if summary.quantities[n].value.constant is None]
    if not shown:
        return Text("No formulas: every size is fixed.", style="dim")
    names = name_parts(summary.quantities[n].value for n in shown)
    lines: list[RenderableType] = [Text("Formulas (// rounds down)", style="bold")]
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True, justify="right")
    grid.add_column(overflow="fold")
    for name in shown:
        formula = _shortened(python(summary.quantities[name].value, names))
        grid.add_row(Text(f"  {name} =", style="cyan"), Text(formula + _restricted(summary, name)))
    lines.append(grid)
    if names:
        where = ", ".join(f"{short} = {_definition(atom, names)}" for atom, short in names.items())
        lines.append(_indented(f"with {where}"))
    lines.append(_indented("for " + ", ".join(str(s) for s in summary.symbols)))
    return Group(*lines)


def _restricted(summary: Summary, name: str) -> str:
    """Where a formula holds that holds less widely than the report's: what could not be fitted is that of one size."""
    quantity = summary.quantities[name]
    if quantity.standing == summary.standing or quantity.standing != "numeric":
        return ""
    guards = [str(guard) for guard in quantity.domain if str(guard) not in summary.domain]
    return f"  where {' and '.join(guards)}" if guards else ""


def _indented(text: str) -> RenderableType:
    return Padding(Text(text, style="dim"), (0, 0, 0, 2), expand=False)


def _shortened(formula: str) -> str:
    if len(formula) <= LONGEST_FORMULA:
        return formula
    return f"{formula[:LONGEST_FORMULA]} ... ({len(formula):,} characters; fxcost query prints all of it)"


def _definition(atom: Atom, names: Mapping[Atom, str]) -> str:
    inner = {a: n for a, n in names.items() if a is not atom}
    left, right = atom.args
    sign = "//" if atom.kind == "floordiv" else "%"
    text = python(left, inner)
    # Without a blank inside, a definition stays on one line.
    return (text if text.isidentifier() else f"({text})".replace(" ", "")) + f"{sign}{python(right, inner)}"


# -- where the costs lie -------------------------------------------------------------------------------------------
Metrics = Mapping[str, Expr]


def _breakdown(summary: Summary) -> Iterable[RenderableType]:
    if summary.by == "module" and (not summary.modules.children or summary.depth == 0):
        return []
    shares = _Shares(summary)
    if summary.by == "op":
        title, table = (
            f"By operator, {_order(summary, 'costliest first')}",
            _table("operator", "calls", *shares.columns),
        )
        for op, count, sums in op_list(summary):
            table.add_row(op, f"{count:,}", *shares.cells(sums))
    elif summary.by == "node":
        order = _order(summary, "in the order of execution")
        title, table = f"By node, {order}", _table("node", "module", *shares.columns)
        table.columns[1].justify = "left"
        for node in node_list(summary):
            table.add_row(node.name, node.module, *shares.cells(node.metrics, unknown=not node.known))
    else:
        levels = "1 level" if summary.depth == 1 else f"{summary.depth} levels"
        order = _order(summary, "")
        title = f"By module, {levels}{order and f', {order}'}; every level adds up"
        tree, table = module_tree(summary), _table("module", *shares.columns)
        table.add_row("total", *shares.cells(tree.metrics))
        _grow(table, tree, shares, "", summary.depth)
        if any(row.copies > 1 for _, row in flatten(tree, summary.depth)):
            legend = Text("xN: a row for N modules with the same formulas, added up", style="dim")
            return [Group(Text(title, style="bold"), table, legend)]
    return [Group(Text(title, style="bold"), table)]


def _order(summary: Summary, default: str) -> str:
    if summary.sort is None and summary.top is None:
        return default
    return f"{'costliest' if summary.top is None else f'the {summary.top} costliest'} by {summary.sort or 'macs'} first"


def _grow(table: Table, row: ModuleRow, shares: _Shares, before: str, depth: int) -> None:
    """Add the modules below `row`, and what it does itself beside them, so that each level adds up."""
    if depth == 0 or not row.children:
        return
    own = [row.own] if row.own and any(cell not in {"", "0.0"} for cell in shares.cells(row.own)) else []
    last = len(row.children) + len(own) - 1
    for position, child in enumerate(row.children):
        branch, below = ("└─ ", "   ") if position == last else ("├─ ", "│  ")
        label = Text(child.path.rpartition(".")[2])
        if child.copies > row.copies:
            label.append(f"  x{child.copies // row.copies}", "bold")
        if child.calls > 1:
            label.append(f" (called {child.calls} times)")
        table.add_row(Branch(before + branch, before + below, label), *shares.cells(child.metrics))
        _grow(table, child, shares, before + below, depth - 1)
    for metrics in own:
        table.add_row(Text(f"{before}└─ (its own operations)", style="dim"), *shares.cells(metrics))


class _Shares:
    """Cells of a row: its numbers and their shares of the whole."""

    columns = ("params", "MACs", "%", "traffic", "%")

    def __init__(self, summary: Summary) -> None:
        self.summary = summary
        _, self.macs, self.traffic = self._values(summary.modules.metrics)

    def _values(self, metrics: Metrics) -> tuple[int | None, ...]:
        traffic = metrics["read_bytes"] + metrics["write_bytes"] + metrics["weight_bytes"]
        return self.summary.values((metrics["params"], metrics["macs"], traffic), self.summary.point)

    def cells(self, metrics: Metrics, *, unknown: bool = False) -> tuple[str, ...]:
        params, macs, traffic = self._values(metrics)
        return (
            human(params, "elements") if params else "",
            "?" if unknown or macs is None else human(macs, "") if macs else "",
            _percent(macs, self.macs),
            "?" if unknown or traffic is None else human(traffic, "bytes") if traffic else "",
            _percent(traffic, self.traffic),
        )


def _percent(part: int | None, whole: int | None) -> str:
    return f"{100 * part / whole:.1f}" if part and whole else ""


def _owner(summary: Summary) -> Iterable[RenderableType]:
    owner = summary.owner
    if owner is None:
        return []
    rows: Mapping[str, NodeRow] = {r.name: r for r in summary.nodes}
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, size in owner.alive[:OWNERS]:
        module = rows[name].module if name in rows else ""
        grid.add_row(f"  {human(size, 'bytes')}", name + (f" of {module}" if module else ""))
    if len(owner.alive) > OWNERS:
        rest = sum(size for _, size in owner.alive[OWNERS:])
        grid.add_row(f"  {human(rest, 'bytes')}", f"in {len(owner.alive) - OWNERS} more")
    head = Text("The peak", style="bold")
    place = f"{owner.module} ({owner.node})" if owner.module else owner.node
    head.append(f", {human(owner.nbytes, 'bytes')}, stands at {place}; alive there:", style="not bold")
    return [Group(head, grid)]


# -- what to know --------------------------------------------------------------------------------------------------
def _notes(summary: Summary) -> RenderableType:
    lines: list[Text] = []
    if not summary.unknown_ops:
        lines.append(Text("Unknown operators: none."))
    if summary.domain:
        more = f" and {len(summary.domain) - MAX_GUARDS} more guards (--json)" * (len(summary.domain) > MAX_GUARDS)
        lines.append(Text(f"Valid where {'; '.join(summary.domain[:MAX_GUARDS])}{more}"))
    lines += [Text(note, style="dim") for note in summary.notes]
    lines.append(Text(_conventions(summary), style="dim"))
    return Group(*lines)


def _conventions(summary: Summary) -> str:
    inputs = {
        "freed": "inputs counted until their last reader",
        "held": "inputs held by the caller throughout",
        "excluded": "inputs not counted",
    }[summary.options.inputs]
    eager = " A training step's memory counts for as long as eager torch holds it."
    return (
        "Counting: MACs of convolutions, products and attention, padded taps included; norms, activations and pooling "
        "are other operations. Traffic: bytes of activations read and written and of weights, per operator. Memory: "
        f"values of the graph in traced order, views share their base, {inputs}, outputs to the end, parameters apart."
        f"{eager * bool(summary.training and summary.options.accounting == 'eager')} "
        "KB = 1000 bytes. One node in detail: fxcost explain MODEL -i SPEC NODE."
    )
