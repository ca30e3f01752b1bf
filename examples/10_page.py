"""Pages with sliders: one HTML file each that loads nothing, for one model and for several beside each other.

Open them in a browser: type 2*H into the box of W, pick another accounting, walk the tree with the arrow keys.

python examples/10_page.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import gettempdir

import torch
from torch import nn

import fxcost


def block(inputs: int, outputs: int, expansion: int) -> nn.Sequential:
    """Expand by 1x1, filter depthwise at stride two, project by 1x1."""
    wide = inputs * expansion
    return nn.Sequential(
        *(nn.Conv2d(inputs, wide, 1), nn.ReLU6(), nn.Conv2d(wide, wide, 3, 2, 1, groups=wide), nn.ReLU6()),
        nn.Conv2d(wide, outputs, 1),
    )


def network(expansion: int) -> nn.Module:
    """Three blocks and a classifier; MACs at 64 x 64 are worked out in the tests."""
    return nn.Sequential(
        *(block(3, 16, expansion), block(16, 32, expansion), block(32, 64, expansion)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)),
    )


def main() -> None:
    """Write both pages, and say where they are."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else gettempdir())
    narrow = fxcost.analyze(network(2).eval(), "N,3,H,W", name="narrow")
    wide = fxcost.analyze(network(6).eval(), "N,3,H,W", name="wide")
    at = {"N": 1, "H": 64, "W": 64}

    path = folder / "fxcost_page.html"
    page = wide.to_html(path, at=at, tie={"W": "H"}, targets=["stm32h743", "t4"], schedule=wide.schedule(at))
    print(f"one model: {path}")
    print(f"  it opens at {wide.macs(**at):,} MACs and a peak of {wide.peak_memory(**at):,} bytes")
    print(f"  under 200 KB: {len(page.text.encode()) < 200_000}")

    path = folder / "fxcost_comparison.html"
    wide.compare_to_html([narrow], path, metric="peak_memory", at={"N": 1}, tie={"W": "H"}, targets=["stm32h743"])
    print(f"two models: {path}")
    print(f"  {wide.compare(narrow, 'peak_memory', at={'N': 1}, tie={'W': 'H'})}")


if __name__ == "__main__":
    main()
