"""The same operator under fifteen names: exact as a formula, by hand and by torch's own counter on meta tensors."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import fxcost
from benchmarks._spellings import POINTS, SPELLINGS, Spelling


def counted_by_torch(spelling: Spelling, point: dict[str, int]) -> int:
    """MACs of one eager run. On meta tensors torch decomposes attention and recurrent layers, and counts those, too."""
    with torch.device("meta"):
        model = spelling.build().eval()
    with FlopCounterMode(display=False) as counter:
        model(*spelling.inputs(point, "meta"))
    return int(counter.get_total_flops()) // 2


@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda spelling: spelling.name)
def test_spelling_is_counted_exactly(spelling: Spelling) -> None:
    with torch.device("meta"):
        cost = fxcost.analyze(spelling.build(), spelling.specs)
    assert not cost.unknown_ops
    assert not cost.fixed_dims
    assert cost.standing == "exact"
    for point in POINTS:
        sizes = spelling.sizes(point)
        assert set(sizes) == set(cost.symbols)
        assert int(cost.macs.substituted(sizes)) == spelling.macs(**sizes) == counted_by_torch(spelling, point)


def test_there_are_fifteen() -> None:
    assert len({spelling.name for spelling in SPELLINGS}) == 15
