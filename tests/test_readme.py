"""What README.md shows is what the commands print, and every command and option it names exists."""

from __future__ import annotations

import re

import pytest

from tests.support.commands import answer
from tests.support.readme import README, Block, blocks, output, paragraphs, renewed

TEXT = README.read_text(encoding="utf-8")
BLOCKS = list(blocks(TEXT))


def test_blocks_are_found() -> None:
    assert len(BLOCKS) == len(re.findall(r"^\$ fxcost", TEXT, re.MULTILINE)) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: " ".join(block.command.split()[1:3]))
def test_a_block_shows_what_is_printed(block: Block) -> None:
    printed = output(block.command)
    assert block.shown == renewed(block.shown, printed), "make readme puts it right"


def test_blocks_fit_80_columns() -> None:
    for block in BLOCKS:
        assert max(len(line) for paragraph in block.shown for line in paragraph.splitlines()) <= 80


def test_commands_and_options_exist() -> None:
    for command, rest in set(re.findall(r"`fxcost ([a-z]+)((?: [^`]*)?)`", TEXT)):
        text = answer(f"{command} --help")
        for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", rest):
            assert re.search(rf"(?<![\w-]){option}\b", text), f"fxcost {command} {option}"


def test_pictures_exist_and_are_small() -> None:
    shown = {
        source
        for pair in re.findall(r'!\[[^]]*\]\((\S+?)\)|(?:src|srcset)="([^"]+)"', TEXT)
        for source in pair
        if source
    }
    made = {path.relative_to(README.parent).as_posix() for path in (README.parent / "examples" / "pictures").iterdir()}
    assert shown <= made, "python -m tests.support.screenshots makes them"
    for name in made:
        assert (README.parent / name).stat().st_size <= 150_000, name


# -- the script ---------------------------------------------------------------------------------------------------
SHOWN = "$ fxcost demo \\\n    --now"
PRINTED = "demo\n\nAt N=1\nmacs  7\n\nFormulas\n  macs = 7*N\n\n0 states explored in 0.02 s\n"


def test_a_block_is_read() -> None:
    text = f"before\n\n```\n{SHOWN}\n\ndemo\n\nAt N=1\nmacs  6\n```\n\n```\nmake run\n```\n"
    (block,) = blocks(text)
    assert block.command == "fxcost demo \\\n    --now"
    assert block.shown == ("demo", "At N=1\nmacs  6")
    assert text[slice(*block.span)] == "demo\n\nAt N=1\nmacs  6"


def test_paragraphs_are_renewed_in_order() -> None:
    printed = paragraphs(PRINTED)
    assert printed == ("demo", "At N=1\nmacs  7", "Formulas\n  macs = 7*N"), "the time is left out"
    assert renewed(("demo", "At N=1\nmacs  6"), printed) == ("demo", "At N=1\nmacs  7")
    assert renewed(("Formulas\n  macs = 6*N",), printed) == ("Formulas\n  macs = 7*N",)
    with pytest.raises(LookupError, match="begins 'Energy'"):
        renewed(("demo", "Energy\n  3 J"), printed)
    with pytest.raises(LookupError, match="begins 'demo'"):
        renewed(("At N=1\nmacs  7", "demo"), printed)
