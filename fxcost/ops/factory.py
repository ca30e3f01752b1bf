"""Tensors from nothing: they write, and read none of their operands (a `like` operand lends only its shape)."""

from __future__ import annotations

from fxcost.ir.expr import ZERO
from fxcost.ops.names import aten
from fxcost.ops.registry import Call, OpCost, rule
from fxcost.ops.touched import unread, untouched

_FILLED = (
    "arange range linspace logspace zeros zeros_like new_zeros ones ones_like new_ones full full_like new_full eye "
    "scalar_tensor tensor tril_indices triu_indices vander hann_window hamming_window blackman_window bartlett_window "
    "kaiser_window rand rand_like randn randn_like randint randint_like randperm normal_functional uniform normal "
    "exponential geometric log_normal cauchy random _efficientzerotensor fft_fftfreq fft_rfftfreq"
)


@rule(*aten(_FILLED), kind="movement")
def filled(call: Call) -> OpCost:
    """Writes every element of the result, reads nothing; making the numbers counts no operations."""
    return OpCost(reads=unread(call))


@rule("aten.bernoulli", "aten.multinomial", "aten.poisson", "aten.binomial", kind="movement")
def sampled(call: Call) -> OpCost:
    """Draws by the probabilities in its operand: reads them, writes the result; random numbers count no operations."""
    return OpCost()


@rule(
    "aten.empty",
    "aten.empty_like",
    "aten.new_empty",
    "aten.empty_strided",
    "aten.new_empty_strided",
    "aten.empty_permuted",
    kind="movement",
)
def empty(call: Call) -> OpCost:
    """Reserves memory: nothing is read or written."""
    return OpCost(reads=untouched(call).reads, writes=dict.fromkeys(range(len(call.node.results)), ZERO))
