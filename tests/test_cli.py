"""The command line: what each command prints, where it prints it, and the code it leaves with."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fxcost
from tests.support.commands import DATA, MODELS, Ran, answer, run, shell
from tests.support.tiny_models import chosen_rows

COMMANDS = (
    *("report", "query", "solve", "sweep", "compare", "fit", "arena", "crossover", "explain", "schedule", "patch"),
    *(
        "llm",
        "parallel",
        "recompute",
        "plan",
        "check",
        "opt",
        "export",
        "schema",
        "calibrate",
        "targets",
        "ops",
        "cache",
    ),
)
RESNET_224 = "--at N=1,H=224,W=224"
# As torchvision publishes them for 224 x 224: 1.814 GMAC and 11,689,512 parameters.
RESNET_MACS, RESNET_PARAMS = 1_814_073_344, 11_689_512


# -- help ----------------------------------------------------------------------------------------------------------
def test_help_lists_every_command_in_80_columns() -> None:
    text = answer("--help")
    assert all(re.search(rf"^  {name} ", text, re.MULTILINE) for name in COMMANDS)
    assert "..." not in text.partition("Commands:")[2], "every summary fits its line"
    assert max(map(len, text.splitlines())) <= 80


def test_without_arguments_it_prints_the_help() -> None:
    assert answer("") == answer("--help")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command: str) -> None:
    text = answer(f"{command} --help")
    assert max(map(len, text.splitlines())) <= 80
    if "MODEL" in text:
        assert "Loading a factory runs its code" in " ".join(text.split())


def test_version() -> None:
    assert re.fullmatch(r"fxcost \d+\.\d+\S*\n", answer("--version"))


def test_help_is_quick_because_it_loads_little() -> None:
    seen = _python("import sys\nfrom fxcost.cli import main\n", "--help", after="print(*sys.modules, file=sys.stderr)")
    assert seen.code == 0
    slow = {"torch", "sympy", "numpy", "networkx", "rich", "fxcost.api", "fxcost.passes"}
    assert not slow & set(seen.err.split())


def test_graphs_from_text_are_analysed_without_torch(tmp_path: Path) -> None:
    model = str(DATA / "resnet18.mlir")
    at = ["--at", "N=1,H=224,W=224"]
    lines = [
        ["report", model],
        ["report", model, *at, "--json", "--target", "h100-sxm"],
        ["query", model, "macs", *at],
        ["solve", model, "macs <= 1G", "--for", "H", "--at", "N=1", "--tie", "W=H"],
        ["fit", model, "--target", "stm32h743"],
        ["explain", model, "fc"],
        ["check", model, "--max", "macs=2G", *at],
        ["export", model, "--to", "mlir", "-o", str(tmp_path / "again.mlir")],
    ]
    script = (
        "import sys\nfrom fxcost.cli import main\n"
        f"for line in {lines!r}:\n"
        "    sys.argv = ['fxcost', *line]\n"
        "    try:\n        main()\n"
        "    except SystemExit as left:\n        print(line[0], left.code, file=sys.stderr)\n"
        "print('torch' in sys.modules, 'sympy' in sys.modules, file=sys.stderr)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stderr.split() == [part for line in lines for part in (line[0], "0")] + ["False", "False"]


def _python(before: str, *arguments: str, after: str = "") -> Ran:
    script = f"{before}try:\n    main()\nfinally:\n    {after or 'pass'}\n"
    ran = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    return Ran(ran.returncode, ran.stdout, ran.stderr)


# -- report --------------------------------------------------------------------------------------------------------
def test_report_says_everything_at_a_glance() -> None:
    text = answer(f"report DATA/resnet18.mlir {RESNET_224} --target h100-sxm")
    order = [
        "torchvision:resnet18  (f32[N, 3, H, W])",
        "At N=1, H=224, W=224\n",
        f"{RESNET_MACS:,}",
        f"{RESNET_PARAMS:,}",
        "Latency and energy",
        "Formulas",
        "peak_memory = ",
        "By module, 2 levels; every level adds up",
        "layer1",
        "The peak, ",
        "Unknown operators: none.",
        "Counting: MACs of convolutions",
    ]
    places = [text.find(part) for part in order]
    assert -1 not in places, order[places.index(-1)]
    assert places == sorted(places)


def test_report_chooses_sizes_and_says_so() -> None:
    assert "At N=1, H=352, W=416 (sizes chosen here, give yours with --at)" in answer("report DATA/resnet18.mlir")
    assert "(W chosen here, give yours with --at)" in answer("report DATA/resnet18.mlir --at N=1,H=224")


def test_report_by_operator_starts_with_the_costliest() -> None:
    text = answer(f"report DATA/mobilenet_v2.mlir {RESNET_224} --by op")
    rows = text[text.index("By operator") :].splitlines()[2:]
    assert rows[0].split()[:2] == ["aten.conv2d", "52"], "52 convolutions, torchvision's own count"


def test_report_by_node_is_in_execution_order() -> None:
    text = answer(f"report DATA/resnet18.mlir {RESNET_224} --by node")
    rows = text[text.index("By node") : text.index("The peak")].splitlines()[2:]
    names = [row.split()[0] for row in rows if row.strip()]
    assert names[:4] == ["conv2d", "batch_norm", "relu_", "max_pool2d"]
    assert names[-1] == "linear"


def test_report_as_csv_has_a_line_a_module() -> None:
    rows = list(csv.DictReader(io.StringIO(answer(f"report DATA/resnet18.mlir {RESNET_224} --csv --depth 1"))))
    whole, *parts = rows
    assert (whole["macs"], whole["params"]) == (str(RESNET_MACS), str(RESNET_PARAMS))
    own = int(whole["macs"]) - sum(int(row["macs"]) for row in parts)
    assert own == 0, "every product of a resnet lies in a module"
    assert [row["module"] for row in parts][-1] == "fc"


def test_report_as_markdown_is_a_table() -> None:
    text = answer(f"report DATA/resnet18.mlir {RESNET_224} --markdown")
    assert text.startswith("## torchvision:resnet18 at N=1, H=224, W=224")
    widths = {line.count("|") for line in text.split("\n\n")[2].splitlines()}
    assert len(widths) == 1, "every line has as many cells"


def test_report_on_a_terminal_has_colours_and_the_width_of_the_terminal() -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "fxcost", "report", str(DATA / "tiny_llama.mlir")]
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"COLUMNS": "120", "TERM": "xterm"}
    with subprocess.Popen(command, stdout=follower, stderr=follower, stdin=follower, env=environment) as process:
        os.close(follower)
        text = b""
        while True:
            try:
                block = os.read(leader, 4096)
            except OSError:  # the other end is closed: everything was read
                break
            if not block:
                break
            text += block
        assert process.wait() == 0
    os.close(leader)
    assert b"\x1b[1m" in text
    bare = re.sub(rb"\x1b\[[0-9;]*m", b"", text).decode()
    assert 100 < max(map(len, bare.splitlines())) <= 120


def test_a_reader_that_goes_away_is_no_error() -> None:
    line = f"{sys.executable} -m fxcost ops | head -1; echo ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert ran.stdout.split()[-1] == "0"
    assert ran.stderr == ""


def test_inputs_of_a_graph_from_text_are_its_own() -> None:
    ran = shell("query DATA/resnet18.mlir params -i N,3,H,W")
    assert (ran.code, ran.out) == (0, f"{RESNET_PARAMS} elements\n")
    assert ran.err.endswith("resnet18.mlir says what its inputs are; -i is left out\n")


# -- query ---------------------------------------------------------------------------------------------------------
def test_query_prints_a_formula_or_a_number() -> None:
    assert answer(f"query DATA/resnet18.mlir macs {RESNET_224}") == f"{RESNET_MACS} MAC\n"
    assert answer("query DATA/resnet18.mlir params") == f"{RESNET_PARAMS} elements\n"
    # 12 inputs a step: 256 per pair of tokens, 604 = 154,624 / 256 per token; see test_json for the derivation.
    assert answer("query DATA/tiny_llama.mlir macs") == "256*N*S*(S + 604) MAC\n"
    assert answer("query DATA/tiny_llama.mlir macs --at N=2") == "512*S*(S + 604) MAC\n"


def test_query_names_the_quantities_where_there_are_several() -> None:
    text = answer(f"query DATA/resnet18.mlir macs flops {RESNET_224}")
    assert text == f"macs = {RESNET_MACS} MAC\nflops = {2 * RESNET_MACS} FLOP\n"


def test_query_as_json_and_latex() -> None:
    found = json.loads(answer("query DATA/tiny_llama.mlir macs params --at N=1,S=1 --json --latex"))
    assert found["macs"] == {
        "unit": "MAC",
        "standing": "exact",
        "expr": "256*N*S*(S + 604)",
        "latex": found["macs"]["latex"],
        "value": 256 * 605,
    }
    assert "S^{2}" in found["macs"]["latex"]
    assert "S^{2}" in answer("query DATA/tiny_llama.mlir macs --latex")


def test_query_arithmetic_intensity() -> None:
    names = "flops read_bytes write_bytes weight_bytes arithmetic_intensity"
    found = json.loads(answer(f"query DATA/resnet18.mlir {names} {RESNET_224} --json"))
    moved = sum(found[n]["value"] for n in ("read_bytes", "write_bytes", "weight_bytes"))
    assert found["arithmetic_intensity"]["value"] == pytest.approx(found["flops"]["value"] / moved)
    assert shell("query DATA/resnet18.mlir arithmetic_intensity").code == 2


# -- solve, fit, check ---------------------------------------------------------------------------------------------
SOLVE = "solve DATA/resnet18.mlir 'peak_memory <= 3.2MB' --for H --at N=1 --tie W=H"


def test_solve_prints_the_values_and_the_proof_line_by_line() -> None:
    first, *proof = answer(SOLVE).splitlines()
    assert first == "1 <= H <= 158"
    # The peak stands at bn1: input and output of 64 channels at half the size, 4 bytes each.
    assert f"  at H = 158 peak_memory = {2 * 64 * 79**2 * 4:,} <= 3,200,000 bytes" in proof
    assert f"  at H = 159 peak_memory = {2 * 64 * 80**2 * 4:,} > 3,200,000 bytes" in proof


def test_solve_as_json() -> None:
    found = json.loads(answer(SOLVE + " --json"))
    assert (found["max"], found["min"], found["set"]) == (158, 1, [[1, 158]])
    assert {"method", "proof", "standing", "wrt"} <= found.keys()


def test_solve_leaves_with_4_where_nothing_satisfies() -> None:
    ran = shell("solve DATA/resnet18.mlir 'peak_memory <= 3B' --for H --at N=1 --tie W=H")
    assert ran.code == 4
    assert ran.out.startswith("no H satisfies this\n")
    assert ran.err == "fxcost: no H satisfies peak_memory <= 3B\n"


def test_fit_says_whether_with_what_margin_and_up_to_where() -> None:
    text = answer(f"fit DATA/mobilenet_v2.mlir --target stm32h743 --target h100-sxm {RESNET_224}")
    assert "torchvision:mobilenet_v2 on stm32h743 at N=1, H=224, W=224: does not fit" in text
    assert "torchvision:mobilenet_v2 on h100-sxm at N=1, H=224, W=224: fits" in text
    assert "largest H that fits (N=1, W=H): " in text
    assert max(map(len, text.splitlines())) <= 80
    found = json.loads(answer("fit DATA/mobilenet_v2.mlir --target stm32h743 --json"))
    assert found["targets"]["stm32h743"]["fits"] == "no"


def test_check_passes_and_fails() -> None:
    line = f"check DATA/resnet18.mlir {RESNET_224} --max macs=2G"
    assert answer(line).startswith(f"ok       macs = {RESNET_MACS:,} MAC, 90.7 % of the budget of 2,000,000,000")
    ran = shell(f"{line} --max peak_memory=320KB")
    assert ran.code == 4
    assert ran.err == "fxcost: over budget: peak_memory\n"
    assert ran.out.splitlines()[1].startswith("EXCEEDED peak_memory = 6,422,528 bytes")


# -- crossover -----------------------------------------------------------------------------------------------------
def test_crossover_of_a_layer_and_of_the_network() -> None:
    text = answer("crossover DATA/resnet18.mlir --target t4 --node layer1.0.conv1")
    assert "layer1.0.conv1: memory-bound for H <= 28; compute-bound for H >= 29" in text
    whole = answer("crossover DATA/resnet18.mlir --target t4 --target mi300x")
    assert whole.count("the whole network:") == 2
    assert re.search(r"^conv2d_1 +memory-bound for H <= 28; compute-bound for H >= 29$", whole, re.MULTILINE)
    assert max(map(len, whole.splitlines())) <= 80
    found = json.loads(answer("crossover DATA/resnet18.mlir --target t4 --node layer1.0.conv1 --json"))
    [layer] = found["targets"]["t4"]
    assert (layer["memory"], layer["compute"], layer["thresholds"]) == ([[1, 28]], [[29, None]], [29])
    report = json.loads(answer(f"report DATA/resnet18.mlir {RESNET_224} --target t4 --json"))
    assert report["targets"]["t4"]["crossover"]["for"] == "H"


def test_crossover_refuses_what_it_cannot_answer() -> None:
    assert run("crossover", DATA / "resnet18.mlir", "--target", "t4", "--node", "layer9").code == 2
    assert run("crossover", DATA / "resnet18.mlir", "--target", "t5").code == 2
    assert run("crossover", DATA / "resnet18.mlir").code == 2
    text = answer("crossover DATA/resnet18.mlir --target ethos-u55-256")
    assert "unknown: compute time of fp32 products: ethos-u55-256 states no fp32 peak" in " ".join(text.split())


def test_fits_side_by_side() -> None:
    text = answer(f"fit DATA/mobilenet_v2.mlir --target stm32h743 --target h100-sxm {RESNET_224} --activations int8")
    head = text.split("\n\n")[0]
    assert re.search(r"^stm32h743 +no +weights \(flash\)", head, re.MULTILINE)
    assert re.search(r"^h100-sxm +yes", head, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 80
    assert "tightest" not in answer("fit DATA/mobilenet_v2.mlir --target h100-sxm")


def test_a_report_says_what_binds_and_where_the_energy_goes() -> None:
    text = " ".join(answer(f"report DATA/resnet18.mlir {RESNET_224} --target t4").split())
    assert re.search(
        r"longest layer4\S+ \(conv2d_\d+\): [\d.]+ us of [\d.]+ us \(\d+%\); memory binds \(gddr6\)", text
    ) or ("compute binds" in text)
    assert "fp32 products 8.34 mJ" in text  # 1,814,073,344 x 4.6 pJ
    assert "crossover the whole network: memory-bound for H <= 160; compute-bound for H >= 161 (N=1, W=H)" in text


# -- explain, export, targets, ops ---------------------------------------------------------------------------------
def test_explain_gives_the_rule_the_formula_and_its_letters() -> None:
    text = answer("explain DATA/resnet18.mlir layer1.0.conv1")
    for part in ("macs = N*Cout*Ho*Wo*(Cin//g)*kh*kw", "Cout = 64", "resnet.py", "fxcost/ops/conv.py"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 80


def test_export_writes_what_it_read(tmp_path: Path) -> None:
    again = tmp_path / "again.mlir"
    command = ("export", DATA / "resnet18.mlir", "--to", "mlir", "--costs", "none", "-o", again)
    assert run(*command) == Ran(0, "", "")
    assert again.read_text() == (DATA / "resnet18.mlir").read_text()
    assert again.stat().st_mode & 0o777 == 0o666 & ~_umask(), "as any other file of the user"
    assert list(tmp_path.iterdir()) == [again], "nothing else is left behind"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_export_as_json_is_the_report(tmp_path: Path) -> None:
    run("export", DATA / "resnet18.mlir", "--to", "json", "-o", tmp_path / "r.json", "--at", "N=1,H=224,W=224")
    assert json.loads((tmp_path / "r.json").read_text())["totals"]["macs"]["value"] == RESNET_MACS


def test_export_for_other_tools(tmp_path: Path) -> None:
    out = tmp_path / "out"
    line = ("export", DATA / "resnet18.mlir", "--at", "N=1,H=224,W=224", "-o", out, "--to")
    assert run(*line, "csv") == Ran(0, "", "")
    rows = list(csv.DictReader(out.open()))
    assert sum(int(row["macs"]) for row in rows) == RESNET_MACS
    assert run(*line, "chrome-trace", "--target", "t4", "--target", "stm32h743") == Ran(0, "", "")
    names = {e["args"]["name"] for e in json.loads(out.read_text())["traceEvents"] if e["name"] == "process_name"}
    assert names == {"torchvision:resnet18 on t4", "torchvision:resnet18 on stm32h743"}
    assert run(*line, "model-explorer", "--metric", "roofline", "--target", "t4") == Ran(0, "", "")
    assert json.loads(out.read_text())["graph"]["results"]["conv2d"]["value"] > 0
    assert run(*line, "dot") == run(*line, "graphml") == Ran(0, "", "")


def test_targets_and_ops_are_listed() -> None:
    listed = answer("targets")
    assert max(map(len, listed.splitlines())) <= 80
    # dense 16-bit and int8 peaks, memory and its bandwidth, the L2 of 50 MiB, design power
    assert re.search(r"^ h100-sxm +67 T +989 T +1.98 P +80 GB +3.35 TB/s +52.4 MB +700 W$", listed, re.MULTILINE)
    assert re.search(r"^ stm32h743 +960 M +1.92 G +2.1 MB +1.05 MB$", listed, re.MULTILINE)
    assert "mcu, tinyengine" in listed, "by class and runtime"
    assert all(f" {name} " in listed for name in fxcost.targets())
    one = answer("targets stm32h743")
    assert "[1] " in one, "figures come with their sources"
    assert max(map(len, one.splitlines())) <= 80
    assert re.search(r"^aten\.conv2d +compute +conv$", answer("ops"), re.MULTILINE)


# -- models --------------------------------------------------------------------------------------------------------
def test_a_factory_in_a_file() -> None:
    assert answer("query MODELS:mlp macs -i N,8") == "192*N MAC\n"
    assert answer("query MODELS:instance macs -i N,8") == "64*N MAC\n", "a model that is there already"


def test_a_factory_in_a_package_beside_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "fxcost_cli_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "helper.py").write_text("WIDTH = 16\n")
    source = "from torch import nn\nfrom .helper import WIDTH\ndef make():\n    return nn.Linear(8, WIDTH)\n"
    (package / "models.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    assert answer("query fxcost_cli_package.models:make macs -i N,8") == "128*N MAC\n"


def test_a_file_may_import_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "fxcost_cli_neighbour.py").write_text("WIDTH = 4\n")
    source = (
        "from torch import nn\nfrom fxcost_cli_neighbour import WIDTH\ndef make():\n    return nn.Linear(8, WIDTH)\n"
    )
    (tmp_path / "fxcost_cli_model.py").write_text(source)
    assert run("query", f"{tmp_path}/fxcost_cli_model.py:make", "macs", "-i", "N,8").out == "32*N MAC\n"


def test_inputs_by_name() -> None:
    # 32 * 100 MACs a token; the mask costs none.
    assert answer("query MODELS:Masked macs -i 'i64[N,S]' -i 'mask=f32[N,S]'") == "3200*N*S MAC\n"


def test_nested_inputs_and_sums() -> None:
    line = "query MODELS:Cache macs output_bytes -i N,1,16 -i 'cache=[(f32[N,S,16],f32[N,S,16])*2]' --at N=1,S=7"
    # 16 * 16 MACs; out is 16 elements, and two keys of (7 + 1) * 16.
    assert answer(line) == f"macs = 256 MAC\noutput_bytes = {4 * (16 + 2 * 8 * 16)} bytes\n"


@pytest.mark.parametrize(
    ("spec", "formula"),
    [
        ("N,3,H,W", "216*H*N*W"),
        ("N,3,H=32..4096,W", "216*H*N*W"),
        ("N,3,H=32*h,W=32*w", f"{216 * 32 * 32}*N*h*w"),
        ("1,3,H@100,7", f"{216 * 7}*H"),
        ("N,3,S+1,S", "216*N*S*(S + 1)"),
    ],
)
def test_sizes(spec: str, formula: str) -> None:
    assert answer(f"query MODELS:conv macs -i {spec}") == f"{formula} MAC\n"


def test_a_range_is_enforced() -> None:
    ran = shell("query MODELS:conv macs -i N,3,H=32..4096,W --at N=1,H=16,W=32")
    assert ran.code == 2
    assert "H=16 is outside its range: 32 <= H <= 4096" in ran.err


def test_what_a_model_prints_does_not_mix_with_the_result() -> None:
    ran = shell("query MODELS:Chatty macs -i N,8 --json")
    assert ran.code == 0
    assert json.loads(ran.out)["macs"]["expr"] == "64*N"
    assert "building" in ran.err


def test_a_module_called_twice_is_shown_as_such() -> None:
    text = answer("report MODELS:Twice -i N,8,H,W --at N=1,H=4,W=4")
    # 2 calls * 16 pixels * 8 * 8 * 9 MACs.
    (row,) = (line for line in text.splitlines() if "─ 0 (called 2 times)" in line)
    assert f"{2 * 16 * 576 / 1000:.1f} K" in row
    assert "584" in row, "its parameters once: 8*8*9 + 8"


def test_exported_programs(tmp_path: Path) -> None:
    import torch

    model = torch.nn.Linear(8, 16).eval()
    dynamic = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(model, (torch.zeros(4, 8),), dynamic_shapes=dynamic), tmp_path / "dyn.pt2")
    torch.export.save(torch.export.export(model, (torch.zeros(4, 8),)), tmp_path / "static.pt2")
    assert run("query", tmp_path / "dyn.pt2", "macs", "-i", "N,8").out == "128*N MAC\n"
    assert run("query", tmp_path / "static.pt2", "macs").out == f"{4 * 128} MAC\n"
    ran = run("query", tmp_path / "static.pt2", "macs", "-i", "N,8", "--at", "N=8")
    assert ran.code == 2
    assert "the exported program is fixed to this size" in ran.err


# -- models that resist --------------------------------------------------------------------------------------------
def test_unknown_operators() -> None:
    text = answer("report MODELS:Odd -i N,8")
    assert "Unknown operators, totals are lower bounds: fxcost_tests.odd x1" in text
    assert ">= 64 MAC" in text
    assert answer("query MODELS:Odd macs -i N,8") == "macs >= 64*N MAC\n"


def test_unknown_operators_under_strict_and_check() -> None:
    for line in (
        "report MODELS:Odd -i N,8 --strict",
        "query MODELS:Odd macs -i N,8 --strict",
        "check MODELS:Odd -i N,8 --at N=1 --max macs=1G",
    ):
        ran = shell(line)
        assert ran.code == 5, line
        assert "fxcost_tests.odd" in ran.err
        assert ran.err.count("\n") == 1


def test_a_model_that_cannot_be_exported_is_answered_in_numbers() -> None:
    found = json.loads(answer("report MODELS:Chosen -i N,8 --json"))
    assert found["standing"] == "numeric"
    assert found["totals"]["macs"]["value"] == chosen_rows(5) * 64, "the size it was recorded at"
    assert "could only be recorded at one size" in found["fixed_dims"]["N"]
    assert "Numeric: one run was recorded" in answer("report MODELS:Chosen -i N,8")


def test_a_branch_on_data_is_taken_as_the_example_takes_it() -> None:
    found = json.loads(answer("report MODELS:Branch -i N,8 --json"))
    assert (found["standing"], found["totals"]["macs"]["expr"]) == ("fitted", "64*N")


def test_a_numeric_model_is_recorded_at_the_size_asked_for() -> None:
    ran = shell("query MODELS:Chosen macs -i N,8 --at N=3")
    assert (ran.code, ran.out) == (0, f"{chosen_rows(3) * 64} MAC\n")
    assert "capturing the model anew at N=3" in ran.err


def test_outside_the_domain_the_model_is_captured_anew() -> None:
    # One product of 64 MACs below 64 rows, two from there on.
    assert answer("query MODELS:Wide macs -i N,8 --at N=63") == f"{63 * 64} MAC\n"
    ran = shell("query MODELS:Wide macs -i N,8 --at N=64")
    assert (ran.code, ran.out) == (0, f"{64 * 128} MAC\n")
    assert re.search(r"the formula holds where .*; capturing the model anew at N=64", ran.err)


def test_pinned_sizes_are_reported_and_may_be_given() -> None:
    inputs = "-i N,3,H@10,10"
    assert "Pinned H=10: the model itself refuses other sizes" in answer(f"report MODELS:Flat {inputs}")
    assert answer(f"query MODELS:Flat macs {inputs} --at N=2,H=10") == f"{2 * 300 * 4} MAC\n"
    ran = shell(f"solve MODELS:Flat 'macs <= 1K' {inputs} --for H --at N=1")
    assert ran.code == 2
    assert "cannot solve for H: H=10: the model itself refuses other sizes" in ran.err


def test_sizes_that_only_the_user_knows_are_tried_as_a_hint() -> None:
    assert answer("query MODELS:Flat macs -i N,3,10,H --at N=2,H=10") == f"{2 * 300 * 4} MAC\n"


def test_sizes_that_the_data_decides() -> None:
    line = "MODELS:Found -i N,8 --target t4"
    assert "At N=3 (data_0 decided by the data, give data_0 with --at)" in answer(f"report {line} --at N=3")
    assert "(data_0 decided by the data, give N, data_0 with --at)" in answer(f"report {line}")
    assert "t4: depends on the sizes" in answer(f"fit {line}")
    # An input of 8 floats a row beside indices of 16 bytes for each of 5 finds, twice: 16 GB are reached just below.
    assert re.search(r"largest N that fits: 49\d,\d{3},\d{3}\n", answer(f"fit {line} --at data_0=5"))
    # Indices are pairs of 8 bytes: five of them are written by nonzero, five more by the product.
    assert answer("query MODELS:Found write_bytes -i N,8 --at N=3,data_0=5") == f"{2 * 5 * 16} bytes\n"


# -- formulas that do not hold everywhere --------------------------------------------------------------------------
@pytest.fixture
def guarded(tmp_path: Path) -> Path:
    """The language model, whose formulas are said not to hold for a batch of one."""
    text = (DATA / "tiny_llama.mlir").read_text()
    path = tmp_path / "guarded.mlir"
    path.write_text(text.replace("fxcost.symbols", 'fxcost.domain = ["N != 1"], fxcost.symbols', 1))
    return path


def test_sizes_are_chosen_where_the_formulas_hold(guarded: Path) -> None:
    assert "At N=5, S=37 (sizes chosen here" in run("report", guarded).out, "the traced sizes"
    assert "largest S that fits (N=5): " in run("fit", guarded, "--target", "t4").out


def test_solving_stays_where_the_formulas_hold(guarded: Path) -> None:
    line: list[str | Path] = ["solve", guarded, "macs <= 1G", "--for"]
    assert run(*line, "N", "--at", "S=64").out.startswith("2 <= N <= ")
    ran = run(*line, "S", "--at", "N=1")
    assert ran.code == 2
    assert "N != 1" in ran.err
    ran = run(*line, "S", "--tie", "N=S")
    assert ran.out.startswith("2 <= S <= "), "one is outside"


# -- zoos and fixtures (slow) --------------------------------------------------------------------------------------
@pytest.mark.slow
def test_zoos_load_in_a_fresh_process(tmp_path: Path) -> None:
    """The loaders of one zoo must not lean on what another one has imported."""
    config = {"model_type": "bert", "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for model, spec in (
        (f"hf:{tmp_path}", "i64[N,S]"),
        ("timm:resnet18", "N,3,H,W"),
        ("torchvision:resnet18", "N,3,H,W"),
    ):
        ran = _python("from fxcost.cli import main\n", "query", model, "params", "-i", spec)
        assert (ran.code, ran.err) == (0, ""), model
        if "resnet18" in model:
            assert ran.out == f"{RESNET_PARAMS} elements\n"


@pytest.mark.slow
def test_the_committed_graphs_are_what_export_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(DATA / "make_fixtures.py"), str(tmp_path)], check=True)
    for path in tmp_path.glob("*.mlir"):
        assert path.read_text() == (DATA / path.name).read_text(), f"run tests/data/make_fixtures.py for {path.name}"


def test_a_model_that_does_nothing() -> None:
    text = answer(f"report {MODELS}:Nothing -i N,8 --at N=1")
    assert "0 MAC" in text
    assert "By module" not in text


# -- patch ---------------------------------------------------------------------------------------------------------
def test_patch_prints_a_plan_within_a_memory() -> None:
    asked = f"patch {DATA / 'mobilenet_v2.mlir'} --at N=1,H=96,W=96 --activations int8 --grid 4x4 --recomputed"
    found = json.loads(answer(f"{asked} --memory 100KB --json"))
    assert found["peak"] <= 100_000 < found["plain_peak"]
    assert found["macs"] > found["plain_macs"]
    assert [(stage["rows"], stage["columns"]) for stage in found["stages"]] == [(4, 4)] * len(found["stages"])
    text = answer(f"{asked} --memory 100KB")
    assert f"{found['peak']:,}" in text
    assert "4 x 4 patches" in text
    refused = shell(f"{asked} --memory 1KB")
    assert refused.code == 4
    assert "the least peak found is" in refused.err
    assert shell(f"{asked} --square").code == 2
    assert shell(f"patch {DATA / 'mobilenet_v2.mlir'} --at N=1,H=96,W=96 --grid 1x1").code == 2


def test_fit_says_which_patches_are_enough() -> None:
    asked = f"{DATA / 'mobilenet_v2.mlir'} --at N=1,H=96,W=96 --activations int8"
    text = " ".join(answer(f"fit {asked} --target stm32f412 --patches").split())
    assert "activations fit 262 KB of sram with" in text
    found = json.loads(answer(f"patch {asked} --memory 262144 --square --json"))
    assert found["peak"] <= 262_144 < found["plain_peak"]
    [stage] = found["stages"]
    assert f"{stage['rows']} x {stage['rows']} patches up to {stage['up_to']}: " in text
    patched = json.loads(answer(f"fit {asked} --target stm32f412 --patches --json"))["targets"]["stm32f412"]["patches"]
    assert (patched["fits"], patched["bytes"], patched["stages"]) == (True, 262_144, [stage])
