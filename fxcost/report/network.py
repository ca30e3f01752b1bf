"""The graph with its costs for graph tools: GraphML (yEd, Gephi, Cytoscape) and DOT (Graphviz).

Nodes carry op, module, shape and every cost as a formula, and as a number where the sizes are known; an edge is a result
that is read. DOT is coloured by MACs, and modules are boxes around their nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fxcost.query.breakdown import METRICS
from fxcost.query.units import human
from fxcost.report.characters import printable
from fxcost.report.formats import register_format
from fxcost.report.model_explorer import GRADIENT
from fxcost.report.summary import Summary

if TYPE_CHECKING:
    import networkx


def network(summary: Summary) -> networkx.DiGraph:
    """The graph in networkx, in execution order; inputs of the model are nodes without an op."""
    import networkx

    rows = summary.nodes
    values = iter(summary.values(tuple(row.metrics[m] for row in rows for m in METRICS), summary.point))
    made = networkx.DiGraph(model=summary.model, at=", ".join(f"{n}={v}" for n, v in (summary.point or {}).items()))
    names = {row.name for row in rows}
    for name in dict.fromkeys(source for row in rows for source in row.reads if source not in names):
        made.add_node(name, kind="input")
    for row in rows:
        attributes: dict[str, Any] = {
            "kind": "op" if row.known else "op without a rule",
            "op": row.op,
            "module": row.module,
            "shape": "[" + ", ".join(map(str, row.shape)) + "]",
            "dtype": row.dtype,
        }
        for metric in METRICS:
            attributes[f"{metric}_formula"] = str(row.metrics[metric])
            value = next(values)
            if value is not None:
                attributes[metric] = value
        made.add_node(row.name, **attributes)
        made.add_edges_from((source, row.name) for source in row.reads)
    return made


@register_format("graphml")
def report_graphml(summary: Summary) -> str:
    """GraphML; numbers beyond 63 bits, which the format lacks, are written as text for all nodes."""
    import networkx

    made = network(summary)
    for metric in METRICS:
        found = networkx.get_node_attributes(made, metric)
        if any(value >= 1 << 63 for value in found.values()):
            networkx.set_node_attributes(made, {name: str(value) for name, value in found.items()}, metric)
    for _, attributes in made.nodes(data=True):
        attributes |= {key: printable(text) for key, text in attributes.items() if isinstance(text, str)}
    return "\n".join(networkx.generate_graphml(made))


@register_format("dot")
def report_dot(summary: Summary) -> str:
    """DOT with a box around each module; the darker a node, the more MACs it has."""
    made = network(summary)
    most = max((attributes.get("macs", 0) for _, attributes in made.nodes(data=True)), default=0)
    boxes: dict[Any, Any] = {}
    for name, attributes in made.nodes(data=True):
        box: dict[Any, Any] = boxes
        for part in filter(None, attributes.get("module", "").split(".")):
            box = box.setdefault((part,), {})
        box[name] = attributes
    lines = [f"digraph {_quoted(summary.model)} {{"]
    lines += ["  rankdir=TB;", '  node [shape=box, style="filled,rounded", fillcolor=white, fontname="Helvetica"];']
    lines += _box(boxes, "", 1, most)
    lines += [f"  {_quoted(source)} -> {_quoted(target)};" for source, target in made.edges]
    return "\n".join([*lines, "}"])


def _box(box: dict[Any, Any], path: str, level: int, most: int) -> Iterator[str]:
    indent = "  " * level
    for key, content in box.items():
        if isinstance(key, str):
            yield f"{indent}{_quoted(key)} [{_look(key, content, most)}];"
            continue
        inner = f"{path}.{key[0]}" if path else key[0]
        yield f"{indent}subgraph {_quoted(f'cluster_{inner}')} {{"
        yield f"{indent}  label={_quoted(key[0])}; color=gray60; fontname=Helvetica;"
        yield from _box(content, inner, level + 1, most)
        yield f"{indent}}}"


def _look(name: str, attributes: dict[str, Any], most: int) -> str:
    if attributes["kind"] == "input":
        return f"label={_quoted(name)}, shape=ellipse"
    macs = attributes.get("macs")
    lines = [name, f"{attributes['op']} {attributes['dtype']}{attributes['shape']}"]
    if attributes["kind"] != "op":
        return f"label={_quoted(lines[0], *lines[1:], 'no cost rule')}, color=red"
    if macs:
        lines.append(human(macs, "MAC"))
    share = macs / most if macs and most else 0.0
    dark = ", fontcolor=white" if share > 0.6 else ""
    return f"label={_quoted(lines[0], *lines[1:])}, fillcolor={_quoted(_colour(share))}{dark}"


def _colour(share: float) -> str:
    return next(colour for stop, colour in GRADIENT if share <= stop)


def _quoted(*lines: str) -> str:
    """A DOT string of several lines; quotes and backslashes of names are kept."""
    escaped = (printable(line).replace("\n", " ").replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(escaped) + '"'
