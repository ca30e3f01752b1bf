"""Names come from files and from other people's code: what they may do to a terminal."""

from __future__ import annotations

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))}


def printable(text: str) -> str:
    """The text with control characters written out, so that no name can move the cursor or colour what follows."""
    return text.translate(_CONTROLS)
