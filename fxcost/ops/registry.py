"""Cost rules by operator name: how to declare one, how to find one.

A rule is a function of a `Call` that returns an `OpCost`; its docstring is the formula, the counting convention and the
assumptions (`fxcost explain` prints it). Rules live in one room per family (`conv.py`, `matmul.py` ...); a room is found
by listing this folder. An operator without a rule is *unknown*: it is counted apart and makes totals lower bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import PurePath
from pkgutil import iter_modules

from fxcost.errors import ModelError, SpecError, nearest
from fxcost.ir.expr import ZERO, Expr
from fxcost.ir.graph import Attribute, Node
from fxcost.ir.types import TensorType, ValueType
from fxcost.ops.exchanges import Exchange

KINDS = ("compute", "pointwise", "affine", "movement", "view", "free")
"""What a call is, for fusion and for the lecture's folding.

compute    a layer of its own (convolution, product, attention, pooling, softmax, reduction, norm over data)
pointwise  one result element from the operand elements at the same place (add, relu, casts)
affine     per-channel scale and shift with stored statistics: eval batch norm, foldable into its producer
movement   copies or rearranges elements (cat, gather, contiguous)
view       no work: the result is its operand under another shape
free       nothing at run time that is counted (assertions, size arithmetic)
"""


@dataclass(frozen=True)
class Call:
    """What a rule sees: one node with the types of its operands.

    `operands` and `roles` run parallel to `node.operands`; a role is activation, parameter, buffer or constant.
    """

    node: Node
    operands: tuple[ValueType, ...]
    roles: tuple[str, ...] = ()

    @property
    def op(self) -> str:
        """The operator's name, e.g. `aten.conv2d`."""
        return self.node.op

    def index(self, slot: str) -> int | None:
        """Position of the operand in `slot`, or None when that argument is not a tensor here."""
        return self.node.slots.index(slot) if slot in self.node.slots else None

    def tensor(self, slot: str) -> TensorType:
        """Type of the tensor in `slot`; raises ModelError when there is none."""
        found = self.maybe(slot)
        if found is None:
            raise ModelError(
                f"argument {slot!r} is not a tensor; tensors are in {', '.join(self.node.slots) or 'none'}"
            )
        return found

    def maybe(self, slot: str) -> TensorType | None:
        """Type of the tensor in `slot`, or None."""
        position = self.index(slot)
        found = None if position is None else self.operands[position]
        return found if isinstance(found, TensorType) else None

    def tensors(self, slot: str) -> tuple[TensorType, ...]:
        """Types of the tensors of a list argument (`slot.0`, `slot.1` ...)."""
        prefix = slot + "."
        pairs = zip(self.node.slots, self.operands, strict=True)
        return tuple(t for s, t in pairs if s.startswith(prefix) and isinstance(t, TensorType))

    def attr(self, name: str, default: Attribute = None) -> Attribute:
        """An argument that is not a tensor; absent and None give `default`."""
        value = self.node.attrs.get(name)
        return default if value is None else value

    def ints(self, name: str, rank: int, default: int = 0) -> tuple[Expr, ...]:
        """A list of sizes such as `stride`, as `rank` expressions; one number stands for all, empty for `default`."""
        from fxcost.ir.expr import as_expr

        value = self.attr(name)
        items = value if isinstance(value, tuple) else () if value is None else (value,)
        sizes = [as_expr(item) for item in items if isinstance(item, int | Expr)] or [as_expr(default)]
        return tuple(sizes * rank if len(sizes) == 1 else sizes)

    @property
    def result(self) -> TensorType:
        """Type of the first result, which must be a tensor."""
        if self.node.results and isinstance(self.node.results[0].type, TensorType):
            return self.node.results[0].type
        raise ModelError("the first result is not a tensor")

    @property
    def results(self) -> tuple[TensorType, ...]:
        """Types of all tensor results."""
        return tuple(v.type for v in self.node.results if isinstance(v.type, TensorType))


@dataclass(frozen=True)
class Scratch:
    """Bytes that live only while one op runs, in a named runtime (`torch-cpu`)."""

    what: str
    elements: Expr
    bytes_per_element: int
    runtime: str = "torch-cpu"

    @property
    def nbytes(self) -> Expr:
        """Size in bytes."""
        return self.elements * self.bytes_per_element


@dataclass(frozen=True)
class OpCost:
    """What one call costs.

    `macs` and `other_ops` are counts. `reads` and `writes` override, by operand or result position, how many distinct
    elements are touched; by default every operand is read once and every result written once. `formula` is the formula
    as text in the letters of `bind`, which says what each letter is here. `inside_reads` and `inside_writes` are bytes
    that move between values inside one call (the body of a loop). `causal_macs` is set for causal attention,
    `exchange` for collectives: what is sent to other devices.
    """

    macs: Expr = ZERO
    other_ops: Expr = ZERO
    reads: Mapping[int, Expr] = field(default_factory=dict)
    writes: Mapping[int, Expr] = field(default_factory=dict)
    scratch: tuple[Scratch, ...] = ()
    formula: str = ""
    bind: Mapping[str, Expr] = field(default_factory=dict)
    causal_macs: Expr | None = None
    inside_reads: Expr = ZERO
    inside_writes: Expr = ZERO
    exchange: Exchange | None = None


@dataclass(frozen=True)
class Rule:
    """A registered rule: the function, its kind (see KINDS) and its family (the room's name)."""

    function: Callable[[Call], OpCost]
    kind: str
    family: str

    @property
    def doc(self) -> str:
        """The rule's docstring: formula, convention, assumptions."""
        return self.function.__doc__ or ""

    @property
    def home(self) -> str:
        """Where it is written: a file of this package, or the file of the user's module."""
        if self.function.__module__.startswith(f"{_PACKAGE}."):
            return f"fxcost/ops/{self.family}.py"
        return PurePath(self.function.__code__.co_filename).name


_PACKAGE = __name__.rpartition(".")[0]
_RULES: dict[str, Rule] = {}
_loaded = False


def rule(*ops: str, kind: str = "compute") -> Callable[[Callable[[Call], OpCost]], Callable[[Call], OpCost]]:
    """Register a cost rule for operators, your own among them (`mylib.scan` for what torch calls `mylib::scan`).

    `aten.add` serves every overload, `aten.add.Tensor` one. The function takes a `Call` and returns an `OpCost`; its
    docstring says formula, convention and assumptions, for `explain` to print. A rule may replace itself, as it does
    where a notebook's cell is run again.

    Raises SpecError for an operator that another function has a rule for, a name without namespace, an unknown kind, a
    function without docstring.
    """
    if kind not in KINDS:
        raise SpecError(
            f"rule for {', '.join(ops)}: kind {kind!r} is not one of {', '.join(KINDS)}{nearest(kind, KINDS)}"
        )
    for op in ops:
        if not all(op.split(".")) or op.count(".") not in (1, 2):
            raise SpecError(f"rule for {op!r}: expected NAMESPACE.NAME or NAMESPACE.NAME.OVERLOAD, as in mylib.scan")

    def register(function: Callable[[Call], OpCost]) -> Callable[[Call], OpCost]:
        if not function.__doc__:
            raise SpecError(f"rule {function.__name__} needs a docstring: formula, convention, assumptions")
        ours = function.__module__.startswith(f"{_PACKAGE}.")
        if not ours:
            _load()
        for op in ops:
            known = _RULES.get(op)
            if known is not None and (ours or _place(known.function) != _place(function)):
                raise SpecError(
                    f"{op} has two rules: {known.function.__name__} of {known.function.__module__} and "
                    f"{function.__name__}; write one for a single overload, or leave the other out"
                )
            _RULES[op] = Rule(function, kind, function.__module__.rpartition(".")[2])
        return function

    return register


def _place(function: Callable[..., object]) -> tuple[str, str]:
    return function.__module__, function.__qualname__


def find(op: str) -> Rule | None:
    """The rule for an operator, or None: *unknown*.

    The overload's own rule comes before its family's; an in-place form (`aten.relu_`) falls back to its plain one.
    """
    _load()
    namespace, name, *overload = op.split(".")
    spellings = [op, f"{namespace}.{name}"]
    if name.endswith("_") and not name.endswith("__"):
        spellings += [".".join([namespace, name[:-1], *overload]), f"{namespace}.{name[:-1]}"]
    return next((_RULES[s] for s in spellings if s in _RULES), None)


def all_rules() -> dict[str, Rule]:
    """Every registered rule by operator name."""
    _load()
    return dict(sorted(_RULES.items()))


def _load() -> None:
    global _loaded
    if not _loaded:
        _loaded = True
        for module in iter_modules(import_module(_PACKAGE).__path__):
            import_module(f"{_PACKAGE}.{module.name}")
