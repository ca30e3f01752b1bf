"""Microcontroller arenas: the four models of MLPerf Tiny, byte by byte.

A runtime on a microcontroller takes one arena: activations and scratch at its
head, structures that live as long as the model at its end. Weights stay in
flash. The models are those of the benchmark suite (mlcommons/tiny), written in
torch.

python examples/09_microcontroller.py
"""

from __future__ import annotations

from itertools import pairwise
from textwrap import fill

from torch import Tensor, nn

import fxcost

RUNTIMES = ("tflm", "cmsis-nn", "tinyengine")


def convolution(channels_in: int, channels_out: int, kernel: int | tuple[int, int] = 3, **options: int) -> nn.Module:
    """A convolution that keeps the size (or halves it), with norm and rectifier."""
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (height // 2, (width - 1) // 2)
    layer = nn.Conv2d(channels_in, channels_out, kernel, padding=padding, **options)  # type: ignore[arg-type]
    return nn.Sequential(layer, nn.BatchNorm2d(channels_out), nn.ReLU())


def separable(channels_in: int, channels_out: int, stride: int = 1) -> nn.Module:
    """A depthwise convolution and a pointwise one."""
    depthwise = convolution(channels_in, channels_in, stride=stride, groups=channels_in)
    return nn.Sequential(depthwise, convolution(channels_in, channels_out, 1))


def anomaly_detection() -> nn.Module:
    """The autoencoder of ToyADMOS: 640 inputs, four layers of 128 on each side of 8."""
    widths = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(128, 640)).eval()


def keyword_spotting() -> nn.Module:
    """DS-CNN: 49 frames of 10 coefficients, 12 words."""
    blocks = [separable(64, 64) for _ in range(4)]
    head = nn.Sequential(nn.AvgPool2d((25, 5)), nn.Flatten(), nn.Linear(64, 12), nn.Softmax(-1))
    return nn.Sequential(convolution(1, 64, (10, 4), stride=2), *blocks, head).eval()


def visual_wake_words() -> nn.Module:
    """MobileNetV1 of a quarter's width: 96 x 96 pixels, a person or none."""
    widths = [8, 16, 32, 32, 64, 64, 128, 128, 128, 128, 128, 128, 256, 256]
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    pairs = zip(widths[:-1], widths[1:], strides, strict=True)
    blocks = [separable(before, after, stride) for before, after, stride in pairs]
    head = nn.Sequential(nn.AvgPool2d(3), nn.Flatten(), nn.Linear(256, 2), nn.Softmax(-1))
    return nn.Sequential(convolution(3, 8, stride=2), *blocks, head).eval()


class Residual(nn.Module):
    """Two convolutions beside the identity, or beside a pointwise convolution where the size changes."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        """Build both ways."""
        super().__init__()
        second = nn.Sequential(nn.Conv2d(channels_out, channels_out, 3, padding=1), nn.BatchNorm2d(channels_out))
        self.way = nn.Sequential(convolution(channels_in, channels_out, stride=stride), second)
        self.beside = nn.Identity() if stride == 1 else nn.Conv2d(channels_in, channels_out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Add both ways."""
        return nn.functional.relu(self.beside(x) + self.way(x))


def image_classification() -> nn.Module:
    """ResNet-8: 32 x 32 pixels, ten classes."""
    blocks = [Residual(16, 16, 1), Residual(16, 32, 2), Residual(32, 64, 2)]
    head = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10), nn.Softmax(-1))
    return nn.Sequential(convolution(3, 16), *blocks, head).eval()


MODELS = {
    "anomaly detection": (anomaly_detection, "1,640"),
    "keyword spotting": (keyword_spotting, "1,1,49,10"),
    "visual wake words": (visual_wake_words, "1,3,96,96"),
    "image classification": (image_classification, "1,3,32,32"),
}


def main() -> None:
    """Count, then ask three runtimes."""
    for name, (build, spec) in MODELS.items():
        cost = fxcost.analyze(build(), spec, name=name)
        print(f"\n{name}: {stored(cost):,} parameters and statistics, {cost.macs():,} MAC")
        for runtime in RUNTIMES:
            arena = cost.arena(f"stm32h743:{runtime}", at={})
            print(f"  {runtime:<11}{arena.total():>9,} B of SRAM")
            for part, size in arena.parts.items():
                print(f"    {part:<23}{size():>8,}")
        print(f"  {'flash':<11}{arena.flash_total():>9,} B")

    # Trained for the format, whose own padding needs no copy; and a plan that the
    # runtime's own planner (largest first) does not find.
    cost = fxcost.analyze(visual_wake_words(), "1,3,96,96")
    arena = cost.arena("stm32h743:tflm", at={}, padding="same")
    assert arena.plan is not None
    print("\nvisual wake words with the padding of TensorFlow:")
    print(f"  activations {arena.plan.height:,} B, proven lowest: {arena.plan.optimal}")
    print(f"  as the runtime itself would place them: {arena.greedy:,} B")

    # Sizes stay open: the largest image for which the arena fits in 64 KiB.
    cost = fxcost.analyze(nn.Sequential(*list(visual_wake_words().children())[:-1]), "1,3,H,W")
    arena = cost.arena("stm32h743:tflm", padding="same")
    found = cost.solve(arena.total <= 64 * fxcost.KiB, wrt="H", tie={"W": "H"})
    print("\nActivations of its convolutions, in H and W:")
    print(fill(str(arena.parts["activations and scratch"]), 78, initial_indent="  ", subsequent_indent="  "))
    print(f"The arena takes 64 KiB for images up to {found.max} x {found.max}")


def stored(cost: fxcost.Cost) -> int:
    """Everything that the model stores but counters of batches: what Keras calls parameters."""
    counters = [path for s in cost.graph.states for path in s.paths if path.endswith("num_batches_tracked")]
    return int(cost.params()) + int(cost.buffers()) - len(counters)


if __name__ == "__main__":
    main()
