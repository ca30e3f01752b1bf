"""Names come from files and from other people's code: what they may do to a terminal, and how much room they get."""

from __future__ import annotations

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))}


def printable(text: str) -> str:
    """The text with control characters written out, so that no name can move the cursor or colour what follows."""
    return text.translate(_CONTROLS)


def shortened(path: str, most: int) -> str:
    """A module's path in at most so many characters: its longest parts end in `…`, so that different paths stay so."""
    parts = path.split(".")
    for width in range(max(map(len, parts)), 3, -1):
        found = ".".join(part if len(part) <= width else part[: width - 1] + "…" for part in parts)
        if len(found) <= most:
            return found
    return path if len(path) <= most else "…" + path[1 - most :]
