"""What is asked of a language model in service, and what is answered: plain data, made by `fxcost.service`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from fxcost.errors import SpecError
from fxcost.ir.graph import Standing
from fxcost.query.crossover import Crossover
from fxcost.query.quantity import Quantity
from fxcost.query.solve import Solution

KINDS = ("bound", "roofline", "calibrated")
"""Latencies that a service is timed with, see CONTRIBUTING; the lecture's is that of whole networks."""

FORMATS = "bf16, fp16, fp32, fp8, int8 or int4, the last three with a group: int4:128, fp8:row"


@dataclass(frozen=True)
class Load:
    """N sequences at once, each a prompt of so many tokens and so many generated after it; formats by name.

    `weights` and `cache` are None where they stay as the configuration has them; `absorbed` asks for latent attention that
    reads a compressed cache as it is. Raises SpecError for sizes below one.
    """

    prompt: int = 1024
    generate: int = 256
    batch: int = 1
    weights: str | None = None
    cache: str | None = None
    absorbed: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no service."""
        for name in ("prompt", "generate", "batch"):
            if not 1 <= getattr(self, name) < 10**9:
                raise SpecError(f"{name}={getattr(self, name)} is not a number of 1 or more, and below 10^9")

    @property
    def tokens(self) -> int:
        """Tokens of a sequence once all is generated: the last one is not fed back."""
        return self.prompt + self.generate - 1


@dataclass(frozen=True)
class Speed:
    """One kind of latency, seconds: until the first token, for each further one on average, until the last one.

    `last_s` is the last step's: with the longest cache. None where the machine states too little.
    """

    kind: str
    first_s: float
    each_s: float | None
    last_s: float | None
    whole_s: float
    tokens_per_s: float | None


@dataclass(frozen=True)
class Moment:
    """Bytes in memory when so many tokens of every sequence are in the cache."""

    what: str
    tokens: int
    weights: int
    cache: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.cache + self.activations


@dataclass(frozen=True)
class OnMachine:
    """A machine's answers: does it fit, the largest batch and prompt, when decoding turns compute-bound, how fast."""

    target: str
    runtime: str
    capacity_bytes: int | None
    fits: bool | None
    largest_batch: Solution | None
    largest_prompt: Solution | None
    compute_bound: Crossover
    speeds: tuple[Speed, ...]
    calibration: str
    dropped: tuple[str, ...]


@dataclass(frozen=True)
class Experts:
    """Of `each` experts a layer has, `chosen` see a token; `touched` of them are expected in a step of `tokens` tokens."""

    each: int
    chosen: int

    def touched(self, tokens: int) -> Fraction:
        """E*(1 - (1 - k/E)**B): every token is sent to k of E experts, all choices equally likely and independent."""
        return self.each * (1 - Fraction(self.each - self.chosen, self.each) ** tokens)


@dataclass(frozen=True)
class Service:
    """Everything that was asked, for one model and load.

    `quantities` are formulas in N and S: `weights` and `cache` in bytes; MACs, bytes read and written of a step as
    captured (`decode.macs`, `decode.traced.read_bytes`) and in the serving view (`decode.read_bytes`).
    `exceeds` says from which S on the cache of `load.batch` sequences is larger than the weights.
    """

    model: str
    load: Load
    params: int
    params_active: int
    quantities: Mapping[str, Quantity]
    exceeds: Solution
    timeline: tuple[Moment, ...]
    machines: tuple[OnMachine, ...]
    experts: Experts | None
    standing: Standing
    windows: Mapping[int | None, int]
    notes: tuple[str, ...]
