"""Questions about fx nodes and exported programs that lowering asks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch._decomp import decomposition_table
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from fxcost.capture.ladder import guard_free
from fxcost.capture.quiet import muffled
from fxcost.ir.graph import NO_EFFECTS, Effects

_OWN = str(Path(__file__).parents[1])  # frames of this package are nobody's lines
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def op_name(target: Any) -> str:
    """The operator's name as the IR has it: namespace and name, the overload where it is not the default."""
    if isinstance(target, torch._ops.OpOverload):
        namespace, _, name = target._schema.name.partition("::")
        overload = target._overloadname
        return f"{namespace}.{name}" + ("" if overload == "default" else f".{overload}")
    if isinstance(target, torch._ops.HigherOrderOperator):
        return f"hop.{target.name()}"
    module = getattr(target, "__module__", "") or ""
    return f"{module.rpartition('.')[2] or 'python'}.{getattr(target, '__name__', str(target))}"


def arguments(node: Any) -> list[tuple[str, Any]]:
    """(argument name, value) in schema order, defaults filled in."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return [(f"arg{i}", a) for i, a in enumerate(node.args)] + list(node.kwargs.items())
    pairs = []
    for position, argument in enumerate(schema.arguments):
        if position < len(node.args):
            pairs.append((argument.name, node.args[position]))
        elif argument.name in node.kwargs:
            pairs.append((argument.name, node.kwargs[argument.name]))
        elif argument.has_default_value():
            pairs.append((argument.name, argument.default_value))
    return pairs


def effects(schema: Any, slots: list[str]) -> Effects:
    """Views and writes by the schema's alias sets; a `(a!)` result is its written operand."""
    by_set: dict[str, list[int]] = {}
    writes: list[int] = []
    for argument in schema.arguments:
        info = argument.alias_info
        if info is None:
            continue
        positions = [i for i, s in enumerate(slots) if s == argument.name or s.startswith(argument.name + ".")]
        if info.is_write:
            writes.extend(positions)
        for label in info.before_set:
            by_set.setdefault(str(label), []).extend(positions)
    views = [
        (position, by_set[str(label)][0])
        for position, returned in enumerate(schema.returns)
        if returned.alias_info is not None
        for label in returned.alias_info.before_set
        if by_set.get(str(label))
    ]
    return Effects(tuple(views), tuple(dict.fromkeys(writes))) if views or writes else NO_EFFECTS


def is_number(example: Any) -> bool:
    """True for a number, symbolic or not."""
    return isinstance(example, bool | int | float | torch.SymInt | torch.SymFloat | torch.SymBool)


def reads_data(node: Any) -> bool:
    """True for an op that turns tensor values into a number (`item`), as against size arithmetic."""
    if not isinstance(node.target, torch._ops.OpOverload) or node.target.namespace != "aten":
        return False
    return not node.target._schema.name.startswith("aten::sym_")


def decomposition(node: Any) -> tuple[torch.fx.GraphModule, list[Any]] | None:
    """What an operator is made of, as a graph, and the nodes that are its inputs; None where torch does not say."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        return None
    makes = target.decompose if target._can_decompose() else decomposition_table.get(target)
    if makes is None:
        return None
    leaves, structure = pytree.tree_flatten((node.args, node.kwargs))
    given = [leaf for leaf in leaves if isinstance(leaf, torch.fx.Node)]

    def run(*values: Any) -> Any:
        taken = iter(values)
        filled = [next(taken) if isinstance(leaf, torch.fx.Node) else leaf for leaf in leaves]
        args, kwargs = pytree.tree_unflatten(filled, structure)
        return makes(*args, **kwargs)

    examples = [leaf.meta["val"] for leaf in given]
    environments = (getattr(getattr(each, "fake_mode", None), "shape_env", None) for each in examples)
    environment = next((each for each in environments if each is not None), None)
    try:
        # A guard would make sizes of the whole trace special, or turn them into numbers.
        with ExitStack() as stack:
            stack.enter_context(muffled())
            stack.enter_context(torch.no_grad())
            stack.enter_context(guard_free())
            if environment is not None:
                stack.enter_context(environment.error_on_new_guards())
            return make_fx(run)(*examples), given
    except Exception:  # it may also ask for what fake tensors do not know: then the operator stays as it is
        return None


def autocasts(module: Any) -> bool:
    """True for a graph in which autocast is switched on somewhere."""
    for node in module.graph.nodes:
        if node.op == "call_function" and op_name(node.target) == "hop.wrap_with_autocast" and node.args[2] is True:
            return True
    return any(autocasts(part) for part in module.children() if isinstance(part, torch.fx.GraphModule))


def state_tensor(program: Any, target: str) -> Any:
    """The tensor behind a parameter, buffer or constant of the program."""
    found = program.state_dict.get(target)
    return found if found is not None else program.constants.get(target)


def identity(tensor: Any) -> Any:
    """What makes two state entries the same tensor: the object, or the same elements of one real storage."""
    if not isinstance(tensor, torch.Tensor):
        return None
    if tensor.device.type == "meta":
        return id(tensor)
    return (tensor.untyped_storage()._cdata, tensor.storage_offset(), tuple(tensor.shape), tensor.stride())


def shape_env(program: Any) -> Any:
    """The environment that holds the guards of the trace, if any size is symbolic."""
    for node in program.graph.nodes:
        example = node.meta.get("val")
        mode = getattr(example, "fake_mode", None)
        if mode is not None and mode.shape_env is not None:
            return mode.shape_env
    return None


def source(node: Any) -> str:
    """The user's line: the innermost frame outside torch itself and this package."""
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    for path, line in reversed(frames):
        if not path.startswith(_OWN) and "/torch/" not in path.replace("\\", "/"):
            return f"{_short(path)}:{line}"
    return f"{_short(frames[-1][0])}:{frames[-1][1]}" if frames else ""


def _short(path: str) -> str:
    """A path from the package's folder on, so that reports do not depend on where things are installed."""
    normal = path.replace("\\", "/")
    return normal.rpartition("site-packages/")[2] if "site-packages/" in normal else normal.rpartition("/")[2]


def unique(name: str, taken: Mapping[str, Any]) -> str:
    """`name`, or the first numbered form of it that is not taken."""
    if name not in taken:
        return name
    return next(n for i in range(2, len(taken) + 3) if (n := f"{name}_{i}") not in taken)
