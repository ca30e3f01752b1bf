"""Fourier transforms: the textbook's radix-2 count, 5*n*ceil(log2 n) real operations a complex line of n elements.

Half of that for transforms of real data. Libraries differ in constants and in how they treat other lengths than powers
of two; the order is theirs. Multiplications with twiddle factors are no multiply-accumulates.
"""

from __future__ import annotations

from fxcost.ir.expr import ONE, ZERO, Expr, const, minimum, total
from fxcost.ir.types import DType, TensorType
from fxcost.ops.names import aten
from fxcost.ops.registry import Call, OpCost, rule

LONGEST = 31
"""Lengths up to 2**31 are counted right; a dimension of a tensor is hardly ever longer."""


_COMPLEX = frozenset({DType.C32, DType.C64, DType.C128})


def ceil_log2(size: Expr) -> Expr:
    """The least k with 2**k >= size, exact: one for every power of two below the size."""
    known = size.constant
    if known is not None:
        return const(max(known - 1, 0).bit_length())
    return total(minimum(ONE, size // (2**power + 1)) for power in range(LONGEST))


def _transformed(call: Call, tensor: TensorType, plane: bool) -> list[int]:
    """Dimensions that are transformed: as stated, else the last two of a plane, the last one or all."""
    stated = call.attr("dim")
    if isinstance(stated, int) and not isinstance(stated, bool):
        return [stated % tensor.rank]
    if isinstance(stated, tuple) and stated:
        return [dim % tensor.rank for dim in stated if isinstance(dim, int)]
    name = call.op.split(".")[1]
    if name.endswith("n"):
        lengths = call.attr("s")
        count = len(lengths) if isinstance(lengths, tuple) else tensor.rank
    else:
        count = 2 if plane else 1
    return list(range(tensor.rank - count, tensor.rank))


def _cost(call: Call, tensor: TensorType, halved: bool) -> OpCost:
    dims = _transformed(call, tensor, call.op.split(".")[1].endswith("2"))
    steps = total(ceil_log2(tensor.shape[dim]) for dim in dims)
    work = tensor.numel * steps * 5
    return OpCost(other_ops=work // 2 if halved else work)


@rule(*aten("fft_fft fft_ifft fft_fft2 fft_ifft2 fft_fftn fft_ifftn _fft_c2c"))
def complex_transform(call: Call) -> OpCost:
    """Complex to complex: 5*V*sum(ceil(log2 n)), V result elements, n the length along each transformed dimension."""
    return _cost(call, call.result, halved=False)


@rule(*aten("fft_rfft fft_rfft2 fft_rfftn fft_ihfft fft_ihfft2 fft_ihfftn _fft_r2c"))
def from_real(call: Call) -> OpCost:
    """Real to half a spectrum: 5*V*sum(ceil(log2 n))//2 over V real input elements."""
    return _cost(call, call.tensor("self"), halved=True)


@rule(*aten("fft_irfft fft_irfft2 fft_irfftn fft_hfft fft_hfft2 fft_hfftn _fft_c2r"))
def to_real(call: Call) -> OpCost:
    """Half a spectrum to real: 5*V*sum(ceil(log2 n))//2 over V real result elements."""
    return _cost(call, call.result, halved=True)


@rule("aten.stft")
def short_time(call: Call) -> OpCost:
    """Per frame a transform of n_fft elements, 5*n*ceil(log2 n) (half of that for real input), and the window's n.

    Frames are the result's; the copy with padding is not part of the operator.
    """
    spectrum, length = call.result, call.ints("n_fft", 1, 1)[0]
    halved = call.tensor("self").dtype not in _COMPLEX
    rows = spectrum.shape[-2] if spectrum.dtype in _COMPLEX else spectrum.shape[-3] * 2  # real and imaginary parts
    frames = spectrum.numel // rows
    each = length * ceil_log2(length) * 5
    windowed = length if call.maybe("window") else ZERO
    return OpCost(other_ops=frames * ((each // 2 if halved else each) + windowed))


@rule("aten.istft")
def short_time_back(call: Call) -> OpCost:
    """Per frame 5*n*ceil(log2 n)//2 for the transform, the window's n, and n to add the frame to the result."""
    source, length = call.tensor("self"), call.ints("n_fft", 1, 1)[0]
    frames = source.numel // source.shape[-2]
    each = (length * ceil_log2(length) * 5) // 2
    windowed = length if call.maybe("window") else ZERO
    return OpCost(other_ops=frames * (each + windowed + length))


@rule("aten.fft_fftshift", "aten.fft_ifftshift", kind="movement")
def shift(call: Call) -> OpCost:
    """Halves change places: every element is read and written once."""
    return OpCost()
