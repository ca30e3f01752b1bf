"""`fxcost recompute` and what the other commands say of a training step, on a graph as text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.commands import answer, shell

STEP = "DATA/perceptron_step.mlir"  # linear layers 16 -> 64 -> 64 -> 8 with a ReLU and a GELU between them


def test_a_plan_in_words() -> None:
    """Kept: 16 in, 64 after each of the layers, and 64 for the GELU, floats; 4 x 16 x 64 = 4096 bytes less is a layer."""
    found = answer(f"recompute {STEP} --at N=100 --memory 40KB")
    assert "kept for the backward pass, as torch does" in found
    assert "optimal: no plan that runs each operator twice at most adds fewer MACs" in found
    assert "<- this" in found
    assert max(map(len, found.splitlines())) <= 80


def test_as_json_and_over_a_size() -> None:
    found = json.loads(answer(f"recompute {STEP} --at N=100 --memory 40KB --json"))
    # Of 100 x 4 x (16 + 64 + 64 + 64) bytes the input stays, and the GELU's; the first layer and the ReLU run again.
    assert found["plain"]["saved_activations"] == 100 * 4 * (16 + 3 * 64)
    assert found["saved_activations"] == 100 * 4 * (16 + 64)
    assert found["macs_on_top"] == 100 * 16 * 64
    assert found["optimal"]
    assert [row["macs_on_top"] for row in found["frontier"]] == sorted(row["macs_on_top"] for row in found["frontier"])
    rows = json.loads(answer(f"recompute {STEP} --memory 80KB --over N --json"))
    assert rows["proven"]
    assert [row["low"] for row in rows["rows"]][1:] == [row["high"] + 1 for row in rows["rows"]][:-1]
    assert rows["infeasible_from"] == 80_000 // (4 * 16) + 1
    peak = json.loads(answer(f"recompute {STEP} --at N=100 --memory 112KB --of peak_memory --json"))
    assert (peak["peak_memory"], peak["macs_on_top"]) == (peak["plain"]["peak_memory"], 0)  # it fits as it is


def test_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "frontier.svg"
    answer(f"recompute {STEP} --at N=100 --plot {file}")
    assert "MACs on top of the step (%)" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (f"recompute {STEP}", 2, "give every symbol a size"),
        (f"recompute {STEP} --at N=4 --of peak", 2, "--of 'peak' is not one of saved_activations, peak_memory"),
        (f"recompute {STEP} --at N=4 --memory lots", 2, "is not an amount"),
        (f"recompute {STEP} --over N", 2, "give --memory BYTES, too"),
        (f"recompute {STEP} --over M --memory 1KB", 2, "there is no size 'M'"),
        (f"recompute {STEP} --at N=100 --memory 1KB", 4, "the least found is 6,400"),
        (f"recompute {STEP} --at N=100 --memory 100KB --of peak_memory", 4, "within 100,000 bytes: the least found is"),
        ("recompute DATA/resnet18.mlir --at N=1,H=64,W=64", 2, "no backward pass"),
        (f"recompute {STEP} --at N=4 --plot /tmp/frontier.txt", 2, "a picture ends in"),
        (f"report {STEP} --mode training --optimizer adm", 2, "is not one of sgd, momentum, adam"),
        (f"report {STEP} --optimizer adam", 2, "is about a training step"),
    ],
)
def test_wrong_input(line: str, code: int, message: str) -> None:
    ran = shell(line)
    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err
    assert "Traceback" not in ran.err


def test_the_report_says_what_a_step_keeps() -> None:
    found = answer(f"report {STEP} --mode training --at N=4 --optimizer adam --precision mixed")
    assert "Training, optimizer adam, precision mixed" in found
    assert "memory of the whole step" in found
    assert "(inputs)" in found
    assert "Training, optimizer sgd" in answer(f"report {STEP} --mode training --at N=4 --markdown")


def test_the_largest_batch() -> None:
    """(1024 + 64 + 4096 + 64 + 512 + 8) parameters with gradient-sized peak; at 24 GB the batch decides."""
    found = json.loads(
        answer(f"solve {STEP} 'training_memory <= 24GB' --for N --mode training --optimizer adam --json")
    )
    largest = found["max"]
    at = f"query {STEP} training_memory --mode training --optimizer adam --json --at N="
    assert json.loads(answer(f"{at}{largest}"))["training_memory"]["value"] <= 24 * 10**9
    assert json.loads(answer(f"{at}{largest + 1}"))["training_memory"]["value"] > 24 * 10**9
