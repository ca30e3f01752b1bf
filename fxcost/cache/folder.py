"""The folder of a cache: one file of IR text for each question, the least recently used ones removed when room runs out.

A file is whole or not there: it is written beside its place and renamed. Its first line is the digest of the rest, its
second one says, as JSON, which question it answers and from which files; both are comments of MLIR, so that an entry is
a graph like any other.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from fxcost.cache.question import Question
from fxcost.cache.reads import digest
from fxcost.errors import SpecError
from fxcost.query.units import MB, parse_amount

SWITCH, ROOM = "FXCOST_CACHE", "FXCOST_CACHE_SIZE"
MOST_BYTES = 500 * MB
_HEAD = b"// fxcost-cache/1 sha256:"
_NAME = re.compile(r"[0-9a-f]{64}\.mlir")
_LEFT_BEHIND = re.compile(r"\.[0-9a-f]{64}\..*\.part")
_LEFT_BEHIND_AFTER_S = 3600.0


@dataclass(frozen=True)
class Entry:
    """What is kept of a capture: its IR text, what was warned of, and the files that it depends on, with digests.

    `samples` are further captures, as data of `fxcost.cache.samples`.
    """

    text: str
    warnings: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    samples: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Listed:
    """One file of the folder, for people: what was asked, its bytes, when it was last used (seconds since 1970)."""

    path: Path
    asked: Mapping[str, Any]
    bytes: int
    used_s: float


class Damaged(Exception):
    """A file of the cache is not what was written to it."""


@dataclass(frozen=True)
class Folder:
    """Where captures are kept, and how many bytes of them."""

    path: Path
    most_bytes: int = MOST_BYTES

    def read(self, question: Question) -> Entry | None:
        """The answer to a question, where it is there and its files are as they were; raises Damaged."""
        place = self._place(question)
        try:
            data = place.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise Damaged(f"{place} cannot be read: {error.strerror or error}") from error
        told, text = _taken_apart(place, data)
        if told.get("question") != question.asked:
            raise Damaged(f"{place} answers another question")
        files, warnings = told.get("files"), told.get("warnings")
        if not isinstance(files, dict) or not isinstance(warnings, list):
            raise Damaged(f"{place} does not say what it depends on")
        if any(digest(Path(path)) != found for path, found in files.items()):
            return None
        with suppress(OSError):
            os.utime(place)  # used now
        return Entry(text, tuple(map(str, warnings)), files, told.get("samples"))

    def write(self, question: Question, entry: Entry) -> None:
        """Keep an answer, and remove the oldest ones where there are too many; OSErrors come out.

        Processes that write the same entry at once each rename a file of their own: the last one stays.
        """
        told = {"question": question.asked, "files": dict(entry.files), "warnings": entry.warnings}
        told |= {} if entry.samples is None else {"samples": entry.samples}
        rest = f"// {json.dumps(told, sort_keys=True)}\n{entry.text}".encode()
        data = _HEAD + sha256(rest).hexdigest().encode() + b"\n" + rest
        if len(data) > self.most_bytes:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        place = self._place(question)
        handle, beside = tempfile.mkstemp(".part", f".{place.stem}.", self.path)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(beside).replace(place)
        except BaseException:
            with suppress(OSError):
                Path(beside).unlink()
            raise
        self._make_room(place)

    def entries(self) -> list[Listed]:
        """Every entry, the one used last first; a damaged one says nothing of what was asked."""
        found = []
        for path, size, used in self._files():
            try:
                asked = _taken_apart(path, path.read_bytes())[0].get("question", {})
            except (OSError, Damaged):
                asked = {}
            found.append(Listed(path, asked, size, used))
        return sorted(found, key=lambda entry: -entry.used_s)

    def clear(self) -> int:
        """Remove every entry, and nothing else; how many there were."""
        removed = 0
        for path, _, _ in self._files():
            with suppress(FileNotFoundError):
                path.unlink()
                removed += 1
        return removed

    def _place(self, question: Question) -> Path:
        return self.path / f"{question.key}.mlir"

    def _files(self) -> Iterator[tuple[Path, int, float]]:
        """Entries with their bytes and when they were used; other processes may remove them at any time."""
        if not self.path.is_dir():
            return
        for path in self.path.iterdir():
            if _NAME.fullmatch(path.name):
                with suppress(FileNotFoundError):
                    state = path.stat()
                    yield path, state.st_size, state.st_mtime

    def _make_room(self, kept: Path) -> None:
        """Remove what was not used for longest, until the rest fits; and what a process that died left half-written."""
        files = sorted(self._files(), key=lambda file: file[2])
        excess = sum(size for _, size, _ in files) - self.most_bytes
        for path, size, _ in files:
            if excess <= 0:
                break
            if path != kept:
                with suppress(OSError):
                    path.unlink()
                excess -= size
        for path in self.path.glob(".*.part"):
            with suppress(OSError):
                if _LEFT_BEHIND.fullmatch(path.name) and time.time() - path.stat().st_mtime > _LEFT_BEHIND_AFTER_S:
                    path.unlink()


def _taken_apart(place: Path, data: bytes) -> tuple[dict[str, Any], str]:
    head, _, rest = data.partition(b"\n")
    if head != _HEAD + sha256(rest).hexdigest().encode():
        raise Damaged(f"{place} is damaged")
    line, _, text = rest.decode("utf-8").partition("\n")
    told = json.loads(line.removeprefix("// "))
    if not isinstance(told, dict):
        raise Damaged(f"{place} does not say what it answers")
    return told, text


def folder_of(cache: bool | str | Path | None) -> Folder | None:
    """The cache that is asked for: a folder, True for the usual one, False for none; None asks the environment.

    `FXCOST_CACHE` is a folder, or 1 for the usual one; `FXCOST_CACHE_SIZE` bounds it (500MB). Raises SpecError where one
    of them says neither, and where the folder is a file.
    """
    told = os.environ.get(SWITCH, "").strip()
    if cache is None:
        cache = told not in {"", "0"}
    if cache is False:
        return None
    path = usual_path() if cache is True and told in {"", "0", "1"} else Path(told if cache is True else cache)
    path = path.expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise SpecError(f"the cache {path} is a file; name a folder with {SWITCH}, or cache=")
    room = os.environ.get(ROOM, "").strip()
    try:
        most = int(parse_amount(room)) if room else MOST_BYTES
    except SpecError as error:
        raise SpecError(f"{ROOM}: {error}") from error
    return Folder(path, most)


def usual_path() -> Path:
    """Where caches of programs are kept here."""
    base = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.environ.get("XDG_CACHE_HOME")
    return Path(base or Path.home() / ".cache") / "fxcost"
