"""The last rung: record one run, operator by operator, at one size.

Nothing is symbolic here: the graph holds what was dispatched (the decomposed operators), its standing is `numeric`, and
its numbers hold for this run alone. Values are told apart by object; storages that reappear are views of their owner.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.module_tracker import ModuleTracker

from fxcost.capture.eager import quiet_inference
from fxcost.capture.inputs import TORCH_DTYPES
from fxcost.capture.twin import frozen
from fxcost.ir.expr import as_expr
from fxcost.ir.graph import NO_EFFECTS, Attribute, Effects, Graph, Node, Standing, State, Value
from fxcost.ir.types import DType, ScalarType, TensorType, ValueType

_DTYPES = {torch_type: dtype for dtype, torch_type in TORCH_DTYPES.items()}
_DTYPES |= {torch.qint8: DType.I8, torch.quint8: DType.U8, torch.qint32: DType.I32}


BY_DATA = "the data decide how much comes out of "
"""Beginning of the note about a recorded run whose sizes are those of made-up data."""


class Recorder(TorchDispatchMode):
    """Collects a node for every dispatched operator."""

    def __init__(self, model: nn.Module, inputs: Any, tracker: ModuleTracker) -> None:
        """Name the model's tensors and the inputs before the run."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.nodes: list[Node] = []
        self.states: list[State] = []
        self.inputs: list[Value] = []
        self.ids: dict[int, str] = {}
        self.tensors: dict[str, Any] = {}  # by value; objects stay alive, so that an id never names two tensors
        self.names: dict[str, int] = {}
        self.packed: dict[str, str] = {}
        self.tracker = tracker
        self.by_data: dict[str, None] = {}
        self._name_states(model)
        for leaf in pytree.tree_leaves(inputs):
            if isinstance(leaf, torch.Tensor):
                self.inputs.append(self._value("input", leaf))

    def _name_states(self, model: nn.Module) -> None:
        paths: dict[int, list[str]] = {}
        entries = [
            ("parameter", model.named_parameters(remove_duplicate=False)),
            ("buffer", model.named_buffers(remove_duplicate=False)),
        ]
        found: dict[int, tuple[str, torch.Tensor]] = {}
        for kind, items in entries:
            for path, tensor in items:
                paths.setdefault(id(tensor), []).append(path)
                found.setdefault(id(tensor), (kind, tensor))
        for key, (kind, tensor) in found.items():
            value = self._value(paths[key][0].replace(".", "_"), tensor)
            self.states.append(State(value, kind, tuple(paths[key]), kind == "parameter" and tensor.requires_grad))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if _decided_by_data(func, args):
            self.by_data[func._schema.name.replace("::", ".")] = None
        self._note(func, args, kwargs, result)
        return result

    def _note(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        operands: list[str] = []
        slots: list[str] = []
        attrs: dict[str, Attribute] = {}
        for position, argument in enumerate(func._schema.arguments):
            value = args[position] if position < len(args) else kwargs.get(argument.name, argument.default_value)
            self._argument(argument.name, value, operands, slots, attrs)
        leaves = list(result) if isinstance(result, tuple | list) else [result]
        written = [i for i, s in enumerate(slots) if self._writes(func, s)]
        views: list[tuple[int, int]] = []
        results: list[Value] = []
        for leaf in leaves:
            if isinstance(leaf, torch.Tensor):
                source = self._owner(leaf, operands)
                if source is not None:
                    views.append((len(results), source))
                results.append(self._value(func._schema.name.rpartition("::")[2], leaf))
            elif isinstance(leaf, bool | int | float):
                kind = "bool" if isinstance(leaf, bool) else "int" if isinstance(leaf, int) else "float"
                results.append(Value(self._unique("number"), ScalarType(kind)))
        namespace, _, name = func._schema.name.partition("::")
        overload = "" if func._overloadname == "default" else f".{func._overloadname}"
        effects = Effects(tuple(views), tuple(written)) if views or written else NO_EFFECTS
        self.nodes.append(
            Node(
                name=results[0].id if results else self._unique(name),
                op=f"{namespace}.{name}{overload}",
                operands=tuple(operands),
                slots=tuple(slots),
                attrs=attrs,
                results=tuple(results),
                module=self._module(),
                effects=effects,
            )
        )

    @staticmethod
    def _writes(func: Any, slot: str) -> bool:
        name = slot.partition(".")[0]
        return any(
            a.name == name and a.alias_info is not None and a.alias_info.is_write for a in func._schema.arguments
        )

    def _module(self) -> str:
        parents = [p for p in self.tracker.parents if p != "Global"]
        return max(parents, key=len).partition(".")[2] if parents else ""

    def _argument(
        self, slot: str, value: Any, operands: list[str], slots: list[str], attrs: dict[str, Attribute]
    ) -> None:
        if isinstance(value, torch.Tensor):
            operands.append(self._known(value))
            slots.append(slot)
        elif isinstance(value, list | tuple) and any(isinstance(v, torch.Tensor) for v in value):
            for position, item in enumerate(value):
                if isinstance(item, torch.Tensor):
                    operands.append(self._known(item))
                    slots.append(f"{slot}.{position}")
        elif isinstance(value, torch.ScriptObject) and hasattr(value, "unpack"):
            for name, part in zip(("weight", "bias"), value.unpack(), strict=False):
                if isinstance(part, torch.Tensor):
                    operands.append(self._unpacked(f"{self._module()}.{slot}.{name}".lstrip("."), part))
                    slots.append(f"{slot}.{name}")
        elif value is not None:
            attrs[slot] = _attribute(value)

    def _unpacked(self, path: str, tensor: torch.Tensor) -> str:
        """The weight or bias that an integer runtime holds packed: a parameter, although the module lists none."""
        if path not in self.packed:
            value = self._value(path.replace(".", "_"), tensor)
            self.states.append(State(value, "parameter", (path,)))
            self.packed[path] = value.id
        return self.packed[path]

    def _known(self, tensor: torch.Tensor) -> str:
        """The tensor's id; one that nothing produced under our eyes is a constant of the model."""
        if id(tensor) not in self.ids:
            self.states.append(State(self._value("constant", tensor), "constant", (f"constant_{len(self.states)}",)))
        return self.ids[id(tensor)]

    def _owner(self, tensor: torch.Tensor, operands: list[str]) -> int | None:
        storage = tensor.untyped_storage()._cdata
        for position, operand in enumerate(operands):
            if self.tensors[operand].untyped_storage()._cdata == storage:
                return position
        return None

    def _value(self, wanted: str, tensor: torch.Tensor) -> Value:
        value = Value(self._unique(wanted), _type(tensor))
        self.ids[id(tensor)] = value.id
        self.tensors[value.id] = tensor
        return value

    def _unique(self, wanted: str) -> str:
        count = self.names.get(wanted, 0)
        self.names[wanted] = count + 1
        return wanted if not count else f"{wanted}_{count}"


def record(model: nn.Module, inputs: Any, name: str, note: str) -> Graph:
    """Run the model once and return what was dispatched; whatever the model raises comes out."""
    tracker = ModuleTracker()
    recorder = Recorder(model, inputs, tracker)
    with quiet_inference(), frozen(model), tracker, recorder:
        result = model(*inputs)
    notes = ["captured: one run recorded, numbers hold at this size alone", note]
    if recorder.by_data:
        notes.append(f"{BY_DATA}{', '.join(recorder.by_data)}; it is as large here as made-up data made it")
    outputs = [recorder.ids[id(leaf)] for leaf in pytree.tree_leaves(result) if id(leaf) in recorder.ids]
    return Graph(
        name=name,
        states=tuple(recorder.states),
        inputs=tuple(recorder.inputs),
        nodes=tuple(recorder.nodes),
        outputs=tuple(outputs),
        standing=Standing.NUMERIC,
        notes=tuple(notes),
    )


def _decided_by_data(func: Any, args: Any) -> bool:
    """True for an operator whose result is as large as values say."""
    if func._schema.name == "aten::index":  # by numbers it gives as many as there are numbers
        return any(isinstance(each, torch.Tensor) and each.dtype in (torch.bool, torch.uint8) for each in args[1])
    return torch.Tag.dynamic_output_shape in func.tags or func._schema.name == "torchvision::nms"


def _type(tensor: torch.Tensor) -> ValueType:
    return TensorType(tuple(as_expr(int(size)) for size in tensor.shape), _DTYPES[tensor.dtype])


def _attribute(value: Any) -> Attribute:
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.dtype):
        return _DTYPES[value].short if value in _DTYPES else str(value)
    if isinstance(value, list | tuple):
        return tuple(_attribute(v) for v in value)
    return str(value)
