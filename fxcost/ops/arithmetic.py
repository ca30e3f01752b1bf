"""The one table of `other_ops`: what an elementary operation counts as, per result element.

Arithmetic, comparisons and selections count 1, a square root too (one instruction each). Hard activations count 3.
A transcendental function counts as the usual single-precision exponential::

    n = round(x * log2(e))               2
    r = x - n * ln(2)                    2
    p = polynomial of degree 5 in r     10   (Horner: five multiplications, five additions)
    p * 2**n                             1
                                        --
                                        15

and every other one (log, sin, erf, tanh ...) the same, whatever a library does. Composite activations are that plus
their visible arithmetic: sigmoid is 1 / (1 + exp(-x)), so 15 + 3. Casts, copies and random numbers count 0.
"""

from __future__ import annotations

from typing import Final

from fxcost.ops.registry import Call, OpCost

ADD: Final = 1
MULTIPLY: Final = 1
DIVIDE: Final = 1
COMPARE: Final = 1
ROOT: Final = 1
HARD: Final = 3
TRANSCENDENTAL: Final = 15

SIGMOID: Final = TRANSCENDENTAL + 3
"""1 / (1 + exp(-x)): negate, add, divide."""
TANH: Final = TRANSCENDENTAL
ERF_GELU: Final = TRANSCENDENTAL + 4
"""0.5 * x * (1 + erf(x * c)): three multiplications, one addition."""
TANH_GELU: Final = TRANSCENDENTAL + 8
"""0.5 * x * (1 + tanh(a * (x + b * x * x * x))): six multiplications, two additions."""
SOFTPLUS: Final = 2 * TRANSCENDENTAL + ADD
"""log(1 + exp(x))."""

SOFTMAX: Final = TRANSCENDENTAL + 4
"""Per element: maximum, subtract, exp, sum, divide; log_softmax has a subtraction in the division's place."""
LOGSUMEXP: Final = TRANSCENDENTAL + 3
"""Per element: maximum, subtract, exp, sum."""
MEAN_AND_VARIANCE: Final = 4
"""Per element: one addition for the mean; subtract, multiply, add for the variance."""
NORMALISE: Final = 2
"""Per element: subtract the mean, multiply by the reciprocal deviation."""
AFFINE: Final = 2
"""Per element: multiply by the weight, add the bias."""


def per_result(call: Call, operations: int) -> OpCost:
    """`operations` for every element of the first result."""
    return OpCost(other_ops=call.result.numel * operations)
