"""An operator of your own: unknown at first, then with a rule of its own.

A kernel that is wrapped as an operator (by torch.library.custom_op, or by
torch.library.triton_op around a Triton kernel) is one node of the graph. What
it costs is in no graph: say it in a rule, in the symbols of its operands.

python examples/08_custom_operators.py
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import fxcost
from fxcost.ops.registry import Call

WIDTH, STATES = 64, 16


# -- the operator: a selective scan, the core of state-space models -----------
@torch.library.custom_op("shop::selective_scan", mutates_args=())
def selective_scan(x: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Run h = a*h + b*x along S and return y = <c, h>.

    x is (N, S, D), a is (D, K), b and c are (N, S, K).
    """
    state = x.new_zeros(x.shape[0], *a.shape)
    steps = []
    for s in range(x.shape[1]):
        state = a * state + b[:, s, None] * x[:, s, :, None]
        steps.append((state * c[:, s, None]).sum(-1))
    return torch.stack(steps, 1)


@selective_scan.register_fake
def _(x: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.empty_like(x)


class Mixer(nn.Module):
    """Project, scan, project back."""

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Linear(WIDTH, WIDTH)
        self.select = nn.Linear(WIDTH, 2 * STATES)
        self.decay = nn.Parameter(torch.rand(WIDTH, STATES))
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        """One block."""
        x = self.into(tokens)
        b, c = self.select(x).chunk(2, -1)
        return self.out(selective_scan(x, self.decay, b, c))  # type: ignore[no-any-return]


def before() -> None:
    """Without a rule: the operator is listed, and totals are lower bounds."""
    cost = fxcost.analyze(Mixer(), f"N,S,{WIDTH}")
    print(f"unknown: {cost.unknown_ops}")
    print(f"MACs:    {cost.macs}, {cost.macs.standing}")


# -- its rule -------------------------------------------------------------------
def scan_cost(call: Call) -> fxcost.OpCost:
    """The product with c, summed over the states: N*S*D*K.

    The recurrence: two multiplications and an addition for every state.
    """
    n, s, d = call.tensor("x").shape
    k = call.tensor("a").shape[-1]
    return fxcost.OpCost(
        macs=n * s * d * k,
        other_ops=3 * n * s * d * k,
        formula="N*S*D*K",
        bind={"N": n, "S": s, "D": d, "K": k},
    )


def after() -> None:
    """With it: exact, and explained like any other operator."""
    cost = fxcost.analyze(Mixer(), f"N,S,{WIDTH}")
    print(f"unknown: {cost.unknown_ops}")
    print(f"MACs:    {cost.macs}, {cost.macs.standing}")
    scan = next(n.name for n in cost.graph.nodes if n.op.startswith("shop."))
    print(cost.explain(scan))


if __name__ == "__main__":
    before()
    print()
    fxcost.rule("shop.selective_scan")(scan_cost)  # or as a decorator, above it
    after()
