"""What libFuzzer runs, by atheris: bytes become a text for one of our readers.

Any text is read or refused with one of our errors; what is read prints and reads back as the same. Everything else, a
hang and a blow-up of memory among it, stops the run. Called by `tests.fuzz.run`; options are libFuzzer's.
"""

from __future__ import annotations

import sys
from contextlib import suppress

import atheris

with atheris.instrument_imports(include=["fxcost.ir"]):
    from fxcost.errors import FxcostError, InternalError
    from fxcost.ir.mlir import condition
    from fxcost.ir.printing import python
    from fxcost.ir.reader import parse_expr, parse_predicate
    from fxcost.ir.text import print_graph
    from fxcost.ir.text_reader import parse_program

KINDS = "gec"
"""First byte of an input: g a graph, e an expression, c a condition."""


def read(kind: str, text: str) -> None:
    """Read a text and, where it reads, print it and read that."""
    if kind == "g":
        program = parse_program(text)
        for form in ("generic", "pretty"):
            printed = print_graph(program.graph, None, program.variants, form=form)
            again = parse_program(printed)  # compared as text: a NaN of other bits than Python's is not equal to itself
            assert print_graph(again.graph, None, again.variants, form=form) == printed
            assert repr(again) == repr(program)
    elif kind == "e":
        value = parse_expr(text)
        with suppress(FxcostError):  # written out, it may be longer than what a reader takes
            assert parse_expr(python(value)) is value
    else:
        predicate = parse_predicate(text)
        with suppress(FxcostError):
            assert parse_predicate(condition(predicate)) == predicate


def one_input(data: bytes) -> None:
    """One input of the fuzzer; our own errors are answers, those that speak of a bug are not."""
    if not data:
        return
    kind = KINDS[data[0] % len(KINDS)] if chr(data[0]) not in KINDS else chr(data[0])
    text = data[1:].decode("utf-8", "replace")
    try:
        read(kind, text)
    except InternalError:
        raise
    except FxcostError:
        pass


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
