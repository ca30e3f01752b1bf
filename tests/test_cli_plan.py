"""`fxcost plan`: MiniMalloc's format in and out, and files that are hostile."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest

from fxcost.passes.memory_plan_check import check_plan
from fxcost.passes.memory_plan_csv import parse_buffers, read_buffers
from fxcost.passes.memory_plan_problem import Request
from tests.support.commands import DATA, answer, run

EXAMPLE = DATA / "minimalloc" / "input.12.csv"


def test_a_plan_is_written_beside_the_table(tmp_path: Path) -> None:
    """The published example: five buffers, three of four bytes alive at once."""
    out = tmp_path / "plan.csv"
    ran = run("plan", EXAMPLE, "--capacity", "12", "-o", out)
    assert (ran.code, ran.err) == (0, "")
    assert "optimal" in ran.out
    rows = list(csv.DictReader(out.open(encoding="utf-8", newline="")))
    source = read_buffers(EXAMPLE)
    assert [row["id"] for row in rows] == [r.id for r in source.requests]
    assert check_plan(source.requests, {row["id"]: int(row["offset"]) for row in rows}, 12) == (12,)


def test_what_does_not_fit_is_infeasible() -> None:
    ran = run("plan", EXAMPLE, "--capacity", "11")
    assert ran.code == 4
    assert ran.err == "fxcost: no plan fits into 11 bytes: 12 bytes are alive at one time\n"


def test_banks_and_alignment(tmp_path: Path) -> None:
    out = tmp_path / "plan.csv"
    ran = run("plan", EXAMPLE, "--capacity", "16,8", "--alignment", "8", "-o", out)
    assert ran.code == 0
    source = read_buffers(EXAMPLE)
    rows = list(csv.DictReader(out.open(encoding="utf-8", newline="")))
    offsets, banks = ({row["id"]: int(row[name]) for row in rows} for name in ("offset", "bank"))
    assert check_plan(source.requests, offsets, (16, 8), 8, banks)


def test_columns_in_any_order_are_kept(tmp_path: Path) -> None:
    path, out = tmp_path / "b.csv", tmp_path / "o.csv"
    path.write_bytes(b'size,note,"id",offset,upper,lower\r\n5,"x, ""y""","a,b",9,2,0\r\n4,,c,9,3,1\r\n')
    assert run("plan", path, "-o", out).code == 0
    assert out.read_bytes() == b'size,note,id,upper,lower,offset\r\n5,"x, ""y""","a,b",2,0,0\r\n4,,c,3,1,5\r\n'


def test_end_is_the_last_time_alive() -> None:
    """MiniMalloc's older columns: `end` is inclusive, `upper` exclusive."""
    found = parse_buffers("buffer_id,start,end,size\na,0,1,5\n")
    assert found.requests == (Request("a", 0, 2, 5),)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"id,lower,upper,size\na,0,1,-5\n", "line 2: the size of 'a' is -5"),
        (b"id,lower,upper,size\na,5,1,5\n", "ends at 1, before it begins at 5"),
        (b"id,lower,upper,size\na,0,1,5\na,0,1,5\n", "line 3: the id 'a' is used on line 2"),
        (b"id,lower,upper,size\na,0,1,1.5\n", "size is '1.5'; expected an integer"),
        (b"id,lower,upper,size\na,0,1," + b"9" * 5000, "expected an integer of at most 30 digits"),
        (b"id,lower,upper,size\na,0\n", "2 fields; expected 4"),
        (b"id,lower,size\na,0,5\n", "no column upper"),
        (b"id,id,lower,upper,size\n", "two columns for 'id'"),
        (b'id,lower,upper,size\n"a,0,1,5\n', "no CSV"),
        (b"hello\nworld\n", "no column id, lower, upper, size"),
        (b"", "it is empty"),
        (bytes(range(256)), "no UTF-8 text"),
        (random.Random(0).randbytes(64) + b"\xff", "plan.csv"),
    ],
)
def test_a_hostile_file_is_one_error(tmp_path: Path, text: bytes, complaint: str) -> None:
    path, out = tmp_path / "plan.csv", tmp_path / "out.csv"
    path.write_bytes(text)
    ran = run("plan", path, "-o", out)
    assert ran.code == 2
    assert ran.err.startswith("fxcost: ")
    assert complaint in ran.err
    assert len(ran.err.splitlines()) == 1
    assert not out.exists()


def test_huge_numbers_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "b.csv"
    path.write_text(f"id,lower,upper,size\na,0,{10**18},{10**18}\nb,5,6,{10**18}\n", encoding="utf-8")
    assert f"{2 * 10**18:,}" in answer(f"plan {path}")


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "plan.svg"
    assert run("plan", EXAMPLE, "--plot", path).code == 0
    drawn = path.read_text(encoding="utf-8")
    assert all(f">b{i}<" in drawn for i in range(1, 6))
