"""The page as one file: template, styles, scripts, data and vendored chart code, under a strict policy.

Nothing is loaded from anywhere. The policy names every script and style by its hash, so that whatever a name in the model
might smuggle in would not run; names reach the page as JSON alone, and are put there as text.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from fxcost.report.files import whole

COMPUTING = ("exact", "numbers", "formula", "model")
DRAWING = ("dom", "controls", "chart", "redraw")


@dataclass(frozen=True)
class Kind:
    """A kind of page: what its pickers choose, and its scripts in the order in which they stand in it."""

    choices: str
    scripts: tuple[str, ...]


PARTS = ("totals", "machines", "timeline", "patches", "roofline", "treemap", "tree", "notes")
KINDS: Mapping[str, Kind] = {
    "report": Kind("Settings", (*COMPUTING, "tiles", *DRAWING, *PARTS, "report")),
    "compare": Kind("What is drawn", (*COMPUTING, "lines", *DRAWING, "compare")),
}
"""Pages share a frame, page.html; what stands between its caveats and its notes is a file of the kind's name."""


@dataclass(frozen=True)
class Page:
    """A complete HTML document. In a notebook it shows itself, in a frame of its own."""

    text: str
    title: str

    def save(self, path: str | Path) -> None:
        """Write the page, whole or not at all; raises SpecError where the place cannot be written to."""
        with whole(Path(path)) as beside:
            beside.write_text(self.text, encoding="utf-8", newline="\n")

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{escape(self.text)}" title="{escape(self.title)}" sandbox="allow-scripts" '
            'style="width:100%;height:56rem;border:1px solid #8888"></iframe>'
        )

    def __repr__(self) -> str:
        return f"Page({self.title!r}, {len(self.text):,} characters)"


def document(kind: str, title: str, data: Mapping[str, Any], functions: str) -> Page:
    """A page of one kind; `functions` is a JavaScript object of literal functions."""
    first, *others = KINDS[kind].scripts
    scripts = [
        vendored("uPlot.iife.min.js"),
        "\n".join(
            [
                '(() => {\n"use strict";',
                asset(f"{first}.js"),
                f"const formulas = {functions};",
                *(asset(f"{name}.js") for name in others),
                "})();",
            ]
        ),
    ]
    styles = [vendored("uPlot.min.css"), asset("style.css")]
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(map(_hash, scripts))}",
            f"style-src {' '.join(map(_hash, styles))}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    text = Template(asset("page.html")).substitute(
        choices=KINDS[kind].choices,
        sections=asset(f"{kind}.html"),
        title=escape(title),
        policy=escape(policy),
        styles="\n".join(f"<style>{style}</style>" for style in styles),
        data=embedded(data),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    )
    return Page(text, title)


def embedded(data: Mapping[str, Any]) -> str:
    """JSON that nothing inside can end: every `<` is written as an escape, so no `</script>` and no comment begins."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(content: str) -> str:
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"


@cache
def asset(name: str) -> str:
    """One of our own files."""
    return (files("fxcost.report.html") / name).read_text(encoding="utf-8").replace("\r\n", "\n")


@cache
def vendored(name: str) -> str:
    """A file of the vendored chart code."""
    return (files("fxcost.report") / "vendor" / name).read_text(encoding="utf-8").replace("\r\n", "\n").strip()
