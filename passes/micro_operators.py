"""A graph as a microcontroller runtime runs it: operators of the TensorFlow Lite format, int8, one sample's layers.

Batch norm with stored statistics is folded into the convolution or product before it; a rectifier is fused into its
producer where the format can say so. Everything else is an operator of its own with a result of its own: reshapes and
slices, too, which these runtimes copy. The format pads a convolution by nothing (`VALID`) or by what keeps the size
divided by the stride (`SAME`), the odd element behind: where torch pads otherwise, which can depend on the sizes, a `PAD`
comes before it. `trained_for_format` leaves those out, as for models that were trained with `SAME`. So does
`litert-torch` convert models, against which this is checked (benchmarks/arenas.py).

Operators that the format has no single one for are *unknown*: their buffers are counted, what their kernels keep is not.
Layouts differ (channels come last there), sizes do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fxcost.ir.expr import ONE, ZERO, Expr, as_expr, const, minimum, mod, product
from fxcost.ir.graph import Graph, Node, Value
from fxcost.ir.types import DType, TensorType
from fxcost.passes.cost import Costs, call_of
from fxcost.passes.schedule_hazards import is_random
from fxcost.pipeline import Facts, register_pass

PADDED = ".padded"
"""Ends the name of an operand with its padding around it."""

UNKNOWN = ""
"""Kind of an operator that the format does not have."""

TAKES_ACTIVATION = frozenset(
    {
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "TRANSPOSE_CONV",
        "FULLY_CONNECTED",
        "ADD",
        "SUB",
        "MUL",
        "AVERAGE_POOL_2D",
        "MAX_POOL_2D",
    }
)
"""Operators with an activation inside."""

FOLDS_NORM = frozenset(["CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED"])
"""Operators whose weights take up a batch norm."""

ALONE = {
    "relu": "RELU",
    "relu6": "RELU6",
    "hardswish": "HARD_SWISH",
    "sigmoid": "LOGISTIC",
    "tanh": "TANH",
    "leaky_relu": "LEAKY_RELU",
    "elu": "ELU",
    "add": "ADD",
    "sub": "SUB",
    "mul": "MUL",
    "cat": "CONCATENATION",
    "max_pool2d": "MAX_POOL_2D",
    "max_pool1d": "MAX_POOL_2D",
    "avg_pool2d": "AVERAGE_POOL_2D",
    "avg_pool1d": "AVERAGE_POOL_2D",
    "mean": "MEAN",
    "softmax": "SOFTMAX",
    "_softmax": "SOFTMAX",
    "constant_pad_nd": "PAD",
    "pad": "PAD",
    "transpose": "TRANSPOSE",
    "permute": "TRANSPOSE",
}
"""Kinds by the operator's name, where nothing else decides."""

RESHAPES = frozenset(["flatten", "reshape", "view", "_unsafe_view", "squeeze", "unsqueeze", "unflatten", "ravel"])
SAME_VALUE = frozenset(["alias", "detach", "contiguous", "clone", "lift", "lift_fresh_copy"])
PRODUCTS = frozenset({"aten.linear", "aten.addmm"})
AXES = frozenset({"MEAN", "PAD", "RESHAPE", "TRANSPOSE"})
"""Operators with a small int32 constant beside: axes, paddings, a shape."""


@dataclass(frozen=True)
class MicroOperator:
    """One operator: its kind in the format, the values it reads and makes, its constants, its window.

    `at` is the position of its node; `window` has kernel_h, kernel_w, pad_h, pad_w, stride_h, stride_w, dilation_h,
    dilation_w, channels_in and channels_out where the operator slides over an image. `activation` is the rectifier inside.
    `when` is 1 where the operator is there and 0 where it is not; only padding depends on sizes.
    """

    kind: str
    op: str
    node: str
    at: int
    reads: tuple[str, ...]
    results: tuple[str, ...]
    constants: tuple[TensorType, ...] = ()
    window: Mapping[str, Expr] = field(default_factory=dict)
    activation: str = ""
    when: Expr = ONE


@dataclass(frozen=True)
class MicroGraph:
    """Operators in traced order; types of all values; `unknown` counts operators that the format does not have."""

    operators: tuple[MicroOperator, ...]
    types: Mapping[str, TensorType]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    unknown: Mapping[str, int]


def trained_for_format(micro: MicroGraph) -> MicroGraph:
    """The graph with all padding of convolutions and pools inside them, as `SAME`."""
    inside = {
        op.results[0]: op.reads[0] for op in micro.operators if op.kind == "PAD" and op.results[0].endswith(PADDED)
    }
    operators = tuple(
        replace(op, reads=tuple(inside.get(name, name) for name in op.reads))
        for op in micro.operators
        if op.results[0] not in inside
    )
    types = {name: form for name, form in micro.types.items() if name not in inside}
    return replace(micro, operators=operators, types=types)


@register_pass("micro_operators", provides=MicroGraph, requires=(Costs,))
def micro_operators(graph: Graph, facts: Facts) -> MicroGraph:
    """Translate the graph operator by operator."""
    maker = _Translator(graph, facts[Costs])
    for position, node in enumerate(graph.nodes):
        maker.take(position, node)
    operators = tuple(maker.operators)
    unknown: dict[str, int] = {}
    for operator in operators:
        if operator.kind == UNKNOWN:
            unknown[operator.op] = unknown.get(operator.op, 0) + 1
    inputs = tuple(v.id for v in graph.inputs if v.id in maker.types)
    outputs = tuple(dict.fromkeys(maker.home[o] for o in graph.outputs if o in maker.home))
    return MicroGraph(operators, maker.types, inputs, outputs, unknown)


class _Translator:
    """Values by the value they live in, and the operators so far."""

    def __init__(self, graph: Graph, costs: Costs) -> None:
        self.graph, self.costs = graph, costs
        self.types: dict[str, TensorType] = {v.id: v.type for v in graph.inputs if isinstance(v.type, TensorType)}
        self.home = {name: name for name in self.types}
        self.constant = {state.value.id: state.type for state in graph.states}
        self.operators: list[MicroOperator] = []
        self.maker: dict[str, int] = {}
        self.kept = {*graph.outputs, *(value for _, value in graph.updates)}

    def take(self, position: int, node: Node) -> None:
        """Add a node: as an operator, inside an earlier one, or not at all."""
        tensors = [v for v in node.results if isinstance(v.type, TensorType)]
        if not tensors:
            return
        reads = tuple(self.home[o] for o in node.operands if o in self.home)
        if not reads and not is_random(node) and node.operands:
            self.constant |= {v.id: v.type for v in tensors if isinstance(v.type, TensorType)}
            return
        name = node.op.split(".")[1].rstrip("_") if node.op.count(".") else node.op
        result = tensors[0]
        assert isinstance(result.type, TensorType)
        kind = self.costs.rows[position].kind
        same_shape = reads and self.types[reads[0]].shape == result.type.shape
        if reads and (
            (kind == "view" and name in {"dropout", "feature_dropout", "alpha_dropout", "to", "_to_copy"})
            or name in SAME_VALUE
            or (name in RESHAPES and (same_shape or self._only_flattens(reads[0], result)))
        ):
            self.home[result.id] = reads[0]
            return
        if kind == "affine" and self._folds(node, reads):
            last = self.operators[self.maker[reads[0]]]
            if len(last.constants) == 1:  # the shift becomes a bias
                self._replace(last, constants=(*last.constants, _vector(last.window.get("channels_out"), result.type)))
            self.home[result.id] = reads[0]
            return
        clamp = _clamp(name, node)
        if clamp and self._fuses(node, reads):
            self._replace(self.operators[self.maker[reads[0]]], activation=clamp)
            self.home[result.id] = reads[0]
            return
        if kind == "affine" and len(reads) == 1:  # a norm that nothing takes up: scale, then shift
            channel = _vector(result.type.shape[1] if result.type.rank > 1 else None, result.type)
            between = f"{result.id}.scaled"
            self._add(MicroOperator("MUL", node.op, node.name, position, reads, (between,), (channel,)), result.type)
            self._add(
                MicroOperator("ADD", node.op, node.name, position, (between,), (result.id,), (channel,)), result.type
            )
            return
        if name == "silu" and len(reads) == 1:
            gate = f"{result.id}.gate"
            self._add(MicroOperator("LOGISTIC", node.op, node.name, position, reads, (gate,)), result.type)
            self._add(MicroOperator("MUL", node.op, node.name, position, (*reads, gate), (result.id,)), result.type)
            return
        operator = self._operator(position, node, name, reads, clamp)
        if operator.kind in {"CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "AVERAGE_POOL_2D"}:
            operator = self._padded(operator, self.types[operator.reads[0]])
        self.operators.append(operator)
        for value in tensors:
            assert isinstance(value.type, TensorType)
            self.types[value.id] = value.type
            self.home[value.id] = value.id
            self.maker[value.id] = len(self.operators) - 1

    def _add(self, operator: MicroOperator, form: TensorType) -> None:
        self.operators.append(operator)
        for value in operator.results:
            self.types[value], self.home[value], self.maker[value] = form, value, len(self.operators) - 1

    def _replace(self, operator: MicroOperator, **changes: object) -> None:
        self.operators[self.maker[operator.results[0]]] = replace(operator, **changes)  # type: ignore[arg-type]

    def _sole(self, node: Node) -> bool:
        """The node is the only reader of its first activation, which is no output."""
        operand = next(o for o in node.operands if o in self.home)
        return len(self.graph.readers.get(operand, ())) == 1 and operand not in self.kept

    def _folds(self, node: Node, reads: tuple[str, ...]) -> bool:
        if len(reads) != 1 or reads[0] not in self.maker or not self._sole(node):
            return False
        last = self.operators[self.maker[reads[0]]]
        return last.kind in FOLDS_NORM and not last.activation

    def _fuses(self, node: Node, reads: tuple[str, ...]) -> bool:
        if len(reads) != 1 or reads[0] not in self.maker or not self._sole(node):
            return False
        last = self.operators[self.maker[reads[0]]]
        return last.kind in TAKES_ACTIVATION and not last.activation

    def _only_flattens(self, operand: str, result: Value) -> bool:
        """The result is the operand without its ones, and only products read it: they take it as it is."""
        assert isinstance(result.type, TensorType)
        sizes = [size for size in self.types[operand].shape[1:] if size is not ONE]
        readers = [self.graph.nodes[i].op for i in self.graph.readers.get(result.id, ())]
        return sizes == list(result.type.shape[1:]) and bool(readers) and all(op in PRODUCTS for op in readers)

    def _padded(self, operator: MicroOperator, source: TensorType) -> MicroOperator:
        """The operator with its padding before it, where the format cannot say it."""
        window = operator.window
        if window["pad_h"] is ZERO and window["pad_w"] is ZERO:
            return operator
        around, same = [], []
        for axis in "hw":
            around.append(window[f"input_{axis}"] + window[f"pad_{axis}"] * 2)
            same.append(_is_same(window, axis))
        here = ONE - product(same)
        if here is ZERO:
            return operator
        shape = (*source.shape[:-2], *around) if source.rank > 3 else (*source.shape[:-1], around[1])
        name = f"{operator.results[0]}{PADDED}"
        axes = (TensorType((const(4), const(2)), DType.I32),)
        before = MicroOperator("PAD", operator.op, operator.node, operator.at, operator.reads, (name,), axes, when=here)
        self._add(before, TensorType(shape, source.dtype))
        return replace(operator, reads=(name,))

    def _operator(self, position: int, node: Node, name: str, reads: tuple[str, ...], clamp: str) -> MicroOperator:
        results = tuple(v.id for v in node.results if isinstance(v.type, TensorType))
        constants = tuple(self.constant[o] for o in node.operands if o in self.constant)
        kind = ALONE.get(name, UNKNOWN)
        window: dict[str, Expr] = {}
        call = call_of(self.graph, node)
        weight = call.maybe("weight")
        if "conv" in name and weight is not None and "backward" not in name:
            kind, window = _convolution(name, node, weight, call.tensor(node.slots[0]))
            constants = (weight, _vector(window["channels_out"], call.result))
        elif name == "linear" and weight is not None and len(reads) == 1:
            kind = "FULLY_CONNECTED"
            window = {"channels_in": weight.shape[-1], "channels_out": weight.shape[0]}
        elif name == "addmm" and len(reads) == 1 and len(constants) == 2:
            kind, constants = "FULLY_CONNECTED", (constants[1], constants[0])
            window = {"channels_in": constants[0].shape[0], "channels_out": constants[0].shape[-1]}
        elif name in RESHAPES:
            kind = "RESHAPE"
        elif name in {"adaptive_avg_pool2d", "adaptive_avg_pool1d"}:
            spatial = 2 if name.endswith("2d") else 1
            kind = "MEAN" if all(size is ONE for size in call.result.shape[-spatial:]) else UNKNOWN
        elif kind.endswith("POOL_2D"):
            window = _pool(node, call.result, call.tensor(node.slots[0]))
        elif clamp:
            kind = {"RELU": "RELU", "RELU6": "RELU6"}.get(clamp, UNKNOWN)
        elif name == "mean" and not isinstance(node.attrs.get("dim"), tuple | int):
            kind = UNKNOWN
        if kind in {"ADD", "MUL", "SUB"} and len(reads) == 1 and not constants:
            constants = (TensorType((), DType.I8),)  # a number
        if kind in AXES:
            constants = (TensorType((const(max(call.result.rank, 1)),), DType.I32),)
        return MicroOperator(kind, node.op, node.name, position, reads, results, constants, window)


def _is_same(window: Mapping[str, Expr], axis: str) -> Expr:
    """1 where torch's padding along an axis is that of `SAME`, else 0.

    `SAME` pads by (ceil(size / stride) - 1) * stride + reach - size in all, which is reach - stride + (-size mod stride);
    torch by twice its padding. So they agree where size + (2 * padding - reach + stride) is a multiple of the stride.
    """
    stride, pad = window[f"stride_{axis}"], window[f"pad_{axis}"]
    reach = (window[f"kernel_{axis}"] - 1) * window.get(f"dilation_{axis}", ONE) + 1
    rest = (pad * 2 - reach + stride).constant
    if rest is None or stride.constant is None or not 0 <= rest < stride.constant:
        return ZERO
    return ONE - minimum(mod(window[f"input_{axis}"] + rest, stride), ONE)


def _vector(channels: Expr | None, like: TensorType) -> TensorType:
    """A bias: 32 bits a channel."""
    return TensorType((channels if channels is not None else like.shape[-1] if like.rank else ONE,), DType.I32)


def _clamp(name: str, node: Node) -> str:
    """The rectifier that a node is: RELU, RELU6, RELU_N1_TO_1; empty for everything else."""
    if name == "relu":
        return "RELU"
    if name == "relu6":
        return "RELU6"
    if name not in {"hardtanh", "clamp"}:
        return ""
    bounds = [node.attrs.get("min_val", node.attrs.get("min")), node.attrs.get("max_val", node.attrs.get("max"))]
    low, high = (float(b) if isinstance(b, int | float) else b for b in bounds)
    named = {(0.0, 6.0): "RELU6", (0.0, None): "RELU", (-1.0, 1.0): "RELU_N1_TO_1"}
    return named.get((low, high), "") if not isinstance(low, tuple | Expr | str) else ""  # type: ignore[arg-type]


def _pairs(node: Node, name: str, default: int) -> tuple[Expr, Expr]:
    """Height and width of an argument; one number stands for both, and the second of one dimension is width."""
    value = node.attrs.get(name)
    items = value if isinstance(value, tuple) else () if value is None else (value,)
    sizes = [as_expr(item) for item in items if isinstance(item, int | Expr)] or [as_expr(default)]
    return (sizes[0], sizes[-1])


def _convolution(name: str, node: Node, weight: TensorType, source: TensorType) -> tuple[str, dict[str, Expr]]:
    spatial = weight.rank - 2
    groups = _pairs(node, "groups", 1)[0]
    transposed = "transpose" in name or node.attrs.get("transposed") is True
    channels_in = source.shape[-spatial - 1]
    channels_out = weight.shape[1] * groups if transposed else weight.shape[0]
    height = ONE if spatial == 1 else weight.shape[2]
    flat = spatial == 1
    window = {
        "kernel_h": height,
        "kernel_w": weight.shape[-1],
        "stride_h": ONE if flat else _pairs(node, "stride", 1)[0],
        "stride_w": _pairs(node, "stride", 1)[1],
        "pad_h": ZERO if flat else _pairs(node, "padding", 0)[0],
        "pad_w": _pairs(node, "padding", 0)[1],
        "dilation_h": ONE if flat else _pairs(node, "dilation", 1)[0],
        "dilation_w": _pairs(node, "dilation", 1)[1],
        "channels_in": channels_in,
        "channels_out": channels_out,
        "input_h": ONE if flat else source.shape[-2],
        "input_w": source.shape[-1],
        "batch": source.shape[0] if source.rank == spatial + 2 else ONE,
    }
    if node.attrs.get("padding") == "same":
        window["pad_h"] = (height - 1) * window["dilation_h"] // 2
        window["pad_w"] = (weight.shape[-1] - 1) * window["dilation_w"] // 2
    if spatial > 2:
        return UNKNOWN, window
    if transposed:
        return "TRANSPOSE_CONV" if groups is ONE else UNKNOWN, window
    depthwise = weight.shape[1] is ONE and groups is channels_in
    return "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", window


def _pool(node: Node, result: TensorType, source: TensorType) -> dict[str, Expr]:
    kernel = _pairs(node, "kernel_size", 1)
    stride = _pairs(node, "stride", 1) if node.attrs.get("stride") not in (None, ()) else kernel
    padding = _pairs(node, "padding", 0)
    flat = node.op.split(".")[1].rstrip("_").endswith("1d")
    channels = result.shape[-2 if flat else -3]
    return {
        "kernel_h": ONE if flat else kernel[0],
        "kernel_w": kernel[1],
        "stride_h": ONE if flat else stride[0],
        "stride_w": stride[1],
        "pad_h": ZERO if flat else padding[0],
        "pad_w": padding[1],
        "channels_in": channels,
        "channels_out": channels,
        "input_h": ONE if flat else source.shape[-2],
        "input_w": source.shape[-1],
    }
