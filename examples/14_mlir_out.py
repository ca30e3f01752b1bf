"""MLIR out: the graph with costs on every op, and costs as functions.

Any MLIR compiler can inline, fold and call these.

python examples/14_mlir_out.py
"""

from __future__ import annotations

from textwrap import fill, shorten

from torch import nn

import fxcost


def main() -> None:
    """Print an op with its costs, and the function of its MACs."""
    model = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    cost = fxcost.analyze(model.eval(), "N,3,H,W", name="layer")

    graph = cost.to_mlir(form="pretty")
    print(shorten(graph[graph.index("%conv2d =") :], 74))
    start = graph.index("fact.macs.map")
    print(fill(graph[start : graph.index(")>", start) + 2], 78))

    functions = cost.to_cost_mlir()
    start = functions.index("  func.func @layer__macs(")
    print(functions[start : functions.index("  }", start) + 3])


if __name__ == "__main__":
    main()
