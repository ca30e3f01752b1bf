"""What a page is about: a model under several settings and on several machines, as plain facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fxcost.ir.graph import Graph
from fxcost.ir.predicate import Predicate
from fxcost.passes.schedule import BestOrder
from fxcost.pipeline import Facts, Options
from fxcost.query.fit import FitAnswer
from fxcost.query.quantity import Quantity
from fxcost.report.summary import Summary
from fxcost.target import Target


@dataclass(frozen=True)
class Region:
    """A graph and where it is the one that runs; `when` is None for the graph of all other sizes."""

    when: Predicate | None
    graph: Graph


@dataclass(frozen=True)
class Setting:
    """One choice of accounting and widths: quantities over all regions, and the facts of each region.

    `largest` answers by machine what the largest size is that fits.
    """

    options: Options
    quantities: Mapping[str, Quantity]
    facts: tuple[Facts, ...]
    largest: Mapping[str, FitAnswer] = field(default_factory=dict)

    @property
    def widths(self) -> str:
        """Widths of weights and activations for people."""
        options = self.options
        parts = [f"{width} weights" if at == "*" else f"{at}={width}" for at, width in options.weights]
        parts += [f"{options.activations} activations"] * (options.activations is not None)
        return ", ".join(parts) or "as captured"


@dataclass(frozen=True)
class Machine:
    """A target, and the type to compute in (None: the tensors' own)."""

    target: Target
    dtype: str | None = None

    @property
    def name(self) -> str:
        """The target's name, with the type where one was asked for."""
        return f"{self.target.name} in {self.dtype}" if self.dtype else self.target.name


@dataclass(frozen=True)
class Order:
    """A best order, the point it was found at, and the setting and region it belongs to."""

    found: BestOrder
    point: Mapping[str, int]
    setting: int
    region: int


@dataclass(frozen=True)
class Subject:
    """Everything on a page. Special regions come first, the general one last; `chosen` is the setting shown first.

    `start` is the point shown first, `ties` what a symbol follows there; `command` made the page.
    """

    summary: Summary
    regions: tuple[Region, ...]
    settings: tuple[Setting, ...]
    machines: tuple[Machine, ...]
    start: Mapping[str, int]
    ties: Mapping[str, str] = field(default_factory=dict)
    chosen: int = 0
    order: Order | None = None
    command: str = ""
