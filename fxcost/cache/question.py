"""What decides a capture, as text: the model's name, its inputs, how it is captured, and every version involved."""

from __future__ import annotations

import json
import os
import platform
import site
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from fxcost.ops.registry import all_rules
from fxcost.pipeline import Options

ZOOS = ("torchvision", "timm", "hf")
ZOO_PACKAGES = {"torch", "torchvision", "timm", "transformers"}
_SETTINGS = ("TORCH", "PYTORCH", "ATEN_", "TIMM_", "TRANSFORMERS_", "HF_", "USE_")
"""Beginnings of environment variables that torch and the zoos read: some choose another implementation."""


TOLD_BY = {".dist-info", ".egg-info", ".egg-link"}
_LATER = {"accounting", "order", "target"}
"""Options that are asked of a capture, not for it."""

_ROOT = Path(__file__).parent.parent
_LOADED_S = time.time()


@dataclass(frozen=True)
class Question:
    """Everything that a capture is asked, in plain JSON; versions and settings as digests."""

    asked: Mapping[str, Any]

    @property
    def key(self) -> str:
        """A name for it, the same for equal questions only."""
        return sha256(json.dumps(self.asked, sort_keys=True).encode()).hexdigest()


def question_of(
    model: Any,
    specs: Any,
    kwargs: Mapping[str, Any] | None,
    options: Options,
    name: str | None,
    point: Mapping[str, int] | None,
    *,
    check: bool,
    train: Sequence[str] | None,
    recorded: bool,
) -> Question | None:
    """The question, or None where something of it has no text: a module, a tensor, a rule of the user's own.

    `train` are the parameters that a training step trains, by name pattern; None for inference. The accounting is no
    part of it: a capture holds for all of them.
    """
    if not isinstance(model, str | Path) or own_rules() or not (_is_plain(specs) and _is_plain(kwargs)):
        return None
    text = str(model)
    return Question(
        {
            "model": text,
            "where": "" if text.partition(":")[0] in {"torchvision", "timm"} else str(Path.cwd()),
            "specs": repr(specs),
            "kwargs": repr(dict(kwargs or {})),
            "options": {
                each.name: repr(getattr(options, each.name)) for each in fields(options) if each.name not in _LATER
            },
            "name": name,
            "point": None if point is None else dict(sorted(point.items())),
            "check": check,
            "train": None if train is None else list(train),
            "recorded": recorded,
            "fxcost": sources(),
            "python": f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}",
            "installed": installed(),
            "settings": _settings(),
        }
    )


def _is_plain(value: Any) -> bool:
    """True for what `repr` says all of."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    return value is None or type(value) in (str, bool, int, float)


def own_rules() -> tuple[str, ...]:
    """Operators whose cost rule is not one of ours: they decide what is taken apart, and live in this process alone."""
    return tuple(op for op, rule in all_rules().items() if not rule.function.__module__.startswith("fxcost."))


@cache
def sources() -> str:
    """Digest of fxcost's own code: a version alone says nothing while it is being worked on."""
    found = sha256()
    for path in _own_files():
        found.update(f"{path.relative_to(_ROOT)}\0".encode())
        found.update(path.read_bytes())
    return found.hexdigest()


@cache
def installed() -> str:
    """Digest of the names and versions of everything that is installed: optional packages change what zoos build."""
    return sha256("\n".join(sorted({place.name for place in _installed_places()})).encode()).hexdigest()


def changed_since_start() -> str | None:
    """What of the code that runs here is another one on disk by now; None where all is as it was loaded."""
    for what, places in (("fxcost itself", _own_files()), ("what is installed", _installed_places())):
        if any(place.stat().st_mtime > _LOADED_S for place in places):
            return what
    return None


def _own_files() -> Iterator[Path]:
    for folder, folders, files in os.walk(_ROOT, followlinks=True):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        yield from (Path(folder, name) for name in sorted(files) if name.endswith(".py"))


def _installed_places() -> Iterator[Path]:
    here = {"", sys.path[0], str(Path.cwd())}  # of the script and of the user: no place for installed packages
    for folder in dict.fromkeys([*sys.path, *site.getsitepackages(), site.getusersitepackages()]):
        if folder not in here and Path(folder).is_dir():  # sys.path names folders that are not there, and archives
            yield from (place for place in Path(folder).iterdir() if place.suffix in TOLD_BY)


def _settings() -> str:
    told = ((key, value) for key, value in os.environ.items() if key.startswith(_SETTINGS))
    found = sorted(pair for pair in told if not pair[0].startswith("TORCHINDUCTOR_"))  # torch sets them as it starts
    return sha256(repr(found).encode()).hexdigest()
