"""One device of several: torch's own parallel styles applied under a process group that sends nothing, then traced.

`parallelize_module` turns parameters into DTensors and lets modules convert between them and plain tensors. torch.export
cannot take such a model (its graphs hold no DTensors), tracing below them can: `make_fx` sees the plain tensors of one
device, and the collectives between them. Everything is fake: no weight is allocated, nothing is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch._dynamo.source import ConstantSource
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor
from torch.fx import traceback
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils import _pytree as pytree

from fxcost.capture.eager import announced, first_line, quiet_inference
from fxcost.capture.inputs import example_points, tensors, with_hints
from fxcost.capture.kernels import kernels_unasked
from fxcost.capture.ladder import Captured, bind_size, guard_free
from fxcost.capture.plans import Styles, apply_styles
from fxcost.capture.sizes import SizesInTensors
from fxcost.capture.twin import twin_with
from fxcost.errors import CaptureError, SpecError
from fxcost.ir.expr import Expr, substitute
from fxcost.ir.predicate import Predicate, replace_symbols
from fxcost.ir.specs import TensorSpec
from fxcost.ir.symbols import SymbolInfo

RUNG = "one device of several, traced below DTensor"
ATTEMPTS = 6
"""Sizes to trace at that are tried."""


@contextmanager
def world(devices: int) -> Iterator[DeviceMesh]:
    """A process group in which this process is the first of `devices` and nothing is sent; gone afterwards.

    Raises SpecError where the process has a group of its own.
    """
    if dist.is_initialized():
        raise SpecError(
            "this process has a process group already, and another one is needed to trace one device of several; "
            "call this in a process without torch.distributed.init_process_group"
        )
    dist.init_process_group("fake", rank=0, world_size=devices, store=FakeStore())
    try:
        yield init_device_mesh("cpu", (devices,))
    finally:
        dist.destroy_process_group()


def capture_device(
    model: nn.Module,
    args: tuple[Any, ...],
    named: Mapping[str, Any],
    symbols: Mapping[str, SymbolInfo],
    styles: Styles,
    mesh: DeviceMesh,
) -> Captured:
    """Trace the first device of a model under parallel styles, with sizes as symbols; inside `world`.

    Raises CaptureError where the model cannot be copied, the styles do not apply, or no trace succeeds.
    """
    start = time.process_time()
    failure = "no sizes to trace at"
    specs = (*args, *named.values())
    for tried, point in enumerate(example_points(specs, symbols, model)):
        if tried >= ATTEMPTS:
            break
        try:
            program, inputs = _traced(model, specs, tuple(named), symbols, styles, mesh, point)
            captured = _bound(program, inputs, specs, symbols, point)
        except (CaptureError, SpecError):
            raise
        except Exception as error:  # the model's code may raise anything at a size that it does not take
            failure = first_line(error)
            continue
        return replace(captured, seconds={"export": time.process_time() - start})
    raise CaptureError(f"it does not run on one of {mesh.size()} devices: {failure}")


def _traced(
    model: nn.Module,
    specs: tuple[Any, ...],
    names: tuple[str, ...],
    symbols: Mapping[str, SymbolInfo],
    styles: Styles,
    mesh: DeviceMesh,
    point: Mapping[str, int],
) -> tuple[Any, list[Any]]:
    """The traced program, dressed as an exported one, and the fake inputs."""
    with ExitStack() as stack:
        for entered in (quiet_inference(), guard_free(), kernels_unasked(), announced(True)):
            stack.enter_context(entered)
        fakes = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
        twin = _fake_twin(model, fakes)
        with fakes:
            apply_styles(twin, styles, mesh)
        states = _states(twin)
        inputs = [_symbolic(leaf, spec, symbols, fakes) for leaf, spec in _leaves(specs, point)]
        structure = pytree.tree_structure(_plain(specs))
        made = [local for _, local, _ in states]

        def run(own: list[torch.Tensor], given: list[Any]) -> list[torch.Tensor]:
            named = {path: whole(local) for (path, _, whole), local in zip(states, own, strict=True)}
            called = pytree.tree_unflatten(given, structure)
            first = len(called) - len(names)
            keywords = dict(zip(names, called[first:], strict=True))
            with _module_paths(twin), SizesInTensors():
                results = torch.func.functional_call(twin, named, tuple(called[:first]), keywords)
            leaves = pytree.tree_leaves(results)
            return [_local(leaf) for leaf in leaves if isinstance(leaf, torch.Tensor)]

        stack.enter_context(fakes)
        stack.enter_context(traceback.preserve_node_meta())
        module = make_fx(run, tracing_mode="real", _allow_non_fake_inputs=True)(made, inputs)
        parameters = {path for path, _ in twin.named_parameters()}
    kinds = {path: "PARAMETER" if path in parameters else "BUFFER" for path, _, _ in states}
    return _dressed(module, kinds, made), inputs


def _fake_twin(model: nn.Module, fakes: FakeTensorMode) -> nn.Module:
    def bare(tensor: torch.Tensor) -> torch.Tensor:
        with fakes:
            return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu")

    twin = twin_with(model, bare)
    if twin is None:
        raise CaptureError("the model cannot be copied, and its parts are given to devices in a copy without weights")
    return twin.eval()


def _states(twin: nn.Module) -> list[tuple[str, torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]]:
    """Path, this device's part, and what makes the whole of it, for every parameter and buffer; ties once."""
    found: list[tuple[str, torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]] = []
    for path, tensor in (*twin.named_parameters(), *twin.named_buffers()):
        if not isinstance(tensor, DTensor):
            found.append((path, tensor.detach(), lambda local: local))
            continue

        def whole(local: torch.Tensor, like: DTensor = tensor) -> torch.Tensor:
            return DTensor.from_local(
                local, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
            )

        found.append((path, tensor.to_local().detach(), whole))
    return found


def _leaves(specs: tuple[Any, ...], point: Mapping[str, int]) -> Iterator[tuple[Any, Any]]:
    """Every input as a small real tensor, beside its spec."""
    yield from zip(pytree.tree_leaves(tensors(specs, point, "cpu")), pytree.tree_leaves(specs), strict=True)


def _plain(specs: tuple[Any, ...]) -> Any:
    return pytree.tree_map(lambda _: 0, specs)


def _symbolic(leaf: Any, spec: Any, symbols: Mapping[str, SymbolInfo], fakes: FakeTensorMode) -> Any:
    """The input as a fake tensor whose open sizes are symbols."""
    if not isinstance(leaf, torch.Tensor):
        return leaf
    shape = spec.shape if isinstance(spec, TensorSpec) else ()
    opened = [bool(size.symbols & symbols.keys()) for size in shape] or [False] * leaf.ndim
    context: Any = StatelessSymbolicContext(
        [DimDynamic.DYNAMIC if is_open else DimDynamic.STATIC for is_open in opened]
    )
    source = ConstantSource(f"input_{id(leaf)}")
    return fakes.from_tensor(leaf, static_shapes=False, symbolic_context=context, source=source)


def _local(leaf: torch.Tensor) -> torch.Tensor:
    return leaf.to_local() if isinstance(leaf, DTensor) else leaf


@contextmanager
def _module_paths(twin: nn.Module) -> Iterator[None]:
    """Let traced nodes say which module called them, as exported ones do."""
    stack: list[tuple[str, str]] = []
    calls: dict[str, int] = {}
    handles: list[Any] = []

    def note() -> None:
        traceback.current_meta["nn_module_stack"] = {key: (path, "") for key, path in stack}

    def enter(path: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            call = calls[path] = calls.get(path, -1) + 1
            stack.append((f"{path}@{call}" if call else path, path))
            note()

        return hook

    def leave(*_: Any) -> None:
        stack.pop()
        note()

    for path, module in twin.named_modules():
        handles.append(module.register_forward_pre_hook(enter(path)))
        handles.append(module.register_forward_hook(leave))
    try:
        yield
    finally:
        traceback.current_meta.pop("nn_module_stack", None)
        for handle in handles:
            handle.remove()


def _dressed(module: torch.fx.GraphModule, kinds: Mapping[str, str], states: list[torch.Tensor]) -> Any:
    """The trace as an ExportedProgram, as far as lowering looks at one; its first placeholders are the states by path."""
    paths = list(kinds)
    placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
    entries = []
    for position, node in enumerate(placeholders):
        if position < len(paths):
            path = paths[position]
            node._rename("p_" + path.replace(".", "_"))
            entries.append(_entry(kinds[path], node.name, path))
        else:
            entries.append(_entry("USER_INPUT", node.name, None))
    output = next(node for node in module.graph.nodes if node.op == "output")
    results = [leaf for leaf in pytree.tree_leaves(output.args) if isinstance(leaf, torch.fx.Node)]
    return SimpleNamespace(
        graph=module.graph,
        graph_module=module,
        graph_signature=SimpleNamespace(
            input_specs=entries, output_specs=[_entry("USER_OUTPUT", node.name, None) for node in results]
        ),
        state_dict=dict(zip(paths, states, strict=True)),
        constants={},
    )


def _entry(kind: str, name: str, target: str | None) -> Any:
    return SimpleNamespace(kind=SimpleNamespace(name=kind), arg=SimpleNamespace(name=name), target=target)


def _bound(
    program: Any, inputs: list[Any], specs: tuple[Any, ...], symbols: Mapping[str, SymbolInfo], point: Mapping[str, int]
) -> Captured:
    """What each of torch's symbols means; sizes that the trace turned into numbers are pinned."""
    bindings: dict[str, Expr] = {}
    domain: list[Predicate] = []
    pinned: dict[str, str] = {}
    for leaf, found in zip(pytree.tree_leaves(specs), inputs, strict=True):
        if isinstance(leaf, TensorSpec):
            for wanted, size in zip(leaf.shape, found.shape, strict=True):
                bind_size(wanted, size, bindings, domain, pinned)
    at = {name: point[name] for name in pinned}
    return Captured(
        program,
        tuple(s for s in with_hints(symbols, point) if s.name not in pinned),
        {name: substitute(value, at) for name, value in bindings.items()},
        {name: f"{name}={point[name]}: {why}" for name, why in pinned.items()},
        tuple(dict.fromkeys(replace_symbols(guard, at) for guard in domain)),
        RUNG,
    )
