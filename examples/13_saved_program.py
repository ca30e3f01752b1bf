"""A .pt2 that carries costs, names of sizes and the order.

After decompositions every node still knows what it came from.

python examples/13_saved_program.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import nn

import fxcost
from fxcost.compiler import annotate_stored


def main() -> None:
    """Save, load, decompose, and find the costs again."""
    model = nn.Sequential(nn.Linear(8, 64), nn.GELU(), nn.LayerNorm(64))
    cost = fxcost.analyze(model.eval(), "N=1..64,8")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.pt2")
        cost.save(path, {"N": 4}, cost.schedule({"N": 4}))

        again = fxcost.analyze(str(path))
        print(f"sizes: {', '.join(map(str, again.symbols.values()))}")
        print(f"macs = {again.macs}")

        program = torch.export.load(path).run_decompositions()
        lost = annotate_stored(program, path)
        for node in program.graph.nodes:
            known = node.meta.get("fxcost")
            if known:
                print(f"{node.name:18} from {known['origin']:11} {known['macs']} MAC")
        print(f"nodes whose costs found no place: {len(lost)}")


if __name__ == "__main__":
    main()
