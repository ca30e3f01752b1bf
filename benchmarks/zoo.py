"""Every model of torchvision, timm and transformers: captured, with which symbols, and exact or not?

Each model is analysed in a process of its own, under a limit of time and of memory, and its formula for MACs is compared
with torch's FlopCounterMode and a dispatch mode at other sizes than it was traced at. Results go to a CSV line by line:
started again, the script goes on where it was stopped. The whole takes hours.

    python benchmarks/zoo.py                                     # the table of what was measured
    python benchmarks/zoo.py --zoo timm [--every 3] [--from 1] [--all] [--jobs 2] [--plain]
    python benchmarks/zoo.py --only resnet18 bert [--zoo ...]    # again
    python benchmarks/zoo.py --again failed [--zoo ...]
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from benchmarks._zoo_measure import COLUMNS, Row, measure
from benchmarks._zoo_subjects import ZOOS, Subject, subjects

HERE = Path(__file__).parent / "data" / "zoo.csv"
GIB = 1 << 30


PATIENCE = 5
"""How many times longer than its CPU time a model may take on the clock, on a machine that others use as well."""


def work(subject: Subject, plain: bool, memory: int, limit: float, answers: Connection) -> None:
    """In a process of its own: measure one model."""
    import resource

    import torch

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what the zoos say on the way
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit) + 5))
    try:
        measure(subject, plain, answers.send)
    except MemoryError:
        answers.send({"key": subject.key, "outcome": "failed", "error": "out of memory"})
    answers.send(None)
    answers.close()


@dataclass
class Running:
    """A model under way; `row` is what is known of it."""

    subject: Subject
    process: Any
    answers: Connection
    started: float
    row: Row = field(default_factory=dict)
    finished: bool = False
    gone: bool = False
    """The process has closed its end; without having finished, it was killed."""

    def read(self) -> None:
        """Take what the worker has sent."""
        try:
            while self.answers.poll():
                found = self.answers.recv()
                self.finished = self.finished or found is None
                self.row = found or self.row
        except (EOFError, OSError):
            self.gone = True

    def ended(self, limit: float) -> Row | None:
        """The finished row, or None while the model is still under way and in time; `limit` is its CPU time."""
        self.read()
        late = time.monotonic() - self.started > PATIENCE * limit
        if not (self.finished or self.gone or late or not self.process.is_alive()):
            return None
        if self.gone and not self.finished:
            self.process.join(5.0)  # so that its exit code says why
        self.read()
        row = {"key": self.subject.key, "outcome": "failed", **self.row}
        if not self.finished:
            spent = late or self.process.exitcode == -signal.SIGXCPU
            why = f"stopped after {limit:.0f} s" if spent else f"its process died with {self.process.exitcode}"
            row["error"] = f"{why}; {row.get('error') or ''}".rstrip("; ")
        self.process.kill()
        self.process.join()
        self.answers.close()
        return row


def sweep(todo: Sequence[Subject], file: Path, jobs: int, limit: float, memory: int, plain: bool) -> None:
    """Measure models side by side; each row is written as soon as it is known."""
    context: Any = get_context("forkserver")  # torch is imported once, and every model starts from a clean process
    context.set_forkserver_preload(["benchmarks._zoo_preload"])
    waiting, done = list(reversed(todo)), 0
    running: list[Running] = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                subject = waiting.pop()
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=work, args=(subject, plain, memory, limit, theirs), daemon=True)
                process.start()
                theirs.close()
                running.append(Running(subject, process, ours, time.monotonic()))
            wait([each.answers for each in running if not each.finished and not each.gone], timeout=1.0)
            for each in list(running):
                row = each.ended(limit)
                if row is None:
                    continue
                running.remove(each)
                append(file, row)
                done += 1
                print(f"{done}/{len(todo)} {line(row)}", file=sys.stderr, flush=True)
    finally:
        for each in running:
            each.process.kill()


def line(row: Row) -> str:
    """One model in one line."""
    parts = [
        row["key"],
        row.get("outcome", ""),
        row.get("symbols", ""),
        row.get("rung", ""),
        f"{row.get('all_s', '')} s",
    ]
    for name in ("unknown", "error"):
        if row.get(name):
            parts.append(f"{name}: {row[name]}"[:160])
    return " | ".join(map(str, parts))


# -- the file ------------------------------------------------------------------------------------------------------
def read(file: Path) -> dict[str, Row]:
    """Rows by key; a later row replaces an earlier one of its model."""
    if not file.is_file():
        return {}
    with file.open(newline="") as lines:
        return {row["key"]: row for row in csv.DictReader(lines)}


def append(file: Path, row: Row) -> None:
    """Add one row; whole lines only, so that a stop in between loses at most the last."""
    new = not file.is_file()
    with file.open("a", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS, extrasaction="ignore", lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def tidy(file: Path) -> None:
    """One line a model, sorted."""
    rows = read(file)
    partial = file.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    for key in sorted(rows):
        append(partial, rows[key])
    if rows:
        partial.replace(file)


# -- the summary ---------------------------------------------------------------------------------------------------
def summary(rows: Iterable[Row]) -> str:
    """The table of the README: what became of the models of each zoo."""
    found = list(rows)
    head = ["zoo", "models", "captured", "exact", "flagged", "unchecked", "WRONG", "unknown ops", "all symbolic"]
    head += ["own limit", "less", "recorded", "fitted", "median s", "peak MB"]
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |"]
    for zoo in ZOOS:
        mine = [row for row in found if row["key"].startswith(f"{zoo}:") and row["outcome"] != "refused"]
        caught = [row for row in mine if row["standing"]]
        if not mine:
            continue
        outcomes = Counter(row["outcome"] for row in mine)
        reach = Counter(freedom(row) for row in caught)
        cells: list[Any] = [zoo, len(mine), len(caught), outcomes["exact"], outcomes["flagged"], outcomes["unchecked"]]
        cells += [outcomes["WRONG"], sum(bool(row["unknown"]) for row in caught)]
        cells += [reach["all"], reach["own limit"], reach["less"], reach["recorded"]]
        cells += [sum(row["standing"] == "fitted" for row in caught)]
        seconds = [float(row["all_s"]) for row in caught if row["all_s"]]
        memory = [int(row["peak_rss_mb"]) for row in mine if row["peak_rss_mb"]]
        cells += [f"{median(seconds):.1f}" if seconds else "-", max(memory, default=0)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    without = Counter((row["key"].partition(":")[0], reason(row)) for row in found if not row["standing"])
    lines += ["", "Without an answer:"] * bool(without)
    lines += [f"- {zoo}: {why} ({count})" for (zoo, why), count in sorted(without.items())]
    return "\n".join(lines)


REASONS = {
    "none of the inputs": "no inputs were found that it takes",
    "does not run with these inputs": "no inputs were found that it takes",
    "building the model raised": "its default configuration cannot be built",
    "without real weights": "needs real weights, too many for this machine",
    "stopped after": "out of time",
    "out of memory": "out of memory",
    "process died": "its process died",
}
"""What stands in an error, and what kind of failure that is."""


def reason(row: Row) -> str:
    """The kind of failure of a model without an answer."""
    error = row.get("error") or ""
    return next((kind for text, kind in REASONS.items() if text in error), error.partition(":")[0] or "unknown")


def slowest(rows: Iterable[Row], count: int = 10) -> str:
    """The slowest models with where their CPU seconds go."""
    stages = ("probe_s", "export_s", "lower_s", "totals_s", "regions_s", "check_s")
    timed = sorted((row for row in rows if row.get("all_s")), key=lambda row: -float(row["all_s"]))[:count]
    lines = []
    for row in timed:
        parts = [f"{stage.removesuffix('_s')} {float(row[stage]):.1f}" for stage in stages if row.get(stage)]
        lines.append(f"{float(row['all_s']):7.1f} s  {row['key']}  ({', '.join(parts)}; {row['nodes']} nodes)")
    return "\n".join(lines)


def freedom(row: Row) -> str:
    """How many of the sizes asked for stayed symbols."""
    if row["standing"] == "numeric":
        return "recorded"
    if not row["pinned"]:
        nowhere = row["outcome"] == "unchecked" and int(row["outside"] or 0) > 0
        return "less" if nowhere else "all"  # a formula that holds at the traced size alone is no formula
    reasons = [part for part in row["pinned"].split("; ") if "=" in part]
    return "own limit" if all("the model itself refuses" in part for part in reasons) else "less"


def main() -> None:
    """Choose the models, measure them, print the summary."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--zoo", choices=ZOOS, action="append", help="measure this one; may be given several times")
    parser.add_argument("--every", type=int, default=1, metavar="K", help="every K-th model")
    parser.add_argument("--from", type=int, default=0, metavar="I", dest="first", help="beginning with this one")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="models by name, measured again where known")
    parser.add_argument("--all", action="store_true", help="every name of timm, not one for each file")
    parser.add_argument("--again", metavar="OUTCOME", help="measure again what came out like this")
    parser.add_argument("--jobs", type=int, default=1, metavar="K", help="processes side by side")
    parser.add_argument("--limit", type=float, default=400, metavar="SECONDS", help="CPU time of one model")
    parser.add_argument("--memory", type=float, default=6, metavar="GIB", help="memory of one model")
    parser.add_argument("--plain", action="store_true", help="time torch.export alone beside it")
    parser.add_argument(
        "-o", "--output", type=Path, default=HERE, metavar="FILE", help="the CSV (default: benchmarks/data)"
    )
    options = parser.parse_args()
    if options.zoo or options.only or options.again:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the workers are stopped, too
        known = read(options.output)
        todo = [s for zoo in options.zoo or ZOOS for s in subjects(zoo, options.all)[options.first :: options.every]]
        if options.only:
            todo = [s for zoo in options.zoo or ZOOS for s in subjects(zoo, options.all) if s.name in options.only]
        elif options.again:
            again = {key for key, row in known.items() if row["outcome"] == options.again}
            todo = [s for s in todo if s.key in again]
        else:
            todo = [s for s in todo if s.key not in known]
        sweep(todo, options.output, options.jobs, options.limit, int(options.memory * GIB), options.plain)
        tidy(options.output)
    rows = list(read(options.output).values())
    print(summary(rows))
    print(f"\nThe slowest:\n{slowest(rows)}")


if __name__ == "__main__":
    main()
