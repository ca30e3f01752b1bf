"""fxcost sweep: tables, files that are written whole, several models, what is refused."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import fxcost
from fxcost.report import sweep as files
from tests.support.commands import DATA, MODELS, answer, run, shell

SMALL = "sweep DATA/mobilenet_v2.mlir --over H=64:256:64 --tie W=H --at N=1"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_table() -> None:
    cost = fxcost.analyze(str(DATA / "mobilenet_v2.mlir"))
    lines = answer(SMALL).splitlines()
    assert lines[0].split() == ["H", "W", "macs", "peak_memory"]
    assert [line.split() for line in lines[1:]] == [
        [str(h), str(h), str(cost.macs(N=1, H=h, W=h)), str(cost.peak_memory(N=1, H=h, W=h))]
        for h in (64, 128, 192, 256)
    ]


def test_csv_and_json_hold_the_same() -> None:
    from_csv = [{name: int(cell) for name, cell in row.items()} for row in rows(answer(f"{SMALL} --csv"))]
    found = json.loads(answer(f"{SMALL} --json"))
    assert found["rows"] == from_csv
    assert found["metrics"]["DATA/mobilenet_v2.mlir".replace("DATA", str(DATA))]["macs"] == {
        "unit": "MAC",
        "standing": "exact",
        "notes": [],
    }


def test_cells_outside_are_empty_and_counted() -> None:
    ran = shell("sweep DATA/mobilenet_v2.mlir --over H=0:128:64 --tie W=H --at N=1 --csv --metrics macs")
    assert ran.code == 0
    assert ran.out.splitlines()[1:3] == ["0,0,", "64,64,25728512"]
    assert "macs: 1 of 3 cells are empty" in ran.err


def test_a_grid_of_several_models() -> None:
    line = "sweep DATA/mobilenet_v2.mlir DATA/resnet18.mlir --over H=64,96 --over W=32:34 --at N=2 --metrics macs --csv"
    found = rows(answer(line))
    assert len(found) == 2 * 2 * 3
    for row in found:
        cost = fxcost.analyze(row["model"])
        assert int(row["macs"]) == cost.macs(N=2, H=int(row["H"]), W=int(row["W"]))


def test_latencies_say_what_they_lack() -> None:
    ran = shell(f"{SMALL} --metrics latency:h100-sxm,energy:t4 --csv")
    assert ran.code == 0
    assert (
        ran.out.splitlines()[0] == "H,W,lecture:h100-sxm,bound:h100-sxm,roofline:h100-sxm,calibrated:h100-sxm,energy:t4"
    )
    assert "energy:t4 is a lower bound (" in ran.err


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_files(ending: str, tmp_path: Path) -> None:
    if ending == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    place = tmp_path / f"sweep.{ending}"
    ran = run("sweep", DATA / "resnet18.mlir", "--over", "H=0:300", "--over", "W=64:363", "--at", "N=1", "-o", place)
    assert ran.code == 0
    assert ran.out == ""
    assert "90,300 points" in ran.err
    assert [path.name for path in tmp_path.iterdir()] == [place.name]
    cost = fxcost.analyze(str(DATA / "resnet18.mlir"))
    if ending == "csv":
        found: list[dict[str, Any]] = list(rows(place.read_text(encoding="utf-8")))
    else:
        table = parquet.read_table(place)
        assert {str(field.type) for field in table.schema} == {"int64"}
        assert table.schema.field("macs").metadata == {b"unit": b"MAC", b"standing": b"exact"}
        found = table.to_pylist()
    assert len(found) == 301 * 300
    assert found[0]["macs"] in (None, "")
    for row in found[300::7919]:
        assert int(row["macs"]) == cost.macs(N=1, H=int(row["H"]), W=int(row["W"]))


def test_parquet_holds_totals_of_any_size(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    place = tmp_path / "large.parquet"
    line: list[str | Path] = [
        "sweep",
        DATA / "resnet18.mlir",
        "--over",
        "H=7,1000000000",
        "--tie",
        "W=H",
        "--at",
        "N=1000000",
    ]
    assert run(*line, "-o", place).code == 0
    expected = fxcost.analyze(str(DATA / "resnet18.mlir")).macs(N=10**6, H=10**9, W=10**9)
    assert expected > 2**63
    found = parquet.read_table(place)["macs"].to_pylist()
    assert found[1] == Decimal(expected)
    tied = ["--tie", "W=H*H*H*H", "--at", "N=1"]
    ran = run("sweep", DATA / "resnet18.mlir", "--over", "H=1,999999999999999999", *tied, "-o", place)
    assert ran.code == 2
    assert "more than the 76 digits" in ran.err
    assert parquet.read_table(place)["macs"].to_pylist() == found


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ("--over H=9:3", "--over 'H=9:3' is empty"),
        ("--over H=1:9:0", "the step is 0"),
        ("--over Q=1:9 --at N=1", "no symbol 'Q'"),
        ("--over H=1:9 --at N=1", "also needs W"),
        ("--over H=1:9 --metrics mac", "did you mean 'macs'"),
        ("--over H=1:9 --metrics roofline:t5", "t4"),
        ("--over H=1:9 --metrics sped:t4", "no 'sped' of a target"),
        ("--over H=1:100000 --tie W=H --at N=1", "too many to read"),
        ("--over H=1:9 --csv --json", "choose one of"),
        ("--over H=1:9 -o a.txt", "must end in .csv or .parquet"),
        ("--over H=1:9 -o no/such/a.csv", "there is no folder"),
        ("--over H=1:9 --executor here", "is not dask://HOST:PORT"),
        ("--over H=1:9 --jobs 0", "'--jobs'"),
    ],
)
def test_what_is_refused(options: str, part: str) -> None:
    ran = shell(f"sweep DATA/resnet18.mlir {options}")
    assert ran.code == 2
    assert ran.out == ""
    assert part in ran.err
    assert "Traceback" not in ran.err


def test_an_unwritable_file(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        place = Path("/proc/sweep.csv")  # a folder that not even root may write to
    else:
        tmp_path.chmod(0o500)
        place = tmp_path / "sweep.csv"
    ran = run("sweep", DATA / "resnet18.mlir", "--over", "H=1:9", "--tie", "W=H", "--at", "N=1", "-o", place)
    assert ran.code == 2
    assert f"cannot write {place}" in ran.err


def test_an_interrupted_file_is_not_there(tmp_path: Path) -> None:
    place = tmp_path / "sweep.csv"
    place.write_text("before", encoding="utf-8")

    def stopped(*_: object) -> Iterator[None]:
        raise KeyboardInterrupt

    with patch.object(files, "write_csv", stopped):
        ran = run("sweep", DATA / "resnet18.mlir", "--over", "H=1:9", "--tie", "W=H", "--at", "N=1", "-o", place)
    assert (ran.code, ran.out) == (130, "")
    assert "interrupted" in ran.err
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["before"]


@pytest.mark.slow
def test_models_captured_in_processes_are_the_same() -> None:
    line = f"{MODELS}:conv {MODELS}:Fails {MODELS}:absent -i N,3,H,W --over H=8:12 --tie W=H --at N=1 --csv"
    alone, beside = (shell(f"sweep {line} {more}") for more in ("", "--jobs 2"))
    assert (alone.code, beside.code) == (3, 3)
    assert alone.out == beside.out
    assert alone.out.splitlines()[:2] == ["model,H,W,macs,peak_memory", f"{MODELS}:conv,8,8,13824,2816"]
    for ran in (alone, beside):
        assert "RuntimeError: deliberate" in ran.err
        assert f"{MODELS}:absent: " in ran.err


@pytest.mark.slow
def test_a_cluster_of_dask() -> None:
    distributed = pytest.importorskip("distributed", reason="the extra `dask` is not installed")
    line = f"sweep {MODELS}:conv -i N,3,H,W --over H=8:12 --tie W=H --at N=1 --csv"
    with distributed.LocalCluster(n_workers=1, dashboard_address=None, host="127.0.0.1") as cluster:
        place = cluster.scheduler_address.removeprefix("tcp://")
        assert answer(f"{line} --executor dask://{place}") == answer(line)


def test_a_picture_has_a_line_for_each_other_size(tmp_path: Path) -> None:
    """Over S, a line for each N; tied sizes are no lines of their own; too many lines are refused."""
    path = tmp_path / "sweep.svg"
    line = "sweep DATA/tiny_llama.mlir --over S=64:1024:64"
    assert shell(f"{line} --over N=1:4 --plot {path}").code == 0
    assert all(f"N={n}" in path.read_text() for n in (1, 2, 3, 4))
    assert shell(f"sweep DATA/resnet18.mlir --over H=64:512:64 --tie W=H --at N=1 --plot {path}").code == 0
    refused = shell(f"{line} --over N=1:40 --plot {path}")
    assert refused.code == 2
    assert "40 lines" in refused.err
    assert [p.name for p in tmp_path.iterdir()] == ["sweep.svg"]


def test_each_model_takes_the_sizes_that_it_has() -> None:
    line = "sweep DATA/resnet18.mlir DATA/tiny_llama.mlir --over N=1,2 --at H=64,W=64,S=16 --metrics macs --csv"
    rows = list(csv.DictReader(io.StringIO(answer(line))))
    assert len(rows) == 4
    assert int(rows[1]["macs"]) == 2 * int(rows[0]["macs"])
    assert int(rows[3]["macs"]) == 2 * int(rows[2]["macs"])
    refused = shell(line.replace("S=16", "S=16,Q=1"))
    assert (refused.code, refused.out) == (2, "")
    assert "none of the models has the symbol 'Q'; known: H, N, S, W" in refused.err


def test_models_of_different_sizes_are_compared() -> None:
    line = "compare DATA/resnet18.mlir DATA/tiny_llama.mlir --at H=64,W=64,S=16"
    assert "tiny_llama needs less macs for N >= 1" in answer(line)
    assert "none of the models has the symbol 'Q'" in shell(f"{line},Q=1").err
