"""MCUNetV2's way of counting: a convolution needs its input and its output, and nothing else counts.

A depthwise convolution runs in place and counts its input once, a residual that waits is not counted, activations and
norms belong to their convolution. With patches, the input image is not counted, and a stage needs the result that is put
together and the largest tile pair. The published figures of MobileNetV2 (int8, 224 x 224) come out of this rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fxcost.passes._patch_setting import Setting, cuts
from fxcost.passes._patch_sweep import Candidate, Grid, Sweep


@dataclass(frozen=True)
class PublishedStep:
    """A convolution: its position, and bytes of its input, its output, and both as counted."""

    position: int
    input: int
    output: int
    depthwise: bool

    @property
    def bytes(self) -> int:
        """Input and output; the input alone where it is overwritten."""
        return self.input if self.depthwise else self.input + self.output


def published_steps(setting: Setting) -> tuple[PublishedStep, ...]:
    """Every convolution on whole maps."""
    found = []
    for position, node in enumerate(setting.graph.nodes):
        if not node.op.startswith("aten.conv"):
            continue
        source, result = (setting.shapes[value] for value in (node.operands[0], node.results[0].id))
        sizes = [int(shape.nbytes(np.array(shape.rows * shape.columns))) for shape in (source, result)]
        found.append(PublishedStep(position, sizes[0], sizes[1], _depthwise(setting, position)))
    return tuple(found)


def _depthwise(setting: Setting, position: int) -> bool:
    node = setting.graph.nodes[position]
    weight = setting.graph.tensor(node.operands[1])
    return weight.shape[1].constant == 1 and node.attrs.get("groups", 1) not in (1, None)


def published_peak(setting: Setting, stages: Sequence[Candidate] = ()) -> int:
    """Bytes at the peak as published, with or without stages in patches."""
    inputs = {value.id for value in setting.graph.inputs}
    inside = {k for stage in stages for k in range(stage.first, stage.stop)}
    steps = published_steps(setting)
    peak = max((step.bytes for step in steps if step.position not in inside), default=0)
    depthwise = {step.position for step in steps if step.depthwise}
    for stage in stages:
        whole = 0
        for value in stage.outputs:
            shape = setting.shapes[value]
            whole += int(shape.nbytes(np.array(shape.rows * shape.columns)))
        for tile in stage.nodes:
            node = setting.graph.nodes[tile.position]
            if not node.op.startswith("aten.conv"):
                continue
            places = [np.outer(*(cut.span[1] - cut.span[0] for cut in tile.cut))]
            places.append(np.outer(*(span[1] - span[0] for span in tile.made)))
            source, result = setting.shapes[node.operands[0]], setting.shapes[node.results[0].id]
            pair = source.nbytes(places[0]) * (node.operands[0] not in inputs)
            if tile.position not in depthwise:
                pair = pair + result.nbytes(places[1])
            peak = max(peak, int(pair.max()) + whole)
    return peak


def published_rule(setting: Setting, p: int) -> tuple[int, int, Candidate] | None:
    """One stage of p x p patches from the input: the least peak as published, its MACs, and the stage; None without."""
    found: tuple[int, int, Candidate] | None = None
    for stop in cuts(setting)[1:]:
        for stage in Sweep(setting, stop, Grid(p, p)).candidates({0}):
            one = published_peak(setting, [stage]), stage.macs + sum(setting.macs[stop:]), stage
            if found is None or one[:2] < found[:2]:
                found = one
    return found
