"""The pictures that README.md shows: pages in headless Chromium, and what `--plot` draws, each made by its command.

`make readme` makes them, `python -m tests.support.screenshots NAME ...` some of them. One that looks as it did stays the
file that it was, so that a run alone changes nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops

from tests.support.pages import drive, find_browser
from tests.support.readme import ROOT, typed

FOLDER = ROOT / "examples" / "pictures"
WIDTH = 1280
COLOURS = 256
LARGEST_BYTES = 150_000
SEEN, ALIKE = 32, 0.0001
"""Pictures of which a smaller share of the pixels differs by more levels than that look alike."""

RESNET = "torchvision:resnet50 -i N,3,H,W --at N=1,H=224,W=224"
THREE = "torchvision:resnet50 torchvision:resnet18 --and torchvision:mobilenet_v2 -i N,3,H,W --at N=1"

PLOTS: Mapping[str, str] = {
    "memory": "fxcost schedule timm:pnasnet5large -i N,3,H,W --at N=1,H=331,W=331 --plot memory.png",
    "arena": "fxcost arena torchvision:mobilenet_v2 -i N,3,H,W --target stm32h743:tflm --at N=1,H=96,W=96 --plot arena.png",
    "crossover": "fxcost crossover torchvision:resnet18 -i N,3,H,W --target t4 --node layer1.0.conv1 --plot crossover.png",
}
"""Commands that draw NAME.png themselves."""


@dataclass(frozen=True)
class Shot:
    """A page as its command writes it, and what of it is in the picture."""

    command: str
    height: int
    scheme: str = "light"
    at: str = "header"


PAGE = f"fxcost report {RESNET} --tie W=H --target t4 --target stm32h743 --best-order --html page.html"
COMPARISON = f"fxcost compare {THREE} --tie W=H --metric roofline --target t4 --html page.html"

SHOTS: Mapping[str, Shot] = {
    "page-light": Shot(PAGE, 1000),
    "page-dark": Shot(PAGE, 1000, "dark"),
    "page-memory": Shot(PAGE, 1000, at="#timeline-title"),
    "comparison": Shot(COMPARISON, 900),
}


def shots(folder: Path, wanted: Collection[str]) -> Iterator[Path]:
    """The pages that are wanted as pictures; a page that several of them show is made once."""
    pages: dict[str, Path] = {}
    for name, shot in SHOTS.items():
        if name not in wanted:
            continue
        if shot.command not in pages:
            typed(shot.command, folder)
            pages[shot.command] = (folder / "page.html").rename(folder / f"{name}.html")
        path = folder / f"{name}.png"
        look = {"do": "look", "width": WIDTH, "height": shot.height, "scheme": shot.scheme}
        shoot = {"do": "shoot", "path": str(path), "whole": False}
        drive(pages[shot.command], [look, {"do": "scroll", "selector": shot.at}, shoot])
        yield path


def plots(folder: Path, wanted: Collection[str]) -> Iterator[Path]:
    """The pictures that are wanted and that a command draws."""
    for name, command in PLOTS.items():
        if name in wanted:
            typed(command, folder)
            yield folder / f"{name}.png"


def keep(made: Path) -> str:
    """Put a picture in its place, in few colours, unless the one there looks like it; says what became of it."""
    place = FOLDER / made.name
    picture = Image.open(made).convert("RGB")
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    few = picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    if place.exists() and alike(Image.open(place).convert("RGB"), few.convert("RGB")):
        return "is as it was"
    few.save(place, optimize=True)
    if place.stat().st_size > LARGEST_BYTES:
        raise ValueError(f"{place}: {place.stat().st_size:,} bytes are too many: show less of it")
    return f"is new, {place.stat().st_size:,} bytes"


def alike(before: Image.Image, after: Image.Image) -> bool:
    """True where hardly a pixel differs by what an eye sees."""
    if before.size != after.size:
        return False
    levels = ImageChops.difference(before, after).convert("L").histogram()
    return sum(levels[SEEN:]) <= ALIKE * before.width * before.height


def main() -> None:
    """Write the pictures, or those named; those of pages only where there is a browser."""
    every = [*PLOTS, *SHOTS]
    parser = argparse.ArgumentParser(description="Make the pictures of README.md anew.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(every)}")
    wanted = parser.parse_args().names or every
    strange = [name for name in wanted if name not in every]
    if strange:
        parser.error(f"there is no picture {strange[0]!r}: {', '.join(every)}")
    FOLDER.mkdir(exist_ok=True)
    *_, missing = find_browser()
    with tempfile.TemporaryDirectory() as folder:
        for made in plots(Path(folder), wanted):
            print(f"{made.name} {keep(made)}")
        if missing:
            print(f"pictures of pages stay as they are: no {', no '.join(missing)} (make browser installs them)")
            return
        for made in shots(Path(folder), wanted):
            print(f"{made.name} {keep(made)}")


if __name__ == "__main__":
    main()
