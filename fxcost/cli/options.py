"""The options that several commands take, written once.

`@takes_model` gives a command those of every MODEL, in front of and behind its own, and hands it what was asked for as
one `Asked`. Where commands differ in what an option is for, a function makes it: `Annotated[Path | None, plot_to("...")]`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

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
Mode = Annotated[str, typer.Option("--mode", metavar="NAME", help="What is analysed: inference or training.")]
Weights = Annotated[
    list[str] | None,
    typer.Option("--weights", metavar="WIDTH", help="Width of weights: int8, or PATTERN=int4. Repeat for more."),
]
Activations = Annotated[
    str | None, typer.Option("--activations", metavar="WIDTH", help="Width of floating activations: int8, fp16 ...")
]
Cache = Annotated[
    bool | None,
    typer.Option(
        "--cache/--no-cache", show_default=False, help="Keep the captured graph, or recall it; see `fxcost cache`."
    ),
]
Train = Annotated[
    list[str] | None,
    typer.Option(
        "--train", metavar="PATTERN", help="Train biases, last, or parameters named like 'layer4.*' alone. Repeatable."
    ),
]
Optimizer = Annotated[
    str | None, typer.Option("--optimizer", metavar="NAME", help="Training: state of sgd, momentum or adam.")
]
Precision = Annotated[str | None, typer.Option("--precision", metavar="NAME", help="Training: in fp32, bf16 or mixed.")]
Rule = Annotated[str | None, typer.Option("--rule", metavar="NAME", help="Training: what is kept, autograd or tinytl.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 5 when an operator has no cost rule.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]
_TARGET = typer.Option("--target", metavar="NAME|FILE.toml", help="A machine, see `fxcost targets`. Repeat to compare.")
Targets = Annotated[list[str] | None, _TARGET]
NeededTargets = Annotated[list[str], _TARGET]
Dtype = Annotated[
    str | None, typer.Option("--dtype", metavar="NAME", help="Type to compute in on the target: bf16, fp16, int8 ...")
]
TimeLimit = Annotated[
    float, typer.Option("--time-limit", metavar="SECONDS", min=0.0, help="Stop with the best found so far.")
]
Alignment = Annotated[
    int, typer.Option("--alignment", metavar="BYTES", min=1, help="Offsets in memory are multiples of this.")
]


def one_target(what: str) -> Any:
    """The option for a single machine."""
    return typer.Option("--target", metavar="NAME|FILE.toml", help=what)


def plot_to(what: str, part: str = "") -> Any:
    """The option for a picture, `--plot` or `--plot-PART`; `what` says what it shows."""
    return typer.Option("--plot" + (f"-{part}" if part else ""), metavar="FILE.png|svg", help=what)


def page_to(what: str) -> Any:
    """The option for a page."""
    return typer.Option("--html", metavar="FILE", help=what)


def output_to(file: str, what: str) -> Any:
    """The option for a file of this kind."""
    return typer.Option("--output", "-o", metavar=file, help=what)


def wanted_symbol(what: str) -> Any:
    """The option for the symbol that a question is about."""
    return typer.Option("--for", metavar="SYMBOL", help=what)


@dataclass(frozen=True)
class Asked:
    """The model and how it is to be analysed."""

    model: str
    inputs: list[str] | None = None
    at: str | None = None
    accounting: str = "eager"
    input_mode: str = "freed"
    mode: str = "inference"
    weights: list[str] | None = None
    activations: str | None = None
    train: list[str] | None = None
    optimizer: str | None = None
    precision: str | None = None
    rule: str | None = None
    cache: bool | None = None


_FIRST: dict[str, Any] = {"inputs": Inputs, "at": At}
_LAST: dict[str, Any] = {
    "accounting": Accounting,
    "input_mode": InputMode,
    "mode": Mode,
    "weights": Weights,
    "activations": Activations,
    "train": Train,
    "optimizer": Optimizer,
    "precision": Precision,
    "rule": Rule,
    "cache": Cache,
}


def takes_model(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command `(asked, *, own options)` take MODEL, its own arguments, and the options of all such commands.

    A parameter without a default is an argument, or an option that must be given; `strict` comes last.
    """
    signature = inspect.signature(command, eval_str=True)
    own = [parameter.replace(kind=parameter.KEYWORD_ONLY) for parameter in list(signature.parameters.values())[1:]]
    strict = [parameter for parameter in own if parameter.name == "strict"]
    needed = [parameter for parameter in own if parameter.default is parameter.empty]
    others = [parameter for parameter in own if parameter not in (*strict, *needed)]

    def common(options: dict[str, Any]) -> list[inspect.Parameter]:
        return [_parameter(name, kind, default=getattr(Asked, name)) for name, kind in options.items()]

    given = [_parameter("model", Model), *needed, *common(_FIRST), *others, *common(_LAST), *strict]
    names = {"model", *_FIRST, *_LAST}

    def run(**values: Any) -> None:
        asked = Asked(**{name: values.pop(name) for name in names})
        command(asked, **values)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature(given)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in given}
    return run


def _parameter(name: str, kind: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
