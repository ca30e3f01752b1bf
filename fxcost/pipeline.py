"""Passes and their facts: declare what a pass needs and gives, ask for a fact, and the order follows.

A pass is a pure function of a graph and of earlier facts; what it returns is a frozen dataclass, the *fact*. Passes live
in `fxcost.passes`, one file each, found by listing the folder. A fact is cached by its type and by the options that it
(or a fact it rests on) declares, so that several accountings, orders and targets coexist.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, TypeVar, cast

from fxcost.errors import InternalError, SpecError, nearest
from fxcost.ir.graph import Graph

F = TypeVar("F")

ACCOUNTINGS = ("eager", "inplace", "fused")
INPUT_MODES = ("freed", "held", "excluded")
OPTIMIZERS = ("sgd", "momentum", "adam")
PRECISIONS = ("fp32", "bf16", "mixed")
RULES = ("autograd", "tinytl")


@dataclass(frozen=True)
class Options:
    """Every knob a pass may declare; conventions are in CONTRIBUTING.

    accounting   what the runtime folds: eager | inplace | fused
    inputs       graph inputs are `freed` after their last reader, `held` by the caller, or `excluded`
    weights      widths of parameters by name pattern, first match wins: (("*", "int8"),); empty keeps them
    activations  width of floating activations (`int8`); None keeps them
    device       whose strides decide what a reshape copies: `cpu` or `meta`
    order        positions of nodes in execution order; None is the traced order
    target       the machine (fxcost.target.Target) for latency and energy
    optimizer    of a training step: `sgd` keeps nothing, `momentum` one number for each parameter, `adam` two
    precision    of a training step: `fp32`, `bf16`, `mixed` (bf16 beside float32 copies); None is as the model is
    rule         for what a training step keeps: `autograd` (as torch does) or `tinytl` (by layer)
    """

    accounting: str = "eager"
    inputs: str = "freed"
    weights: tuple[tuple[str, str], ...] = ()
    activations: str | None = None
    device: str = "cpu"
    order: tuple[int, ...] | None = None
    target: Any = None
    optimizer: str = "sgd"
    precision: str | None = None
    rule: str = "autograd"

    def __post_init__(self) -> None:
        """Refuse names that no pass knows."""
        for what, value, known in (
            ("accounting", self.accounting, ACCOUNTINGS),
            ("inputs", self.inputs, INPUT_MODES),
            ("device", self.device, ("cpu", "meta")),
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("precision", self.precision, PRECISIONS),
            ("rule", self.rule, RULES),
        ):
            if value is not None and value not in known:
                raise SpecError(f"{what}={value!r} is not one of {', '.join(known)}{nearest(value, known)}")


DEFAULTS = Options()
"""Eager accounting, inputs freed, widths as trained, CPU strides, traced order."""


@dataclass(frozen=True)
class Pass:
    """A registered pass."""

    name: str
    function: Callable[[Graph, Facts], Any]
    provides: type
    requires: tuple[type, ...]
    options: frozenset[str]


_PASSES: dict[type, Pass] = {}
_loaded = False


def register_pass(
    name: str, *, provides: type[F], requires: tuple[type, ...] = (), options: tuple[str, ...] = ()
) -> Callable[[Callable[[Graph, Facts], F]], Callable[[Graph, Facts], F]]:
    """Register the function as the maker of `provides`; refuses a second maker and unknown option names."""
    unknown = set(options) - {f.name for f in fields(Options)}
    if unknown:
        raise InternalError(f"pass {name!r} declares unknown options {', '.join(sorted(unknown))}")

    def register(function: Callable[[Graph, Facts], F]) -> Callable[[Graph, Facts], F]:
        if provides in _PASSES:
            raise InternalError(f"{provides.__name__} is provided by {_PASSES[provides].name!r} and by {name!r}")
        _PASSES[provides] = Pass(name, function, provides, requires, frozenset(options))
        return function

    return register


def passes() -> Mapping[str, Pass]:
    """Every registered pass by name."""
    _load()
    return {p.name: p for p in sorted(_PASSES.values(), key=lambda p: p.name)}


def _load() -> None:
    global _loaded
    if not _loaded:
        _loaded = True
        package = import_module("fxcost.passes")
        for module in iter_modules(package.__path__):
            import_module(f"fxcost.passes.{module.name}")


def _maker(fact: type, wanted_by: str) -> Pass:
    _load()
    if fact not in _PASSES:
        raise InternalError(f"no pass provides {fact.__name__}, wanted by {wanted_by}")
    return _PASSES[fact]


@dataclass(frozen=True)
class Facts:
    """Facts about one graph under one set of options, made on demand: `facts[Costs]`.

    `under` gives the same graph under other options; both share one cache. While a pass runs it sees a view that
    refuses facts it did not declare.
    """

    graph: Graph
    options: Options = DEFAULTS
    _cache: dict[Any, Any] = field(default_factory=dict, repr=False)
    _running: tuple[Pass, ...] = ()

    def under(self, **changes: Any) -> Facts:
        """The same graph under changed options."""
        return replace(self, options=replace(self.options, **changes))

    def __getitem__(self, fact: type[F]) -> F:
        wanted_by = self._running[-1].name if self._running else "the caller"
        maker = _maker(fact, wanted_by)
        if self._running and fact not in self._running[-1].requires:
            raise InternalError(f"pass {wanted_by!r} reads {fact.__name__} without declaring it in `requires`")
        if maker in self._running:
            ring = " -> ".join(p.name for p in (*self._running, maker))
            raise InternalError(f"passes wait for each other: {ring}")
        used = _options_of(maker, ())
        key = (fact, tuple((name, getattr(self.options, name)) for name in sorted(used)))
        if key not in self._cache:
            made = maker.function(self.graph, replace(self, _running=(*self._running, maker)))
            if not isinstance(made, fact):
                raise InternalError(f"pass {maker.name!r} returned {type(made).__name__}, declared {fact.__name__}")
            self._cache[key] = made
        return cast(F, self._cache[key])


def _options_of(maker: Pass, seen: tuple[Pass, ...]) -> frozenset[str]:
    """Options that the fact depends on: the maker's own and those of everything it rests on."""
    if maker in seen:
        return frozenset()
    below = (_options_of(_maker(fact, maker.name), (*seen, maker)) for fact in maker.requires)
    return maker.options.union(*below)
