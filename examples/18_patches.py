"""Patch by patch: MobileNetV2 in 320 KB and in 512 KB, planned, and run.

The first blocks need most of the memory. Run them once for every patch of
their result, and only small tiles are alive: a far smaller peak, for the rows
that two patches both need and compute twice - or keep, strip by strip.

python examples/18_patches.py
"""

from __future__ import annotations

import torch

import fxcost
from fxcost.capture.loaders import load_model
from fxcost.passes.patch_published import published_peak, published_rule

AT = {"N": 1, "H": 224, "W": 224}
GRIDS = [(4, 4), (6, 6), (16, 1), (32, 1)]


def main() -> None:
    """Print two plans in int8, the published way of counting, and a real run."""
    torch.set_num_threads(1)
    cost = fxcost.analyze("torchvision:mobilenet_v2", "N,3,H,W", activations="int8")
    for kilobytes in (320, 512):
        found = cost.patch(AT, memory=kilobytes * fxcost.KB, grids=GRIDS, cached=kilobytes < 512)
        print(f"in {kilobytes} KB: {found.peak:,} of {found.plain_peak:,} bytes, MACs +{found.overhead:.2%}")
        for stage in found.stages:
            kept = ", halos kept" if stage.cached else ""
            print(f"  {stage.rows} x {stage.columns} up to {stage.up_to}{kept}")

    print("as MCUNetV2 counts (no inputs, no residuals, depthwise in place):")
    print(f"  {published_peak(found.setting) / 1024:,.0f} KiB without patches")
    rule = published_rule(found.setting, 4)
    if rule is not None:
        peak, macs, first = rule
        more = macs / found.plain_macs - 1
        print(f"  {peak / 1024:,.1f} KiB with 4 x 4 patches of its first {first.stop} nodes, {more:.2%} more MACs")

    x = torch.randn(1, 3, 96, 96)
    model = load_model("torchvision:mobilenet_v2", "cpu").eval()
    program = torch.export.export(model, (x,))
    plan = fxcost.analyze(program).patch(grids=[(3, 3), (8, 1)])
    patched = plan.apply(program)
    measured = fxcost.measure_peak(patched, (x,)).values
    print(f"run at 96 x 96 in float32: {measured:,} bytes, predicted {plan.peak:,}")
    print(f"without patches: {fxcost.measure_peak(program, (x,)).values:,}")
    with torch.no_grad():
        close = torch.allclose(program.module()(x), patched(x), rtol=1e-4, atol=1e-5)
    print(f"same result: {close}")


if __name__ == "__main__":
    main()
