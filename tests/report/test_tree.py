"""The tree of modules: repeated blocks folded, rows sorted and cut, and every level still adding up."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from rich.table import Table
from rich.text import Text

import fxcost
from fxcost.cost import Cost
from fxcost.errors import SpecError
from fxcost.ir.expr import ZERO, Expr, const, symbol
from fxcost.query.breakdown import METRICS, ModuleRow, flatten
from fxcost.query.fold import folded, ranges_text
from fxcost.report.arrange import SORTS, module_tree, node_list, op_list
from fxcost.report.characters import shortened
from fxcost.report.terminal import Branch, plain
from tests.support.commands import DATA, answer, shell

AT = "--at N=1,H=224,W=224"
POINT = {"N": 1, "H": 224, "W": 224}


@pytest.fixture(scope="module")
def costs() -> dict[str, Cost]:
    return {name: fxcost.analyze(DATA / f"{name}.mlir") for name in ("resnet18", "mobilenet_v2", "tiny_llama")}


def adds_up(tree: ModuleRow) -> None:
    for _, row in flatten(tree, 99):
        for metric in METRICS if row.own else ():
            parts = [row.own[metric], *(child.metrics[metric] for child in row.children)]
            assert sum(parts) == row.metrics[metric], (row.path, metric)


def module(path: str, *children: ModuleRow, macs: Expr | int = 0) -> ModuleRow:
    own = dict.fromkeys(METRICS, ZERO) | {"macs": const(macs) if isinstance(macs, int) else macs}
    sums = {m: sum((c.metrics[m] for c in children), start=own[m]) for m in METRICS}
    return ModuleRow(path, 1, sums, children, own)


# -- folding -------------------------------------------------------------------------------------------------------
def test_alike_blocks_are_one_row_with_their_sum() -> None:
    size = symbol("N")
    blocks = [module(f"layers.{i}", module(f"layers.{i}.mlp", macs=3 * size), macs=size) for i in range(12)]
    (layers,) = folded(module("", module("layers", *blocks))).children
    (row,) = layers.children
    assert (row.path, row.copies, row.metrics["macs"], row.own["macs"]) == ("layers.0-11", 12, 48 * size, 12 * size)
    (mlp,) = row.children
    assert (mlp.copies, mlp.metrics["macs"]) == (12, 36 * size)


def test_blocks_that_differ_somewhere_below_stay_apart() -> None:
    size = symbol("N")
    blocks = [module(f"h.{i}", module(f"h.{i}.mlp", macs=size if i != 2 else size + 1), macs=size) for i in range(4)]
    rows = folded(module("h", *blocks)).children
    assert [(row.path, row.copies) for row in rows] == [("h.0-1,3", 3), ("h.2", 1)]


def test_only_numbered_siblings_of_one_name_are_folded() -> None:
    names = ("q_proj", "k_proj", "conv1", "conv2", "bn1", "conv3")
    rows = folded(module("", *(module(name, macs=5) for name in names))).children
    assert [(row.path, row.copies) for row in rows] == [("q_proj", 1), ("k_proj", 1), ("conv1-3", 3), ("bn1", 1)]


def test_blocks_are_folded_inside_folded_blocks() -> None:
    blocks = [module(f"s.{i}", *(module(f"s.{i}.{j}", macs=7) for j in range(3))) for i in range(2)]
    (outer,) = folded(module("s", *blocks)).children
    (inner,) = outer.children
    assert (outer.path, outer.copies, inner.path, inner.copies) == ("s.0-1", 2, "s.0.0-2", 6)
    assert inner.metrics["macs"] == const(42)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2)), max_size=12))
def test_folding_keeps_every_sum(blocks: list[tuple[str, int]]) -> None:
    rows = [module(f"{name}{i}", module(f"{name}{i}.x", macs=cost), macs=cost) for i, (name, cost) in enumerate(blocks)]
    tree = module("", *rows)
    found = folded(tree)
    assert found.metrics == tree.metrics
    assert sum(row.copies for row in found.children) == len(blocks)
    adds_up(found)


def test_real_trees_fold_and_add_up(costs: dict[str, Cost]) -> None:
    for cost in costs.values():
        tree = folded(cost.modules)
        assert tree.metrics == cost.modules.metrics
        adds_up(tree)
    assert "features.8-10" in {row.path for _, row in flatten(folded(costs["mobilenet_v2"].modules), 9)}


@given(st.lists(st.integers(0, 60), unique=True, max_size=30).map(sorted))
def test_ranges(numbers: list[int]) -> None:
    text = ranges_text(numbers)
    parts = [part.split("-") for part in text.removesuffix(",...").split(",") if part]
    named = [i for part in parts for i in range(int(part[0]), int(part[-1]) + 1)]
    assert named == numbers[: len(named)]
    assert text.endswith("...") == (len(named) < len(numbers))


# -- the order of rows, and how many ------------------------------------------------------------------------------
@pytest.mark.parametrize("sort", SORTS)
def test_rows_are_sorted_at_every_level(sort: str, costs: dict[str, Cost]) -> None:
    summary = replace(costs["mobilenet_v2"].summary(POINT), sort=sort)

    def amount(row: ModuleRow) -> int:
        return sum(v or 0 for v in summary.values(tuple(row.metrics[m] for m in SORTS[sort]), POINT))

    for _, row in flatten(module_tree(summary), 9):
        amounts = [amount(child) for child in row.children]
        assert amounts == sorted(amounts, reverse=True)
    adds_up(module_tree(summary))


@pytest.mark.parametrize("top", [1, 3, 500])
def test_what_is_cut_is_summed(top: int, costs: dict[str, Cost]) -> None:
    for name, cost in costs.items():
        summary = replace(cost.summary(None), top=top)
        tree = module_tree(summary)
        assert tree.metrics == cost.modules.metrics
        adds_up(tree)
        assert all(len(row.children) <= top + 1 for _, row in flatten(tree, 9)), name
        nodes, ops = node_list(summary), op_list(summary)
        for metric in METRICS:
            every = sum(row.metrics[metric] for row in cost.nodes)
            assert sum(row.metrics[metric] for row in nodes) == every == sum(sums[metric] for _, _, sums in ops)
        assert sum(count for _, count, _ in ops) == len(cost.nodes)


def test_a_row_of_one_more_is_the_row_itself(costs: dict[str, Cost]) -> None:
    children = costs["resnet18"].modules.children
    tree = module_tree(replace(costs["resnet18"].summary(POINT), top=len(children) - 1))
    assert len(tree.children) == len(children)
    assert not any("more)" in row.path for row in tree.children)


def test_sorting_needs_numbers(costs: dict[str, Cost]) -> None:
    summary = replace(costs["resnet18"].summary(), point=None, sort="macs")
    with pytest.raises(SpecError, match="give a size for every symbol with --at"):
        module_tree(summary)


# -- as it is printed ---------------------------------------------------------------------------------------------
def test_the_tree_on_the_terminal() -> None:
    text = answer(f"report DATA/mobilenet_v2.mlir {AT} --depth 2 --top 3")
    tree = text[text.index("By module") :].split("\n\n")[0].splitlines()
    assert tree[0] == "By module, 2 levels, the 3 costliest by macs first; every level adds up"
    assert re.match(r"├─ features +2\.22 M +299 M +99\.6", tree[3])
    assert re.match(r"│  ├─ 12-13  x2 +237 K +45\.4 M +15\.1", tree[4])
    assert tree[-1] == "xN: a row for N modules with the same formulas, added up"
    assert max(map(len, text.splitlines())) <= 80
    assert " x2 " not in answer(f"report DATA/mobilenet_v2.mlir {AT} --depth 2 --no-fold")


def test_nodes_and_operators_are_sorted_and_cut() -> None:
    text = answer(f"report DATA/mobilenet_v2.mlir {AT} --by node --sort traffic --top 2")
    rows = text[text.index("By node, the 2 costliest by traffic first") :].split("\n\n")[0].splitlines()[2:]
    assert [row.split()[0] for row in rows[:2]] == ["batch_norm_3", "hardtanh__2"]
    assert rows[2].startswith("(151 more)"), "153 nodes"
    text = answer(f"report DATA/mobilenet_v2.mlir {AT} --by op --sort params --top 1")
    assert "By operator, the 1 costliest by params first" in text


def test_csv_and_markdown_follow() -> None:
    rows = list(csv.DictReader(io.StringIO(answer(f"report DATA/mobilenet_v2.mlir {AT} --depth 2 --csv"))))
    assert "features.12" in {row["module"] for row in rows}, "a file has every block"
    text = answer(f"report DATA/mobilenet_v2.mlir {AT} --depth 2 --markdown --top 2")
    assert "| features.12-13 x2 | 2 | 2 |" in text
    assert "| features.(15 more) | 2 |" in text
    rows = list(csv.DictReader(io.StringIO(answer(f"report DATA/mobilenet_v2.mlir {AT} --by node --csv --top 3"))))
    assert len(rows) == 4


def test_lines_of_a_tree_are_ascii_where_nothing_else_can_be_printed() -> None:
    command = [sys.executable, "-m", "fxcost", "report", str(DATA / "resnet18.mlir")]
    ran = subprocess.run(command, capture_output=True, check=True, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert b"|  `- 0-1  x2" in ran.stdout
    assert b"\\u" not in ran.stdout


def test_wrong_words_are_refused() -> None:
    assert "--sort 'mac' is not one of macs, params" in shell("report DATA/resnet18.mlir --sort mac").err
    assert shell("report DATA/resnet18.mlir --top 0").code == 2


# -- long names ------------------------------------------------------------------------------------------------------
def test_the_lines_of_the_tree_go_on_beside_long_names() -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("module", overflow="fold")
    table.add_column("MACs", justify="right")
    table.add_row(Branch("├─ ", "│  ", Text("encoder_of_a_name_that_is_longer_than_the_column")), "12 M")
    table.add_row(Branch("│  └─ ", "│     ", Text("a name of many words, one of them incomprehensibilities")), "7 M")
    table.add_row(Branch("└─ ", "   ", Text("head")), "5 M")
    assert plain(table, 34) == snapshot(
        """\
module                        MACs
├─ encoder_of_a_name_that_is  12 M
│  _longer_than_the_column
│  └─ a name of many words,    7 M
│     one of them
│     incomprehensibilities
└─ head                        5 M\
"""
    )


@pytest.mark.parametrize("most", [12, 20, 36, 80])
def test_shortened_paths_stay_apart(most: int) -> None:
    paths = [f"the_backbone_of_the_network.stage_{i}_with_a_very_long_name.conv" for i in range(4)]
    found = [shortened(path, most) for path in paths]
    assert all(len(text) <= most for text in found)
    assert most < 36 or len(set(found)) == 4
    assert most < 80 or found == paths


def test_shortened_paths() -> None:
    assert shortened("features.12.conv", 30) == "features.12.conv"
    assert shortened("backbone.stage_0_of_them.act", 20) == "backbo….stage_….act"
    assert shortened("a" * 50, 10) == "aaaaaaaaa…"
    assert shortened(".".join("abcdefgh"), 10) == "…d.e.f.g.h"
