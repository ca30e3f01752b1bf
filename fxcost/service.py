"""Questions about a language model in service: memory, batch, time to the first token and to each further one.

All of them are put to the serving view of the captured graphs (`fxcost.serving.view`), in closed form and solved exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from math import ceil, floor
from typing import TYPE_CHECKING

from fxcost.cost import Cost
from fxcost.errors import SpecError, nearest
from fxcost.ir.caches import cache_bytes
from fxcost.ir.expr import substitute
from fxcost.ir.predicate import replace_symbols
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.widths import Width, width
from fxcost.passes._rates import RateFormula
from fxcost.passes.fits import usable
from fxcost.query.crossover import Crossover, crossover
from fxcost.query.quantity import Quantity
from fxcost.query.solve import Solution, solve
from fxcost.serving.answers import FORMATS, KINDS, Experts, Load, Moment, OnMachine, Service, Speed
from fxcost.serving.view import STORED, TOUCHED

if TYPE_CHECKING:
    from fxcost.language import LanguageModel
    from fxcost.target import Target

CACHED = {"int4": "int4:64", "int8": "int8:row"}
"""Formats of a cache with the group that is usual for them."""

GROUPED = {"int4": "int4:128", "int8": "int8:row", "fp8": "fp8:row"}
"""Formats of weights with the group that is usual for them."""

STEPS = 4096
"""Steps of a generation that are timed one by one; of longer ones as many, evenly spread."""


def service(model: LanguageModel, load: Load, machines: Iterable[Target] = (), dtype: str | None = None) -> Service:
    """Answer everything for a model, a load and machines, which compute in `dtype` (None: as configured).

    Raises SpecError for an unknown format or type.
    """
    view = _View(model, load, dtype)
    cache, weights = view.cache, view.weights
    experts = Experts(*model.experts) if model.experts else None
    return Service(
        model=model.name,
        load=load,
        params=int(model.decode.params),
        params_active=int(model.decode.params_active),
        quantities=view.quantities(),
        exceeds=solve([_of_batch(cache, load.batch) > weights], "S", _sizes("S")),
        timeline=tuple(view.timeline()),
        machines=tuple(view.on(machine, experts) for machine in machines),
        experts=experts,
        standing=view.decode.standing.combine(view.prefill.standing),
        windows=Counter(layer.window for layer in model.layers),
        notes=(*model.notes, *(n for n in view.decode.graph.notes if n.startswith("serving: "))),
    )


class _View:
    """A model's steps in the serving view, in the formats of a load."""

    def __init__(self, model: LanguageModel, load: Load, dtype: str | None) -> None:
        self.model, self.load, self.dtype = model, load, dtype
        kept = _kept(load.cache)
        patterns = _patterns(load.weights, model.stack)
        self.decode = model.serving("decode", kept, patterns, load.absorbed)
        self.prefill = model.serving("prefill", kept, patterns)
        self.weights = replace(self.decode.model_bytes, name="weights", domain=(), symbols=_sizes("N", "S"))
        self.cache = Quantity("cache", "bytes", cache_bytes(model.layers, kept), symbols=_sizes("N", "S"))

    def quantities(self) -> dict[str, Quantity]:
        """Formulas by name; see `Service`."""
        found = {"weights": self.weights, "cache": self.cache}
        for step, traced, served in (
            ("prefill", self.model.prefill, self.prefill),
            ("decode", self.model.decode, self.decode),
        ):
            for name in ("macs", "macs_causal", "read_bytes", "write_bytes", "weight_bytes", "peak_memory"):
                found[f"{step}.{name}"] = served.total(name)
            for name in ("read_bytes", "write_bytes", "peak_memory"):
                found[f"{step}.traced.{name}"] = traced.total(name)
        return found

    # -- memory --------------------------------------------------------------------------------------------------------
    def timeline(self) -> Iterable[Moment]:
        """Memory after the prompt was read, and as the cache grows."""
        load = self.load
        yield self._moment("prompt read", load.prompt, self.prefill)
        done = {load.generate * part // 4 for part in (1, 2, 3)} | {load.generate - 1}
        for step in sorted(s for s in done if 0 < s < load.generate):
            yield self._moment(f"{step + 1:,} generated", load.prompt + step, self.decode)

    def _moment(self, what: str, tokens: int, step: Cost) -> Moment:
        """A step that ends with so many tokens in the cache; in a decoding step all but one were there before."""
        past = tokens if step is self.prefill else tokens - 1
        point = self._point(step, past)
        return Moment(
            what,
            tokens,
            int(self.weights),
            self.cache.at({"N": self.load.batch, "S": tokens}),
            step.total("peak_memory").at(point),
        )

    def _point(self, step: Cost, past: int) -> dict[str, int]:
        point = {"N": self.load.batch, "S": past}
        if TOUCHED in step.symbols:
            point[TOUCHED] = step.symbols[TOUCHED].max or 1
        return point

    def largest(self, wrt: str, capacity: int) -> Solution:
        """The largest batch for the load's sizes, or the largest prompt for its batch, that fit a memory."""
        if wrt == "N":
            at_end, prompt = {"S": self.load.tokens - 1}, {"S": self.load.prompt}
            kept = substitute(self.cache.value, {"S": self.load.tokens})
            needs = [(self.prefill, prompt, kept)]
            if self.load.generate > 1:
                needs.append((self.decode, at_end, kept))
        else:
            batch = {"N": self.load.batch}
            needs = [(self.prefill, batch, substitute(self.cache.value, batch))]
        limits = []
        for step, fixed, kept in needs:
            peak = step.total("peak_memory")
            known = {**fixed, **{n: i.max or 1 for n, i in step.symbols.items() if n == TOUCHED}}
            value = int(self.weights) + kept + substitute(peak.value, known)
            domain = tuple(replace_symbols(guard, known) for guard in peak.domain)
            limits.append(Quantity("memory", "bytes", value, peak.standing, domain, _sizes(wrt)) <= capacity)
        return solve(limits, wrt, _sizes(wrt))

    # -- machines ------------------------------------------------------------------------------------------------------
    def on(self, machine: Target, experts: Experts | None) -> OnMachine:
        """What a machine answers."""
        home = machine.home("activations")
        capacity = usable(machine, home) if home == machine.home("weights") else None
        need = max(moment.total for moment in self.timeline())
        decode, prefill = self.decode.on(machine, self.dtype), self.prefill.on(machine, self.dtype)
        return OnMachine(
            target=machine.name,
            runtime=machine.runtime,
            capacity_bytes=capacity,
            fits=None if capacity is None else need <= capacity,
            largest_batch=None if capacity is None else self.largest("N", capacity),
            largest_prompt=None if capacity is None else self.largest("S", capacity),
            compute_bound=self._compute_bound(machine),
            speeds=tuple(filter(None, (self._speed(kind, machine, experts) for kind in KINDS))),
            calibration=decode.calibration,
            dropped=tuple(dict.fromkeys((*decode.dropped_terms, *prefill.dropped_terms))),
        )

    def _compute_bound(self, machine: Target) -> Crossover:
        """Where a decoding step's products take longer than moving what must be moved: weights, cache, tokens, logits."""
        past = {"S": self.load.tokens}
        here = self.decode.at_point(past)
        question = here._question("N", {**past, **_all_experts(here)}, {})
        formula = here.on(machine, self.dtype).bound
        if not isinstance(formula, RateFormula):
            return Crossover("decode", machine.name, "N", given=past, unknown=f"{machine.name} states too little")
        compute = tuple(replace(p, amount=p.amount * t.count) for t in formula.terms for p in t.compute)
        memory = tuple(replace(p, amount=p.amount * t.count) for t in formula.terms for p in t.memory)
        if not compute or not memory:
            why = "peak" if not compute else "bandwidth"
            return Crossover("decode", machine.name, "N", given=past, unknown=f"{machine.name} states no {why}")
        return crossover("decode", machine.name, compute, memory, question)

    def _speed(self, kind: str, machine: Target, experts: Experts | None) -> Speed | None:
        load = self.load
        first = self._seconds(self.prefill, kind, machine, [load.prompt], experts, load.batch * load.prompt)
        if first is None:
            return None
        steps = range(load.prompt, load.tokens)
        if len(steps) > STEPS:  # ends included
            steps = range(load.prompt, load.tokens, -(-len(steps) // STEPS))
        each = self._seconds(self.decode, kind, machine, list(steps), experts, load.batch) if steps else None
        if not each:
            return Speed(kind, first[0], None, None, first[0], None)
        mean = sum(each) / len(each)
        whole = first[0] + mean * (load.generate - 1)
        return Speed(kind, first[0], mean, each[-1], whole, load.batch / mean if mean else None)

    def _seconds(
        self, step: Cost, kind: str, machine: Target, pasts: list[int], experts: Experts | None, tokens: int
    ) -> list[float] | None:
        """Seconds of a step at several lengths of the past.

        Where experts are chosen, a fraction of one is expected to be read: that is put between the two whole numbers.
        """
        point = {"N": self.load.batch, "S": pasts[0]}
        here = step.at_point(point)
        formula = getattr(here.on(machine, self.dtype), kind)
        if not isinstance(formula, RateFormula):
            return None
        known = {n: v for n, v in point.items() if n != "S" and n in here.symbols}
        expected = experts.touched(tokens) if experts is not None and TOUCHED in here.symbols else None
        ends = [None] if expected is None else sorted({floor(expected), ceil(expected)})
        lines = []
        for end in ends:
            bound = formula.bind(known if end is None else {**known, TOUCHED: max(end, 1)})
            lines.append([bound.at({"S": past} if bound.symbols else {}) for past in pasts])
        if len(lines) == 1:
            return lines[0]
        share = float(expected - floor(expected)) if expected is not None else 0.0
        return [low + share * (high - low) for low, high in zip(*lines, strict=True)]


def check_formats(load: Load) -> None:
    """Refuse formats that there are not, before a model is captured; raises SpecError naming those there are."""
    _kept(load.cache)
    _patterns(load.weights, "")


def _all_experts(cost: Cost) -> dict[str, int]:
    return {name: info.max or 1 for name, info in cost.symbols.items() if name == TOUCHED}


def _of_batch(cache: Quantity, batch: int) -> Quantity:
    return replace(cache, value=substitute(cache.value, {"N": batch}), symbols=_sizes("S"))


def _sizes(*names: str) -> tuple[SymbolInfo, ...]:
    return tuple(SymbolInfo(name) for name in names)


def _kept(name: str | None) -> Width | None:
    """The width of a cache's format; raises SpecError naming those there are."""
    if name is None:
        return None
    known = (*STORED, *CACHED)
    if name.partition(":")[0] not in known:
        raise SpecError(f"cache format {name!r} is not one of {', '.join(known)}{nearest(name, known)}")
    try:
        return width(CACHED.get(name, name))
    except SpecError as error:
        raise SpecError(f"cache: {error}") from error


def _patterns(name: str | None, stack: str) -> tuple[tuple[str, str], ...]:
    """Widths by pattern: a format with groups is that of the blocks' matrices; embeddings and the last layer stay."""
    if name is None:
        return ()
    try:
        found = width(GROUPED.get(name, name))
    except SpecError as error:
        raise SpecError(f"weights: {error}; expected {FORMATS}") from error
    return ((f"{stack}.*" if found.grouped and stack else "*", found.name),)
