"""A maximum of terms along one symbol: which term rules for which sizes, and where the next one takes over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from fxcost.ir.expr import Expr, common_factor, exact_quotient, substitute
from fxcost.ir.predicate import Predicate, replace_symbols
from fxcost.ir.prove import replaced, sign_of_factor
from fxcost.ir.symbols import SymbolInfo
from fxcost.query.growth import Growth, Line, Mask
from fxcost.query.shown import Shown
from fxcost.query.spans import Span, contains, spans_text

MOST_TERMS = 64
"""A formula of more alternatives is left as it is."""


@dataclass(frozen=True)
class Piece:
    """A term that is the largest for the sizes in `where`, closed intervals of the symbol."""

    term: Expr
    where: tuple[Span, ...]


@dataclass(frozen=True)
class Pieces(Shown):
    """A formula along one symbol, term by term, in the order of sizes; dominated terms are gone.

    `open` are sizes beyond the limit of what was looked at, for which no single term is proven to rule. `boundaries` say
    at which size which comparison turns.
    """

    wrt: str
    pieces: tuple[Piece, ...]
    open: tuple[Span, ...]
    boundaries: tuple[tuple[int, str], ...]

    def at(self, size: int) -> Expr | None:
        """The ruling term at a size, None outside of what is known."""
        for piece in self.pieces:
            if any(contains(span, size) for span in piece.where):
                return piece.term
        return None

    def __str__(self) -> str:
        lines = [f"{spans_text(self.wrt, piece.where)}: {piece.term}" for piece in self.pieces]
        lines += [f"{spans_text(self.wrt, self.open)}: no single term is proven to rule"] * bool(self.open)
        return "\n".join(lines) or f"no {self.wrt} lies in the domain"


def alternatives(value: Expr) -> tuple[Expr, ...]:
    """Terms whose largest is the value: maxima at its top are taken apart where the rest grows with them."""
    found = [value]
    done: list[Expr] = []
    while found and len(found) + len(done) <= MOST_TERMS:
        current = found.pop(0)
        atom = next((a for a in current.atoms() if a.kind == "max" and sign_of_factor(current, a, {}) == 1), None)
        if atom is None:
            done.append(current)
        else:
            found += [replaced(current, atom, part) for part in atom.args]
    return tuple(dict.fromkeys(done + found))


def pieces_along(
    value: Expr,
    info: SymbolInfo,
    fixed: Mapping[str, Expr | int],
    domain: tuple[Predicate, ...] = (),
) -> Pieces:
    """Which term of a formula rules for which size of a symbol; `fixed` says what the other symbols are."""
    terms = alternatives(substitute(value, fixed))
    line = Line.of(info, terms)
    inside = line.mask(True, True)
    for guard in domain:
        inside &= line.where(replace_symbols(guard, fixed))
    growth = Growth(line, terms)
    ruling = growth.rulers(inside)
    pieces = [Piece(terms[i], line.intervals(where)) for i, where in ruling.items()]
    pieces.sort(key=lambda piece: piece.where[0][0])
    covered = line.mask(False, False)
    for where in ruling.values():
        covered |= where
    left: Mask = inside & ~covered
    return Pieces(info.name, tuple(pieces), line.intervals(left), tuple(_boundaries(pieces)))


def _boundaries(pieces: list[Piece]) -> list[tuple[int, str]]:
    """Where each interval begins: the new term against the one before, without their common factor."""
    starts = sorted(((low, piece.term) for piece in pieces for low, _ in piece.where), key=lambda pair: pair[0])
    found = []
    for (_, before), (low, term) in pairwise(starts):
        factor = common_factor([before, term])
        left, right = (exact_quotient(each, factor) or each for each in (term, before))
        found.append((low, f"{left} >= {right}"))
    return found
