"""Thirty-eight models that counters disagree about, with their multiply-accumulates and parameters at one input size.

The true counts are those of a dispatch counter over convolutions, products, attention, recurrent layers, grouped and
integer products, run with fused and with decomposed attention, which had to agree; where a comment has a product, by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fxcost.capture.loaders import load_model
from fxcost.capture.shim import prepare_torchvision

IMAGE, FIXED = "N,3,H,W", "N,3,{0},{0}"
SIZE = {"N": 1, "H": 224, "W": 224}
TOKENS, LENGTH = "i64[N,S]", {"N": 1, "S": 128}


@dataclass(frozen=True)
class Subject:
    """A model: how it is built on a device, its inputs as specs and at a point, and what is true there."""

    name: str
    build: Callable[[str], nn.Module]
    macs: int
    params: int | None
    specs: tuple[str, ...] = (IMAGE,)
    point: dict[str, int] = field(default_factory=lambda: dict(SIZE))

    def inputs(self, device: str) -> tuple[Tensor, ...]:
        """Tensors at the point: zeros where they are integers."""
        found = []
        for spec in self.specs:
            whole = spec.startswith("i64")
            sizes = [self.point.get(size) or int(size) for size in spec.removeprefix("i64[").rstrip("]").split(",")]
            found.append(torch.zeros(sizes, dtype=torch.int64 if whole else torch.float32, device=device))
        return tuple(found)


class Answer(nn.Module):
    """A language model called with positional tensors, its first output alone: what every counter can call."""

    def __init__(self, model: nn.Module, *names: str) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: Tensor) -> Tensor:
        """The logits."""
        found: Tensor = self.model(**dict(zip(self.names, inputs, strict=True)), return_dict=False)[0]
        return found


def zoo(place: str, device: str) -> nn.Module:
    """A model of torchvision or timm."""
    found: nn.Module = load_model(place, device)
    return found


def language(kind: str, device: str, *names: str, **settings: Any) -> nn.Module:
    """A small language model of transformers: width 256, 4 layers, 1,000 tokens."""
    prepare_torchvision()  # transformers imports it where it is installed
    import transformers

    config = getattr(transformers, kind).config_class(**settings)
    with torch.device(device):
        model = getattr(transformers, kind)(config)
    model.config.use_cache = False
    return Answer(model, *(names or ("input_ids",))).eval()


def plain(make: Callable[[], nn.Module], device: str) -> nn.Module:
    """A model of this file."""
    with torch.device(device):
        return make().eval()


class Steps(nn.Module):
    """A recurrent network with an answer at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.LSTM(64, 128, 2, batch_first=True)
        self.head = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Ten numbers a step."""
        found: Tensor = self.head(self.layers(x)[0])
        return found


class Functional(nn.Module):
    """Convolutions, products and a linear layer as functions."""

    def __init__(self) -> None:
        super().__init__()
        shapes = ((16, 3, 3, 3), (32, 16, 3, 3), (10, 32))
        self.weights = nn.ParameterList(nn.Parameter(torch.zeros(shape)) for shape in shapes)

    def forward(self, x: Tensor) -> Tensor:
        """Attention over positions, without projections."""
        first, second, last = self.weights
        x = functional.relu(functional.conv2d(x, first, padding=1))
        x = functional.conv2d(x, second, stride=2, padding=1).flatten(2).transpose(1, 2)
        x = torch.softmax(x @ x.transpose(1, 2), -1) @ x
        return functional.linear(x.mean(1), last)


class Thrice(nn.Module):
    """One convolution called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """The same weights each time."""
        found: Tensor = self.conv(self.conv(self.conv(x)))
        return found


class Flow(nn.Module):
    """RAFT with four updates instead of twelve."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.model = zoo("torchvision:raft_small", device)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """The last flow."""
        found: Tensor = self.model(first, second, num_flow_updates=4)[-1]
        return found


def encoder() -> nn.Module:
    """Torch's own encoder: 4 layers, 256 wide."""
    layer = nn.TransformerEncoderLayer(256, 8, 1024, batch_first=True)
    return nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)


def integers(device: str) -> nn.Module:
    """A network of integer products; its packed weights exist on the CPU only."""
    import warnings

    network = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 10)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: nn.Module = torch.ao.quantization.quantize_dynamic(network, {nn.Linear}, torch.qint8)
    return found


def image(place: str, macs: int, params: int, size: int = 224, spec: str = IMAGE) -> Subject:
    """A model of a zoo at one size."""
    name = place.partition(":")[2]
    return Subject(name, partial(zoo, place), macs, params, (spec.format(size),), {"N": 1, "H": size, "W": size})


def text(name: str, kind: str, macs: int, params: int, *names: str, **settings: Any) -> Subject:
    """A language model at 128 tokens."""
    build = lambda device: language(kind, device, *names, **settings)  # noqa: E731
    return Subject(name, build, macs, params, (TOKENS,) * max(len(names), 1), dict(LENGTH))


_BERT: dict[str, Any] = {"vocab_size": 1000, "hidden_size": 256, "num_hidden_layers": 4, "intermediate_size": 1024}
_LLAMA: dict[str, Any] = {**_BERT, "num_attention_heads": 8, "num_key_value_heads": 2}
_MIXTRAL: dict[str, Any] = {**_LLAMA, "num_local_experts": 8, "num_experts_per_tok": 2}
_GPT2: dict[str, Any] = {"vocab_size": 1000, "n_embd": 256, "n_layer": 4, "n_head": 8}
_GPT2 |= {"bos_token_id": 0, "eos_token_id": 0}
_T5: dict[str, Any] = {"vocab_size": 1000, "d_model": 256, "d_kv": 32, "num_heads": 8, "d_ff": 1024, "num_layers": 4}
_MAMBA: dict[str, Any] = {"vocab_size": 1000, "hidden_size": 128, "num_hidden_layers": 2, "state_size": 16}

SUBJECTS = (
    image("torchvision:resnet18", 1_814_073_344, 11_689_512),
    image("torchvision:resnet50", 4_089_184_256, 25_557_032),
    image("torchvision:mobilenet_v2", 300_774_272, 3_504_872),
    image("torchvision:mobilenet_v3_large", 216_589_760, 5_483_032),
    image("torchvision:efficientnet_b0", 385_814_752, 5_288_548),
    image("torchvision:densenet121", 2_834_161_664, 7_978_856),
    image("torchvision:inception_v3", 5_713_216_096, 27_161_264, 299),
    image("torchvision:googlenet", 1_498_376_192, 13_004_888),
    image("torchvision:shufflenet_v2_x1_0", 144_907_992, 2_278_604),
    image("torchvision:squeezenet1_1", 349_151_936, 1_235_496),
    image("torchvision:regnet_y_400mf", 401_842_848, 4_344_144),
    image("torchvision:convnext_tiny", 4_455_531_264, 28_589_128),
    image("torchvision:vit_b_16", 17_563_828_224, 86_567_656),
    # 4 layers of 12 * 256**2 products a token, 2 * 128 * 256 in attention; BERT's head has 256 * (256 + 1000) more
    text("bert_mlm", "BertForMaskedLM", 477_364_224, 3_614_440, **_BERT, num_attention_heads=8),
    text("gpt2_tied", "GPT2LMHeadModel", 468_975_616, 3_677_696, **_GPT2),
    text("llama_gqa", "LlamaForCausalLM", 552_861_696, 4_315_392, **_LLAMA),
    text("t5", "T5ForConditionalGeneration", 1_072_955_392, 7_602_176, "input_ids", "decoder_input_ids", **_T5),
    text("mixtral_moe", "MixtralForCausalLM", 956_563_456, 26_343_680, **_MIXTRAL),
    text(
        *("albert_shared", "AlbertForMaskedLM", 460_980_224, 1_050_984),
        **{**_BERT, "embedding_size": 128, "num_attention_heads": 8},
    ),
    Subject(
        *(
            "nn_transformer_encoder",
            partial(plain, encoder),
            436_207_616,
            3_159_040,
        ),  # 128 * 4 * 12 * 256**2 + attention
        *(("N,S,256",), dict(LENGTH)),
    ),
    # 50 steps of 4 * 128 * (64 + 128) + 4 * 128 * (128 + 128) + 128 * 10
    Subject("nn_lstm", partial(plain, Steps), 11_532_800, 232_714, ("N,S,64",), {"N": 1, "S": 50}),
    # 32 * 32 * 16 * 27 + 16 * 16 * 32 * 144 + 2 * 256 * 256 * 32 + 32 * 10
    Subject("functional_net", partial(plain, Functional), 5_816_640, 5_360, (IMAGE,), {"N": 1, "H": 32, "W": 32}),
    # three times 32 * 32 * 16 * 144
    Subject("shared_conv_x3", partial(plain, Thrice), 7_077_888, 2_320, ("N,16,H,W",), {"N": 1, "H": 32, "W": 32}),
    # 4 * (256 * 512 + 512 * 10)
    Subject("quant_int8_mlp", integers, 544_768, None, ("N,256",), {"N": 4}),
    image("timm:levit_128s", 304_660_832, 7_777_058),
    image("timm:mobilevit_s", 2_000_831_488, 5_578_632, 256),
    image("torchvision:swin_t", 4_490_566_656, 28_288_354, spec=FIXED),
    Subject(
        *("raft_small", Flow, 1_058_897_920, 990_162),
        *(("N,3,128,128", "N,3,128,128"), {"N": 1}),
    ),
    image("timm:mixer_s16_224", 3_776_958_464, 18_528_264),
    image("torchvision:maxvit_t", 5_558_046_720, 30_919_624, spec=FIXED),
    image("timm:coatnet_0_rw_224", 4_406_300_928, 27_435_562, spec=FIXED),
    image("torchvision:deeplabv3_resnet50", 31_310_548_992, 39_638_869),
    image("timm:hrnet_w18", 4_283_537_072, 21_299_004),
    image("torchvision:alexnet", 714_188_480, 61_100_840),
    image("torchvision:vgg16", 15_470_264_320, 138_357_544),
    Subject(
        *("mamba", lambda device: language("MambaForCausalLM", device, **_MAMBA), 11_507_712, 361_344),
        *(("i64[N,32]",), {"N": 1}),
    ),
    image("timm:pnasnet5large", 24_937_395_792, 86_057_668, 331, FIXED),
    image("timm:nasnetalarge", 23_783_414_658, 88_753_150, 331, FIXED),
)
