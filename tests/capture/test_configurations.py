"""One operator a model, in the settings that rules find hard: formulas against real runs at sizes not traced.

Rounding (ceil_mode, output_padding, dilation), data movement, transforms and complex numbers: every operator has a rule,
products are those of a dispatched run, and results take the bytes that a run returns.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import fxcost
from tests.support.counter import MacCounter

Function = Callable[[Tensor], object]


class Applied(nn.Module):
    """A function of one image batch, with a kernel where it needs one."""

    def __init__(self, function: Function, kernel: nn.Module | None = None) -> None:
        super().__init__()
        self.function, self.kernel = function, kernel

    def forward(self, x: Tensor) -> object:
        return self.function(x if self.kernel is None else self.kernel(x))


def sampled(x: Tensor) -> Tensor:
    """The image turned by a fixed map of coordinates."""
    turn = x.new_tensor([[0.8, -0.6, 0.0], [0.6, 0.8, 0.1]]).expand(x.shape[0], 2, 3)
    return F.grid_sample(x, F.affine_grid(turn, list(x.shape), align_corners=False), align_corners=False)


def spectrum(x: Tensor) -> Tensor:
    """A filter in the frequency domain, back in the size it came in."""
    waves = torch.fft.rfft2(x)
    back: Tensor = torch.fft.irfft2(waves * torch.complex(waves.real, -waves.imag), s=x.shape[-2:])
    return back


def scattered(x: Tensor) -> Tensor:
    flat = x.flatten(1)
    order = flat.argsort(1)
    return torch.zeros_like(flat).scatter_add(1, order, flat).gather(1, order)


def folded(x: Tensor) -> Tensor:
    columns = F.unfold(x, 3, padding=1, stride=1)
    return F.fold(columns, x.shape[-2:], 3, padding=1, stride=1)


def same(x: Tensor) -> Tensor:
    return x


CASES: dict[str, tuple[Function, nn.Module | None]] = {
    "dilated groups": (same, nn.Conv2d(6, 12, 3, stride=2, padding=2, dilation=2, groups=3)),
    "uneven kernel": (same, nn.Conv2d(6, 5, (5, 1), stride=(3, 1), padding=(0, 2), dilation=(1, 3))),
    "padding mode": (same, nn.Conv2d(6, 4, 3, padding=1, padding_mode="reflect")),
    "transposed": (same, nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1, groups=2)),
    "transposed dilated": (same, nn.ConvTranspose2d(6, 6, (2, 4), stride=(3, 2), output_padding=(1, 0), dilation=2)),
    "max pool ceil": (lambda x: F.max_pool2d(x, 3, 2, padding=1, ceil_mode=True), None),
    "avg pool ceil": (lambda x: F.avg_pool2d(x, (3, 2), 2, ceil_mode=True, count_include_pad=False), None),
    "adaptive": (lambda x: F.adaptive_avg_pool2d(x, (3, 5)), None),
    "einsum": (lambda x: torch.einsum("nchw,ncgw,nchg->nhg", x, x.transpose(2, 3) @ x, x @ x.transpose(2, 3)), None),
    "grid sample": (sampled, None),
    "fft": (spectrum, None),
    "top-k": (lambda x: x.flatten(1).topk(7, dim=1), None),
    "sort and scatter": (scattered, None),
    "fold": (folded, None),
    "resize": (lambda x: F.interpolate(x, scale_factor=1.5, mode="bicubic", antialias=True), None),
    "cumulative": (lambda x: (x.cumsum(-1), x.flip(2).cummax(2)), None),
    "complex": (lambda x: torch.view_as_real(torch.polar(x, x) * torch.complex(x, x)), None),
}


SETTLED = {"complex"}
"""What takes more than one capture: a stride depends on a batch of one."""


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_formulas_hold_at_other_sizes(name: str) -> None:
    function, kernel = CASES[name]
    model = Applied(function, kernel).eval()
    square = name == "einsum"
    cost = fxcost.analyze(model, "N,6,H,H" if square else "N,6,H,W", check=name in SETTLED)
    assert not cost.unknown_ops
    for n, h, w in ((1, 33, 46), (3, 40, 27)):
        x = torch.rand(n, 6, h, h if square else w)
        at = {"N": n, "H": h} if square else {"N": n, "H": h, "W": w}
        with torch.no_grad(), MacCounter() as counter:
            found = [leaf for leaf in pytree.tree_leaves(model(x)) if isinstance(leaf, Tensor)]
        assert cost.macs.at(at) == counter.macs
        assert cost.output_bytes.at(at) == sum(leaf.numel() * leaf.element_size() for leaf in found)
