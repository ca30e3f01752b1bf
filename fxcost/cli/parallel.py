"""`fxcost parallel`."""

from __future__ import annotations

from typing import Annotated

import typer

from fxcost.cli.analysis import load_machines, widths
from fxcost.cli.application import app, progress, say
from fxcost.cli.options import AsJson, Asked, Dtype, one_target, takes_model
from fxcost.errors import SpecError


@app.command(
    epilog="For example: fxcost parallel hf:examples/llama-3-8b -i 'i64[N,S]' --at N=1,S=2048 --target h100-sxm"
)
@takes_model
def parallel(
    asked: Asked,
    devices: Annotated[str, typer.Option("--devices", metavar="LIST", help="How many devices: 1,2,4,8.")] = "1,2,4,8",
    plan: Annotated[
        list[str] | None,
        typer.Option(
            "--plan",
            metavar="PLAN",
            help="tensor or expert: the plan that a model of transformers carries; or PATH=STYLE, as in "
            "'layers.*.up=colwise'. Repeat for more.",
        ),
    ] = None,
    target: Annotated[str | None, one_target("The machine, see `fxcost targets`.")] = None,
    goal: Annotated[
        str | None, typer.Option("--goal", metavar="NAME", help="Print the best number alone: latency or memory.")
    ] = None,
    dtype: Dtype = None,
    as_json: AsJson = False,
) -> None:
    """What one of several devices holds, computes and sends."""
    from fxcost.devices import degrees, plan_from, table_of
    from fxcost.ir.specs import parse_point, split_named
    from fxcost.report.devices import devices_json, devices_text

    if asked.at is None:
        raise SpecError("parallel compares numbers: give a size for every symbol with --at, as in --at N=1,S=2048")
    if asked.mode != "inference":
        raise SpecError("parallel knows forward passes only: leave out --mode training")
    if goal is not None and target is None:
        raise SpecError(f"--goal {goal} is decided on a machine: name one with --target")
    counts = [_count(part) for part in devices.split(",")]
    machines = load_machines([target] if target else None, dtype)
    positional, named = split_named(asked.inputs or [])
    with progress() as show:
        found = degrees(
            asked.model,
            tuple(positional),
            parse_point(asked.at),
            devices=counts,
            target=machines[0] if machines else None,
            dtype=dtype,
            plan=plan_from(plan or ["tensor"]),
            kwargs=named or None,
            accounting=asked.accounting,
            inputs=asked.input_mode,
            weights=widths(asked.weights),
            activations=asked.activations,
            progress=show,
        )
    if goal is not None:
        say(str(found.best(goal).devices))
        return
    say(devices_json(table_of(found)) if as_json else devices_text(table_of(found)))


def _count(text: str) -> int:
    if not text.strip().isdecimal() or not int(text):
        raise SpecError(f"--devices: found {text!r}, expected whole numbers such as 1,2,4,8")
    return int(text)
