"""Reads expressions and predicates from text: Python integer syntax, nothing else, safe against hostile text.

Grammar, with Python's precedence (from weak to strong)::

    predicate ::= conjunct ("or" conjunct)*
    conjunct  ::= compare ("and" compare)*
    compare   ::= sum (("==" | "!=" | "<" | "<=" | ">" | ">=") sum)?       no chains
    sum       ::= product (("+" | "-") product)*
    product   ::= unary (("*" | "//" | "%") unary)*
    unary     ::= ("-" | "+") unary | power
    power     ::= primary ("**" unary)?
    primary   ::= integer | name | "(" predicate ")" | function "(" (predicate ("," predicate)*)? ")"
    function  ::= "max" | "min" | "ceildiv"         of numbers
                | "all" | "any"                     of predicates: `and` and `or` of any length, none included

The reader keeps explicit stacks and never recurses, so no text can exhaust Python's; the limits below bound time and
memory. Nothing is ever evaluated: text becomes expressions through the constructors of `fxcost.ir.expr` alone.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass, field
from typing import Final, Never

from fxcost.errors import FileError, ModelError, SpecError
from fxcost.ir.expr import Expr, ceildiv, const, floordiv, maximum, minimum, mod, symbol, total
from fxcost.ir.limits import MAX_DIGITS, MAX_EXPONENT, MAX_NESTING, depth, nesting, oversized
from fxcost.ir.predicate import AllOf, AnyOf, Compare, Predicate

MAX_LENGTH: Final = 4_000_000
"""Characters in one expression."""
MAX_BRACKETS: Final = 200
"""Brackets open at once."""
MAX_WORK: Final = 1_000_000
"""Elementary steps (terms multiplied, arguments of maxima compared) that texts may cost, beside 5 per character."""

Item = Expr | AllOf | AnyOf | Compare

_NAME_PATTERN = r"[^\W\d]\w*"
_TOKEN = re.compile(
    rf"[ \t\r\n]*+(?:([0-9]++)|(?!(?:and|or)\b)({_NAME_PATTERN})[ \t\r\n]*+\(|({_NAME_PATTERN})"
    r"|(\*\*|//|[=!<>]=|[-+*%<>(),])|(\Z)|(.))",
    re.DOTALL,
)
_INTEGER, _CALL, _NAME, _SIGN, _END, _OTHER = range(1, 7)
_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})
_FUNCTIONS = frozenset({"max", "min", "ceildiv", "all", "any"})
_OPERAND = "a number, a symbol, '(', max(...) or min(...)"


class Malformed(Exception):
    """What is wrong with a text, and at which character (from 0); the caller adds the place and the kind of error."""

    def __init__(self, position: int, message: str) -> None:
        super().__init__(message)
        self.position = position


def parse_expr(text: str, where: str = "expression", error: type[FileError | SpecError] = SpecError) -> Expr:
    """Read an integer expression; raises `error` saying where, at which character, what was found and expected."""
    try:
        return Reader(len(text)).expression(text)
    except Malformed as problem:
        raise error(_message(text, where, problem)) from None


def parse_predicate(text: str, where: str = "condition", error: type[FileError | SpecError] = SpecError) -> Predicate:
    """Read a comparison, or comparisons joined by `and` and `or`; raises as `parse_expr` does."""
    try:
        return Reader(len(text)).predicate(text)
    except Malformed as problem:
        raise error(_message(text, where, problem)) from None


def _message(text: str, where: str, problem: Malformed) -> str:
    shown = f" of {text!r}" if len(text) <= 80 else ""
    return f"{where}: {problem} (character {problem.position + 1}{shown})"


class Reader:
    """Reads any number of texts under one budget of work; a text that was read before costs nothing."""

    def __init__(self, characters: int) -> None:
        """Make a reader for texts of about `characters` in all."""
        self._work = MAX_WORK + 5 * characters
        self._done: dict[tuple[str, bool], tuple[Item, ...]] = {}
        self._nesting: dict[Expr, int] = {}

    def expression(self, text: str) -> Expr:
        """Read `2*N + H//2`."""
        (item,) = self._read(text)
        return item if isinstance(item, Expr) else _refuse(0, "found a comparison, expected a number")

    def expressions(self, text: str) -> tuple[Expr, ...]:
        """Read a list such as `[N, 3, H//2]`."""
        inner = text.strip()
        if not (inner.startswith("[") and inner.endswith("]")):
            raise Malformed(0, "expected a list of expressions in [ ]")
        items = self._read(text, text.index("[") + 1, text.rindex("]"))
        values = tuple(item for item in items if isinstance(item, Expr))
        return values if len(values) == len(items) else _refuse(0, "found a comparison, expected numbers only")

    def predicate(self, text: str) -> Predicate:
        """Read `H >= 3 and W >= 3`."""
        (item,) = self._read(text)
        if isinstance(item, Expr):
            raise Malformed(0, "found a number, expected a comparison")
        if depth(item) > MAX_NESTING:
            raise Malformed(0, f"found conditions nested deeper than {MAX_NESTING}; write them flatter")
        return item

    def _read(self, text: str, start: int = -1, end: int = 0) -> tuple[Item, ...]:
        """Read one item, or the list between `start` and `end`."""
        listed = start >= 0
        found = self._done.get((text, listed))
        if found is None:
            if len(text) > MAX_LENGTH:
                raise Malformed(0, f"found {len(text):,} characters, expected an expression of at most {MAX_LENGTH:,}")
            machine = _Machine(self, listed)
            try:
                found = machine.run(text, *((start, end) if listed else (0, len(text))))
            except ModelError as error:  # from a constructor: division by zero, too many terms
                raise Malformed(machine.position, _shortened(str(error))) from None
            self._done[text, listed] = found
        return found

    def spend(self, position: int, steps: int) -> None:
        """Take from the budget of work."""
        self._work -= steps
        if self._work < 0:
            raise Malformed(position, "found formulas that take too long to multiply out; write simpler ones")

    def checked(self, position: int, value: Expr) -> Expr:
        """Return `value`, or refuse it for its depth or its numbers."""
        if nesting(value, self._nesting) > MAX_NESTING:
            raise Malformed(position, f"found divisions or maxima nested deeper than {MAX_NESTING}; write it flatter")
        if oversized(value.terms.values()):
            raise Malformed(position, f"found a number beyond 10**{MAX_DIGITS}, expected a smaller one")
        return value


def _refuse(position: int, message: str) -> Never:
    raise Malformed(position, message)


def _shortened(text: str) -> str:
    return text if len(text) < 300 else text[:300] + "..."


@dataclass(slots=True)
class _Frame:
    """What is pending inside one bracket, level by level of the grammar."""

    opener: str  # "(", a function, or nothing on the outside
    arguments: list[Item] = field(default_factory=list)
    options: list[Predicate] = field(default_factory=list)  # of `or`
    parts: list[Predicate] = field(default_factory=list)  # of `and`
    compared: tuple[Expr, str] | None = None
    terms: list[Expr] = field(default_factory=list)  # of the current sum: one total() in the end, however many
    sign: int = 1  # of the current term
    factors: list[Item] = field(default_factory=list)
    operators: list[str] = field(default_factory=list)  # between the factors: * // % ** and neg
    products: int = 0  # formed in the current term; long ones are charged for


class _Machine:
    """One pass over one text: a stack of frames, one for each open bracket."""

    def __init__(self, reader: Reader, listed: bool) -> None:
        self.reader = reader
        self.listed = listed
        self.position = 0
        self.frames = [_Frame("")]

    def run(self, text: str, start: int, end: int) -> tuple[Item, ...]:
        """Read all of `text[start:end]`."""
        if self.listed and not text[start:end].strip():
            return ()
        expects_operand = True
        for match in _TOKEN.finditer(text, start, end):
            kind = match.lastindex or _OTHER
            token = match[kind]
            self.position = match.start(kind)
            if kind == _OTHER:
                self.refuse(f"found {token!r}, which has no meaning in an expression")
            elif expects_operand:
                expects_operand = self.operand(kind, token)
            elif kind == _END:
                break
            else:
                expects_operand = self.operator(kind, token)
        if len(self.frames) > 1:
            self.refuse("found the end, expected ')'")
        outer = self.frames[0]
        return (*outer.arguments, self.closed_value(outer))

    def refuse(self, message: str) -> Never:
        raise Malformed(self.position, message)

    # -- tokens: each returns whether an operand must follow ---------------------------------------------------------
    def operand(self, kind: int, token: str) -> bool:
        frame = self.frames[-1]
        if kind == _INTEGER:
            if len(token) > MAX_DIGITS:
                self.refuse(f"found a number of {len(token):,} digits, expected at most {MAX_DIGITS}")
            if token[0] == "0" and token.strip("0"):
                self.refuse(f"found {token}, expected a number without leading zeros")
            frame.factors.append(const(int(token)))
            return False
        if kind == _NAME and not keyword.iskeyword(token):
            frame.factors.append(symbol(token))
            return False
        if kind == _CALL:
            if token not in _FUNCTIONS:
                self.refuse(f"found the function {token!r}, expected one of {', '.join(sorted(_FUNCTIONS))}")
            return self.open(token)
        if token == "(":
            return self.open("(")
        if token == "-":
            if frame.operators and frame.operators[-1] == "neg":  # two signs next to each other cancel
                frame.operators.pop()
            else:
                frame.operators.append("neg")
            return True
        if token == "+":
            return True
        if token == ")" and frame.opener in {"all", "any"} and not (frame.arguments or self.begun(frame)):
            return self.close()
        self.refuse(f"found {_quoted(kind, token)}, expected {_OPERAND}")

    def operator(self, kind: int, token: str) -> bool:
        frame = self.frames[-1]
        if token == "**":
            frame.operators.append(token)  # binds to the right: reduced later
        elif token in {"*", "//", "%"}:
            self.reduce(frame)
            frame.operators.append(token)
        elif token in {"+", "-"}:
            self.close_term(frame)
            frame.sign = 1 if token == "+" else -1
        elif token in _COMPARISONS:
            if frame.compared is not None:
                self.refuse(f"found a second comparison {token!r}; join two comparisons by 'and'")
            frame.compared = (self.number(self.closed_sum(frame)), token)
        elif token == "and":
            frame.parts.append(self.condition(self.closed_compare(frame)))
        elif token == "or":
            frame.options.append(self.condition(self.closed_parts(frame)))
        elif token == "," and (frame.opener in _FUNCTIONS or (self.listed and not frame.opener)):
            frame.arguments.append(self.closed_value(frame))
        elif token == ")" and len(self.frames) > 1:
            return self.close()
        else:
            expected = "an operator or ')'" if len(self.frames) > 1 else "an operator or the end"
            self.refuse(f"found {_quoted(kind, token)}, expected {expected}")
        return True

    def begun(self, frame: _Frame) -> bool:
        return bool(frame.operators or frame.terms or frame.compared or frame.parts or frame.options)

    def open(self, opener: str) -> bool:
        if len(self.frames) > MAX_BRACKETS:
            self.refuse(f"found more than {MAX_BRACKETS} open brackets; write it flatter")
        self.frames.append(_Frame(opener))
        return True

    def close(self) -> bool:
        frame = self.frames[-1]
        if frame.factors:
            frame.arguments.append(self.closed_value(frame))
        self.frames.pop()
        value = frame.arguments[0] if frame.opener == "(" else self.call(frame.opener, frame.arguments)
        self.frames[-1].factors.append(value)
        return False

    # -- levels of the grammar, each closing the ones below it -------------------------------------------------------
    def closed_value(self, frame: _Frame) -> Item:
        last = self.closed_parts(frame)
        if not frame.options:
            return last
        options, frame.options = (*frame.options, self.condition(last)), []
        return AnyOf(options)

    def closed_parts(self, frame: _Frame) -> Item:
        last = self.closed_compare(frame)
        if not frame.parts:
            return last
        parts, frame.parts = (*frame.parts, self.condition(last)), []
        return AllOf(parts)

    def closed_compare(self, frame: _Frame) -> Item:
        right = self.closed_sum(frame)
        if frame.compared is None:
            return right
        (left, op), frame.compared = frame.compared, None
        return Compare(op, left, self.number(right))

    def closed_sum(self, frame: _Frame) -> Item:
        if not frame.terms:
            self.reduce(frame)
            return frame.factors.pop()
        self.close_term(frame)
        terms, frame.terms, frame.sign = frame.terms, [], 1
        return total(terms)

    def close_term(self, frame: _Frame) -> None:
        self.reduce(frame)
        term = self.number(frame.factors.pop())
        frame.terms.append(term if frame.sign > 0 else -term)
        frame.products = 0

    def reduce(self, frame: _Frame) -> None:
        """Apply the operators of the current product, the last one first."""
        while frame.operators:
            op = frame.operators.pop()
            right = self.number(frame.factors.pop())
            if op == "neg":
                frame.factors.append(-right)
            else:
                frame.products += 1
                left = self.number(frame.factors.pop())
                frame.factors.append(self.reader.checked(self.position, self.apply(op, left, right, frame.products)))

    # -- arithmetic --------------------------------------------------------------------------------------------------
    def number(self, item: Item) -> Expr:
        return item if isinstance(item, Expr) else self.refuse("found a comparison before this, expected a number")

    def condition(self, item: Item) -> Predicate:
        return self.refuse("found a number before this, expected a comparison") if isinstance(item, Expr) else item

    def spend(self, steps: int) -> None:
        self.reader.spend(self.position, steps)

    def apply(self, op: str, left: Expr, right: Expr, products: int) -> Expr:
        if op == "**":
            return self.power(left, right.constant)
        if op == "*":
            self.spend(len(left.terms) * len(right.terms) * products)
            return left * right
        if right.constant is None:  # a long division
            self.spend(len(left.terms) * (len(left.terms) + len(right.terms)))
        return floordiv(left, right) if op == "//" else mod(left, right)

    def power(self, base: Expr, exponent: int | None) -> Expr:
        if exponent is None or not 0 <= exponent <= MAX_EXPONENT:
            self.refuse(f"found an exponent that is not a number from 0 to {MAX_EXPONENT}")
        result = const(1)
        width = max(1, len(set(base.atoms())))  # how long a product of them gets
        for _ in range(exponent):
            self.spend(len(result.terms) * len(base.terms) * width)
            result = self.reader.checked(self.position, result * base)
        return result

    def call(self, function: str, arguments: list[Item]) -> Item:
        if function in {"all", "any"}:
            parts = tuple(self.condition(argument) for argument in arguments)
            return AllOf(parts) if function == "all" else AnyOf(parts)
        values = [self.number(argument) for argument in arguments]
        if function == "ceildiv":
            if len(values) != 2:
                self.refuse(f"found {len(values)} arguments of ceildiv, expected 2")
            return self.reader.checked(self.position, ceildiv(*values))
        # Every argument is compared with every other one, those of an inner max included.
        width = sum(max([1, *(len(atom.args) for atom in value.atoms())]) for value in values)
        self.spend(width * sum(len(value.terms) for value in values))
        return self.reader.checked(self.position, (maximum if function == "max" else minimum)(*values))


def _quoted(kind: int, token: str) -> str:
    return "the end" if kind == _END else f"the keyword {token!r}" if keyword.iskeyword(token) else repr(token)
