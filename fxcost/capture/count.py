"""An independent count of multiply-accumulates: torch's own counter on one eager run."""

from __future__ import annotations

from collections.abc import Mapping

from torch.utils.flop_counter import FlopCounterMode

from fxcost.capture.ladder import Request, run_eager


def eager_macs(request: Request, point: Mapping[str, int]) -> int:
    """MACs of a run at `point` as torch counts them (convolutions, products, attention); its errors come out."""
    with FlopCounterMode(display=False) as counter:
        run_eager(request, point)
    return int(counter.get_total_flops()) // 2
