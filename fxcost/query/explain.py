"""Explaining one node: the rule, its formula, what each letter is here, the convention, the source line."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import cleandoc

from fxcost.errors import UnknownName, nearest
from fxcost.ir.graph import Graph, Node
from fxcost.passes.cost import Costs
from fxcost.passes.storage import Storage
from fxcost.pipeline import Facts
from fxcost.query.shown import Shown


@dataclass(frozen=True)
class Explanation(Shown):
    """Everything about one node, as text; `str()` lays it out."""

    node: str
    op: str
    module: str
    source: str
    operands: tuple[str, ...]
    result: str
    rule: str
    formula: str
    bind: Mapping[str, str]
    counts: Mapping[str, str]
    storage: str
    convention: str

    def __str__(self) -> str:
        lines = [f"{self.node}  ({self.op})"]
        lines += [f"  module   {self.module or '(top)'}", f"  source   {self.source or 'unknown'}"]
        lines += [f"  operand  {text}" for text in self.operands]
        lines += [f"  result   {self.result}", f"  storage  {self.storage}", f"  rule     {self.rule}"]
        if self.formula:
            counted = "elements sent" if "wire_bytes" in self.counts else "macs"
            lines.append(f"  formula  {counted} = {self.formula}")
            lines += [f"           {letter} = {value}" for letter, value in self.bind.items()]
        lines += [f"  {name:<14}{value}" for name, value in self.counts.items()]
        lines += ["", *("  " + line for line in _paragraphs(self.convention))]
        return "\n".join(_wrapped(line) for line in lines)


def _wrapped(line: str, width: int = 80) -> str:
    """The line broken at blanks; what follows a label hangs under its text."""
    body = line.strip()
    label = len(line) - len(body) + len(body.partition("  ")[0]) + 2 if "  " in body else 0
    hanging = len(line) - len(line[label:].lstrip()) if label else len(line) - len(line.lstrip())
    return textwrap.fill(line, width, subsequent_indent=" " * hanging, break_long_words=False, break_on_hyphens=False)


def _paragraphs(text: str) -> list[str]:
    """Lines of one paragraph joined, so that they can be broken anew; indented lines stay as they are."""
    lines: list[str] = []
    for line in text.splitlines():
        joins = lines and line and lines[-1] and not line.startswith(" ") and not lines[-1].startswith(" ")
        if joins:
            lines[-1] += " " + line
        else:
            lines.append(line)
    return lines


def find_nodes(graph: Graph, name: str) -> tuple[Node, ...]:
    """Nodes called `name`, or belonging to the module `name`; raises UnknownName with the nearest names."""
    exact = tuple(n for n in graph.nodes if n.name == name)
    found = exact or tuple(n for n in graph.nodes if n.module == name)
    if not found:
        known = {n.name for n in graph.nodes} | {n.module for n in graph.nodes if n.module}
        raise UnknownName(f"there is no node or module {name!r}{nearest(name, known)}")
    return found


def explain_node(graph: Graph, facts: Facts, node: Node) -> Explanation:
    """Explain one node."""
    cost = facts[Costs].rows[graph.nodes.index(node)]
    counts = {
        "macs": cost.macs,
        "other_ops": cost.other_ops,
        "read_bytes": cost.read_bytes,
        "write_bytes": cost.write_bytes,
        "weight_bytes": cost.weight_bytes,
        "scratch_bytes": cost.scratch_bytes,
    }
    if cost.detail.exchange is not None:
        counts["wire_bytes"] = cost.wire_bytes
    if cost.detail.causal_macs is not None:
        counts["macs_causal"] = cost.detail.causal_macs
    unknown = "no rule: this operator is unknown, its cost is missing from every total"
    return Explanation(
        node=node.name,
        op=node.op,
        module=node.module + (f" (call {node.call + 1})" if node.call else ""),
        source=node.source,
        operands=tuple(f"{s}: {o} {graph.types[o]}" for s, o in zip(node.slots, node.operands, strict=True)),
        result=", ".join(f"{v.id} {v.type}" for v in node.results) or "none",
        rule=f"{cost.rule.function.__name__} in {cost.rule.home}, kind {cost.kind}" if cost.rule else unknown,
        formula=cost.detail.formula,
        bind={letter: str(value) for letter, value in cost.detail.bind.items()},
        counts={name: str(value) for name, value in counts.items()},
        storage=_storage(facts[Storage], node),
        convention=cleandoc(cost.rule.doc) if cost.rule else unknown,
    )


def _storage(storage: Storage, node: Node) -> str:
    if not node.results:
        return "no result"
    alias = storage.aliases.get(node.results[0].id)
    if alias is None:
        return "owns its memory"
    if alias.operand_written:
        return f"writes into {alias.of}"
    when = str(alias.when)
    return f"shares the memory of {alias.of}" + ("" if when == "1 == 1" else f" when {when}")
