"""The application: running it, what it prints, how it fails."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from fxcost.errors import FxcostError, OutsideDomain, SpecError

_COUNTED = re.compile(r"([0-9][0-9,]*) of ([0-9][0-9,]*)")

app = typer.Typer(
    name="fxcost",
    help="What a PyTorch model costs, as exact formulas in its sizes.",
    epilog="Exit codes: 0 ok, 1 internal error, 2 wrong usage or an unreadable file, 3 the model cannot be captured, "
    "4 over budget or infeasible, 5 operators without a cost rule under --strict or check.",
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def main() -> NoReturn:
    """Run the command line; errors become one message and the exit code of their class."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal's encoding lacks is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="fxcost")
    except OutsideDomain as error:
        complain(f"{error.outside}; choose other sizes" if error.advice else str(error))
        sys.exit(error.exit_code)
    except FxcostError as error:
        complain(str(error))
        sys.exit(error.exit_code)
    except MemoryError:
        complain("out of memory")
        sys.exit(1)
    except Exception as error:  # a bug of ours: say so in a line, with a way to see more
        if os.environ.get("FXCOST_DEBUG"):
            raise
        complain(
            f"internal error, please report it: {type(error).__name__}: {error} (set FXCOST_DEBUG=1 for the traceback)"
        )
        sys.exit(1)
    sys.exit(0)


def complain(message: str) -> None:
    """One line on stderr."""
    from fxcost.report.characters import printable

    print(f"fxcost: {printable(message)}", file=sys.stderr)


def say(text: str) -> None:
    """Print a result; leave quietly where its reader went away (`fxcost ops | head`)."""
    with reader_may_leave():
        print(text, flush=True)


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Around what writes to standard output."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """What is being done and for how long, on stderr, only on a terminal. The model's own prints go to stderr, too.

    A line that says `3 of 10` gets a bar.
    """
    with redirect_stdout(sys.stderr):
        if not sys.stderr.isatty():
            yield lambda _: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        from fxcost.report.characters import printable

        spinner, elapsed = SpinnerColumn(), TimeElapsedColumn()
        what, bar = TextColumn("{task.description}", markup=False), BarColumn(bar_width=20)
        with Progress(spinner, what, elapsed, console=Console(file=sys.stderr), transient=True) as shown:
            task = shown.add_task("starting", total=None)

            def show(text: str) -> None:
                counted = _COUNTED.search(text)
                done, total = (int(number.replace(",", "")) for number in counted.groups()) if counted else (0, None)
                shown.columns = (spinner, what, bar, elapsed) if counted else (spinner, what, elapsed)
                shown.update(task, description=printable(text), completed=done, total=total)

            yield show


def command_line() -> str:
    """What was typed, as a shell would take it."""
    return shlex.join(["fxcost", *sys.argv[1:]])


def check_writable(path: Path) -> None:
    """Refuse a place that no file can be written to, before work is done for it."""
    if path.is_dir() or not path.parent.is_dir():
        problem = "it is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise SpecError(f"cannot write {path}: {problem}")


def write(path: Path, text: str) -> None:
    """Write text to a file: never a half-written one, and none left behind."""
    from fxcost.report.files import whole

    with whole(path) as beside:
        beside.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")


@app.callback(invoke_without_command=True)
def _version(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        say(f"fxcost {installed('fxcost')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        say(context.get_help())
        raise typer.Exit
