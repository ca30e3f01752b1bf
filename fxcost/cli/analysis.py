"""From what was asked for to a Cost, at the point of `--at`; and checks that need no capture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fxcost.cli.application import check_writable, complain, progress
from fxcost.errors import CaptureError, OutsideDomain, SpecError

if TYPE_CHECKING:
    from fxcost.cli.options import Asked
    from fxcost.cost import Cost
    from fxcost.query.quantity import Quantity
    from fxcost.target import Target


def analyze(asked: Asked, *, strict: bool = False, shared: bool = False) -> tuple[Cost, dict[str, int] | None]:
    """The model's cost and the point of `--at`, at which its formulas hold.

    Where several models share the options, `--at` may name sizes that this one does not have.
    """
    from fxcost import api
    from fxcost.dialects import FOREIGN_NOTE
    from fxcost.ir.specs import parse_point, split_named

    point = parse_point(asked.at) if asked.at is not None else None
    positional, named = split_named(asked.inputs or [])
    hints = tuple(f"{name}@{size}" for name, size in (point or {}).items() if size > 1)
    with progress() as show:

        def attempt(specs: tuple[str, ...]) -> Cost:
            return api.analyze(
                asked.model,
                specs,
                kwargs=named or None,
                accounting=asked.accounting,
                inputs=asked.input_mode,
                mode=asked.mode,
                weights=widths(asked.weights),
                activations=asked.activations,
                train=asked.train or None,
                optimizer=asked.optimizer,
                precision=asked.precision,
                rule=asked.rule,
                strict=strict,
                cache=asked.cache,
                progress=show,
            )

        try:
            try:
                cost = attempt(tuple(positional))
            except CaptureError as failure:
                if not hints:
                    raise
                try:  # the model may take these sizes alone
                    cost = attempt((*positional, *hints))
                except SpecError:  # the specs say already at which sizes to trace
                    raise failure from None
            found = _at_point(cost, asked.model, known_sizes(cost, point) if shared and point else point)
        except KeyboardInterrupt:
            complain("interrupted")
            raise typer.Exit(130) from None
        except SystemExit as error:
            raise CaptureError(f"{asked.model}: its code called sys.exit({error.code!r}) while it ran") from error
    if asked.inputs and asked.model.endswith(".mlir") and FOREIGN_NOTE not in found[0].graph.notes:
        complain(f"{asked.model} says what its inputs are; -i is left out")
    for warning in (*found[0].origin.remarks, *found[0].warnings):
        complain(warning)
    return found


def known_sizes(cost: Cost, point: Mapping[str, int]) -> dict[str, int]:
    """The sizes that a model has, of those that several were given."""
    return {name: size for name, size in point.items() if name in {*cost.symbols, *cost.graph.pinned, *cost.fixed_dims}}


def check_sizes(costs: Iterable[Cost], point: Mapping[str, int] | None) -> None:
    """Refuse a size of `--at` that none of several models has."""
    costs = list(costs)
    for name in point or {}:
        if not any(known_sizes(cost, {name: 1}) for cost in costs):
            known = sorted({symbol for cost in costs for symbol in cost.symbols})
            raise SpecError(f"none of the models has the symbol {name!r}; known: {', '.join(known) or 'none'}")


def widths(texts: list[str] | None) -> dict[str, str] | None:
    """The widths of `--weights` by name pattern."""
    found: dict[str, str] = {}
    for text in texts or []:
        pattern, equals, name = text.rpartition("=")
        found[pattern if equals else "*"] = name
    return found or None


def _at_point(cost: Cost, model: str, at: dict[str, int] | None) -> tuple[Cost, dict[str, int] | None]:
    """The cost whose formulas hold at the point: captured anew there where they do not, which is said on stderr."""
    if at is None:
        return cost, None
    try:
        return cost, _inside(cost, at)
    except OutsideDomain as error:
        outside = error.outside
    if cost.origin.again is None or model.endswith(".pt2"):
        raise OutsideDomain(f"{outside}; the file holds nothing else: analyse the model itself there")
    complain(f"{outside}; capturing the model anew at {', '.join(f'{name}={size}' for name, size in at.items())}")
    anew = cost.recapture(at)
    return anew, _inside(anew, at)


def _inside(cost: Cost, at: Mapping[str, int]) -> dict[str, int]:
    """The point without the sizes that the model pins anyway; raises OutsideDomain where the formulas do not hold."""
    from fxcost.ir.symbols import check_point
    from fxcost.report.query import value_at

    point = dict(at)
    for name, reason in cost.fixed_dims.items():
        wanted = point.pop(name, None)
        if wanted is not None and not reason.startswith(f"{name}={wanted}:"):
            raise OutsideDomain(f"asked for {name}={wanted}, but {reason}")
    checked = check_point(cost.graph.symbols, point)
    for name in ("peak_memory", "macs"):
        value_at(cost.total(name), point)
    return checked


def check_choice(option: str, value: str, known: Iterable[str]) -> None:
    """Refuse a word that is not one of those known."""
    if value not in known:
        raise SpecError(f"{option} {value!r} is not one of {', '.join(known)}")


def check_pictures(*paths: Path | None) -> None:
    """Refuse pictures that cannot be drawn or written, before work is done for them."""
    for path in paths:
        if path is not None:
            from fxcost.report.pictures import check_picture

            check_writable(path)
            check_picture(path)


def check_metrics(names: Iterable[str]) -> None:
    """Refuse a wrong name before the model is captured, which takes its time."""
    from fxcost.errors import UnknownName, nearest
    from fxcost.passes.totals import UNITS
    from fxcost.passes.training import TRAINING_UNITS

    for name in names:
        if name not in {*UNITS, *TRAINING_UNITS, "arithmetic_intensity"}:
            raise UnknownName(f"there is no quantity {name!r}{nearest(name, [*UNITS, *TRAINING_UNITS])}")


def blank_quantities() -> dict[str, Quantity]:
    """Quantities without formulas, against which a constraint's text is checked before the model is captured."""
    from fxcost.ir.expr import ZERO
    from fxcost.passes.totals import UNITS
    from fxcost.passes.training import TRAINING_UNITS
    from fxcost.query.quantity import Quantity

    return {name: Quantity(name, unit, ZERO) for name, unit in {**UNITS, **TRAINING_UNITS}.items()}


def load_machines(names: list[str] | None, dtype: str | None) -> list[Target]:
    """The machines of `--target`; `--dtype` makes no sense without one."""
    from fxcost.target import load_target

    if dtype is not None and not names:
        raise SpecError(f"--dtype {dtype} is the type to compute in on a machine; name one with --target")
    return [load_target(name) for name in names or []]


def check_free(cost: Cost, wanted: str | None) -> None:
    """Refuse to solve for a symbol that the model pins."""
    if wanted in cost.fixed_dims:
        raise SpecError(f"cannot solve for {wanted}: {cost.fixed_dims[wanted]}")
