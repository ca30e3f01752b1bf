"""The command line: arguments in, report out. No logic lives here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from fxcost.errors import CaptureError, FxcostError, Infeasible, OutsideDomain, SpecError, UnknownOps

if TYPE_CHECKING:
    from fxcost.cost import Cost
    from fxcost.query.quantity import Quantity
    from fxcost.target import Target

app = typer.Typer(
    name="fxcost",
    help="What a PyTorch model costs, as exact formulas in its sizes.",
    epilog="Exit codes: 0 ok, 1 internal error, 2 wrong usage or an unreadable file, 3 the model cannot be captured, "
    "4 over budget or infeasible, 5 operators without a cost rule under --strict or check.",
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="torchvision:NAME, timm:NAME, hf:CLASS_OR_DIR, package.module:factory, file.py:factory, file.pt2 or "
        "file.mlir. Loading a factory runs its code.",
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        "-i",
        metavar="SPEC",
        help="An input: 'N,3,H,W' is float32, 'i64[N,S]' says otherwise, 'mask=i64[N,S+1]' goes in by name, "
        "'[(f32[N,S,8],f32[N,S,8])*2]' is nested. A name is a free size: H=32..4096 bounds it, H=32*h makes it a "
        "multiple, H@224 is the size to trace with. Repeat for more inputs.",
    ),
]
At = Annotated[str | None, typer.Option("--at", metavar="SIZES", help="Sizes for numbers: N=1,H=224,W=224.")]
Tie = Annotated[str | None, typer.Option("--tie", metavar="SIZES", help="Symbols that follow another: W=H,T=2*S.")]
Accounting = Annotated[
    str, typer.Option("--accounting", metavar="NAME", help="What the runtime folds: eager, inplace or fused.")
]
InputMode = Annotated[
    str, typer.Option("--inputs", metavar="NAME", help="Graph inputs in memory: freed, held or excluded.")
]
Mode = Annotated[str, typer.Option("--mode", metavar="NAME", help="What is analysed: inference.")]
Weights = Annotated[
    list[str] | None,
    typer.Option("--weights", metavar="WIDTH", help="Width of weights: int8, or PATTERN=int4. Repeat for more."),
]
Activations = Annotated[
    str | None, typer.Option("--activations", metavar="WIDTH", help="Width of floating activations: int8, fp16 ...")
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 5 when an operator has no cost rule.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]
Targets = Annotated[
    list[str] | None,
    typer.Option("--target", metavar="NAME|FILE.toml", help="A machine, see `fxcost targets`. Repeat to compare."),
]
Dtype = Annotated[
    str | None, typer.Option("--dtype", metavar="NAME", help="Type to compute in on the target: bf16, fp16, int8 ...")
]


# -- running -------------------------------------------------------------------------------------------------------
def main() -> NoReturn:
    """Run the command line; errors become one message and the exit code of their class."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal's encoding lacks is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="fxcost")
    except FxcostError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
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
    from fxcost.report.characters import printable

    print(f"fxcost: {printable(message)}", file=sys.stderr)


def _say(text: str) -> None:
    """Print a result; leave quietly where its reader went away (`fxcost ops | head`)."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A spinner on stderr, only on a terminal. What the model's own code prints goes to stderr, too."""
    with redirect_stdout(sys.stderr):
        if not sys.stderr.isatty():
            yield lambda _: None
            return
        from rich.console import Console

        with Console(file=sys.stderr, markup=False).status("starting") as status:
            yield lambda text: status.update(text)


def _analyze(
    model: str,
    inputs: list[str] | None,
    at: str | None,
    accounting: str,
    input_mode: str,
    mode: str,
    weights: list[str] | None,
    activations: str | None,
    strict: bool = False,
) -> tuple[Cost, dict[str, int] | None]:
    """The model's cost and the point of `--at`, at which its formulas hold."""
    from fxcost.api import analyze
    from fxcost.ir.specs import parse_point, split_named

    point = parse_point(at) if at is not None else None
    positional, named = split_named(inputs or [])
    hints = tuple(f"{name}@{size}" for name, size in (point or {}).items() if size > 1)
    with _progress() as progress:

        def attempt(specs: tuple[str, ...]) -> Cost:
            return analyze(
                model,
                specs,
                kwargs=named or None,
                accounting=accounting,
                inputs=input_mode,
                mode=mode,
                weights=_weights(weights),
                activations=activations,
                strict=strict,
                progress=progress,
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
            found = _at_point(cost, model, point)
        except KeyboardInterrupt:
            _complain("interrupted")
            raise typer.Exit(130) from None
        except SystemExit as error:
            raise CaptureError(f"{model}: its code called sys.exit({error.code!r}) while it ran") from error
    if inputs and model.endswith(".mlir"):
        _complain(f"{model} says what its inputs are; -i is left out")
    for warning in found[0].warnings:
        _complain(warning)
    return found


def _weights(texts: list[str] | None) -> dict[str, str] | None:
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
        outside = str(error).partition("; call with")[0]
    if cost.origin.again is None or model.endswith(".pt2"):
        raise OutsideDomain(f"{outside}; the file holds nothing else: analyse the model itself there")
    _complain(f"{outside}; capturing the model anew at {', '.join(f'{name}={size}' for name, size in at.items())}")
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


def _choice(option: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise SpecError(f"{option} {value!r} is not one of {', '.join(known)}")


def _known(names: Iterable[str]) -> None:
    """Refuse a wrong name before the model is captured, which takes its time."""
    from fxcost.errors import UnknownName, nearest
    from fxcost.passes.totals import UNITS

    for name in names:
        if name not in {*UNITS, "arithmetic_intensity"}:
            raise UnknownName(f"there is no quantity {name!r}{nearest(name, UNITS)}")


def _blank() -> dict[str, Quantity]:
    """Quantities without formulas, against which a constraint's text is checked before the model is captured."""
    from fxcost.ir.expr import ZERO
    from fxcost.passes.totals import UNITS
    from fxcost.query.quantity import Quantity

    return {name: Quantity(name, unit, ZERO) for name, unit in UNITS.items()}


def _machines(names: list[str] | None, dtype: str | None) -> list[Target]:
    from fxcost.target import load_target

    if dtype is not None and not names:
        raise SpecError(f"--dtype {dtype} is the type to compute in on a machine; name one with --target")
    return [load_target(name) for name in names or []]


# -- commands ------------------------------------------------------------------------------------------------------
@app.command(
    epilog="For example: fxcost report torchvision:resnet50 -i N,3,H,W --at N=1,H=224,W=224 --target h100-sxm",
)
def report(
    model: Model,
    inputs: Inputs = None,
    at: At = None,
    target: Targets = None,
    dtype: Dtype = None,
    depth: Annotated[
        int | None,
        typer.Option("--depth", metavar="LEVELS", min=0, help="Levels of modules; by default what fits 24 lines."),
    ] = None,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Breakdown by node, module or op.")] = "module",
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
    """Totals, formulas, costliest modules, what owns the peak."""
    _choice("--by", by, ("node", "module", "op"))
    if as_json + as_csv + as_markdown > 1:
        raise SpecError("choose one of --json, --csv and --markdown")
    machines = _machines(target, dtype)
    cost, point = _analyze(model, inputs, at, accounting, input_mode, mode, weights, activations)
    from fxcost.query.breakdown import readable_depth

    summary = cost.summary(point, machines, dtype, readable_depth(cost.modules) if depth is None else depth, by)
    name = "json" if as_json else "csv" if as_csv else "markdown" if as_markdown else "text"
    if name == "text":
        from fxcost.report.terminal import for_output
        from fxcost.report.text import layout

        _say(for_output(layout(summary)))
    else:
        from fxcost.report.characters import printable
        from fxcost.report.formats import render

        _say(printable(render(name, summary).rstrip("\n")))
    if strict:
        cost.check_strict()


@app.command(epilog="For example: fxcost query torchvision:resnet50 macs peak_memory -i N,3,H,W --latex")
def query(
    model: Model,
    metrics: Annotated[list[str], typer.Argument(metavar="METRIC", help="Quantities: macs, params, peak_memory ...")],
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
    """Single quantities, as formulas or numbers."""
    from fxcost.report.query import query_json, query_text

    _known(metrics)
    cost, point = _analyze(model, inputs, at, accounting, input_mode, mode, weights, activations, strict)
    show = query_json if as_json else query_text
    _say(show(cost.quantities, metrics, point, latex=latex))


@app.command(
    epilog="For example: fxcost solve torchvision:mobilenet_v2 'peak_memory <= 320KB' -i N,3,H,W --for H --at N=1 "
    "--tie W=H --activations int8",
)
def solve(
    model: Model,
    constraints: Annotated[
        list[str],
        typer.Argument(metavar="CONSTRAINT", help="'peak_memory <= 320KB', 'macs < 300M'; all must hold."),
    ],
    wanted: Annotated[str, typer.Option("--for", metavar="SYMBOL", help="The symbol to solve for.")],
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
    """All sizes that satisfy constraints, exactly, with a proof."""
    from fxcost.ir.specs import parse_ties
    from fxcost.query.constraint_text import parse_constraint
    from fxcost.report.json import compact
    from fxcost.report.solve import solution_data, solution_text

    ties, blank = parse_ties(tie), _blank()
    for text in constraints:
        parse_constraint(text, blank)
    cost, point = _analyze(model, inputs, at, accounting, input_mode, mode, weights, activations, strict)
    _free(cost, wanted)
    given = [parse_constraint(text, cost.quantities) for text in constraints]
    solution = cost.solve(given, wrt=wanted, at=point, tie=ties)
    _say(compact(solution_data(solution)) if as_json else solution_text(solution))
    if not solution.feasible:
        raise Infeasible(f"no {wanted} satisfies {', '.join(constraints)}")


def _free(cost: Cost, wanted: str | None) -> None:
    if wanted in cost.fixed_dims:
        raise SpecError(f"cannot solve for {wanted}: {cost.fixed_dims[wanted]}")


@app.command(epilog="For example: fxcost fit torchvision:mobilenet_v2 -i N,3,H,W --target stm32h743 --activations int8")
def fit(
    model: Model,
    target: Annotated[
        list[str],
        typer.Option("--target", metavar="NAME|FILE.toml", help="A machine, see `fxcost targets`. Repeat to compare."),
    ],
    inputs: Inputs = None,
    at: At = None,
    tie: Tie = None,
    wanted: Annotated[
        str | None,
        typer.Option(
            "--for", metavar="SYMBOL", help="The symbol whose largest size is asked: H if there is one, or S."
        ),
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
    """Does it fit a machine, and what is the largest input?"""
    from fxcost.ir.specs import parse_ties
    from fxcost.report.fit import fit_json, fit_text

    ties, machines = parse_ties(tie), _machines(target, dtype)
    cost, point = _analyze(model, inputs, at, accounting, input_mode, mode, weights, activations, strict)
    _free(cost, wanted)
    answers = [cost.fit(machine, point, wanted, ties, dtype) for machine in machines]
    _say(fit_json(answers) if as_json else fit_text(cost.graph.name, answers, point))


@app.command(epilog="For example: fxcost explain torchvision:resnet50 -i N,3,H,W layer1.0.conv1")
def explain(
    model: Model,
    node: Annotated[str, typer.Argument(metavar="NODE", help="A node's name or a module's path.")],
    inputs: Inputs = None,
    accounting: Accounting = "eager",
    input_mode: InputMode = "freed",
    mode: Mode = "inference",
    weights: Weights = None,
    activations: Activations = None,
) -> None:
    """How a node is counted: rule, formula, source line."""
    from fxcost.query.explain import explain_node, find_nodes
    from fxcost.report.characters import printable

    cost, _ = _analyze(model, inputs, None, accounting, input_mode, mode, weights, activations)
    found = find_nodes(cost.graph, node)
    _say(printable("\n\n".join(str(explain_node(cost.graph, cost.facts, n)) for n in found)))


@app.command(
    epilog="For example: fxcost schedule torchvision:googlenet -i N,3,H,W --at N=1,H=224,W=224",
)
def schedule(
    model: Model,
    inputs: Inputs = None,
    at: At = None,
    time_limit: Annotated[
        float, typer.Option("--time-limit", metavar="SECONDS", min=0.0, help="Stop with the best order so far.")
    ] = 60.0,
    as_json: AsJson = False,
    accounting: Accounting = "eager",
    input_mode: InputMode = "freed",
    mode: Mode = "inference",
    weights: Weights = None,
    activations: Activations = None,
) -> None:
    """The execution order that needs least memory, with a proof."""
    from fxcost.report.schedule import schedule_json, schedule_text

    cost, point = _analyze(model, inputs, at, accounting, input_mode, mode, weights, activations)
    found = cost.schedule(point, time_limit)
    graph = cost.at_point(point or {}).graph
    _say(schedule_json(graph, found) if as_json else schedule_text(graph, found))


@app.command(
    epilog="For example: fxcost check torchvision:resnet18 -i N,3,H,W --at N=1,H=224,W=224 --max macs=2G "
    "--max peak_memory=8MB",
)
def check(
    model: Model,
    budgets: Annotated[
        list[str],
        typer.Option("--max", metavar="METRIC=AMOUNT", help="A budget: peak_memory=320KB. Repeat for more."),
    ],
    inputs: Inputs = None,
    at: At = None,
    accounting: Accounting = "eager",
    input_mode: InputMode = "freed",
    mode: Mode = "inference",
    weights: Weights = None,
    activations: Activations = None,
) -> None:
    """For CI: exit with 4 when a budget is exceeded."""
    from fxcost.query.constraint_text import parse_budget
    from fxcost.report.query import value_at

    blank = _blank()
    limits = [parse_budget(text, blank) for text in budgets]
    cost, point = _analyze(model, inputs, at, accounting, input_mode, mode, weights, activations)
    exceeded = []
    for name, limit in limits:
        quantity = cost.total(name)
        value = value_at(quantity, point)
        if not isinstance(value, int):
            raise SpecError(f"{name} is a formula in {', '.join(sorted(value.value.symbols))}; give sizes with --at")
        verdict = "ok" if value <= limit else "EXCEEDED"
        share = f"{100 * value / limit:.1f} % of" if limit else "against"
        _say(f"{verdict:<9}{name} = {value:,} {quantity.unit}, {share} the budget of {limit:,}")
        exceeded += [name] * (value > limit)
    if cost.unknown_ops:
        raise UnknownOps(
            f"no cost rule for {', '.join(cost.unknown_ops)}: the totals are lower bounds, a budget proves nothing"
        )
    if exceeded:
        raise Infeasible(f"over budget: {', '.join(exceeded)}")


@app.command(epilog="For example: fxcost export torchvision:resnet50 -i N,3,H,W --to mlir -o resnet50.mlir")
def export(
    model: Model,
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="mlir or json.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")],
    inputs: Inputs = None,
    at: At = None,
    accounting: Accounting = "eager",
    input_mode: InputMode = "freed",
    mode: Mode = "inference",
    weights: Weights = None,
    activations: Activations = None,
) -> None:
    """Write the graph as IR text, or the report as JSON."""
    _choice("--to", to, ("mlir", "json"))
    if output.is_dir() or not output.parent.is_dir():
        problem = "it is a folder" if output.is_dir() else f"there is no folder {output.parent}"
        raise SpecError(f"cannot write {output}: {problem}")
    cost, point = _analyze(model, inputs, at, accounting, input_mode, mode, weights, activations)
    if to == "mlir":
        from fxcost.ir.text import print_graph

        text = print_graph(cost.graph)
    else:
        from fxcost.report.formats import render

        text = render("json", cost.summary(point))
    _write(output, text)


def _write(path: Path, text: str) -> None:
    """Write to a file beside the target, then rename: never a half-written file, and none left behind."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            beside.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise SpecError(f"cannot write {path}: {error.strerror or error}") from error


@app.command()
def targets(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE.toml]", help="A machine to show with every figure's source.")
    ] = None,
) -> None:
    """List the machines, or show one with its sources."""
    from fxcost.report.fit import target_list, target_text

    _say(target_text(name) if name is not None else target_list())


@app.command()
def ops() -> None:
    """List every operator with a cost rule."""
    from fxcost.ops.registry import all_rules

    _say("\n".join(f"{op:<52} {rule.kind:<10} {rule.family}" for op, rule in all_rules().items()))


@app.callback(invoke_without_command=True)
def _version(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        _say(f"fxcost {installed('fxcost')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        _say(context.get_help())
        raise typer.Exit
