"""Sizes that a model puts into tensors, and other ways in which a size used to become a number."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest
import sympy
import torch
from torch import Tensor, nn
from torch.nn import functional

import fxcost
from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import symbol
from fxcost.ir.sympy_bridge import Untranslatable, from_sympy
from fxcost.ir.types import TensorType


class InTensors(nn.Module):
    """As detection transformers do: shapes of feature maps as a tensor, on the input's device."""

    def forward(self, x: Tensor) -> Tensor:
        shapes = torch.as_tensor([(x.shape[1], x.shape[2])], dtype=torch.long, device=x.device)
        more = torch.tensor([[x.shape[1], 2], [3, x.shape[0]]], device=x.device)
        half = torch.tensor((x.shape[2] / 2,))
        return x * shapes.sum() + more.sum() + half


def test_sizes_in_tensors_stay_symbols() -> None:
    cost = fxcost.analyze(InTensors(), "N,H,W")
    assert not cost.fixed_dims
    assert not cost.domain
    assert cost.output_bytes(N=2, H=5, W=7) == 4 * 70


class Coordinates(nn.Module):
    """Places of pixels between given ends, as positions of detection transformers are made."""

    def forward(self, x: Tensor) -> Tensor:
        rows = torch.linspace(0.5, x.shape[1] - 0.5, x.shape[1], device=x.device)
        columns = torch.linspace(0, 1, steps=x.shape[2])
        waves = torch.fft.rfftfreq(x.shape[2], device=x.device)
        whole: Tensor = (x * rows[:, None] + columns)[..., : waves.shape[0]] + waves
        return whole


def test_as_many_steps_as_a_size_stay_a_symbol() -> None:
    cost = fxcost.analyze(Coordinates(), "N,H,W")
    assert str(cost.standing) == "exact"
    assert not cost.fixed_dims
    n, h, w = 3, 5, 7
    # three ranges, the product, and the sums: of all and of half the columns
    assert cost.activation_bytes(N=n, H=h, W=w) == 4 * (h + w + 4 + 2 * n * h * w + n * h * 4)


class ReadsBack(nn.Module):
    """Takes the number out of the tensor again, which only a constant tensor allows in a trace."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        rows = torch.tensor([x.shape[1]]).tolist()[0]
        return self.linear(x)[:, : rows - 1] if rows > 3 else self.linear(x)  # type: ignore[no-any-return]


def test_a_model_that_reads_them_back_still_gets_an_answer() -> None:
    cost = fxcost.analyze(ReadsBack(), "N,S,4")
    point = {"N": 3, **{n: 9 for n in cost.symbols if n == "S"}}
    size = point.get("S") or cost.graph.pinned["S"]
    assert cost.macs.at(point) == 3 * size * 16


def test_the_models_forward_is_its_own_again() -> None:
    model: Any = InTensors()
    model.lock = threading.Lock()  # cannot be copied: the model itself is traced
    fxcost.analyze(model, "N,H,W")
    assert "forward" not in vars(model)


class Halves(nn.Module):
    """Coordinates of patch centres: ranges with fractions at both ends."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        patches = x.shape[1] // 16
        return torch.arange(0.5, patches), torch.arange(0.25, x.shape[1] * 0.5, 0.5), torch.arange(-1.75, patches, 1.5)


def test_ranges_with_fractions_have_exact_lengths() -> None:
    cost = fxcost.analyze(Halves(), "N,H", check=False)
    found = [r.type for n in cost.graph.nodes if "arange" in n.op for r in n.results]
    for height in range(16, 80):
        expected = [made.numel() for made in Halves()(torch.empty(2, height))]
        assert [evaluate(t.shape[0], {"H": height}) for t in found if isinstance(t, TensorType)] == expected


class Square(nn.Module):
    """Refuses an image that is not square and 32 rows at least."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] != x.shape[3] or x.shape[2] < 32:
            raise ValueError("square images only")
        return torch.nn.functional.avg_pool2d(x, 2)


def test_square_images_are_symbols_that_are_tied() -> None:
    cost = fxcost.analyze(Square(), "N,3,H,W")
    assert set(cost.symbols) == {"N", "H", "W"}
    assert cost.write_bytes(N=1, H=64, W=64) == 4 * 3 * 32 * 32
    with pytest.raises(fxcost.errors.OutsideDomain, match="H == W"):
        cost.write_bytes(N=1, H=64, W=96)


class Built(nn.Module):
    """Takes images of one odd size, and says which."""

    img_size = (272, 208)

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[2:]) != self.img_size:
            raise ValueError("not what it was built for")
        return x + 1


def test_the_size_that_a_model_was_built_for_is_found() -> None:
    cost = fxcost.analyze(Built(), "N,3,H,W")
    assert cost.graph.pinned == {"H": 272, "W": 208}
    assert cost.output_bytes(N=1) == 4 * 3 * 272 * 208


class Rounded(nn.Module):
    """Asks torch for a whole number of a root or a fraction: what it then holds of the size has no exact integer form."""

    def __init__(self, part: Any) -> None:
        super().__init__()
        self.linear, self.part = nn.Linear(8, 8), part

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x[:, : self.part(x.shape[1])])  # type: ignore[no-any-return]


@pytest.mark.parametrize("part", [lambda s: int(s**0.5), lambda s: int(s * 0.3)], ids=["root", "fraction"])
def test_a_guard_that_cannot_be_read_holds_its_sizes(part: Any) -> None:
    cost = fxcost.analyze(Rounded(part), "N,S,8")
    for size in (9, 61, 128):
        try:
            found = cost.macs(N=2, S=size)
        except fxcost.errors.OutsideDomain:
            continue
        assert found == 2 * part(size) * 64
    assert cost.macs(N=2, S=61, recapture=True) == 2 * part(61) * 64


class Thirds(nn.Module):
    """As numpy does: the first parts are one longer where something is left over."""

    def forward(self, x: Tensor) -> Tensor:
        return x.tensor_split(3, 1)[0] + 1


def test_a_question_about_a_remainder_is_kept() -> None:
    cost = fxcost.analyze(Thirds(), "N,S")
    for size in (9, 10, 11, 61):
        try:
            assert cost.output_bytes(N=2, S=size) == 4 * 2 * -(-size // 3)
        except fxcost.errors.OutsideDomain:
            assert size % 3 != 37 % 3


RESPELLED: dict[str, tuple[str, Any]] = {
    "a window as large as the map": ("N,3,H,W", lambda x: functional.avg_pool2d(x, (x.shape[2], x.shape[3]))),
    "the largest of the map": ("N,3,H,W", lambda x: functional.max_pool2d(x, kernel_size=x.size()[2:])),
    "the largest of the row": ("N,3,S", lambda x: functional.max_pool1d(x, x.shape[2])),
    "windows of a module": ("N,3,H,W", nn.AvgPool2d((3, 2), 2, ceil_mode=True)),
    "windows of a module for volumes": ("N,3,H,W,4", nn.AvgPool3d(2)),
    "windows of a module for rows": ("N,3,S", nn.AvgPool1d(3)),
    "largest in windows of a module": ("N,3,H,W", nn.MaxPool2d(2, padding=1, return_indices=True)),
    "all by place": (
        "N,3,H,W",
        lambda x: functional.avg_pool2d(x, (x.shape[2], x.shape[3]), None, 0, False, True, None),
    ),
    "padded to whole windows": (
        "N,3,H,W",
        lambda x: functional.pad(x, (0, (7 - x.shape[3] % 7) % 7, -x.shape[2] % 4, 0)).unflatten(3, (-1, 7)),
    ),
    "padded on both sides": ("N,3,H,W", lambda x: functional.pad(x, ((5 - x.shape[3]) % 5, (2 - x.shape[3] % 4) % 4))),
    "padded by another remainder": (
        "N,3,H,W",
        lambda x: functional.pad(x, (x.shape[3] % 7, (-x.shape[2]) % 5, 1, (3 - x.shape[2] % 7) % 7), value=1.0),
    ),
    "windows along a row": ("N,3,S", lambda x: functional.max_pool1d(x, 3, 2, padding=1)),
    "windows, and where": ("N,3,S", lambda x: nn.MaxPool1d(3, ceil_mode=True, return_indices=True)(x)),
    "half a row": ("N,3,S", lambda x: functional.adaptive_avg_pool1d(x, x.shape[2] // 2)),
    "a fraction on top": (
        "N,3,H,8",
        lambda x: functional.interpolate(x, scale_factor=(1.0, (x.shape[2] // 4 + 0.1) / 8), mode="bicubic"),
    ),
    "as many classes": ("N,S", lambda x: functional.one_hot(torch.arange(x.shape[1]), x.shape[1])),
    "lower triangle": ("N,S", lambda x: torch.tril_indices(x.shape[1], x.shape[1], -2, dtype=torch.int32)),
    "more than the lower triangle": ("N,S", lambda x: torch.tril_indices(x.shape[1], x.shape[1], 3)),
    "upper triangle": ("N,S", lambda x: torch.triu_indices(x.shape[1], x.shape[1], 1)),
    "more than the upper triangle": ("N,S", lambda x: torch.triu_indices(x.shape[1], x.shape[1], offset=-1)),
    "scaled by a root": ("N,S", lambda x: x / math.sqrt(x.shape[1])),
    "quotient and remainder": ("N,S", lambda x: x[:, : divmod(x.shape[1], 3)[0] + 1]),
    "rounded to even": ("N,S", lambda x: x[:, : round(x.shape[1] / 2)]),
}


class Function(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


@pytest.mark.parametrize("name", RESPELLED)
def test_arguments_that_torch_wants_as_numbers_stay_symbols(name: str) -> None:
    spec, function = RESPELLED[name]
    cost = fxcost.analyze(Function(function), spec)
    assert str(cost.standing) == "exact"
    assert not cost.fixed_dims
    assert not any("torch.export: " in note for note in cost.graph.notes), "the first way of capturing failed"
    for sizes in (
        {"N": 1, "H": 9, "W": 12, "S": 17},
        {"N": 3, "H": 32, "W": 8, "S": 6},
        {"N": 2, "H": 64, "W": 3, "S": 49},
    ):
        made = function(torch.zeros([sizes.get(size) or int(size) for size in spec.split(",")]))
        made = made if isinstance(made, tuple) else (made,)
        at = {symbol: sizes[symbol] for symbol in cost.symbols}
        types = [cost.graph.types[output] for output in cost.graph.outputs]
        shapes = [[evaluate(size, at) for size in type.shape] for type in types if isinstance(type, TensorType)]
        assert shapes == [list(each.shape) for each in made]
        assert cost.output_bytes(**at) == sum(each.numel() * each.element_size() for each in made)


def test_rounding_that_may_tell_is_no_formula() -> None:
    from torch.utils._sympy.functions import (
        CeilToInt,
        FloatTrueDiv,
        FloorDiv,
        IntTrueDiv,
        RoundToInt,
        ToFloat,
        TruncToInt,
    )

    s = sympy.Symbol("s", integer=True, positive=True)
    patches = 14 * FloatTrueDiv(ToFloat(FloorDiv(s, 16)) + 0.1, 14.0)
    for value, plain in (
        (TruncToInt(patches), lambda v: int(14 * ((v // 16 + 0.1) / 14))),
        (CeilToInt(IntTrueDiv(s, 49)), lambda v: math.ceil(v / 49)),
        (TruncToInt(2 * IntTrueDiv(s, 7)), lambda v: int(2 * (v / 7))),
        (TruncToInt(IntTrueDiv(s, 7) + 0.5), lambda v: int(v / 7 + 0.5)),
        (RoundToInt(IntTrueDiv(s, 2)), lambda v: round(v / 2)),
        (RoundToInt(IntTrueDiv(s, 7)), lambda v: round(v / 7)),
    ):
        found = from_sympy(value, {"s": symbol("S")})
        assert all(evaluate(found, {"S": size}) == plain(size) for size in (*range(1, 300), 2**31 - 1))
    for value in (
        TruncToInt(ToFloat(s) * 0.3),
        TruncToInt(49 * IntTrueDiv(s, 49)),
    ):  # int(0.3 * 10), int(49 * (1 / 49))
        with pytest.raises(Untranslatable, match="rounded"):
            from_sympy(value, {"s": symbol("S")})
