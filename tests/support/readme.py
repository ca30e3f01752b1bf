"""README's blocks that begin with `$ fxcost ...`: what they show is what the commands print.

A block may leave out paragraphs of the output, and lines that say how long something took. `make readme` runs every
command and puts what it prints now in the place of what stands there.
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"

_BLOCK = re.compile(r"^```\n(\$ fxcost (?:[^\n]*\\\n)*[^\n]*)\n\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
_TAKES_TIME = re.compile(r".*\b[0-9.,]+ (?:states explored )?in [0-9.]+ s$|^[0-9.]+ s$")
ALIKE = 0.4
"""Paragraphs less alike than this are not the same one in two versions."""


@dataclass(frozen=True)
class Block:
    """A command as it is typed, the paragraphs shown below it, and where these stand in the text."""

    command: str
    shown: tuple[str, ...]
    span: tuple[int, int]


def blocks(text: str) -> Iterator[Block]:
    """Every block of a command with its output."""
    for found in _BLOCK.finditer(text):
        yield Block(found[1].removeprefix("$ "), tuple(found[2].split("\n\n")), found.span(2))


def output(command: str) -> tuple[str, ...]:
    """The paragraphs that a command prints, run as a reader of the README would, in a folder of its own.

    Raises RuntimeError with what it said where it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "examples").symlink_to(ROOT / "examples")
        return paragraphs(typed(command, Path(folder)))


def typed(command: str, folder: Path) -> str:
    """What a command prints that is typed in a folder; raises RuntimeError with what it said where it fails."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "COLUMNS": "80", "NO_COLOR": "1"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"$ {command}\nleaves with {done.returncode}:\n{done.stderr}")
    return done.stdout


def paragraphs(text: str) -> tuple[str, ...]:
    """The paragraphs of an output without lines that say how long something took."""
    lines = [line for line in text.rstrip("\n").splitlines() if not _TAKES_TIME.fullmatch(line)]
    return tuple(part.strip("\n") for part in "\n".join(lines).split("\n\n") if part.strip())


def renewed(shown: tuple[str, ...], printed: tuple[str, ...]) -> tuple[str, ...]:
    """The printed paragraphs that those shown are versions of, in order; raises LookupError where one has none."""
    found, start = [], 0
    for paragraph in shown:
        best = max(range(start, len(printed)), key=lambda i: _likeness(paragraph, printed[i]), default=None)
        if best is None or _likeness(paragraph, printed[best]) < ALIKE:
            raise LookupError(f"nothing printed is like the paragraph that begins {paragraph.splitlines()[0]!r}")
        found.append(printed[best])
        start = best + 1
    return tuple(found)


def _likeness(one: str, other: str) -> float:
    title = one.splitlines()[0] == other.splitlines()[0]
    return title + difflib.SequenceMatcher(None, one.splitlines(), other.splitlines(), autojunk=False).ratio()


def rewritten(text: str) -> str:
    """The text with what the commands print now."""
    for block in reversed(list(blocks(text))):
        new = "\n\n".join(renewed(block.shown, output(block.command)))
        text = text[: block.span[0]] + new + text[block.span[1] :]
    return text


def main() -> None:
    """Write README.md anew."""
    before = README.read_text(encoding="utf-8")
    after = rewritten(before)
    README.write_text(after, encoding="utf-8")
    print("README.md is as it was" if after == before else "README.md is changed: read the difference")


if __name__ == "__main__":
    main()
