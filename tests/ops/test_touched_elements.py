"""Which input elements an operator touches, asked of the operator itself: those that change its result.

Every input element in turn is set in an input of zeros (one batch entry each), and a real run on the CPU tells whether
any result differs. Their number is what a rule says is read.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.support.calls import cost_of, number
from tests.support.torch_calls import overload, torch_call

few = settings(max_examples=60)


def touched(op: str, shape: list[int], *args: Any, **kwargs: Any) -> int:
    """Elements of one input of `shape` (without batch) that a run of the operator depends on."""
    count = prod(shape)
    inputs = torch.eye(count).reshape(count, *shape)
    run = overload(op)
    return int((run(inputs, *args, **kwargs) != run(torch.zeros(1, *shape), *args, **kwargs)).flatten(1).any(1).sum())


def agrees(op: str, shape: list[int], *args: Any, **kwargs: Any) -> None:
    """The rule reads as many elements of each of two batch entries."""
    call = torch_call(op, torch.zeros(2, *shape), *args, **kwargs)
    reads = cost_of(call).reads
    assert number(reads[0] if 0 in reads else call.operands[0].numel) == 2 * touched(op, shape, *args, **kwargs)  # type: ignore[union-attr]


@st.composite
def windows(draw: st.DrawFn, *, dilated: bool = True) -> dict[str, Any]:
    """A window over one or two dimensions, and the input's sizes."""
    rank = draw(st.integers(1, 2))

    def sizes(low: int, high: int) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank))

    found = {"rank": rank, "kernel": sizes(1, 3), "stride": sizes(1, 4), "padding": sizes(0, 2), "inner": sizes(1, 8)}
    return found | {"dilation": sizes(1, 3) if dilated else [1] * rank}


def fits(made: dict[str, Any]) -> bool:
    """Whether one window fits at least."""
    reach = [d * (k - 1) + 1 for d, k in zip(made["dilation"], made["kernel"], strict=True)]
    return all(s + 2 * p >= r for s, p, r in zip(made["inner"], made["padding"], reach, strict=True))


@few
@given(windows(), st.integers(1, 2), st.integers(1, 2))
def test_convolutions(made: dict[str, Any], groups: int, width: int) -> None:
    assume(fits(made))
    weight = torch.rand(2 * groups, width, *made["kernel"]) + 0.5
    numbers = [made[name] for name in ("stride", "padding", "dilation")]
    agrees(f"aten.conv{made['rank']}d", [groups * width, *made["inner"]], weight, None, *numbers, groups)


@few
@given(windows(), st.integers(1, 2))
def test_convolutions_padded_to_the_same_size(made: dict[str, Any], width: int) -> None:
    weight = torch.rand(2, width, *made["kernel"]) + 0.5
    ones = [1] * made["rank"]
    agrees(f"aten.conv{made['rank']}d.padding", [width, *made["inner"]], weight, None, ones, "same", made["dilation"])


@few
@given(windows())
def test_transposed_convolutions_read_all(made: dict[str, Any]) -> None:
    weight = torch.rand(2, 3, *made["kernel"]) + 0.5
    name = {1: "aten.conv_transpose1d", 2: "aten.conv_transpose2d.input"}[made["rank"]]
    agrees(name, [2, *made["inner"]], weight, None, made["stride"])


@few
@given(windows(), st.booleans())
def test_maximum_pools(made: dict[str, Any], rounded_up: bool) -> None:
    assume(fits(made) and all(2 * p <= k for p, k in zip(made["padding"], made["kernel"], strict=True)))
    numbers = [made[name] for name in ("kernel", "stride", "padding", "dilation")]
    agrees(f"aten.max_pool{made['rank']}d", [1, *made["inner"]], *numbers, rounded_up)


@few
@given(windows(dilated=False), st.booleans(), st.booleans())
def test_average_pools(made: dict[str, Any], rounded_up: bool, with_padding: bool) -> None:
    assume(fits(made) and all(2 * p <= k for p, k in zip(made["padding"], made["kernel"], strict=True)))
    numbers = [made[name] for name in ("kernel", "stride", "padding")]
    agrees(f"aten.avg_pool{made['rank']}d", [1, *made["inner"]], *numbers, rounded_up, with_padding)


@few
@given(st.lists(st.integers(1, 7), min_size=2, max_size=2), st.lists(st.integers(1, 7), min_size=2, max_size=2))
def test_adaptive_pools_and_nearest_neighbours(inner: list[int], outer: list[int]) -> None:
    agrees("aten.adaptive_avg_pool2d", [1, *inner], outer)
    agrees("aten.upsample_nearest2d", [1, *inner], outer)


@few
@given(st.lists(st.integers(3, 7), min_size=2, max_size=2), st.lists(st.integers(-1, 2), min_size=4, max_size=4))
def test_padding_and_cropping(inner: list[int], amounts: list[int]) -> None:
    agrees("aten.constant_pad_nd", [1, *inner], amounts)


@few
@given(windows())
def test_columns(made: dict[str, Any]) -> None:
    assume(made["rank"] == 2 and fits(made))
    numbers = [made[name] for name in ("kernel", "dilation", "padding", "stride")]
    agrees("aten.im2col", [1, *made["inner"]], *numbers)
