"""`fxcost parallel`: the table, its JSON, the best number of devices, and what is refused."""

from __future__ import annotations

import json

import pytest

from tests.support.commands import answer, shell

SHARED = "MODELS:mlp -i N,8 --at N=8 --plan 0=colwise --plan 2=rowwise"


def test_the_table_shows_what_one_device_has() -> None:
    """8 -> 16 -> 4: half of 8*16 + 16 + 16*4 and the last bias on one of two devices; 2 * 1/2 * 8*4*4 bytes are sent."""
    text = answer(f"parallel {SHARED} --devices 1,2 --target h100-sxm")
    rows = {line.split()[0]: line.split() for line in text.partition("fewest")[0].splitlines()[2:]}
    assert rows["1"][1] == "212"
    assert rows["2"][1] == str((8 * 16 + 16 + 16 * 4) // 2 + 4)
    assert "128 B" in text
    assert "2 devices: 16*N" in text
    assert "fewest that fit h100-sxm: 1; least roofline latency: 1" in text
    assert "overlap" in text
    assert max(map(len, text.splitlines())) <= 80


def test_json_holds_formulas_and_numbers() -> None:
    found = json.loads(answer(f"parallel {SHARED} --devices 2 --target h100-sxm --json"))
    (row,) = found["devices"]
    assert row["totals"]["wire_bytes"] == {"unit": "bytes", "standing": "exact", "expr": "16*N", "value": 128}
    assert row["totals"]["macs"]["value"] == 8 * 8 * (8 + 4)
    assert row["wire_s"] == pytest.approx(3.4e-6 + 128 / 450e9, rel=1e-4)
    assert (found["smallest"], found["fastest"]) == (2, 2)


def test_the_best_number_alone() -> None:
    assert answer(f"parallel {SHARED} --devices 2,4 --target h100-sxm --goal memory") == "2\n"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("parallel MODELS:mlp -i N,8", "--at"),
        (f"parallel {SHARED} --devices 2,x", "found 'x'"),
        (f"parallel {SHARED} --devices 2 --goal latency", "name one with --target"),
        ("parallel MODELS:mlp -i N,8 --at N=8 --devices 2", "carries no plan"),
        ("parallel MODELS:mlp -i N,8 --at N=8 --devices 2 --plan 9=colwise", "no module is called so"),
    ],
)
def test_wrong_input_is_one_line(line: str, complaint: str) -> None:
    ran = shell(line)
    assert ran.code == 2
    assert complaint in " ".join(ran.err.split())
    assert "Traceback" not in ran.err
