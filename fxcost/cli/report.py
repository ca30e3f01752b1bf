"""`fxcost report`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from fxcost.cli.analysis import analyze, check_choice, check_pictures, load_machines
from fxcost.cli.application import app, check_writable, command_line, progress, say
from fxcost.cli.options import AsJson, Asked, Dtype, Strict, Targets, Tie, page_to, plot_to, takes_model
from fxcost.errors import SpecError


@app.command(epilog="For example: fxcost report torchvision:resnet50 -i N,3,H,W --at N=1,H=224,W=224 --target h100-sxm")
@takes_model
def report(
    asked: Asked,
    target: Targets = None,
    dtype: Dtype = None,
    depth: Annotated[
        int | None,
        typer.Option("--depth", metavar="LEVELS", min=0, help="Levels of modules; by default what fits 24 lines."),
    ] = None,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Breakdown by node, module or op.")] = "module",
    sort: Annotated[
        str | None,
        typer.Option("--sort", metavar="NAME", help="Costliest rows first, by macs, params, other_ops or traffic."),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option("--top", metavar="ROWS", min=1, help="The costliest rows of each level, the rest summed."),
    ] = None,
    fold: Annotated[
        bool, typer.Option("--fold/--no-fold", help="One row for repeated blocks that cost the same.")
    ] = True,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="The breakdown as CSV.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="The report as Markdown.")] = False,
    plot: Annotated[Path | None, plot_to("Draw the roofline of one --target.")] = None,
    plot_modules: Annotated[
        Path | None, plot_to("Draw MACs, parameters and traffic by module as bars.", "modules")
    ] = None,
    plot_memory: Annotated[Path | None, plot_to("Draw activations in memory over the steps.", "memory")] = None,
    page: Annotated[Path | None, page_to("Write a page with sliders: one file that loads nothing.")] = None,
    tie: Tie = None,
    best_order: Annotated[
        bool, typer.Option("--best-order", help="Draw the order that needs least memory at --at on the page, too.")
    ] = False,
    patches: Annotated[
        bool, typer.Option("--patches", help="What running patch by patch makes of the peak, and what it lets fit.")
    ] = False,
    strict: Strict = False,
) -> None:
    """Totals, formulas, costliest modules, what owns the peak."""
    from fxcost.query.breakdown import readable_depth
    from fxcost.report.arrange import SORTS, module_tree

    check_choice("--by", by, ("node", "module", "op"))
    if sort is not None:
        check_choice("--sort", sort, SORTS)
    if as_json + as_csv + as_markdown > 1:
        raise SpecError("choose one of --json, --csv and --markdown")
    if as_csv and patches:
        raise SpecError("--csv is the breakdown alone; --patches goes with text, --json and --markdown")
    machines = load_machines(target, dtype)
    if plot is not None and len(machines) != 1:
        raise SpecError(f"--plot draws the roofline of one machine, found {len(machines)} with --target")
    check_pictures(plot, plot_modules, plot_memory)
    ties = check_page(page, tie, best_order)
    cost, point = analyze(asked)
    summary = replace(cost.summary(point, machines, dtype, by=by), sort=sort, top=top, fold=fold)
    summary = replace(summary, depth=readable_depth(module_tree(summary)) if depth is None else depth)
    if patches:
        with progress() as show:
            show("looking for patches")
            summary = cost.in_patches(summary, show)
    if plot is not None:
        from fxcost.report.roofline import roofline_picture

        roofline_picture(summary.model, summary.estimates[machines[0].name], plot)
    if plot_modules is not None:
        from fxcost.report.module_bars import draw_modules

        draw_modules(summary, plot_modules)
    if plot_memory is not None:
        from fxcost.report.live_memory import draw_memory

        draw_memory(summary, plot_memory)
    if page is not None:
        with progress() as show:
            show("looking for the best order" if best_order else "writing the page")
            found = cost.schedule(point) if best_order else None
            cost.to_html(
                page,
                at=point,
                tie=ties,
                targets=machines,
                dtype=dtype,
                schedule=found,
                summary=summary if patches else None,
                command=command_line(),
            )
    name = "json" if as_json else "csv" if as_csv else "markdown" if as_markdown else "text"
    if name == "text":
        from fxcost.report.terminal import for_output
        from fxcost.report.text import layout

        say(for_output(layout(summary)))
    else:
        from fxcost.report.characters import printable
        from fxcost.report.formats import render

        say(printable(render(name, summary).rstrip("\n")))
    if strict:
        cost.check_strict()


def check_page(page: Path | None, tie: str | None, best_order: bool) -> Mapping[str, str]:
    """The ties of a page; refuses what cannot be written, or has no page to go to, before the model is captured."""
    from fxcost.ir.specs import parse_ties

    if page is None and (tie is not None or best_order):
        raise SpecError(f"{'--best-order' if best_order else '--tie'} goes into a page: give --html FILE, too")
    if page is not None:
        check_writable(page)
    return parse_ties(tie)
