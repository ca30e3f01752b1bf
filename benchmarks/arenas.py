"""Arenas of microcontrollers: fxcost's bytes beside what the interpreter of TensorFlow Lite for microcontrollers records.

Needs `pip install tflite-micro`. Every model is written as a file of its format and loaded; columns are bytes of the head
(activations and scratch) and of the tail (structures, as recorded on a computer with addresses of 8 bytes). `same` models
are padded as the format likes it, `explicit` ones as torch does. Where litert-torch and ai-edge-quantizer are installed,
the rows `litert-torch` convert and quantise the model by those instead: neither file nor bytes come from fxcost.

python benchmarks/arenas.py [--record FILE.csv] [--json]
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

import fxcost
from benchmarks._common import Result
from benchmarks._tflite import recorded_arena, tflite_bytes, with_buffers_inside
from fxcost.capture.loaders import load_model
from fxcost.ir.evaluate import evaluate
from fxcost.passes.arena import Arena, arena_of
from fxcost.passes.arena_plan import best_head, greedy_head
from fxcost.passes.micro_operators import MicroGraph, trained_for_format
from fxcost.passes.micro_runtimes import RUNTIMES, persistent

TINY = str(Path(__file__).parents[1] / "examples" / "09_microcontroller.py")
MODELS = (
    (f"{TINY}:anomaly_detection", "1,640"),
    (f"{TINY}:keyword_spotting", "1,1,49,10"),
    (f"{TINY}:visual_wake_words", "1,3,96,96"),
    (f"{TINY}:image_classification", "1,3,32,32"),
    ("timm:mobilenetv2_035", "1,3,96,96"),
    ("timm:mobilenetv1_100", "1,3,224,224"),
    ("torchvision:mobilenet_v2", "1,3,224,224"),
    ("torchvision:mobilenet_v2", "1,3,145,145"),
    ("torchvision:resnet18", "1,3,128,128"),
    ("torchvision:squeezenet1_1", "1,3,128,128"),
)
CONVERTED = (*(name for name, _ in MODELS[:5]), "torchvision:resnet18")
"""Those that litert-torch converts, too; it takes its time for larger ones."""

RECORDER = 488
"""Bytes of the recording allocator's own objects."""

COLUMNS = (
    "model",
    "input",
    "file",
    "head",
    "tail",
    "total",
    "ours_head",
    "ours_tail",
    "ours_total",
    "best_head",
    "by_plan",
)


def rows() -> Iterator[list[Any]]:
    """A row a model and kind of padding, and one for its conversion by others."""
    for name, spec in MODELS:
        cost = fxcost.analyze(load_model(name), spec, check=False)
        short = name.partition(":")[2] if not name.startswith("/") else name.rpartition(":")[2]
        micro = cost.facts[MicroGraph]
        for file, graph in (("explicit", micro), ("same", trained_for_format(micro))):
            if graph.unknown:
                yield [short, spec, file, *[None] * 8]
                continue
            arena = arena_of(cost.graph, graph, RUNTIMES["tflite-micro"], pointer=8)
            yield [short, spec, file, *beside(graph, arena, tflite_bytes(graph, {}))]
            if file == "explicit" and name in CONVERTED and find_spec("litert_torch") is not None:
                yield [short, spec, "litert-torch", *beside(graph, arena, converted(name, spec))]


def beside(micro: MicroGraph, arena: Arena, file: bytes) -> list[Any]:
    """Recorded head, tail and total; ours; the best plan's head; the recorded head of a file that holds that plan."""
    try:
        recorded = recorded_arena(file)
    except RuntimeError as error:
        print(f"the interpreter refuses the file: {error}", file=sys.stderr)
        return [None] * 8
    head, tail = greedy_head(arena, {}), evaluate(persistent(micro, RUNTIMES["tflite-micro"], 8, RECORDER), {})
    plan = best_head(arena, {})
    by_plan = recorded_arena(tflite_bytes(micro, {}, plan.offsets))["head"]
    return [recorded["head"], recorded["tail"], recorded["total"], head, tail, head + tail, plan.height, by_plan]


def converted(name: str, spec: str) -> bytes:
    """The model through litert-torch and ai-edge-quantizer, in int8; a file without fxcost."""
    torch: Any = import_module("torch")
    litert: Any = import_module("litert_torch")
    quantizer: Any = import_module("ai_edge_quantizer.quantizer")
    recipe: Any = import_module("ai_edge_quantizer.recipe")
    interpreter: Any = import_module("ai_edge_litert.interpreter")
    torch.manual_seed(0)
    model = with_weights(name).eval()
    example = torch.randn(*map(int, spec.split(",")))
    if example.ndim == 4:
        model = litert.to_channel_last_io(model, args=[0])
        example = example.permute(0, 2, 3, 1).contiguous()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.tflite")
        litert.convert(model, (example,)).export(path)
        signature, values = next(iter(interpreter.Interpreter(path).get_signature_list().items()))
        whole = quantizer.Quantizer(path, recipe.static_wi8_ai8())
        calibration = whole.calibrate({signature: [{values["inputs"][0]: example.numpy()}]})
        quantised = str(Path(folder) / "int8.tflite")
        whole.quantize(calibration).export_model(quantised)
        return with_buffers_inside(Path(quantised).read_bytes())


def with_weights(name: str) -> Any:
    """The model on the CPU, random weights: conversion needs some."""
    prefix, _, rest = name.partition(":")
    if prefix == "timm":
        return import_module("timm").create_model(rest, pretrained=False)
    if prefix == "torchvision":
        return import_module("torchvision").models.get_model(rest, weights=None)
    return load_model(name, "cpu")


def main() -> None:
    """Print the table; write it where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print the measurements as JSON")
    parser.add_argument("--record", metavar="FILE.csv", help="write the rows as CSV")
    options = parser.parse_args()
    found = []
    for row in rows():
        found.append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)
    if options.record:
        with Path(options.record).open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(found)
    errors = [abs(row[8] / row[5] - 1) for row in found if row[5]]
    remarks = [
        f"{len(errors)} arenas; largest error {100 * max(errors):.2f} %, {sum(e == 0 for e in errors)} to the byte"
    ]
    Result("Arenas under TensorFlow Lite for microcontrollers, bytes", COLUMNS, found, remarks).show(options.json)


if __name__ == "__main__":
    main()
