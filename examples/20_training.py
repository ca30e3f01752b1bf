"""Training: what a step keeps, how large a batch fits, what to compute again.

In training, activations are the bottleneck, not parameters: MobileNetV2 has
several times fewer parameters than ResNet-50, and keeps nearly as much. Which
of it may be computed again instead, for how many MACs?

python examples/20_training.py
"""

from __future__ import annotations

import torch
from torch import nn

import fxcost


def network() -> nn.Module:
    """A small residual-free network with batch norms, and a linear head."""
    blocks = [
        (3, 16, 1),
        (16, 32, 2),
        (32, 32, 1),
        (32, 64, 2),
    ]
    layers: list[nn.Module] = []
    for narrow, wide, stride in blocks:
        layers += [nn.Conv2d(narrow, wide, 3, stride, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def main() -> None:
    """One step as formulas, in other precisions, with frozen parameters, under a plan, and run."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = network()
    cost = fxcost.analyze(model, "N,3,H,H", mode="training")
    at = {"N": 8, "H": 32}
    print(f"MACs: {cost.macs_forward(**at):,} forward, {cost.macs_backward(**at):,} backward")
    print(f"kept, as torch does: {cost.saved_activations(**at):,} bytes")
    print(f"kept, by layer:      {cost.saved_activations_tinytl(**at):,} bytes")

    print("largest batch at 224 x 224 in 24 GB:")
    for optimizer, precision in (("sgd", "fp32"), ("adam", "fp32"), ("adam", "mixed")):
        step = fxcost.analyze(
            network(), "N,3,H,H", mode="training", optimizer=optimizer, precision=precision, check=False
        )
        largest = step.solve(step.training_memory <= 24 * fxcost.GB, wrt="N", at={"H": 224}).max
        print(f"  {optimizer:5} {precision:5} {largest:,}")

    print("what frozen parameters save:")
    for train in ("biases", "last"):
        frozen = fxcost.analyze(network(), "N,3,H,H", mode="training", train=train, check=False)
        saves = cost.saved_activations - frozen.saved_activations
        print(f"  {train:6} {saves(**at):,} of {cost.saved_activations(**at):,} bytes")

    print("what to compute again, within bytes kept:")
    least = cost.recompute(at=at).plans.bytes[-1]
    for budget in (cost.saved_activations(**at) // 2, cost.saved_activations(**at) // 4, least):
        found = cost.recompute(budget, at)
        print(f"  {budget:>9,}: {found.kept:,} kept, {found.overhead:.1%} more MACs, optimal: {found.optimal}")
    rulings = cost.recompute_over(10 * fxcost.MB, "N", {"H": 32})
    print(f"within 10 MB, by N (proven: {rulings.proven}):")
    for row in rulings.rows:
        print(f"  N = {row.low} to {row.high}: {row.macs} MACs on top")

    found = cost.recompute(cost.saved_activations(**at) // 4, at)
    x = torch.randn(8, 3, 32, 32)
    step_of = found.apply(model, (x,))
    kept: dict[int, int] = {}
    alive = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        alive.append(tensor)
        storage = tensor.untyped_storage()
        if all(storage._cdata != p.untyped_storage()._cdata for p in (*model.parameters(), *model.buffers())):
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = step_of(x)
    loss.backward()
    print(f"run: {sum(kept.values()):,} bytes kept, predicted {found.kept:,}")
    mine = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    same = torch.autograd.grad(model(x).sum(), list(model.parameters()))
    close = all(torch.allclose(a, b, rtol=1e-3, atol=1e-3) for a, b in zip(mine, same, strict=True))
    print(f"same gradients: {close}")


if __name__ == "__main__":
    main()
