"""Every example runs as a reader would run it, prints lines of at most 80 columns, and prints the right numbers."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.tour import INDEX, index
from tests.support.tour import examples as numbered

FOLDER = Path(__file__).parents[1] / "examples"
SLOW = {  # captures of 32 layers and of 26 blocks; torch's compiler; two exports
    *("04_language_model.py", "07_design_space.py"),
    *("12_torch_compile.py", "13_saved_program.py"),
    *("17_budgets.py", "18_patches.py", "20_training.py", "21_serving.py", "22_several_devices.py"),
}
NEEDS = {"19_executorch.py": "executorch"}  # packages that few machines have: without one, an example says so

# What each must print, and where the number comes from.
PRINTED = {
    "01_lecture_alexnet.py": [
        "60,954,656",  # the lecture; 34,848 + 307,200 + 884,736 + 663,552 + 442,368 + 37,748,736 + 16,777,216 + 4,096,000
        "243.8 MB",  # 60,954,656 x 4
        "61.0 MB",  # 60,954,656 x 1
        "932,264",  # the lecture; the input and eleven outputs
        "440,928",  # 150,528 + 290,400, input and output of conv1
        "105,415,200",  # conv1: 11 x 11 x 3 x 96 x 55 x 55
        "223,948,800",  # conv2: 5 x 5 x 48 x 256 x 27 x 27
        "724,406,816",  # the lecture
        "1,448,813,632",  # twice that
        "24,848 -> 34,848",  # 96 x 3 x 11 x 11
        "37,738,736 -> 37,748,736",  # 4096 x 9216
        "224 MB -> 243.8 MB",
        "61,039,200 bytes, 84,544 more",  # 8 bytes for each of 96 + 256 + 384 + 384 + 256 + 4096 + 4096 + 1000 channels
        "H=224: the model itself refuses other sizes",
    ],
    "21_serving.py": [
        "46,702,792,704 parameters, 12,879,925,248 for a token",  # less six of eight experts: 6 x 3 x 4096 x 14336 x 32
        "cache, bytes      65536*N*S",  # 2 x 32 layers x 8 heads x 128 channels, a byte each
        "1: 2.00, 2: 3.50, 4: 5.47",  # 8 x (1 - 0.75^N)
        " 1 sequences: S >= 378,929",  # 24,833,458,176 bytes of weights / 65,536
        "16 sequences: S >= 23,684",
        "largest batch: ",
        "2,303 tokens",  # 2,048 and all generated ones but the last
    ],
    "18_patches.py": [
        "of 2,408,448 bytes",  # 112^2 x 96 twice, expansion and its norm
        "1,372 KiB without patches",  # published by MCUNetV2
        "171.5 KiB with 4 x 4 patches",  # published: 172; 28^2 x (32 + 192) / 1024
        "9.28% more MACs",  # published: 10 to 17 %
        "387,840 bytes, predicted 387,840",
        "same result: True",
    ],
    "22_several_devices.py": [
        "857,759,744 parameters",  # 2*8192*8192 + 2*8192*1024 + 3*8192*28672 + 3*8192 of norms + 256*8192
        "107,241,472 parameters",  # an eighth of all but the norms, which everybody has
        "one of 8 sends 86016*S bytes",  # three all-reduces of S*8192 in two bytes, 2 * 7/8 of each
        "176,160,768 bytes sent",  # 86,016 * 2,048
        "fastest: 8",
        "from 3,788,571 bytes on: ring",  # (14 - 1) * 3.4 us * 450 GB/s / (7 - 7/4)
        "one sends 58,720,256 bytes",  # 2 all-to-alls of 2,048 * 2 rows of 4,096 in two bytes, 7/8 of each
        "where S%4 == 0",  # 2*S rows for 8 devices
    ],
    "02_resnet_vs_mobilenet.py": [
        "1,505,280 B",  # published for TFLite; 112^2 x 96 + 56^2 x 96
        "1,372 kB",  # published by MCUNetV2, in KiB; 112^2 x (16 + 96) / 1024
        " 980 ",  # 64 x (112^2 + 56^2) / 1024, ResNet-18 at its max pool
        " 931 ",  # (3 x 224^2 + 64 x 112^2) / 1024, ResNet-18's first convolution
        "1.75 or 1.88; like for like it is 1.50",  # 1372 / 784, 1470 / 784, 1470 / 980
        "11,689,512",  # published for ResNet-18
        "3,504,872",  # published for MobileNetV2
        "4.43 x",  # 11,689,512 / 2,636,424
        "not reproduced",
        "8 times less",  # 1372 / 172 = 7.98
    ],
    "03_macs_of_h_and_w.py": [
        "25,557,032",  # published for ResNet-50
        "4,089,184,256      4,089,184,256  same",  # torch's counter beside it
        "200 resolutions",
        "152 x 152",  # 1,991,994,368 MAC; at 153 one more row of every map: 2,063,475,392 > 2 * 10^9
    ],
    "04_language_model.py": [
        "124,439,808",  # published for GPT-2
        "163,037,184",  # 50,257 x 768 more
        "8,030,261,248",  # published for Llama 3 8B
        "16.06 GB",  # two bytes each
        "7504658432*N*S",  # 32 x (4096 x (4096 + 1024 + 1024 + 4096) + 3 x 4096 x 14336) + 4096 x 128256
        "262144*N*S**2",  # 32 layers x 32 heads x (128 + 128)
        "15,533,604,864,000; torch counts 15,533,604,864,000",  # 2 x 1000 x 7504658432 + 2 x 1000^2 x 262144
        "S >= 28,629",  # 7504658432 / 262144 = 28,628 exactly, where both cost the same
    ],
    "06_best_order.py": [
        # stem 16 x 32 x 32, kept 32 x 32 x 32, narrow 24 x 16 x 16 and wide 96 x 32 x 32 floats
        "traced order: 614,400 bytes",
        "best order: 466,944 bytes",  # stem, wide, and 8 x 16 x 16 floats of the shrunk branch
        "32*N*(14*((H + 1)//2)**2 + ((H + 3)//4)**2)",  # 14 = 4 x (16 + 96) / 32, and 4 x 8 / 32 = 1
        "orders needed: 1; sizes left open: none",
        "measured, best order:   466,944 bytes",
        "same result: True",
    ],
    "05_will_it_fit.py": [
        "1,505,280",  # as in 02
        "1,204,224",  # 112^2 x 96, the larger half of it
        "186",  # 93^2 x 96 + 47^2 x 96 = 1,042,368 <= 2^20; at 187 it is 94^2 x 96 + 47^2 x 96 = 1,060,320
        "146",  # 73^2 x 96 = 511,584 <= 2^19; 74^2 x 96 = 525,696
        "104 x 104",  # 52^2 x 96 + 26^2 x 96 = 324,480 <= 320 KiB
    ],
    "10_page.py": [
        # 3 x 18 x 64^2 + 9 x 18 x 32^2 + 18 x 16 x 32^2, 16 x 96 x 32^2 + 9 x 96 x 16^2 + 96 x 32 x 16^2,
        # 32 x 192 x 16^2 + 9 x 192 x 8^2 + 192 x 64 x 8^2, and 64 x 10
        "5,732,992 MACs",
        "786,432 bytes",  # 2 x 96 x 32 x 32 floats: what a ReLU6 reads and writes
        "under 200 KB: True",
        "narrow needs less peak_memory for H >= 1",
    ],
    "07_design_space.py": [
        "3,072 networks of 26 different blocks",  # 8^3 x 6 resolutions; 3 stages x 4 x 2 blocks, stem, head
        "51,200",  # 8 x 40^2 in, 3 x 8 x 40^2 out of the first expansion
        "macs            5,756,880  same",
        "by formulas: same",
    ],
    "09_microcontroller.py": [
        # Keras' counts for the reference models of mlcommons/tiny, and their MACs
        "269,992 parameters and statistics, 264,192 MAC",
        "24,908 parameters and statistics, 2,656,768 MAC",
        "221,794 parameters and statistics, 7,489,664 MAC",
        "78,666 parameters and statistics, 12,501,632 MAC",
        "activations and scratch  76,864",  # benchmarks/data/arenas.csv: as the interpreter records
        "activations and scratch  49,728",  # 49,152, and 2 x 2 x 144 bytes of columns beside them
        "kernel in 16 bits        73,728",  # 2 x 3 x 3 x 64 x 64
        "activations 55,296 B, proven lowest: True",  # 48^2 x 8 + 48^2 x 16
        "would place them: 73,728 B",  # recorded
        "for images up to 80 x 80",
    ],
    "08_custom_operators.py": [
        "unknown: {'shop.selective_scan': 1}",
        "10240*N*S, lower",  # 64 x 64 into, 64 x 32 select, 64 x 64 out
        "11264*N*S, exact",  # 64 x 16 more
        "rule     scan_cost in 08_custom_operators.py",
    ],
    "11_torch_fx.py": [
        "linear     macs = 512*N",  # 8 x 64
        # x 128, two maps of 1,024 and the ReLU's result beside them; one map at a time and its ReLU
        "predicted: 3,072 -> 2,176",
        "measured:  3,072 -> 2,176",
        "same result: True",
    ],
    "12_torch_compile.py": [
        "traced order, measured: 29,360,128 bytes",  # 7 x 64 maps of 4 x 64 x 64 floats
        "same result: True",
        "our order, predicted:   9,699,328 bytes",  # two maps of 64 channels, five of four
        "our order, measured:    9,699,328 bytes",
        "no order is below:      9,699,328 bytes",
    ],
    "13_saved_program.py": [
        "sizes: 1 <= N <= 64",
        "macs = 512*N",  # 8 x 64
        "addmm              from linear      512*N MAC",
        "nodes whose costs found no place: 0",
    ],
    "14_mlir_out.py": [
        "fact.macs.map = affine_map<()[N, H, W] -> (216 * ((H + 1) floordiv 2) *",  # 8 x 27
        "func.func @layer__macs(%N: index, %H: index, %W: index) -> index {",
        "arith.floordivsi",
    ],
    "15_mlir_through.py": [
        # x has 16,384 bytes, the repeated one 131,072; traced, the ReLU's result waits beside both
        "peak: 163,840 -> 151,552",  # 148 x 32 x 32
        "arena: 151,552 bytes",
    ],
    "16_mlir_in.py": [
        "macs        = 16384*N",  # 64 x 256
        "other_ops   = 3840*N",  # 15 x 256
        "peak_memory = 256*max(5*N + 256, 8*N)",  # x, w and y; y and z
        "the largest N within 1 MB: 488",  # 10^6 / 2048
    ],
    "17_budgets.py": [
        "5,161,280",  # 32 x 32 x (16 x 27 + 32 x 144) + 32 x 10
        "5,751,144  +11.4 %",  # 32 x 32 x (16 x 27 + 36 x 144) + 36 x 10
        "macs +8*N*(72*H*W + 5)",  # 4 x 144 an element of the map, and 4 x 10
        "+580",  # 4 x (16 x 9 + 1) parameters
        "EXCEEDED params = 6,038 elements, 5,418 before, 10 % more allowed",
        "exit code 4",
        "1 failed",
    ],
    "19_executorch.py": [
        # a map of 64 x 32 x 32 floats has 262,144 bytes, stem and input 32,768, a shrunk branch 4 x 8 x 8 floats
        "its planner:  1,081,344 bytes",  # four maps and the stem
        "its planner:     559,104 bytes",
        "our planner:     558,080 bytes",  # two maps, the stem and one shrunk branch
        "is below:        558,080 bytes",
        "same result: True",
    ],
    "20_training.py": [
        # an image: 3 x 9 x 16 x 32^2 + 16 x 9 x 32 x 16^2 + 32 x 9 x 32 x 16^2 + 32 x 9 x 64 x 8^2 + 640 = 5,161,600
        "41,292,800 forward",
        "79,046,656 backward",  # twice that, but the image needs no gradient: - 8 x 442,368
        # 8 x 4 x (3,072 + 16,384 + 8,192 + 8,192 + 64 into products, 16,384 + 8,192 + 8,192 + 4,096 into norms), and bits
        "kept, by layer:      2,365,440 bytes",
        "98,304 kept",  # the images: 8 x 3 x 32 x 32 floats
        "within 10 MB, by N (proven: True)",
        "N = 349 to 813",  # 813 x 12,288 = 9,990,144
        "442368*N MACs on top",  # the first convolution
        "run: 491,520 bytes kept, predicted 491,520",
        "same gradients: True",
    ],
}


def run(name: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(FOLDER / name)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def examples() -> list[object]:
    names = sorted(path.name for path in FOLDER.glob("[!_]*.py"))
    return [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in names]


@pytest.mark.parametrize("name", examples())
def test_example(name: str) -> None:
    printed = run(name)
    package = NEEDS.get(name)
    if package is not None and find_spec(package) is None:
        assert printed.count("\n") == 1
        assert f"pip install 'fxcost[{package}]'" in printed
        pytest.skip(f"needs the package {package}; without it the example says so")
    assert "DIFFERS" not in printed
    assert max(map(len, printed.splitlines())) <= 80
    missing = [text for text in PRINTED[name] if text not in printed]
    assert not missing, printed


def test_the_index_lists_the_examples() -> None:
    assert INDEX.read_text(encoding="utf-8") == index(), "python -m tests.support.tour writes it anew"


def test_the_examples_are_numbered() -> None:
    assert [int(path.stem.partition("_")[0]) for path in numbered()] == [*range(1, len(numbered()) + 1)]
