"""`fxcost explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from fxcost.cli.analysis import analyze
from fxcost.cli.application import app, say
from fxcost.cli.options import Asked, takes_model


@app.command(epilog="For example: fxcost explain torchvision:resnet50 -i N,3,H,W layer1.0.conv1")
@takes_model
def explain(
    asked: Asked,
    node: Annotated[str, typer.Argument(metavar="NODE", help="A node's name or a module's path.")],
) -> None:
    """How a node is counted: rule, formula, source line."""
    from fxcost.query.explain import explain_node, find_nodes
    from fxcost.report.characters import printable

    cost, _ = analyze(asked)
    found = find_nodes(cost.graph, node)
    say(printable("\n\n".join(str(explain_node(cost.graph, cost.facts, n)) for n in found)))
