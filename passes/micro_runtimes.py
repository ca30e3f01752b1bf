"""What microcontroller runtimes keep besides activations: scratch of kernels, and structures that live as long as the model.

Facts from the sources of the runtimes, as formulas:

scratch of CMSIS-NN on cores with the DSP extension (`arm_*_get_buffer_size*`, s8): a convolution two columns of 16 bits,
each kernel_h * kernel_w * channels_in rounded up to 4; none for 1x1 without padding; a depthwise convolution one column,
none for 3x3 with padding at most 1; average pooling 32 bits a channel; fully connected none.

TensorFlow Lite for microcontrollers (`micro_allocator.cc`, `micro_interpreter.cc`, and the `OpData` of each kernel): the
persistent end of its arena holds, from the end down, the allocator's own objects, an evaluation tensor for every tensor,
a node for every operator, the options of every operator, then, each aligned to 16 bytes, what every kernel keeps, a
multiplier and a shift of 32 bits for every channel of a convolution, handles of scratch buffers, and a full tensor with
its quantisation for every input and output. Sizes of structures follow from the width of a pointer; those for 8 bytes are
what the package `tflite-micro` records (benchmarks/arenas.py).

TinyEngine (`GeneralMemoryScheduler.py`, `operators/conv2d.py`, `operators/depthwiseConv2d.py`): depthwise convolutions
run in place; beside the activations lie one buffer for columns (a convolution: 2 * 2 bytes * kernel_h * kernel_w *
channels_in; a depthwise one: 2 bytes for every padded pixel of a channel) and one for a kernel widened to 16 bits, each
as large as the most that any operator asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fxcost.ir.expr import ONE, ZERO, Expr, as_expr, ceildiv, maximum, minimum, product, total
from fxcost.ir.predicate import Compare, indicator
from fxcost.ir.types import TensorType
from fxcost.passes.micro_operators import UNKNOWN, MicroGraph, MicroOperator

ARENA_ALIGNMENT = 16

PER_CHANNEL = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED"})
"""Kinds that are requantised channel by channel."""

OPTIONS: Mapping[str, int] = MappingProxyType(
    {
        "CONV_2D": 28,
        "DEPTHWISE_CONV_2D": 28,
        "FULLY_CONNECTED": 32,
        "ADD": 8,
        "SUB": 8,
        "MUL": 4,
        "CONCATENATION": 8,
        "MAX_POOL_2D": 40,
        "AVERAGE_POOL_2D": 40,
        "RESHAPE": 36,
        "MEAN": 1,
        "SOFTMAX": 4,
        "LEAKY_RELU": 4,
    }
)
"""Bytes of an operator's options (`builtin_data`); none for the others."""

ALIGNED = MappingProxyType({"MEAN": 1, "FULLY_CONNECTED": 8})
"""Alignment of an operator's options where it is not 4."""

KEPT: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "CONV_2D": (56, 80),
        "DEPTHWISE_CONV_2D": (56, 80),
        "FULLY_CONNECTED": (48, 72),
        "ADD": (60, 60),
        "SUB": (52, 52),
        "MUL": (36, 36),
        "CONCATENATION": (48, 80),
        "MAX_POOL_2D": (32, 32),
        "AVERAGE_POOL_2D": (32, 32),
        "RESHAPE": (0, 0),
        "MEAN": (44, 44),
        "SOFTMAX": (56, 80),
        "PAD": (56, 56),
        "RELU": (28, 28),
        "RELU6": (8, 8),
        "HARD_SWISH": (20, 20),
        "LOGISTIC": (16, 16),
        "TANH": (16, 16),
        "LEAKY_RELU": (24, 24),
    }
)
"""Bytes that a kernel keeps (`OpData`), with pointers of 4 bytes (from the declarations) and of 8 (as recorded)."""

Scratch = Callable[[MicroOperator, MicroGraph], tuple[Expr, ...]]


@dataclass(frozen=True)
class Runtime:
    """How a runtime lays out its arena.

    alignment           of every buffer, in bytes
    scratch             buffers that live only while an operator runs, inside the arena
    apart               buffers beside the activations, for the whole run
    keeps               the persistent end holds structures (TensorFlow Lite for microcontrollers)
    depthwise_in_place  the result of a depthwise convolution overwrites its operand
    reshapes_copy       a reshape has a result of its own
    pads_inside         kernels take any padding: no operator for it
    """

    name: str
    alignment: int
    scratch: Scratch
    apart: Callable[[MicroGraph], tuple[tuple[str, Expr], ...]]
    keeps: bool
    depthwise_in_place: bool = False
    reshapes_copy: bool = True
    pads_inside: bool = False


def reference_scratch(operator: MicroOperator, micro: MicroGraph) -> tuple[Expr, ...]:
    """Kernels in plain C: only means need sums, and the axes and indices of the sweep."""
    if operator.kind != "MEAN":
        return ()
    rank = micro.types[operator.reads[0]].rank
    return (as_expr(4 * rank), as_expr(4 * max(rank - 2, 1)), 4 * micro.types[operator.results[0]].numel)


def cmsis_scratch(operator: MicroOperator, micro: MicroGraph) -> tuple[Expr, ...]:
    """CMSIS-NN's kernels on cores with the DSP extension; what it has no kernel for runs in plain C."""
    window = operator.window
    if operator.kind == "CONV_2D":
        plain = all(window[name] is ONE for name in ("kernel_h", "kernel_w", "dilation_h", "dilation_w"))
        if plain and window["pad_h"] is ZERO and window["pad_w"] is ZERO:
            return ()
        column = product((window["kernel_h"], window["kernel_w"], window["channels_in"]))
        return (ceildiv(column, 4) * 4 * 2 * 2,)
    if operator.kind == "DEPTHWISE_CONV_2D":
        same = window["channels_in"] is window["channels_out"]
        if not same or window["dilation_h"] is not ONE or window["dilation_w"] is not ONE:
            return ()
        three = window["kernel_h"].constant == 3 and window["kernel_w"].constant == 3
        if three and (window["pad_h"].constant or 0) <= 1 and (window["pad_w"].constant or 0) <= 1:
            return ()
        column = product((window["kernel_h"], window["kernel_w"], window["channels_in"]))
        single = indicator(Compare("==", window["batch"], ONE))
        return (column * 2 * single,)
    if operator.kind == "AVERAGE_POOL_2D":
        return (window["channels_in"] * 4,)
    return reference_scratch(operator, micro)


def none(operator: MicroOperator, micro: MicroGraph) -> tuple[Expr, ...]:
    """No scratch inside the arena."""
    return ()


def tinyengine_buffers(micro: MicroGraph) -> tuple[tuple[str, Expr], ...]:
    """The buffer for columns and the one for a widened kernel."""
    columns, kernels = [ZERO], [ZERO]
    for operator in micro.operators:
        window = operator.window
        if operator.kind == "CONV_2D":
            column = product((window["kernel_h"], window["kernel_w"], window["channels_in"]))
            columns.append(column * 2 * 2)
            if window["kernel_h"] is not ONE:
                kernels.append(operator.constants[0].numel * 2)
        elif operator.kind == "DEPTHWISE_CONV_2D":
            height = window["input_h"] + window["pad_h"] * 2
            columns.append(2 * height * (window["input_w"] + window["pad_w"] * 2))
    return (("columns", maximum(*columns)), ("kernel in 16 bits", maximum(*kernels)))


def nothing_apart(micro: MicroGraph) -> tuple[tuple[str, Expr], ...]:
    """No buffers beside."""
    return ()


RUNTIMES: Mapping[str, Runtime] = MappingProxyType(
    {
        "tflite-micro": Runtime("tflite-micro", ARENA_ALIGNMENT, reference_scratch, nothing_apart, keeps=True),
        "cmsis-nn": Runtime("cmsis-nn", ARENA_ALIGNMENT, cmsis_scratch, nothing_apart, keeps=True),
        "tinyengine": Runtime(
            "tinyengine",
            1,
            none,
            tinyengine_buffers,
            keeps=False,
            depthwise_in_place=True,
            reshapes_copy=False,
            pads_inside=True,
        ),
    }
)
"""By the name that targets use: the interpreter with kernels in plain C, the same with CMSIS-NN's, and TinyEngine."""


def persistent(micro: MicroGraph, runtime: Runtime, pointer: int = 4, overhead: int | None = None) -> Expr:
    """Bytes of the persistent end of a TensorFlow Lite arena; `overhead` are the allocator's own objects.

    Without `overhead` those of a build that records nothing: allocator (10 words), its base (9), planner (11), options (2),
    subgraph (2). Operators that the format does not have count nothing here.
    """
    at, optional = as_expr(34 * pointer if overhead is None else overhead), ZERO
    known = [operator for operator in micro.operators if operator.kind != UNKNOWN]
    for size, alignment in _structures(known, micro, pointer):
        at = padded(at + size, alignment)
    for amount in _optional_structures(known, micro, pointer):
        optional += amount
    at += optional
    for size, alignment in _kernels(known, micro, runtime, pointer):
        at = padded(at + size, alignment)
    return at


def _structures(known: list[MicroOperator], micro: MicroGraph, pointer: int) -> Iterator[tuple[Expr, int]]:
    """Sizes and alignments in the order in which they are allocated: tensors, nodes, options of what is always there."""
    certain = [operator for operator in known if operator.when is ONE]
    constants = sum(len(operator.constants) for operator in certain if operator.kind != "PAD")
    shared = sum(any(when is ONE for when in same) for same in _paddings(known, micro).values())
    tensors = len(micro.types) - (len(known) - len(certain)) + constants + shared
    yield as_expr(3 * pointer * tensors), pointer
    yield as_expr(8 * pointer * (len(micro.operators) - len(known) + len(certain))), pointer
    for operator in certain:
        if operator.kind in OPTIONS:
            yield as_expr(OPTIONS[operator.kind]), ALIGNED.get(operator.kind, 4)


def _optional_structures(known: list[MicroOperator], micro: MicroGraph, pointer: int) -> Iterator[Expr]:
    """Tensors and nodes of paddings that are there for some sizes only."""
    for operator in known:
        if operator.when is not ONE:
            yield operator.when * (11 * pointer)
    for same in _paddings(known, micro).values():
        if all(when is not ONE for when in same):
            yield minimum(total(same), ONE) * (3 * pointer)


def _kernels(
    known: list[MicroOperator], micro: MicroGraph, runtime: Runtime, pointer: int
) -> Iterator[tuple[Expr, int]]:
    """What kernels keep, requantisation by channel, handles of scratch, tensors of inputs and outputs."""
    for operator in known:
        kept = KEPT.get(operator.kind, (0, 0))[pointer // 8]
        if kept:
            if operator.when is not ONE:  # what follows is aligned, too: no rounding of a formula
                kept = -(-kept // ARENA_ALIGNMENT) * ARENA_ALIGNMENT
            yield kept * operator.when, ARENA_ALIGNMENT
    for operator in known:
        if operator.kind in PER_CHANNEL:
            for _ in ("multiplier", "shift"):
                yield operator.window["channels_out"] * 4, ARENA_ALIGNMENT
    handles = sum(len(runtime.scratch(operator, micro)) for operator in known)
    if handles:
        yield as_expr(pointer * handles), pointer
    tensor = 64 if pointer == 8 else 40
    for values in (micro.inputs, micro.outputs):
        yield as_expr(pointer * len(values)), ARENA_ALIGNMENT
        for _ in values:
            yield as_expr(tensor), pointer
            yield as_expr(3 * pointer), pointer
            yield as_expr(8), 4


def _paddings(known: list[MicroOperator], micro: MicroGraph) -> dict[tuple[Expr, ...], list[Expr]]:
    """Where each kind of padding is there; all paddings of one kind share a constant."""
    found: dict[tuple[Expr, ...], list[Expr]] = {}
    for operator in known:
        if operator.kind == "PAD":
            before, after = micro.types[operator.reads[0]].shape, micro.types[operator.results[0]].shape
            amounts = tuple(a - b for b, a in zip(before, after, strict=True))
            found.setdefault(amounts, []).append(operator.when)
    return found


def padded(size: Expr, alignment: int) -> Expr:
    """Rounded up to a multiple of the alignment."""
    return size if alignment == 1 else ceildiv(size, alignment) * alignment


def flash_rows(micro: MicroGraph) -> tuple[tuple[str, Expr], ...]:
    """What lies in flash, by part: int8 weights, int32 biases, a multiplier and a shift of 32 bits a channel, the rest."""
    weights, biases, scales, others = [ZERO], [ZERO], [ZERO], [ZERO]
    for operator in micro.operators:
        if operator.kind in PER_CHANNEL:
            weight, *bias = operator.constants
            weights.append(weight.numel)
            biases += [form.numel * 4 for form in bias]
            scales.append(operator.window["channels_out"] * 8)
        else:
            others += [_deployed(form) * operator.when for form in operator.constants]
    names = ("weights, int8", "biases, int32", "multipliers and shifts", "other constants")
    return tuple(zip(names, map(total, (weights, biases, scales, others)), strict=True))


def _deployed(form: TensorType) -> Expr:
    return form.numel if form.dtype.is_floating else form.nbytes
