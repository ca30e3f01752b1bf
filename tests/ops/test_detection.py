"""Rules of torchvision's own operators, by hand; suppression in torch against the definition."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from fxcost.capture.shim import suppressed
from tests.support.calls import cost, number


def test_suppression_compares_every_pair() -> None:
    found = cost("torchvision.nms", {"dets": "f32[N, 4]", "scores": "f32[N]"}, result="i64[N]", iou_threshold=0.5)
    assert number(found.other_ops, N=10) == 45 * 14 + 10 * 3


def test_aligned_regions() -> None:
    operands = {"input": "f32[2, 8, 20, 20]", "rois": "f32[5, 5]"}
    found = cost("torchvision.roi_align", operands, result="f32[5, 8, 7, 7]", sampling_ratio=2)
    # four points of four neighbours: 4 multiplications, 3 additions, 1 to add the point up
    assert number(found.other_ops) == 5 * 8 * 49 * 4 * 8
    assert number(found.reads[0]) == 2 * 8 * 400


def test_a_convolution_with_offsets_multiplies_like_one_without() -> None:
    operands = {"input": "f32[N, 8, 20, 20]", "weight": "f32[16, 4, 3, 3]", "offset": "f32[N, 18, 20, 20]"}
    operands |= {"mask": "f32[N, 9, 20, 20]", "bias": "f32[16]"}
    found = cost("torchvision.deform_conv2d", operands, result="f32[N, 16, 20, 20]", groups=2, use_mask=True)
    assert number(found.macs, N=1) == 16 * 400 * 4 * 9
    assert number(found.other_ops, N=1) == 8 * 400 * 9 * (7 + 1) + 16 * 400


corners = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 8), st.integers(1, 8))


@given(st.lists(corners, max_size=12), st.sampled_from([0.0, 0.3, 0.5, 0.9]))
def test_suppressed_boxes_overlap_a_better_one(found: list[tuple[int, int, int, int]], limit: float) -> None:
    boxes = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in found], dtype=torch.float32).reshape(-1, 4)
    scores = torch.arange(len(found), dtype=torch.float32).roll(3)

    def ratio(a: int, b: int) -> float:
        low, high = torch.maximum(boxes[a, :2], boxes[b, :2]), torch.minimum(boxes[a, 2:], boxes[b, 2:])
        common = (high - low).clamp(min=0).prod()
        areas = [(boxes[i, 2:] - boxes[i, :2]).prod() for i in (a, b)]
        return float(common / (sum(areas) - common))

    kept: list[int] = []
    for candidate in scores.argsort(descending=True).tolist():
        if all(ratio(candidate, better) <= limit for better in kept):
            kept.append(candidate)
    assert suppressed(boxes, scores, limit).tolist() == kept
