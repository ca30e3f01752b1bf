"""The shorter way gives the program that torch.export gives: nodes, sizes, strides, guards, places, numbers."""

from __future__ import annotations

import itertools
import re
from contextlib import nullcontext
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import fxcost
from fxcost.capture import ladder, shortcuts
from fxcost.capture.eager import Request
from fxcost.ir.specs import SpecReader
from fxcost.ir.text import print_graph

torch.set_num_threads(1)


class Convolutions(nn.Module):
    """The same block three times, with a residual, operators in place and two sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)) for _ in range(3)
        )
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = self.pool(x + block(x)) if x.shape[-1] % 2 else x + block(x)
        found: Tensor = self.head(functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return found


class Views(nn.Module):
    """Results that share memory with operands, or are operands, or are copies, each twice."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        found = []
        for _ in range(2):
            first, second = x.chunk(2, 1)
            turned = second.transpose(1, 2)
            found += [
                functional.dropout(first, 0.5, False) + 1,
                turned.contiguous() * 2,
                x.contiguous() * 2,
                turned.reshape(turned.shape[0], -1),
                x.reshape(x.shape[0], -1)[:, 1:],
                first.to(torch.float32).clone().mul_(3),
                torch.cat([first, second.expand_as(second)], 1).unbind(1)[0],
            ]
        return tuple(found)


class Pointwise(nn.Module):
    """Operators on one tensor: contiguous, transposed, channels last, of integers, in half precision, with sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)
        self.plain = nn.BatchNorm2d(4, affine=False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        found = []
        for each in (x, x.transpose(2, 3), x.to(memory_format=torch.channels_last), x[:, :, 1:], x.half()):
            found += [
                functional.gelu(each),
                functional.hardtanh(each, 0, 6),
                each.clamp(0, 1) + 1,
                each * each.shape[3],
            ]
            found += [functional.silu(each.clone(), inplace=True), each.sigmoid().mul_(2), functional.leaky_relu(each)]
        found += [self.norm(x), self.plain(x.transpose(2, 3)), (x > 0).to(torch.int64) * 2, x.abs().sqrt().div(2)]
        return tuple(found)


class Decided(nn.Module):
    """Sizes that only the data decides: two results of the same question differ."""

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return (x > 0).nonzero() * 2, (y > 0).nonzero() * 2


class Settings(nn.Module):
    """The same operator under settings that change its result."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = self.linear(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return first, self.linear(x)


def attention() -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    return nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)


CASES: dict[str, tuple[Any, tuple[str, ...], tuple[tuple[int, ...], ...]]] = {
    "convolutions": (Convolutions, ("N,8,H,W",), ((2, 8, 16, 18),)),
    "attention": (attention, ("N,S,16",), ((3, 7, 16),)),
    "views": (Views, ("N,6,S",), ((2, 6, 5),)),
    "pointwise": (Pointwise, ("N,4,H,W",), ((2, 4, 6, 8),)),
    "decided": (Decided, ("N,S", "N,S"), ((2, 3), (2, 3))),
    "settings": (Settings, ("N,8",), ((3, 8),)),
    "lstm": (lambda: nn.LSTM(8, 4, 2, batch_first=True), ("N,S,8",), ((2, 5, 8),)),
}


def exported(build: Any, specs: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, shorter: bool) -> Any:
    torch.manual_seed(0)
    with monkeypatch.context() as patched:
        if not shorter:
            patched.setattr(ladder, "shortcuts", nullcontext)
        return fxcost.analyze(build().eval(), specs, check=False)


def renamed(text: str) -> str:
    """Values named in the order in which they appear: torch numbers them with sizes that it computes and drops again."""
    names: dict[str, str] = {}
    return re.sub(r"%[\w$.]+", lambda found: names.setdefault(found[0], f"%{len(names)}"), text)


def told(program: Any) -> list[tuple[Any, ...]]:
    """Everything that is asked of a node that gives tensors."""
    found = []
    for node in program.graph.nodes:
        leaves = [leaf for leaf in torch.utils._pytree.tree_leaves(node.meta.get("val")) if isinstance(leaf, Tensor)]
        values = [(str(leaf.shape), str(leaf.stride()), str(leaf.storage_offset()), leaf.dtype) for leaf in leaves]
        places = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
        if leaves:
            found.append((node.op, str(node.target), values, node.meta.get("stack_trace"), places))
    return found


def storages(program: Any) -> list[int]:
    """Which values share memory: the first value of each storage, by position."""
    seen: dict[int, int] = {}
    values = [torch.utils._pytree.tree_leaves(node.meta.get("val")) for node in program.graph.nodes]
    tensors = [v for v in itertools.chain(*values) if isinstance(v, Tensor)]
    return [seen.setdefault(v.untyped_storage()._cdata, at) for at, v in enumerate(tensors)]


@pytest.mark.parametrize("case", CASES)
def test_the_program_is_the_same(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    build, specs, _ = CASES[case]
    plain, short = (exported(build, specs, monkeypatch, shorter) for shorter in (False, True))
    assert renamed(print_graph(short.graph)) == renamed(print_graph(plain.graph))
    assert short.domain == plain.domain
    assert told(short.origin.program) == told(plain.origin.program)
    assert storages(short.origin.program) == storages(plain.origin.program)
    assert str(short.origin.program.range_constraints) == str(plain.origin.program.range_constraints)


@pytest.mark.parametrize("case", ["convolutions", "attention", "views", "pointwise"])
def test_the_program_runs(case: str) -> None:
    build, specs, sizes = CASES[case]
    model = build().eval()
    inputs = tuple(torch.rand(size) for size in sizes)
    reader = SpecReader()
    request = Request(model, tuple(map(reader.read, specs)), reader.symbols, "cpu")
    [rung] = itertools.islice(ladder._rungs(request, ladder.probe(request)), 1)
    program = ladder._export(request, frozenset(request.symbols), rung)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(*inputs), model(*inputs))


class Counting(shortcuts.Outcomes):
    """Outcomes that know how often they were asked."""

    made: ClassVar[list[Counting]] = []
    asked = 0

    def __init__(self) -> None:
        super().__init__()
        self.made.append(self)

    def of(self, *call: Any) -> Any:
        self.asked += 1
        return super().of(*call)


def test_repeated_layers_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcuts, "Outcomes", Counting)
    fxcost.analyze(attention().eval(), "N,S,16", check=False)
    [outcomes] = Counting.made
    assert outcomes.asked > 2 * len(outcomes.known), "three equal layers ask everything three times"


def test_nothing_of_torch_stays_changed() -> None:
    from torch.fx import proxy
    from torch.fx.experimental import proxy_tensor

    before = (torch._ops.OpOverload.__call__, proxy_tensor.proxy_call, vars(proxy)["CapturedTraceback"])
    fxcost.analyze(nn.Linear(8, 4), "N,8", check=False)
    assert before == (torch._ops.OpOverload.__call__, proxy_tensor.proxy_call, vars(proxy)["CapturedTraceback"])
