"""The zoo benchmark's own parts: rows that survive, models that never end, configurations cut down, the summary."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks._zoo_configurations import shallow
from benchmarks._zoo_measure import COLUMNS
from benchmarks._zoo_subjects import Subject
from benchmarks.zoo import Running, append, freedom, read, reason, slowest, summary, tidy


def row(key: str, **found: Any) -> dict[str, Any]:
    return {"key": key, "outcome": "exact", "standing": "exact", **found}


def test_a_later_row_replaces_an_earlier_one(tmp_path: Path) -> None:
    file = tmp_path / "zoo.csv"
    append(file, row("timm:b", outcome="failed", error='a "quoted", text\nin two lines'))
    append(file, row("timm:a"))
    append(file, row("timm:b", nodes=7))
    assert read(file)["timm:b"]["outcome"] == "exact"
    tidy(file)
    assert [line.partition(",")[0] for line in file.read_text().splitlines()] == ["key", "timm:a", "timm:b"]
    assert tuple(read(file)["timm:a"]) == COLUMNS
    assert read(tmp_path / "none.csv") == {}


class Process:
    """A worker process as seen from outside."""

    def __init__(self, alive: bool, exitcode: int = -signal.SIGKILL) -> None:
        self.alive, self.exitcode, self.killed = alive, exitcode, False

    def is_alive(self) -> bool:
        return self.alive

    def kill(self) -> None:
        self.killed = True

    def join(self) -> None: ...


class Answers:
    """Rows that a worker has sent, and then perhaps its end."""

    def __init__(self, *rows: Any) -> None:
        self.rows = list(rows)

    def poll(self) -> bool:
        return bool(self.rows)

    def recv(self) -> Any:
        return self.rows.pop(0)

    def close(self) -> None: ...


def running(process: Process, answers: Answers, since: float = 0.0) -> Any:
    connection: Any = answers
    return Running(Subject("timm", "a"), process, connection, time.monotonic() - since)


def test_a_model_that_never_ends_is_stopped_and_keeps_what_is_known() -> None:
    process = Process(alive=True)
    under_way = running(process, Answers(row("timm:a", outcome="failed", params=12)))
    assert under_way.ended(limit=100) is None
    found = running(process, Answers(row("timm:a", outcome="failed", params=12)), since=600).ended(limit=100)
    assert process.killed
    assert (found["outcome"], found["params"], found["error"]) == ("failed", 12, "stopped after 100 s")


def test_time_of_the_processor_is_limited_whatever_the_clock_says() -> None:
    assert running(Process(alive=True), Answers(), since=300).ended(limit=100) is None
    stopped = Process(alive=False, exitcode=-signal.SIGXCPU)
    assert running(stopped, Answers()).ended(limit=100)["error"] == "stopped after 100 s"


def test_a_worker_that_dies_costs_its_own_row() -> None:
    found = running(Process(alive=False), Answers()).ended(limit=100)
    assert found == {"key": "timm:a", "outcome": "failed", "error": "its process died with -9"}


def test_a_finished_model_is_taken_as_it_is() -> None:
    assert running(Process(alive=True), Answers(row("timm:a"), None)).ended(limit=100) == row("timm:a")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, "all"),
        ({"standing": "numeric", "pinned": "N=5: the model could only be recorded at one size"}, "recorded"),
        ({"pinned": "H=224: the model itself refuses other sizes than H=224: AssertionError"}, "own limit"),
        ({"pinned": "H=224: the model itself refuses; W=224: no symbolic capture succeeded"}, "less"),
        ({"outcome": "unchecked", "outside": "9"}, "less"),
        ({"outcome": "exact", "outside": "2"}, "all"),
    ],
)
def test_how_many_sizes_stayed_symbols(found: dict[str, str], expected: str) -> None:
    assert freedom(row("timm:a", **({"pinned": "", "outside": ""} | found))) == expected


def test_the_summary_counts_what_was_not_refused() -> None:
    blank: dict[str, Any] = {"pinned": "", "unknown": "", "outside": "", "all_s": "2.5", "peak_rss_mb": "300"}
    rows = [row("timm:a", **blank), row("timm:b", **blank | {"outcome": "WRONG", "all_s": "4.5"})]
    rows.append(
        {**row("timm:c", **blank), "outcome": "refused", "standing": "", "error": "none of the inputs that ..."}
    )
    rows.append(row("timm:d", **blank | {"standing": "fitted", "all_s": "3.5"}))
    lines = summary(rows).splitlines()
    assert lines[2] == "| timm | 3 | 3 | 2 | 0 | 0 | 1 | 0 | 3 | 0 | 0 | 0 | 1 | 3.5 | 300 |"
    assert lines[-1] == "- timm: no inputs were found that it takes (1)"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("stopped after 400 s; TypeError: x", "out of time"),
        ("CaptureError: x: building the model raised ValueError: y", "its default configuration cannot be built"),
        ("SomeError: never seen", "SomeError"),
        ("", "unknown"),
    ],
)
def test_failures_are_told_apart(error: str, kind: str) -> None:
    assert reason({"key": "timm:a", "error": error}) == kind


def test_the_slowest_come_first_and_say_where_time_goes() -> None:
    rows = [
        row("timm:a", all_s="3.0", export_s="2.5", nodes="10", probe_s=""),
        row("timm:b", all_s="9.0", export_s="8.0", check_s="0.5", nodes="20"),
        row("timm:c", all_s=""),
    ]
    first, second = slowest(rows).splitlines()
    assert first.split() == ["9.0", "s", "timm:b", "(export", "8.0,", "check", "0.5;", "20", "nodes)"]
    assert "timm:a" in second


def config(**values: Any) -> Any:
    return SimpleNamespace(to_dict=dict, model_type="x", **values)


def test_configurations_become_shallow_and_keep_one_layer_of_each_kind() -> None:
    inner = config(num_hidden_layers=12, hidden_size=64)
    whole = config(
        num_hidden_layers=6,
        layer_types=["linear", "linear", "linear", "full", "linear", "full"],
        first_k_dense_replace=3,
        vision_config=inner,
        hidden_size=128,
    )
    shallow(whole, 2)
    assert whole.num_hidden_layers == 4
    assert whole.layer_types == ["linear", "linear", "linear", "full"]
    assert (whole.first_k_dense_replace, whole.hidden_size) == (1, 128)
    assert (inner.num_hidden_layers, inner.hidden_size) == (2, 64)
