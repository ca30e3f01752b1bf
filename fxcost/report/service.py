"""A language model in service, for the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fxcost.query.quantity import Quantity
from fxcost.query.solve import Solution
from fxcost.query.spans import spans_text
from fxcost.query.units import human, seconds
from fxcost.report.crossover import crossover_data
from fxcost.report.json import compact
from fxcost.report.solve import solution_data
from fxcost.report.terminal import for_output
from fxcost.serving.answers import OnMachine, Service, Speed

LONGEST = 46
"""Letters of a formula that are printed; JSON has it in full."""


def service_text(found: Service, proofs: bool = False) -> str:
    """Memory, work of both steps, the generation, and what every machine makes of it; with `proofs` why."""
    parts: list[RenderableType] = [_head(found), Text(""), _memory(found), Text(""), _work(found)]
    for machine in found.machines:
        parts += [Text(""), *_machine(found, machine, proofs)]
    parts += [Text(""), *(Text(line, style="dim") for line in _notes(found))]
    return for_output(Group(*parts))


def _head(found: Service) -> RenderableType:
    load = found.load
    active = f", {human(found.params_active, 'elements')} active for a token" * (found.params_active < found.params)
    sequences = "1 sequence" if load.batch == 1 else f"{load.batch:,} sequences"
    formats = f"weights {load.weights or 'as configured'}, cache {load.cache or 'as computed'}"
    return Group(
        Text(found.model, style="bold"),
        Text(f"{human(found.params, 'elements')} parameters{active}; {formats}"),
        Text(f"{sequences} at once, prompt {load.prompt:,}, {load.generate:,} generated"),
    )


def _memory(found: Service) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("memory when", "tokens", "weights", "cache", "activations", "in all"):
        table.add_column(column, justify="left" if column == "memory when" else "right")
    for moment in found.timeline:
        sizes = (moment.weights, moment.cache, moment.activations, moment.total)
        table.add_row(moment.what, f"{moment.tokens:,}", *(human(size, "bytes") for size in sizes))
    cache = found.quantities["cache"]
    lines = [Text(f"cache = {cache} bytes", overflow="fold")]
    kept = [f"{n} of {sum(found.windows.values())} layers {_window(w)}" for w, n in found.windows.items()]
    if len(kept) > 1 or None not in found.windows:
        lines.append(Text("  " + ", ".join(kept)))
    batch = f" (N = {found.load.batch:,})" if found.load.batch > 1 else ""
    lines.append(Text(f"the cache exceeds the weights {_where(found.exceeds)}{batch}"))
    return Group(table, *lines)


def _window(window: int | None) -> str:
    return "keep all" if window is None else f"see {window:,} tokens"


def _where(solution: Solution) -> str:
    if not solution.feasible:
        return f"for no {solution.wrt}"
    return f"for {spans_text(solution.wrt, solution.set)}"


def _work(found: Service) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("one step", "prefill", "decode", "decode as a formula"):
        table.add_column(
            column, justify="left" if column in {"one step", "decode as a formula"} else "right", overflow="fold"
        )
    rows = (
        ("MACs", "macs", "MAC"),
        ("  in causal order", "macs_causal", "MAC"),
        ("activations and cache read", "read_bytes", "bytes"),
        ("  as captured", "traced.read_bytes", "bytes"),
        ("  written", "write_bytes", "bytes"),
        ("  as captured", "traced.write_bytes", "bytes"),
        ("weights fetched", "weight_bytes", "bytes"),
    )
    for label, name, unit in rows:
        values = [_value(found, f"{step}.{name}", unit) for step in ("prefill", "decode")]
        table.add_row(label, *values, _short(found.quantities[f"decode.{name}"]))
    return table


def _value(found: Service, name: str, unit: str) -> str:
    value = _at(found.quantities[name], points(found)[name.partition(".")[0]])
    return human(value, unit) if isinstance(value, int) else "open"


def points(found: Service) -> dict[str, dict[str, int]]:
    """Where formulas are evaluated: the whole prompt, and the last token of the generation."""
    load = found.load
    sizes = {
        "prefill": {"N": load.batch, "S": load.prompt},
        "decode": {"N": load.batch, "S": max(load.tokens - 1, 1)},
    }
    if found.experts is not None:
        for step, tokens in (("prefill", load.batch * load.prompt), ("decode", load.batch)):
            sizes[step]["experts"] = max(1, round(found.experts.touched(tokens)))
    return sizes


def _at(quantity: Quantity, point: dict[str, int]) -> int | Quantity:
    """The number at a point, of which the quantity may have fewer symbols (experts)."""
    names = {s.name for s in quantity.symbols}
    value: int | Quantity = quantity.at({n: v for n, v in point.items() if n in names})
    return value


def _short(quantity: Quantity) -> str:
    text = str(quantity)
    return text if len(text) <= LONGEST else text[: LONGEST - 4] + " ..."


def _machine(found: Service, machine: OnMachine, proofs: bool) -> Iterator[RenderableType]:
    has = "" if machine.capacity_bytes is None else f", {human(machine.capacity_bytes, 'bytes')}"
    fits = {None: "fits: unknown", True: "fits", False: "does not fit"}[machine.fits]
    yield Text(f"{machine.target}, runtime {machine.runtime}{has}: {fits}", style="bold")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("latency", "first token", "each further", "the last", "tokens/s", "all"):
        table.add_column(column, justify="left" if column == "latency" else "right")
    for speed in machine.speeds:
        table.add_row(speed.kind, *_times(speed))
    if machine.speeds:
        yield table
    for label, solution in (("largest batch", machine.largest_batch), ("largest prompt", machine.largest_prompt)):
        if solution is not None:
            yield Text(f"{label} {_largest(solution)}")
            if proofs:
                yield from _steps(solution.proof)
    past = machine.compute_bound.given.get("S", found.load.tokens)
    yield Text(f"decoding at S = {past:,}: {machine.compute_bound}")
    if proofs:
        yield from _steps(machine.compute_bound.proof)
    if machine.calibration:
        yield Text(f"calibrated: {machine.calibration}", style="dim")
    for reason in machine.dropped:
        yield Text(f"left out: {reason}", style="yellow")


def _times(speed: Speed) -> tuple[str, ...]:
    rate = (
        "-"
        if speed.tokens_per_s is None
        else f"{speed.tokens_per_s:,.0f}"
        if speed.tokens_per_s >= 100
        else f"{speed.tokens_per_s:.3g}"
    )
    times = [seconds(t) if t is not None else "-" for t in (speed.first_s, speed.each_s, speed.last_s)]
    return (*times, rate, seconds(speed.whole_s))


def _largest(solution: Solution) -> str:
    if not solution.feasible:
        return "none: not even 1 fits"
    return (
        f"is not limited: {solution.wrt} >= {solution.min:,}"
        if solution.max is None
        else f"{solution.wrt} = {solution.max:,}"
    )


def _steps(text: str) -> Iterator[RenderableType]:
    yield from (Padding(Text(step), (0, 0, 0, 2), expand=False) for step in text.split("; "))


def _notes(found: Service) -> Iterator[str]:
    load = found.load
    yield (
        "Latency: bound, every weight, cached row, token and logit moved once and products at the peak; roofline, sum over "
        "operators; calibrated, roofline with fitted shares. Attention counts dense."
    )
    if found.experts is not None:
        expected = float(found.experts.touched(load.batch))
        reads = "token reads" if load.batch == 1 else "tokens read"
        yield (
            f"Experts: {found.experts.chosen} of {found.experts.each} see a token. With choices equally likely and "
            f"independent, {load.batch:,} {reads} {expected:.4g} of them in each layer; where decoding turns "
            "compute-bound all are taken to be read."
        )
    yield from found.notes


# -- JSON ------------------------------------------------------------------------------------------------------------
def service_json(found: Service) -> str:
    """The answers as JSON."""
    return compact(service_data(found))


def service_data(found: Service) -> dict[str, Any]:
    """The answers as plain data; formulas in N and S, and `experts` where there are any."""
    load, where = found.load, points(found)
    return {
        "model": found.model,
        "prompt": load.prompt,
        "generate": load.generate,
        "batch": load.batch,
        "weights": load.weights,
        "kv_cache": load.cache,
        "absorbed": load.absorbed,
        "params": found.params,
        "params_active": found.params_active,
        "standing": str(found.standing),
        "experts": None
        if found.experts is None
        else {
            "each": found.experts.each,
            "chosen": found.experts.chosen,
            "expected": float(found.experts.touched(load.batch)),
        },
        "formulas": {
            name: _formula(quantity, where[name.partition(".")[0]] if "." in name else where["decode"])
            for name, quantity in found.quantities.items()
        },
        "cache_exceeds_weights": solution_data(found.exceeds),
        "timeline": [
            {
                "what": moment.what,
                "tokens": moment.tokens,
                "weights": moment.weights,
                "cache": moment.cache,
                "activations": moment.activations,
                "total": moment.total,
            }
            for moment in found.timeline
        ],
        "targets": {machine.target: _machine_data(machine) for machine in found.machines},
        "notes": list(found.notes),
    }


def _formula(quantity: Quantity, at: dict[str, int]) -> dict[str, Any]:
    value = _at(quantity, at)
    found = {"unit": quantity.unit, "expr": str(quantity.value)}
    return found | ({"value": value} if isinstance(value, int) else {})


def _machine_data(machine: OnMachine) -> dict[str, Any]:
    return {
        "runtime": machine.runtime,
        "capacity_bytes": machine.capacity_bytes,
        "fits": machine.fits,
        "largest_batch": None if machine.largest_batch is None else solution_data(machine.largest_batch),
        "largest_prompt": None if machine.largest_prompt is None else solution_data(machine.largest_prompt),
        "compute_bound": crossover_data(machine.compute_bound),
        "latency": {
            speed.kind: {
                "first_token_s": speed.first_s,
                "each_token_s": speed.each_s,
                "last_token_s": speed.last_s,
                "whole_s": speed.whole_s,
                "tokens_per_s": speed.tokens_per_s,
            }
            for speed in machine.speeds
        },
        "calibration": machine.calibration,
        "dropped_terms": list(machine.dropped),
    }
