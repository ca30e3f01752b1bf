"""The index of the examples: one line each, taken from their docstrings. `make readme` writes it anew."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "examples"
INDEX = FOLDER / "README.md"

HEAD = """\
# A tour in examples

Each is one file that runs by itself, prints lines of at most 80 columns, and builds models without weights. They are
meant to be read in this order; the numbers they print are checked by `tests/test_examples.py`.

```
make setup
.venv/bin/python examples/01_lecture_alexnet.py
```

| | what it shows |
| --- | --- |
"""


def examples() -> list[Path]:
    """The numbered examples, in order."""
    return sorted(path for path in FOLDER.glob("[0-9]*_*.py") if re.fullmatch(r"\d\d_\w+", path.stem))


def index() -> str:
    """The page."""
    return HEAD + "".join(f"| [{path.stem}]({path.name}) | {_title(path)} |\n" for path in examples())


def _title(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].replace("|", "\\|")


def main() -> None:
    """Write examples/README.md anew."""
    INDEX.write_text(index(), encoding="utf-8")
    print(f"{INDEX.relative_to(FOLDER.parent)}: {len(examples())} examples")


if __name__ == "__main__":
    main()
