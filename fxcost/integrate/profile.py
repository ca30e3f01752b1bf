"""Times of a real run, whole and op by op.

The ops run in the order of an exported program, one after the other, between marks of a clock: each finds in the caches
what the ops before it left there, as in a whole run. The whole run is that of the model itself, with all that its
modules do in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree

from fxcost.errors import ModelError
from fxcost.integrate.clock import Clock, Timing, timed
from fxcost.integrate.measure import bound_call, last_readers, module_of


@dataclass(frozen=True)
class Profile:
    """Seconds of a whole run, and the best of every op by the name of its node."""

    whole: Timing
    ops: Mapping[str, float]

    @property
    def ops_s(self) -> float:
        """The measured times of all ops added up."""
        return sum(self.ops.values())

    def __or__(self, other: Profile) -> Profile:
        """Two measurements of the same model apart in time, as one."""
        ops = {name: min(seconds, other.ops.get(name, seconds)) for name, seconds in self.ops.items()}
        return Profile(self.whole | other.whole, ops)


def exported(model: torch.nn.Module, inputs: Sequence[Any]) -> Any:
    """The exported program of a model at the sizes of its inputs; raises ModelError where torch.export fails."""
    try:
        with torch.no_grad():
            return torch.export.export(model.eval(), tuple(inputs), strict=False)
    except Exception as error:  # whatever the model raises is the answer
        raise ModelError(f"torch.export failed: {str(error).splitlines()[0] if str(error) else error!r}") from error


def profile(
    model: Callable[..., Any], program: Any, inputs: Sequence[Any], clock: Clock, *, seconds: float, repeats: int = 50
) -> Profile:
    """Time the model as a whole and its program op by op, for about `seconds` of wall time in all.

    Model, program and inputs must be on the clock's device. Raises ModelError when the inputs do not fit the program.
    """
    with torch.no_grad():
        whole = timed(lambda: model(*inputs), clock, seconds=seconds / 2, repeats=repeats)
        ops = _timed_ops(program, inputs, clock, seconds / 2, repeats)
    return Profile(whole, ops)


def cold_share(model: Callable[..., Any], inputs: Sequence[Any], clock: Clock, warm: Timing) -> float | None:
    """By which share a whole run with empty caches takes longer than the warm one; None where there is no such clock."""
    cold = clock.cold()
    if cold is None:
        return None
    with torch.no_grad():
        return timed(lambda: model(*inputs), cold, seconds=0).best / warm.best - 1


def _timed_ops(program: Any, inputs: Sequence[Any], clock: Clock, seconds: float, repeats: int) -> dict[str, float]:
    module, states = module_of(program)
    places = [node for node in module.graph.nodes if node.op == "placeholder"]
    leaves = pytree.tree_leaves(tuple(inputs))
    wanted = [node for node in places if node.name not in states]
    if len(wanted) != len(leaves):
        raise ModelError(f"the program takes {len(wanted)} inputs, {len(leaves)} were given")
    given = {node: states[node.name] for node in places if node.name in states} | dict(zip(wanted, leaves, strict=True))
    last = {
        node: [value for value in dying if value.op != "placeholder"] for node, dying in last_readers(module).items()
    }
    best: dict[str, float] = {}
    until = time.monotonic() + seconds
    done = 0
    while done < 3 or (done < repeats and time.monotonic() < until):
        for name, took in _one_run(module, given, last, clock).items():
            if done > 0:  # the first run warms up
                best[name] = min(took, best.get(name, took))
        done += 1
    return best


def _one_run(module: Any, given: Mapping[Any, Any], last: Mapping[Any, list[Any]], clock: Clock) -> dict[str, float]:
    env = dict(given)
    marks: dict[str, tuple[Any, Any]] = {}
    for node in module.graph.nodes:
        if node.op in {"placeholder", "output"}:
            continue
        function, args, kwargs = bound_call(module, node, env)
        start = clock.mark()
        value = function(*args, **kwargs)
        marks[node.name] = (start, clock.mark())
        env[node] = value
        del value, function, args, kwargs  # or they would live on until the next op has run
        for gone in last.get(node, ()):
            env.pop(gone, None)
    clock.finish()
    return {name: clock.seconds(*pair) for name, pair in marks.items()}
