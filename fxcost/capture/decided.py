"""Questions about sizes that only the data decide, asked while a model is traced: answered once, and written down.

"Are there more than a thousand boxes left?" has no answer in a trace, and torch gives up there. Here it is answered as for
a nominal number of everything that data select, and what was answered becomes part of the domain: elsewhere the model
may go another way, so the formulas do not hold there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode, ShapeEnv, uninteresting_files

NOMINAL = 16
"""How many of everything that only the data decide: few, as of found objects, but neither none nor one."""


@contextmanager
def decisions() -> Iterator[list[Any]]:
    """Answer such questions inside, and collect the answers as sympy relations that hold.

    Torch notes where a question comes from; this file, through which all of them pass, is no answer to that.
    """
    found: list[Any] = []
    ask = ShapeEnv.evaluate_expr

    def evaluate_expr(self: ShapeEnv, orig_expr: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return ask(self, orig_expr, *args, **kwargs)
        except GuardOnDataDependentSymNode:
            answer = _nominally(self, orig_expr)
            if answer is None:
                raise
            held = orig_expr if answer else ~orig_expr
            if held not in found:
                found.append(held)
            return answer

    uninteresting_files().add(__file__)
    setattr(ShapeEnv, "evaluate_expr", evaluate_expr)  # noqa: B010 - a method that callers look up on the class
    try:
        yield found
    finally:
        setattr(ShapeEnv, "evaluate_expr", ask)  # noqa: B010


def _nominally(environment: Any, question: Any) -> Any:
    """The answer at the sizes of the trace and with a nominal number for each that data decide; None without one.

    Where a number is wanted, none is as good as another; nor is there a nominal value of what is no size.
    """
    sizes = environment.backed_var_to_val
    if not question.free_symbols <= sizes.keys() | environment.size_like:
        return None
    answer = question.subs({each: sizes.get(each, NOMINAL) for each in question.free_symbols})
    return answer if answer.is_Boolean else None
