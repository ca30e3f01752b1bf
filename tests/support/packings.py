"""Perfect packings: a rectangle of time x memory cut at random without waste, so that the best height is known."""

from __future__ import annotations

import random

Rectangle = tuple[int, int, int, int]  # time from, time until, address from, address until
Buffer = tuple[str, int, int, int]


def guillotine(pieces: int, seed: int, side: int = 1000) -> list[Buffer]:
    """Cut a square right through, again and again."""
    return _buffers(_cut(pieces, random.Random(seed), side, wheels=False), seed)


def pinwheels(pieces: int, seed: int, side: int = 1000) -> list[Buffer]:
    """Cut a square into pinwheels of five, which no cut right through makes, and those again."""
    return _buffers(_cut(pieces, random.Random(seed), side, wheels=True), seed)


def _cut(pieces: int, rng: random.Random, side: int, wheels: bool) -> list[Rectangle]:
    parts: list[Rectangle] = [(0, side, 0, side)]
    while len(parts) < pieces:
        parts.sort(key=lambda part: (part[1] - part[0]) * (part[3] - part[2]))
        left, right, low, high = parts.pop(max(0, len(parts) - 1 - int(rng.expovariate(0.7))))
        if wheels and pieces - len(parts) >= 5 and right - left >= 3 and high - low >= 3:
            parts += _pinwheel(left, right, low, high, rng)
        elif right - left >= 2 and (high - low < 2 or rng.random() < 0.5):
            at = rng.randrange(left + 1, right)
            parts += [(left, at, low, high), (at, right, low, high)]
        elif high - low >= 2:
            at = rng.randrange(low + 1, high)
            parts += [(left, right, low, at), (left, right, at, high)]
        else:
            parts.append((left, right, low, high))
    return parts


def _pinwheel(left: int, right: int, low: int, high: int, rng: random.Random) -> list[Rectangle]:
    x, further = sorted(rng.sample(range(left + 1, right), 2))
    y, higher = sorted(rng.sample(range(low + 1, high), 2))
    wheel = [
        (left, further, low, y),
        (further, right, low, higher),
        (x, right, higher, high),
        (left, x, y, high),
        (x, further, y, higher),
    ]
    if rng.random() < 0.5:
        wheel = [(left + right - b, left + right - a, c, d) for a, b, c, d in wheel]
    return wheel


def _buffers(parts: list[Rectangle], seed: int) -> list[Buffer]:
    random.Random(seed + 1).shuffle(parts)
    return [(str(i), left, right, high - low) for i, (left, right, low, high) in enumerate(parts)]
