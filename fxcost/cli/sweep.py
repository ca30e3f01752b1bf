"""`fxcost sweep`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fxcost.cli.analysis import analyze, check_metrics, check_pictures, check_sizes, known_sizes, widths
from fxcost.cli.application import app, check_writable, complain, progress, reader_may_leave, say
from fxcost.cli.options import AsJson, Asked, Dtype, Strict, Tie, output_to, plot_to, takes_model
from fxcost.errors import CaptureError, ModelError, SpecError

if TYPE_CHECKING:
    from fxcost.cost import Cost
    from fxcost.report.sweep import Sweeps

MOST_ON_SCREEN = 10_000
"""Rows of a table as text or JSON; more go to a file or out as --csv, slice by slice."""


@app.command(
    epilog="For example: fxcost sweep torchvision:resnet18 torchvision:resnet50 -i N,3,H,W --over H=64:512:32 --tie W=H "
    "--at N=1 --metrics macs,peak_memory,latency:h100-sxm"
)
@takes_model
def sweep(
    asked: Asked,
    over: Annotated[
        list[str],
        typer.Option(
            "--over",
            metavar="SIZES",
            help="Sizes of a symbol: H=64:512:32 (last one included), H=64,224. Repeat for a grid.",
        ),
    ],
    others: Annotated[list[str] | None, typer.Argument(metavar="[MODEL]...", help="More models.")] = None,
    metrics: Annotated[
        str,
        typer.Option(
            "--metrics",
            metavar="NAMES",
            help="Quantities and arithmetic_intensity; on a machine latency:NAME (every latency it has figures for), "
            "roofline:NAME, energy:NAME ...",
        ),
    ] = "macs,peak_memory",
    tie: Tie = None,
    dtype: Dtype = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", metavar="K", min=1, help="Processes that capture models at the same time.")
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option(
            "--executor", metavar="dask://HOST:PORT", help="Capture on the workers of a dask cluster instead."
        ),
    ] = None,
    output: Annotated[
        Path | None, output_to("FILE.csv|parquet", "Write a file, slice by slice: of any length.")
    ] = None,
    plot: Annotated[Path | None, plot_to("Draw every metric over the first size.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values, of any length.")] = False,
    as_json: AsJson = False,
    strict: Strict = False,
) -> None:
    """Quantities over a grid of sizes, for one or several models."""
    from fxcost.ir.specs import parse_over, parse_point, parse_ties
    from fxcost.query.sweep_target import split_name
    from fxcost.report.sweep import Sweeps, check_file
    from fxcost.target import load_target

    sizes, ties, names = parse_over(over), parse_ties(tie), [name.strip() for name in metrics.split(",")]
    check_metrics(name for name in names if ":" not in name)
    for name in names:
        if ":" in name:
            load_target(split_name(name)[1])
    if as_csv + as_json + (output is not None) > 1:
        raise SpecError("choose one of --csv, --json and --output")
    if output is not None:
        check_writable(output)
        check_file(output)
    check_pictures(plot)
    point = parse_point(asked.at) if asked.at is not None else {}
    models = list(dict.fromkeys([asked.model, *(others or ())]))
    costs = _captured(asked, models, jobs, executor, strict=strict)
    if len(costs) == len(models):
        check_sizes(costs.values(), point)
    plans = {
        name: cost.plan_sweep(sizes, known_sizes(cost, point) if len(models) > 1 else point, ties, names, dtype)
        for name, cost in costs.items()
    }
    try:
        if plot is not None:
            from fxcost.report.curves import draw_sweep

            with progress() as show:
                tables = {name: plan.table(show) for name, plan in plans.items()}
            draw_sweep(tables, list(sizes), plot)
        _show(Sweeps(plans, named=len(models) > 1), output, as_csv=as_csv, as_json=as_json)
    except KeyboardInterrupt:
        complain("interrupted")
        raise typer.Exit(130) from None
    if len(costs) < len(models):
        raise typer.Exit(CaptureError.exit_code)


def _captured(asked: Asked, models: list[str], jobs: int | None, where: str | None, *, strict: bool) -> dict[str, Cost]:
    """Costs by model. Several are captured in processes if that was asked for; those that fail are said and left out."""
    if where is None and (jobs in {None, 1} or len(models) == 1):
        found: dict[str, Cost] = {}
        for model in models:
            try:
                found[model] = analyze(replace(asked, model=model), strict=strict, shared=len(models) > 1)[0]
            except ModelError as error:
                if len(models) == 1:
                    raise
                complain(f"{model}: {error}")
        return _some(found, models)
    from fxcost.ir.specs import split_named
    from fxcost.models import map_models

    positional, named = split_named(asked.inputs or [])
    with cluster(where) as workers, progress() as show:
        try:
            outcomes = map_models(
                models,
                tuple(positional),
                executor=workers,
                jobs=jobs,
                progress=show,
                kwargs=named or None,
                accounting=asked.accounting,
                inputs=asked.input_mode,
                mode=asked.mode,
                weights=widths(asked.weights),
                activations=asked.activations,
                strict=strict,
                cache=asked.cache,
            )
        except KeyboardInterrupt:
            complain("interrupted")
            raise typer.Exit(130) from None
    for row in outcomes:
        failed = [f"{row.name}: {row.error}"]
        for text in failed if row.cost is None else (*row.cost.origin.remarks, *row.cost.warnings):
            complain(text)
    return _some(outcomes.costs, models)


def _some(found: dict[str, Cost], models: list[str]) -> dict[str, Cost]:
    if not found:
        raise CaptureError(f"none of {len(models)} models could be captured")
    return found


@contextmanager
def cluster(address: str | None) -> Iterator[Executor | None]:
    """The executor of a dask cluster at `dask://HOST:PORT`; None for processes of this computer."""
    if address is None:
        yield None
        return
    scheme, _, place = address.partition("://")
    if scheme != "dask" or not place:
        raise SpecError(f"--executor {address!r} is not dask://HOST:PORT, the address of a dask scheduler")
    from fxcost.query.table import needed

    distributed = needed("distributed", f"--executor {address}", "dask")
    try:
        client = distributed.Client(f"tcp://{place}", timeout=10)
    except (OSError, ValueError) as error:
        raise SpecError(f"--executor {address}: no dask scheduler answers there ({error})") from error
    with client:
        yield client.get_executor()


def _show(sweeps: Sweeps, output: Path | None, *, as_csv: bool, as_json: bool) -> None:
    from fxcost.query.table import Table
    from fxcost.report.json import compact
    from fxcost.report.sweep import document, rows, write_csv, write_sweep

    outside: dict[str, int] = {}
    if output is not None:
        with progress() as show:
            notes = write_sweep(sweeps, output, show)
        complain(f"{output}: {sweeps.points:,} points")
    elif as_csv:
        with reader_may_leave():
            write_csv(sweeps, sweeps.slices(outside, lambda _: None), sys.stdout)
            sys.stdout.flush()
        notes = sweeps.notes(outside)
    else:
        if sweeps.points > MOST_ON_SCREEN:
            raise SpecError(
                f"{sweeps.points:,} points are too many to read; write them to a file with -o, or take --csv"
            )
        with progress() as show:
            slices = sweeps.slices(outside, show)
            text = compact(document(sweeps, slices)) if as_json else ""
            text = text or str(Table(sweeps.columns, tuple(rows(sweeps, slices))))
        say(text)
        notes = sweeps.notes(outside)
    for note in notes:
        complain(note)
