"""The command line: arguments in, report out. No logic lives here."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from fxcost.errors import FxcostError, Infeasible, SpecError, UnknownOps

if TYPE_CHECKING:
    from fxcost.cost import Cost
    from fxcost.query.solve import Solution

app = typer.Typer(
    name="fxcost",
    help="What a PyTorch model costs, as exact formulas in its sizes.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Model = Annotated[
    str,
    typer.Argument(
        help="torchvision:NAME, timm:NAME, hf:CLASS_OR_DIR, package.module:factory, file.py:factory, file.pt2 or file.mlir. "
        "Loading a factory runs its code."
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input", "-i", help="An input: 'N,3,H,W', 'i64[N,S]', 'mask=i64[N,S+1]', 'N,3,H=32..4096,W'. Repeat for more."
    ),
]
At = Annotated[str | None, typer.Option("--at", help="Sizes for numbers: N=1,H=224,W=224.")]
Tie = Annotated[str | None, typer.Option("--tie", help="Symbols that follow another: W=H.")]
Accounting = Annotated[str, typer.Option("--accounting", help="What the runtime folds: eager, inplace or fused.")]
InputMode = Annotated[str, typer.Option("--inputs", help="Graph inputs in memory: freed, held or excluded.")]
Mode = Annotated[str, typer.Option("--mode", help="What is analysed: inference.")]
Weights = Annotated[
    list[str] | None, typer.Option("--weights", help="Width of weights: int8, or PATTERN=int4. Repeat for more.")
]
Activations = Annotated[str | None, typer.Option("--activations", help="Width of floating activations: int8, fp16 ...")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 5 when an operator has no cost rule.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]
Targets = Annotated[
    list[str] | None, typer.Option("--target", help="A machine, by name or file.toml. Repeat to compare.")
]
Dtype = Annotated[str | None, typer.Option("--dtype", help="Type to compute in on the target: bf16, fp16, int8 ...")]


def main() -> NoReturn:
    """Run the command line; errors become one message and the exit code of their class."""
    try:
        app()
    except FxcostError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _complain("interrupted")
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output went away: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except MemoryError:
        _complain("out of memory")
        sys.exit(1)
    except Exception as error:  # a bug of ours: say so in a line, with a way to see more
        if os.environ.get("FXCOST_DEBUG"):
            raise
        _complain(
            f"internal error, please report it: {type(error).__name__}: {error} (set FXCOST_DEBUG=1 for the traceback)"
        )
        sys.exit(1)
    sys.exit(0)


def _complain(message: str) -> None:
    print(f"fxcost: {message}", file=sys.stderr)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A spinner on stderr, only on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("starting") as status:
        yield lambda text: status.update(text)


def _analyze(
    model: str,
    inputs: list[str] | None,
    accounting: str,
    input_mode: str,
    mode: str,
    weights: list[str] | None,
    activations: str | None,
    strict: bool = False,
) -> Cost:
    from fxcost.api import analyze
    from fxcost.ir.specs import split_named

    positional, named = split_named(inputs or [])
    with _progress() as progress:
        cost = analyze(
            model,
            tuple(positional),
            kwargs=named or None,
            accounting=accounting,
            inputs=input_mode,
            mode=mode,
            weights=_weights(weights),
            activations=activations,
            strict=strict,
            progress=progress,
        )
    for warning in cost.warnings:
        _complain(warning)
    return cost


def _weights(texts: list[str] | None) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for text in texts or []:
        pattern, equals, name = text.rpartition("=")
        found[pattern if equals else "*"] = name
    return found or None


def _point(cost: Cost, text: str | None) -> dict[str, int] | None:
    from fxcost.ir.specs import parse_point

    return parse_point(text) if text is not None else None


def _at_point(cost: Cost, at: dict[str, int] | None) -> Cost:
    """The cost whose formulas hold at the point: captured anew there when a guard is false, which is said on stderr."""
    from fxcost.errors import OutsideDomain

    if at is None or any(name not in at for name in cost.symbols):
        return cost
    try:
        for quantity in cost.quantities.values():
            quantity.at(at)
    except OutsideDomain as outside:
        _complain(f"{outside}; capturing the model anew there")
        return cost.recapture(at)
    return cost


@app.command()
def report(
    model: Model,
    inputs: Inputs = None,
    at: At = None,
    target: Targets = None,
    dtype: Dtype = None,
    depth: Annotated[int, typer.Option("--depth", min=0, help="Levels of the module tree.")] = 1,
    by: Annotated[str, typer.Option("--by", help="Breakdown by node, module or op.")] = "module",
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="The breakdown as CSV.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="The report as Markdown.")] = False,
    accounting: Accounting = "eager",
    input_mode: InputMode = "freed",
    mode: Mode = "inference",
    weights: Weights = None,
    activations: Activations = None,
    strict: Strict = False,
) -> None:
    """Everything at a glance: totals, formulas, costliest modules, who owns the peak, what is unknown."""
    if by not in {"node", "module", "op"}:
        raise SpecError(f"--by {by!r} is not one of node, module, op")
    if as_json + as_csv + as_markdown > 1:
        raise SpecError("choose one of --json, --csv and --markdown")
    cost = _analyze(model, inputs, accounting, input_mode, mode, weights, activations)
    point = _point(cost, at)
    cost = _at_point(cost, point)
    summary = cost.summary(point, target or (), dtype, depth, by)
    name = "json" if as_json else "csv" if as_csv else "markdown" if as_markdown else "text"
    if name == "text":
        from rich.console import Console

        from fxcost.report.text import layout

        console = Console(width=None if sys.stdout.isatty() else 80, soft_wrap=False)
        console.print(layout(summary))
    else:
        from fxcost.report.formats import render

        print(render(name, summary), end="" if name == "csv" else "\n")
    if strict:
        cost.check_strict()


@app.command()
def query(
    model: Model,
    metrics: Annotated[list[str], typer.Argument(help="Quantities: macs, params, peak_memory ...")],
    inputs: Inputs = None,
    at: At = None,
    latex: Annotated[bool, typer.Option("--latex", help="Formulas in LaTeX.")] = False,
    as_json: AsJson = False,
    accounting: Accounting = "eager",
    input_mode: InputMode = "freed",
    mode: Mode = "inference",
    weights: Weights = None,
    activations: Activations = None,
    strict: Strict = False,
) -> None:
    """One or more quantities, as formulas or numbers."""
    cost = _analyze(model, inputs, accounting, input_mode, mode, weights, activations, strict)
    point = _point(cost, at)
    cost = _at_point(cost, point)
    found = {}
    for name in metrics:
        quantity = cost.total(name)
        value = quantity.at(point) if point is not None else quantity
        found[name] = (quantity, value)
    if as_json:
        from fxcost.report.json import compact

        rows = {}
        for name, (quantity, value) in found.items():
            number = {"value": value} if isinstance(value, int) else {"expr": str(value)} if point else {}
            rows[name] = {"unit": quantity.unit, "standing": str(quantity.standing), "expr": str(quantity), **number}
        print(compact(rows))
        return
    for name, (quantity, value) in found.items():
        shown = quantity.latex() if latex and not isinstance(value, int) else str(value)
        least = " >=" if quantity.standing == "lower" else ""
        label = f"{name}{least} " if len(found) > 1 or least else ""
        print(f"{label}{shown}" if latex else f"{label}{shown} {quantity.unit}")


@app.command()
def solve(
    model: Model,
    constraints: Annotated[list[str], typer.Argument(help="Constraints: 'peak_memory <= 320KB' 'macs < 300M'.")],
    wanted: Annotated[str, typer.Option("--for", help="The symbol to solve for.")],
    inputs: Inputs = None,
    at: At = None,
    tie: Tie = None,
    as_json: AsJson = False,
    accounting: Accounting = "eager",
    input_mode: InputMode = "freed",
    mode: Mode = "inference",
    weights: Weights = None,
    activations: Activations = None,
    strict: Strict = False,
) -> None:
    """All sizes that satisfy the constraints, exactly, with a proof."""
    from fxcost.ir.specs import parse_ties
    from fxcost.query.constraint_text import parse_constraint

    cost = _analyze(model, inputs, accounting, input_mode, mode, weights, activations, strict)
    given = [parse_constraint(text, cost.quantities) for text in constraints]
    solution = cost.solve(given, wrt=wanted, at=_point(cost, at), tie=parse_ties(tie))
    if as_json:
        from fxcost.report.json import compact

        print(compact(_solution(solution)))
    else:
        print(solution)
    if not solution.feasible:
        raise Infeasible(f"no {wanted} satisfies {', '.join(constraints)}")


def _solution(solution: Solution) -> dict[str, Any]:
    return {
        "wrt": solution.wrt,
        "max": solution.max,
        "min": solution.min,
        "set": [list(span) for span in solution.set],
        "method": solution.method,
        "proof": solution.proof,
        "standing": str(solution.standing),
    }


@app.command()
def fit(
    model: Model,
    target: Annotated[list[str], typer.Option("--target", help="A machine, by name or file.toml. Repeat to compare.")],
    inputs: Inputs = None,
    at: At = None,
    tie: Tie = None,
    wanted: Annotated[
        str | None, typer.Option("--for", help="The symbol whose largest size is asked; H, else S.")
    ] = None,
    dtype: Dtype = None,
    as_json: AsJson = False,
    accounting: Accounting = "eager",
    input_mode: InputMode = "freed",
    mode: Mode = "inference",
    weights: Weights = None,
    activations: Activations = None,
    strict: Strict = False,
) -> None:
    """Does it fit on a machine, with what margin, and what is the largest input that does?"""
    from fxcost.ir.specs import parse_ties
    from fxcost.report.fit import fit_json, fit_text

    cost = _analyze(model, inputs, accounting, input_mode, mode, weights, activations, strict)
    point = _point(cost, at)
    cost = _at_point(cost, point)
    answers = [cost.fit(name, point, wanted, parse_ties(tie), dtype) for name in target]
    print(fit_json(answers) if as_json else fit_text(cost.graph.name, answers, point))


@app.command()
def explain(
    model: Model,
    node: Annotated[str, typer.Argument(help="A node's name or a module's path.")],
    inputs: Inputs = None,
    accounting: Accounting = "eager",
    input_mode: InputMode = "freed",
    mode: Mode = "inference",
    weights: Weights = None,
    activations: Activations = None,
) -> None:
    """The rule, formula, bindings, convention and source line of a node."""
    from fxcost.query.explain import explain_node, find_nodes

    cost = _analyze(model, inputs, accounting, input_mode, mode, weights, activations)
    found = find_nodes(cost.graph, node)
    print("\n\n".join(str(explain_node(cost.graph, cost.facts, n)) for n in found))


@app.command()
def check(
    model: Model,
    budgets: Annotated[list[str], typer.Option("--max", help="A budget: peak_memory=320KB. Repeat for more.")],
    inputs: Inputs = None,
    at: At = None,
    accounting: Accounting = "eager",
    input_mode: InputMode = "freed",
    mode: Mode = "inference",
    weights: Weights = None,
    activations: Activations = None,
) -> None:
    """For CI: exit with 4 when a budget is exceeded, with 5 when an operator is unknown."""
    from fxcost.query.constraint_text import parse_budget

    cost = _analyze(model, inputs, accounting, input_mode, mode, weights, activations)
    point = _point(cost, at) or {}
    cost = _at_point(cost, point)
    exceeded = []
    for text in budgets:
        name, limit = parse_budget(text, cost.quantities)
        value = cost.total(name).at(point)
        if not isinstance(value, int):
            raise SpecError(f"--max {text}: {name} is a formula; give every symbol with --at")
        verdict = "ok" if value <= limit else "EXCEEDED"
        print(f"{verdict:<9}{name} = {value:,} (budget {limit:,}, {100 * value / limit if limit else 0:.1f} %)")
        exceeded += [name] * (value > limit)
    if cost.unknown_ops:
        raise UnknownOps(
            f"no cost rule for {', '.join(cost.unknown_ops)}: the totals are lower bounds, a budget proves nothing"
        )
    if exceeded:
        raise Infeasible(f"over budget: {', '.join(exceeded)}")


@app.command()
def export(
    model: Model,
    to: Annotated[str, typer.Option("--to", help="mlir or json.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    inputs: Inputs = None,
    at: At = None,
    accounting: Accounting = "eager",
    input_mode: InputMode = "freed",
    mode: Mode = "inference",
    weights: Weights = None,
    activations: Activations = None,
) -> None:
    """Write the captured graph as IR text (.mlir, read back without torch), or the report as JSON."""
    if to not in {"mlir", "json"}:
        raise SpecError(f"--to {to!r} is not one of mlir, json")
    cost = _analyze(model, inputs, accounting, input_mode, mode, weights, activations)
    if to == "mlir":
        from fxcost.ir.text import print_graph

        text = print_graph(cost.graph)
    else:
        from fxcost.report.formats import render

        text = render("json", cost.summary(_point(cost, at)))
    _write(output, text)


def _write(path: Path, text: str) -> None:
    """Write to a temporary file beside the target, then rename: never a half-written file."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=path.name, delete=False, encoding="utf-8"
        ) as file:
            file.write(text)
        Path(file.name).replace(path)
    except OSError as error:
        raise SpecError(f"cannot write {path}: {error.strerror or error}") from error


@app.command()
def targets(name: Annotated[str | None, typer.Argument(help="A machine to show whole.")] = None) -> None:
    """List the machines, or show one with every figure's source."""
    from fxcost.report.fit import target_list, target_text

    print(target_text(name) if name is not None else target_list())


@app.command()
def ops() -> None:
    """List every operator with a cost rule."""
    from fxcost.ops.registry import all_rules

    for op, rule in all_rules().items():
        print(f"{op:<52} {rule.kind:<10} {rule.family}")


@app.callback(invoke_without_command=True)
def _version(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        print(f"fxcost {installed('fxcost')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit
