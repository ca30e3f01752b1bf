"""AlexNet as the lecture counts it: every number of its worked example, and where the printed notes err.

The network is the original two-tower AlexNet without biases (conv2, conv4 and conv5 have two groups), not the one in
torchvision. One call counts it; the lecture's figures (MIT 6.5940, lecture 2) stand beside ours.

    python examples/01_lecture_alexnet.py
"""

from __future__ import annotations

from textwrap import fill

import torch
from torch import Tensor, nn

import fxcost

# What the lecture gives for each layer: output elements, parameters, and MACs where it works them out. Two of the
# numbers in its notes are misprints; here are the right ones, and `main` lists the errata.
LECTURE: dict[str, tuple[int, int, int | None]] = {
    "conv1": (290_400, 34_848, 105_415_200),
    "pool1": (69_984, 0, None),
    "conv2": (186_624, 307_200, 223_948_800),
    "pool2": (43_264, 0, None),
    "conv3": (64_896, 884_736, None),
    "conv4": (64_896, 663_552, None),
    "conv5": (43_264, 442_368, None),
    "pool5": (9_216, 0, None),
    "fc6": (4_096, 37_748_736, None),
    "fc7": (4_096, 16_777_216, None),
    "fc8": (1_000, 4_096_000, None),
}


class Features(nn.Module):
    """The convolutions and pools of AlexNet: they take images of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 11, stride=4, padding=2, bias=False)
        self.pool1 = nn.MaxPool2d(3, stride=2)
        self.conv2 = nn.Conv2d(96, 256, 5, padding=2, groups=2, bias=False)
        self.pool2 = nn.MaxPool2d(3, stride=2)
        self.conv3 = nn.Conv2d(256, 384, 3, padding=1, bias=False)
        self.conv4 = nn.Conv2d(384, 384, 3, padding=1, groups=2, bias=False)
        self.conv5 = nn.Conv2d(384, 256, 3, padding=1, groups=2, bias=False)
        self.pool5 = nn.MaxPool2d(3, stride=2)

    def forward(self, image: Tensor) -> Tensor:
        """Images to feature maps."""
        x = self.pool1(self.conv1(image).relu())
        x = self.pool2(self.conv2(x).relu())
        x = self.conv4(self.conv3(x).relu()).relu()
        features: Tensor = self.pool5(self.conv5(x).relu())
        return features


class AlexNet(Features):
    """Features and classifier: the first linear layer fixes the feature maps to 6 x 6, hence the image to 224 x 224."""

    def __init__(self) -> None:
        super().__init__()
        self.fc6 = nn.Linear(256 * 6 * 6, 4096, bias=False)
        self.fc7 = nn.Linear(4096, 4096, bias=False)
        self.fc8 = nn.Linear(4096, 1000, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        """Images to scores of the classes."""
        x = super().forward(image).flatten(1)
        scores: Tensor = self.fc8(self.fc7(self.fc6(x).relu()).relu())
        return scores


def show(what: str, how: str, ours: object, lecture: object) -> None:
    """One line: our value beside the lecture's."""
    left, right = (f"{v:,}" if isinstance(v, int) else str(v) for v in (ours, lecture))
    print(f"  {what:<10} {how:<28} {left:>13} {right:>13}  {'same' if left == right else 'DIFFERS'}")


def heading(title: str) -> None:
    """A blank line and a title over the columns."""
    print(f"\n{title:<41} {'fxcost':>13} {'lecture':>13}")


def main() -> None:
    """Count, and compare."""
    with torch.device("meta"):  # no weight is allocated: a cost depends on shapes alone
        model, convolutions = AlexNet(), Features()
    cost = fxcost.analyze(model, "N,3,H,W")

    # A layer of the lecture is an operator with a module of its own; the ReLU behind it is folded into it.
    layers = {str(row["module"]): row for row in cost.by_node() if row["module"] in LECTURE}
    weights = dict(model.named_parameters())

    heading("Parameters")
    for name, (_, params, _) in LECTURE.items():
        if params:
            kernel = " x ".join(map(str, weights[f"{name}.weight"].shape))
            show(name, kernel, layers[name]["params"](), params)
    show("total", "", cost.params(), 60_954_656)

    heading("Activations, in elements")
    show("input", "3 x 224 x 224", cost.input_bytes(N=1) // 4, 150_528)  # 4 bytes an element
    for name, (outputs, _, _) in LECTURE.items():
        shape = " x ".join(layers[name]["shape"][1:])
        show(name, shape, layers[name]["write_bytes"](N=1) // 4, outputs)
    show("total", "input + all outputs", cost.total_activations(N=1), 932_264)
    show("peak", "input + output of conv1", cost.peak_activations(N=1), 150_528 + 290_400)

    heading("Multiply-accumulates")
    for name, (_, _, macs) in LECTURE.items():
        if macs is not None:
            show(name, cost.explain(name).formula, layers[name]["macs"](N=1), macs)
    show("total", "", cost.macs(N=1), 724_406_816)
    show("FLOPs", "2 x MACs", cost.flops(N=1), 1_448_813_632)

    heading("Model size, 1 MB = 10^6 bytes")
    show("fp32", "params x 4 bytes", megabytes(cost.model_bytes()), "243.8 MB")
    show("int8", "params x 1 byte", megabytes(cost.params()), "61.0 MB")
    # Widths can be changed on the captured graph, without capturing the model again.
    deployed = fxcost.analyze(cost.graph, weights="int8").model_bytes()
    mixed = fxcost.analyze(cost.graph, weights={"fc*": "int4", "*": "int8"}).model_bytes()
    print(f"  int8 as deployed: {deployed:,} bytes, {deployed - cost.params():,} more than params x 1 byte:")
    print("  an int32 multiplier and shift for each output channel.")
    print(f"  mixed precision, int4 linear layers and int8 convolutions: {megabytes(mixed)}.")

    print("\nErrata of the lecture notes: what they print -> what is right")
    print(f"  parameters of conv1           24,848 -> {layers['conv1']['params']():,}")
    print(f"  parameters of fc6         37,738,736 -> {layers['fc6']['params']():,}")
    print(f"  model size in fp32            224 MB -> {megabytes(cost.model_bytes())}")
    print(f"  MACs of a convolution   wo*co, twice -> {cost.explain('conv2').formula}")

    print("\nFormulas")
    print(f"  macs = {cost.macs}, params = {cost.params}: linear in the batch,")
    print("  and nothing else, because the model takes one image size only:")
    for reason in cost.fixed_dims.values():
        print(fill(reason, 78, initial_indent="  - ", subsequent_indent="    "))
    features = fxcost.analyze(convolutions, "N,3,H,W")
    conv1 = next(row for row in features.by_node() if row["module"] == "conv1")
    print("  The convolutions alone take images of any size:")
    print(f"    conv1 = {conv1['macs']} MAC")
    print(f"    all   = {features.macs(N=1, H=224, W=224):,} MAC at N=1, H=W=224")
    print(f"            {features.macs(N=1, H=512, W=384):,} MAC at N=1, H=512, W=384")


def megabytes(size_bytes: int) -> str:
    """Bytes in MB, as the lecture rounds them."""
    return f"{size_bytes / fxcost.MB:.1f} MB"


if __name__ == "__main__":
    main()
