"""A graph as a TensorFlow Lite file in int8, and the arena that TensorFlow Lite for microcontrollers takes for it.

The file holds zeros for weights: what a runtime allocates depends on shapes alone. Needs the package `tflite-micro`,
whose interpreter records every allocation in its arena.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

from fxcost.ir.evaluate import evaluate
from fxcost.ir.types import TensorType
from fxcost.passes.micro_operators import PADDED, MicroGraph, MicroOperator

SCHEMA = "tflite_micro.tensorflow.lite.micro.python.schema_py_generated"
RUNTIME = "tflite_micro.python.tflite_micro.runtime"
ACTIVATIONS = {"": "NONE", "RELU": "RELU", "RELU6": "RELU6", "RELU_N1_TO_1": "RELU_N1_TO_1"}
UNIT_RANGE = ("SOFTMAX", "LOGISTIC")
"""Kinds whose results the kernels want in steps of 1/256 from -128."""


def tflite_bytes(micro: MicroGraph, point: Mapping[str, int], offsets: Mapping[str, int] | None = None) -> bytes:
    """The model as a file, with the places of its values in the arena where given.

    Raises ValueError for operators that the format does not have.
    """
    if micro.unknown:
        raise ValueError(f"not in the format: {', '.join(micro.unknown)}")
    micro = _present(micro, point)
    writer = _Writer(point)
    for name in micro.inputs:
        writer.value(name, micro.types[name])
    for operator in micro.operators:
        writer.add(operator, micro)
    return writer.finish(micro, offsets or {})


def with_buffers_inside(file: bytes) -> bytes:
    """The same model with large constants inside the tables: behind them, the interpreter does not look."""
    schema: Any = import_module(SCHEMA)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(file, 0))
    for buffer in model.buffers:
        if buffer.data is None and buffer.size:
            buffer.data, buffer.offset, buffer.size = list(file[buffer.offset : buffer.offset + buffer.size]), 0, 0
    return _packed(model)


def _packed(model: Any) -> bytes:
    builder = import_module("flatbuffers").Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _present(micro: MicroGraph, point: Mapping[str, int]) -> MicroGraph:
    """Without the operators that are not there at the point."""
    absent = {op.results[0]: op.reads[0] for op in micro.operators if not evaluate(op.when, point)}
    kept = (op for op in micro.operators if op.results[0] not in absent)
    operators = tuple(replace(op, reads=tuple(absent.get(name, name) for name in op.reads)) for op in kept)
    return replace(micro, operators=operators)


def recorded_arena(model: bytes, arena_bytes: int = 1 << 25) -> dict[str, int]:
    """What the interpreter of the package allocates for a model: bytes by what for, as it prints them."""
    runtime = import_module(RUNTIME)
    interpreter = runtime.Interpreter.from_bytes(model, arena_size=arena_bytes)
    with tempfile.TemporaryFile() as file:
        saved = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            interpreter.print_allocations()
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        file.seek(0)
        text = file.read().decode()
    found = {what: int(size) for what, size in re.findall(r"Arena allocation (total|head|tail) (\d+) bytes", text)}
    for what, used in re.findall(r"'([^']+)' used (\d+) bytes", text):
        found[what] = int(used)
    return found


class _Writer:
    """Tensors, buffers and operators of one file."""

    def __init__(self, point: Mapping[str, int]) -> None:
        self.schema: Any = import_module(SCHEMA)
        self.point = point
        self.buffers: list[Any] = [self.schema.BufferT()]
        self.tensors: list[Any] = []
        self.index: dict[str, int] = {}
        self.operators: list[Any] = []
        self.codes: dict[int, int] = {}
        self.paddings: dict[bytes, int] = {}

    def shape(self, form: TensorType) -> list[int]:
        """Sizes with channels last."""
        sizes = [evaluate(size, self.point) for size in form.shape]
        if len(sizes) == 4:
            return [sizes[0], sizes[2], sizes[3], sizes[1]]
        return [sizes[0], 1, sizes[2], sizes[1]] if len(sizes) == 3 else sizes

    def value(self, name: str, form: TensorType, kind: str = "") -> int:
        """A tensor in the arena."""
        if kind in UNIT_RANGE:
            return self._tensor(name, self.shape(form), "INT8", [1 / 256], [-128])
        return self._tensor(name, self.shape(form), "INT8", [0.05], [0])

    def constant(self, name: str, shape: list[int], kind: str, scales: list[float], content: bytes = b"") -> int:
        """A tensor in flash."""
        count, width = 1, {"INT8": 1, "INT32": 4}[kind]
        for size in shape:
            count *= size
        buffer = self.schema.BufferT()
        buffer.data = list(content or bytes(count * width))
        self.buffers.append(buffer)
        return self._tensor(name, shape, kind, scales, [0] * len(scales), len(self.buffers) - 1)

    def _tensor(
        self, name: str, shape: list[int], kind: str, scales: list[float], zeros: list[int], buffer: int = 0
    ) -> int:
        tensor = self.schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name.encode(), shape, buffer
        tensor.type = getattr(self.schema.TensorType, kind)
        if scales:
            tensor.quantization = self.schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = scales, zeros
            tensor.quantization.quantizedDimension = 0
        self.tensors.append(tensor)
        self.index[name] = len(self.tensors) - 1
        return self.index[name]

    def add(self, operator: MicroOperator, micro: MicroGraph) -> None:
        """An operator with its constants and results."""
        inputs = [self.index[name] for name in operator.reads]
        inputs += self._constants(operator, micro)
        results = [self.value(name, micro.types[name], operator.kind) for name in operator.results]
        made = self.schema.OperatorT()
        made.inputs, made.outputs = inputs, results
        code = getattr(self.schema.BuiltinOperator, operator.kind)
        made.opcodeIndex = self.codes.setdefault(code, len(self.codes))
        options = self._options(operator, micro)
        if options is not None:
            made.builtinOptions = options
            name = type(options).__name__.removesuffix("T")
            made.builtinOptionsType = getattr(self.schema.BuiltinOptions, name)
        self.operators.append(made)

    def _constants(self, operator: MicroOperator, micro: MicroGraph) -> list[int]:
        kind, name = operator.kind, operator.results[0]
        sizes = [[evaluate(size, self.point) for size in form.shape] for form in operator.constants]
        if kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            out, height, width = (self._window(operator, key) for key in ("channels_out", "kernel_h", "kernel_w"))
            depthwise = kind == "DEPTHWISE_CONV_2D"
            shape = [1, height, width, out] if depthwise else [out, height, width, sizes[0][1]]
            weight = self.constant(f"{name}/weight", shape, "INT8", [0.01] * out)
            self.tensors[weight].quantization.quantizedDimension = 3 if depthwise else 0
            return [weight, self.constant(f"{name}/bias", [out], "INT32", [0.0005] * out)]
        if kind == "FULLY_CONNECTED":
            shape = [self._window(operator, "channels_out"), self._window(operator, "channels_in")]
            found = [self.constant(f"{name}/weight", shape, "INT8", [0.01] * shape[0])]
            if len(sizes) > 1:
                found.append(self.constant(f"{name}/bias", [shape[0]], "INT32", [0.0005] * shape[0]))
            return found
        if kind == "PAD":
            before, after = self.shape(micro.types[operator.reads[0]]), self.shape(micro.types[name])
            around = [(large - small) // 2 for small, large in zip(before, after, strict=True)]
            content = b"".join(2 * amount.to_bytes(4, "little") for amount in around)
            if content not in self.paddings:  # shared, as converters do
                self.paddings[content] = self.constant(f"{name}/paddings", [4, 2], "INT32", [], content)
            return [self.paddings[content]]
        if kind == "RESHAPE":
            shape = self.shape(micro.types[name])
            content = b"".join(size.to_bytes(4, "little") for size in shape)
            return [self.constant(f"{name}/shape", [len(shape)], "INT32", [], content)]
        if kind == "MEAN":
            return [
                self.constant(f"{name}/axes", [2], "INT32", [], (1).to_bytes(4, "little") + (2).to_bytes(4, "little"))
            ]
        return [self.constant(f"{name}/{i}", size or [1], "INT8", [0.05]) for i, size in enumerate(sizes)]

    def _window(self, operator: MicroOperator, key: str) -> int:
        return evaluate(operator.window[key], self.point)

    def _options(self, operator: MicroOperator, micro: MicroGraph) -> Any:
        schema, kind = self.schema, operator.kind
        names = {
            "CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D", "FULLY_CONNECTED": "FullyConnected",
            "ADD": "Add", "SUB": "Sub", "MUL": "Mul", "MAX_POOL_2D": "Pool2D", "AVERAGE_POOL_2D": "Pool2D",
            "MEAN": "Reducer", "SOFTMAX": "Softmax", "RESHAPE": "Reshape", "CONCATENATION": "Concatenation",
            "HARD_SWISH": "HardSwish", "PAD": "Pad",
        }  # fmt: skip
        if kind not in names:
            return None
        options = getattr(schema, f"{names[kind]}OptionsT")()
        if hasattr(options, "fusedActivationFunction"):
            options.fusedActivationFunction = getattr(schema.ActivationFunctionType, ACTIVATIONS[operator.activation])
        if "kernel_h" in operator.window:
            padded = self._window(operator, "pad_h") or self._window(operator, "pad_w")
            inside = padded and not operator.reads[0].endswith(PADDED)
            options.padding = schema.Padding.SAME if inside else schema.Padding.VALID
            options.strideH, options.strideW = self._window(operator, "stride_h"), self._window(operator, "stride_w")
        if kind.endswith("POOL_2D"):
            options.filterHeight = self._window(operator, "kernel_h")
            options.filterWidth = self._window(operator, "kernel_w")
        if "dilation_h" in operator.window:
            options.dilationHFactor = self._window(operator, "dilation_h")
            options.dilationWFactor = self._window(operator, "dilation_w")
        if kind == "DEPTHWISE_CONV_2D":
            options.depthMultiplier = self._window(operator, "channels_out") // self._window(operator, "channels_in")
        if kind == "SOFTMAX":
            options.beta = 1.0
        if kind == "MEAN":
            options.keepDims = len(micro.types[operator.results[0]].shape) == 4
        if kind == "RESHAPE":
            options.newShape = self.shape(micro.types[operator.results[0]])
        if kind == "CONCATENATION":
            options.axis = len(micro.types[operator.results[0]].shape) - 1
        return options

    def finish(self, micro: MicroGraph, offsets: Mapping[str, int]) -> bytes:
        """The whole file; with offsets, the metadata by which the runtime plans nothing itself."""
        schema = self.schema
        graph = schema.SubGraphT()
        graph.tensors, graph.operators, graph.name = self.tensors, self.operators, b"main"
        graph.inputs = [self.index[name] for name in micro.inputs]
        graph.outputs = [self.index[name] for name in micro.outputs]
        model = schema.ModelT()
        model.version, model.subgraphs, model.buffers, model.description = 3, [graph], self.buffers, b"fxcost"
        model.operatorCodes = []
        for code in self.codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), 1
            model.operatorCodes.append(entry)
        if offsets:
            places = [offsets.get(name, -1) for name in self.index]
            content = b"".join(n.to_bytes(4, "little", signed=True) for n in (1, 0, len(self.tensors), *places))
            buffer = schema.BufferT()
            buffer.data = list(content)
            self.buffers.append(buffer)
            note = schema.MetadataT()
            note.name, note.buffer = b"OfflineMemoryAllocation", len(self.buffers) - 1
            model.metadata = [note]
        return _packed(model)
