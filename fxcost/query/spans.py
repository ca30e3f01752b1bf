"""Sets of sizes as closed intervals, open to the right where the end is None."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Span = tuple[int, int | None]
"""A closed interval of sizes, open to the right where the end is None."""


def contains(span: Span, size: int) -> bool:
    """True when the size is in the interval."""
    return span[0] <= size and (span[1] is None or size <= span[1])


def intersection(a: Iterable[Span], b: Iterable[Span]) -> tuple[Span, ...]:
    """Sizes in both."""
    left, right = union(a), union(b)
    found: list[Span] = []
    i = j = 0
    while i < len(left) and j < len(right):
        (low, high), (other_low, other_high) = left[i], right[j]
        first = max(low, other_low)
        last = high if other_high is None else other_high if high is None else min(high, other_high)
        if last is None or first <= last:
            found.append((first, last))
        if high is None or (other_high is not None and other_high < high):
            j += 1
        else:
            i += 1
    return union(found)


def union(*parts: Iterable[Span]) -> tuple[Span, ...]:
    """Sizes in any, neighbours joined."""
    found: list[Span] = []
    for low, high in sorted((span for part in parts for span in part), key=lambda span: span[0]):
        if found and (found[-1][1] is None or low <= found[-1][1] + 1):
            before = found[-1][1]
            found[-1] = (found[-1][0], None if before is None or high is None else max(before, high))
        else:
            found.append((low, high))
    return tuple(found)


def spans_text(name: str, spans: Sequence[Span], most: int = 4) -> str:
    """`H <= 95`, `H = 7`, `3 <= H <= 9`, `H >= 96`; the first few where there are many."""

    def one(span: Span) -> str:
        low, high = span
        if high is None:
            return f"{name} >= {low:,}"
        if low == high:
            return f"{name} = {low:,}"
        return f"{name} <= {high:,}" if low <= 1 else f"{low:,} <= {name} <= {high:,}"

    more = f" and {len(spans) - most} more intervals" if len(spans) > most else ""
    return ", ".join(one(span) for span in spans[:most]) + more
