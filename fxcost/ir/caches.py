"""What a language model keeps of its past: sizes of keys and values, layer by layer, as formulas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fxcost.ir.expr import Expr, const, minimum, symbol, total
from fxcost.ir.types import DType
from fxcost.ir.widths import Width, packed_bytes, scale_bytes

BATCH, PAST = symbol("N"), symbol("S")


@dataclass(frozen=True)
class CacheLayer:
    """Keys and values of one layer: batch x heads x length x channels each.

    Models with a compressed cache (multi-head latent attention) keep the latent as keys and the rotary part as values.
    With a `window` a query sees that many keys, its own among them; one less of the past is kept.
    """

    key_heads: int
    key_channels: int
    value_heads: int
    value_channels: int
    dtype: DType
    window: int | None = None

    @property
    def row(self) -> int:
        """Elements that one token leaves behind."""
        return self.key_heads * self.key_channels + self.value_heads * self.value_channels

    @property
    def length(self) -> Expr:
        """Tokens kept once S tokens are past: min(S, window - 1), or all of them."""
        return PAST if self.window is None else minimum(PAST, self.window - 1)

    def nbytes(self, kept: Width | None = None) -> Expr:
        """Bytes for N sequences with S tokens behind them, stored as asked (None: as the model stores them).

        Every head's row of keys or values is packed for itself, with its own scales.
        """
        heads = ((self.key_heads, self.key_channels), (self.value_heads, self.value_channels))
        rows = [count * _row_bytes(const(channels), kept, self.dtype) for count, channels in heads]
        return BATCH * self.length * total(rows)


def _row_bytes(channels: Expr, kept: Width | None, dtype: DType) -> Expr:
    if kept is None:
        return channels * dtype.bytes
    return packed_bytes(channels, kept.bits) + scale_bytes(channels, kept)


def cache_bytes(layers: Iterable[CacheLayer], kept: Width | None = None) -> Expr:
    """Bytes of the whole cache: 2*L*N*Hkv*D*S elements where all layers are alike and keep everything."""
    return total(layer.nbytes(kept) for layer in layers)
