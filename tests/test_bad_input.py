"""Wrong and hostile input: one clear error, the right exit code, no traceback, and nothing half-written."""

from __future__ import annotations

import json
import os
import re
import zipfile
from pathlib import Path

import pytest

from tests.support.commands import DATA, MODELS, Ran, run, shell

GRAPH = DATA / "resnet18.mlir"


def refused(ran: Ran, code: int, *parts: str) -> None:
    """The command left with `code`, printed no result and one message of one line that says every part."""
    assert ran.code == code, ran.err or ran.out[:300]
    assert ran.out == ""
    assert ran.err.startswith("fxcost: "), ran.err
    assert ran.err.count("\n") == 1, ran.err
    assert len(ran.err) < 700, "an error is a sentence or two"
    for part in ("Traceback", "DType.", "object at 0x"):
        assert part not in ran.err
    for part in parts:
        assert part in ran.err, ran.err


# -- input specs ---------------------------------------------------------------------------------------------------
SPECS = {
    "": "is empty",
    " ": "is empty",
    ",": "a size is missing",
    "N,": "a size is missing",
    "N,,3": "a size is missing",
    "=3": "a size is missing",
    "N 3": "expected an operator or the end",
    "N;3": "found ';'",
    "0": "not positive",
    "N,-3": "not positive",
    "1.5": "found '.'",
    "1e3": "found 'e3'",
    "f32[": "never closed",
    "f32[N": "never closed",
    "[f32[N]": "never closed",
    "(f32[N]": "never closed",
    "f32]": "found ']'",
    "f32[N])": "after a complete spec",
    "i64[N,S]]": "after a complete spec",
    "f32[N]*3": "after a complete spec",
    "[f32[N] f32[N]]": "expected ','",
    "f33[N]": "did you mean 'f32'",
    "float32[N]": "did you mean 'f32'",
    "int64[N]": "did you mean 'i64'",
    "F32[N]": "found '['",
    "[N]": "expected a tensor such as f32[N,S]",
    "(N,3)": "expected a tensor such as f32[N,S]",
    "N,H=5": "neither a range (32..4096) nor a multiple (32*h)",
    "N,H=": "neither a range",
    "N,H=a..b": "neither a range",
    "N,H=h*32": "neither a range",
    "mask=N": "mask=f32[...]",
    "N,H=5..2": "empty or below 1",
    "N,H=0..5": "empty or below 1",
    "N,H=0*h": "positive number times another",
    "N,H=32*H": "positive number times another",
    "H=32*h,h=2*k,H": "already stands in a multiple",
    "h,H=32*h,H=16*h": "already given as 32*h",
    "H=1..9,H=2..8": "another one: 1 <= H <= 9",
    "H=32*h,H=1..9": "H is 32*h; bound h",
    "H@": "not a positive number",
    "H@0": "not a positive number",
    "H@x": "not a positive number",
    "H@224@3": "not a positive number",
    "H@3,H@4": "two sizes to trace with",
    "H=4..8@9": "outside its range",
    "S+1@3": "only a single name",
    "S+": "found the end",
    "S//2": "neither a number, a name nor a sum or product",
    "S%2": "neither a number, a name nor a sum or product",
    "S-T": "may be negative",
    "__import__('os').system('touch PWNED')": "found the function '__import__'",
    "N.__class__": "found '.'",
    "lambda": "keyword 'lambda'",
    "max,3": "has a meaning in formulas",
    "data_0": "kept for sizes the data decides",
    "é": "is no name for a size",
    "N" * 100_000: "is no name for a size",
    "N,٣": "found '٣'",
    "H@٣": "not a positive number",
    "N,\0": "found '\\x00'",
    "[" * 100_000: "nested brackets",
    "(" * 100_000: "nested brackets",
    "9" * 5_000: "5,000 digits",
    "H=99999999999999999999..": "20 digits",
    "H@99999999999999999999": "20 digits",
    "N," * 100_000: "at most 64",
    "[f32[N]*1000000]": "more than 10,000 inputs",
    "[f32[N]*99999999999999999999]": "20 digits",
}


@pytest.mark.parametrize(("spec", "part"), SPECS.items(), ids=[repr(s[:20]) for s in SPECS])
def test_specs(spec: str, part: str) -> None:
    refused(run("query", f"{MODELS}:Nothing", "macs", "-i", spec), 2, part)


# -- sizes and options ---------------------------------------------------------------------------------------------
OPTIONS = {
    "report GRAPH --at X=1": "the model has no symbol 'X'; known: H, N, W",
    "report GRAPH --at N=-1": "not a positive number",
    "report GRAPH --at N=0": "not a positive number",
    "report GRAPH --at N=1.5": "not a positive number",
    "report GRAPH --at N=٣": "not a positive number",
    "report GRAPH --at N=9999999999999999999": "up to 18 digits",
    "report GRAPH --at N=1,N=2": "N is given twice",
    "report GRAPH --at N": "is not NAME=NUMBER",
    "report GRAPH --at =": "is not NAME=NUMBER",
    "report GRAPH --at ,": "is not NAME=NUMBER",
    "report GRAPH --at ''": "is not NAME=NUMBER",
    "report GRAPH --at 'N=1;H=2'": "not a positive number",
    "report GRAPH --target nosuch": "known: ",
    "report GRAPH --target nosuch.toml": "no such file",
    "report GRAPH --target t4 --dtype fp99": "did you mean",
    "report GRAPH --dtype bf16": "name one with --target",
    "report GRAPH --by layer": "not one of node, module, op",
    "report GRAPH --json --csv": "choose one of --json, --csv and --markdown",
    "report GRAPH --accounting lazy": "not one of eager, inplace, fused",
    "report GRAPH --inputs kept": "not one of freed, held, excluded",
    "report GRAPH --mode dreaming": "mode='dreaming' is not one of",
    "report GRAPH --weights int7": "unknown width 'int7'; did you mean",
    "report GRAPH --activations int7": "unknown width 'int7'; did you mean",
    "query GRAPH mac": "there is no quantity 'mac'; did you mean 'macs'",
    "query GRAPH macs --at N=1,H=8,W=8,Q=1": "the model has no symbol 'Q'",
    "query GRAPH arithmetic_intensity": "give every size with --at",
    "solve GRAPH 'macs <= 1G' --for Q --at N=1": "cannot solve for 'Q'",
    "solve GRAPH 'macs <= 1G' --for H": "also say what N, W is",
    "solve GRAPH 'macs <= 1G' --for H --at N=1": "also say what W is",
    "solve GRAPH 'macs <= 1G' --for H --at N=1,H=3 --tie W=H": "it cannot be given as well",
    "solve GRAPH 'macs <= 1G' --for H --at N=1,W=3 --tie W=H": "both given and tied",
    "solve GRAPH 'macs <= 1G' --for H --at N=1 --tie W=Q": "Q is neither H nor given",
    "solve GRAPH 'macs <= 1G' --for H --at N=1 --tie W=H+": "found the end",
    "solve GRAPH 'macs <= 1G' --for H --at N=1 --tie W": "is not NAME=EXPRESSION",
    "solve GRAPH 'macs <= 1G' --for H --at N=1 --tie W=H,W=H": "W is given twice",
    "solve GRAPH 'macs <= 1XB' --for H": "unknown unit 'XB'",
    "solve GRAPH 'macs <= -3' --for H": "is not an amount",
    "solve GRAPH 'macs <= 1e400' --for H": "is not an amount",
    "solve GRAPH 'macs <= ' --for H": "is not an amount",
    "solve GRAPH '<= 1G' --for H": "expected QUANTITY <= AMOUNT",
    "solve GRAPH 'macs = 1G' --for H": "expected QUANTITY <= AMOUNT",
    "solve GRAPH 'macs <= 1G <= 2G' --for H": "is not an amount",
    "solve GRAPH 'macs <= peak_memory' --for H --at N=1 --tie W=H": "cannot be compared",
    "solve GRAPH 'mac <= 1G' --for H": "did you mean 'macs'",
    "fit GRAPH --target nosuch": "known: ",
    "fit GRAPH --target t4 --for Q": "cannot solve for 'Q'",
    "fit GRAPH --target t4 --dtype fp99": "did you mean",
    "explain GRAPH layer1.0.conv9": "did you mean 'layer1.0.conv",
    "check GRAPH": "nothing to check: give a budget (--max macs=2G) or an earlier report",
    "check GRAPH --max-growth macs=5%": "--max-growth macs=5% needs the earlier report: --against OLD.json",
    "check GRAPH --against GRAPH --max-growth macs": "expected QUANTITY=SHARE%",
    "check GRAPH --against GRAPH --max-growth mac=5%": "did you mean 'macs'",
    "check GRAPH --against GRAPH --max-growth macs=much%": "is not an amount",
    "check GRAPH --against nowhere.json": "cannot read nowhere.json",
    "check GRAPH --against GRAPH": "not JSON (line 1, column 1",
    "check GRAPH --max macs=1G --json --markdown": "choose one of --json and --markdown",
    "check GRAPH --max macs": "expected QUANTITY=AMOUNT",
    "check GRAPH --max macs=": "expected QUANTITY=AMOUNT",
    "check GRAPH --max mac=1G": "did you mean 'macs'",
    "check GRAPH --max macs=1G": "macs is a formula in H, N, W; give sizes with --at",
    "check GRAPH --max macs=many": "is not an amount",
    "export GRAPH --to html -o x": "not one of mlir, cost-mlir",
    "export GRAPH --to chrome-trace -o x": "a trace is that of a machine: name one with --target",
    "export GRAPH --to model-explorer -o x --metric mac": "did you mean 'macs'",
    "export GRAPH --to model-explorer -o x --metric energy": "energy is that on a machine: name one with --target",
    "export GRAPH --to mlir -o /nowhere/x.mlir": "there is no folder /nowhere",
    "export GRAPH --to mlir -o /": "it is a folder",
    "targets nosuch": "known: ",
}


@pytest.mark.parametrize(("line", "part"), OPTIONS.items())
def test_options(line: str, part: str) -> None:
    refused(shell(line.replace("GRAPH", str(GRAPH))), 2, part)


@pytest.mark.parametrize(
    "line",
    [
        "nosuchcommand",
        "report",
        "report GRAPH --nosuchflag",
        "report GRAPH --depth -1",
        "report GRAPH --depth x",
        "query GRAPH",
        "solve GRAPH 'macs <= 1G'",
        "fit GRAPH",
        "export GRAPH --to mlir",
        "targets a b",
    ],
)
def test_usage(line: str) -> None:
    ran = shell(line.replace("GRAPH", str(GRAPH)))
    assert (ran.code, ran.out) == (2, "")
    assert "Usage: fxcost" in ran.err
    assert "--help" in ran.err


def test_names_are_refused_before_the_model_is_built() -> None:
    for line in ("query nowhere:make mac", "solve nowhere:make 'mac <= 1' --for H", "check nowhere:make --max mac=1"):
        refused(shell(line), 2, "did you mean 'macs'")
    refused(shell("report nowhere:make --target nosuch"), 2, "no hardware target")
    refused(shell("report nowhere:make --at N"), 2, "is not NAME=NUMBER")


def test_an_unwritable_file_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: object, **__: object) -> int:
        path.touch()
        raise OSError(28, "No space left on device")

    target = tmp_path / "x.mlir"
    target.write_text("what was there before")
    monkeypatch.setattr(Path, "write_text", full)
    refused(run("export", GRAPH, "--to", "mlir", "-o", target), 2, "No space left on device")
    assert target.read_text() == "what was there before"
    assert list(tmp_path.iterdir()) == [target]


# -- models --------------------------------------------------------------------------------------------------------
NAMES = {
    "nothing": "expected torchvision:NAME, timm:NAME",
    "": "expected torchvision:NAME",
    "torchvision:": "expected torchvision:NAME",
    ":make": "expected torchvision:NAME",
    "models.py": "for example models.py:make_model",
    "nosuch.pt2": "no such file",
    "nosuch.mlir": "no such file",
    "nosuch.py:make": "no such file",
    "nosuchmodule:make": "there is no module 'nosuchmodule'",
    "nosuch.module:make": "there is no module 'nosuch.module'",
    "os.path:nosuch": "os.path has no 'nosuch'",
    "hf:NoSuchModelForAnything": "transformers has no class",
    "hf:LlamaForCausalML": "did you mean 'LlamaForCausalLM'",
    "hf:AutoTokenizer": "no model with a configuration",
    "torchvision:resnet5": "did you mean 'resnet50'",
    "timm:resnet1": "did you mean 'resnet18'",
    f"{MODELS}:mpl": "did you mean 'mlp'",
    f"{MODELS}:number": "is int; expected a function or class that builds a model",
    f"{MODELS}:returns_none": "returned NoneType; expected an nn.Module",
    f"{MODELS}:returns_tensor": "returned Tensor; expected an nn.Module",
}


@pytest.mark.parametrize(("model", "part"), NAMES.items(), ids=[name.rpartition("/")[2] for name in NAMES])
def test_model_names(model: str, part: str) -> None:
    refused(run("report", model, "-i", "N,8"), 2, part)


FACTORIES = {
    "raises": "building the model raised ValueError: no such width",
    "leaves": "building the model called sys.exit(7)",
    "leaves_quietly": "building the model called sys.exit(None)",
    "cancels": "building the model raised Cancelled: cancelled",
    "needs": "missing 1 required positional argument: 'width'",
    "Fails": "does not run with these inputs: RuntimeError: deliberate",
    "Leaves": "its code called sys.exit(7) while it ran",
}


@pytest.mark.parametrize(("name", "part"), FACTORIES.items())
def test_factories_that_fail(name: str, part: str) -> None:
    refused(run("report", f"{MODELS}:{name}", "-i", "N,8"), 3, part)


@pytest.mark.parametrize(
    ("inputs", "part"),
    [
        ("-i N,9", "does not run with these inputs"),
        ("-i N,8,3", "does not run with these inputs"),
        ("-i N,8 -i N,8", "takes 2 positional arguments but 3 were given"),
        ("-i y=f32[N,8]", "unexpected keyword argument 'y'"),
    ],
)
def test_inputs_that_the_model_refuses(inputs: str, part: str) -> None:
    refused(shell(f"report MODELS:mlp {inputs}"), 3, part, "check the input specs")


def test_no_inputs() -> None:
    refused(shell("report MODELS:mlp"), 2, "no inputs given")


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("def make(:", "SyntaxError: invalid syntax"),
        ("import nosuchmodule", "No module named 'nosuchmodule'"),
        ("raise ValueError('x')", "ValueError: x"),
        ("import sys; sys.exit(3)", "called sys.exit(3)"),
        ("raise BaseException('y')", "BaseException: y"),
    ],
)
def test_files_that_do_not_run(tmp_path: Path, source: str, part: str) -> None:
    file = tmp_path / "broken_on_purpose.py"
    file.write_text(source)
    for _ in range(2):  # the second time must say the same, not find half a module
        refused(run("report", f"{file}:make", "-i", "N,8"), 3, "broken_on_purpose.py", part)


def test_a_module_whose_own_import_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fxcost_bad_module.py").write_text("import nosuchmodule")
    monkeypatch.chdir(tmp_path)
    refused(run("report", "fxcost_bad_module:make", "-i", "N,8"), 3, "No module named 'nosuchmodule'")


def test_an_interrupt_leaves_with_130(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text("raise KeyboardInterrupt")
    ran = run("report", f"{tmp_path}/interrupted.py:make", "-i", "N,8")
    assert ran == Ran(130, "", "fxcost: interrupted\n")


@pytest.mark.parametrize(
    ("config", "part"),
    [
        (None, "no config.json in this folder"),
        ("{", "not a readable configuration"),
        ("[1, 2]", "not a readable configuration"),
        ('{"model_type": "nosuch"}', "model type `nosuch`"),
        ('{"hidden_size": 3}', "not a readable configuration"),
        ('{"auto_map": {"AutoConfig": "evil.Config"}, "model_type": "x"}', "not a readable configuration"),
    ],
)
def test_configurations(tmp_path: Path, config: str | None, part: str) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
        (tmp_path / "evil.py").write_text("raise SystemExit('code from a configuration ran')")
    refused(run("report", f"hf:{tmp_path}", "-i", "i64[N,S]"), 2, part)


# -- .pt2 ----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    path = tmp_path_factory.mktemp("programs") / "good.pt2"
    model = torch.nn.Linear(8, 4).eval()
    shapes = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(model, (torch.zeros(4, 8),), dynamic_shapes=shapes), path)
    return path


def test_damaged_programs(tmp_path: Path, program: Path) -> None:
    whole = program.read_bytes()
    path = tmp_path / "bad.pt2"
    for data in (b"", b"garbage" * 100, whole[: len(whole) // 2], whole[:-30], os.urandom(4096)):
        path.write_bytes(data)
        refused(run("report", path), 2, "bad.pt2: not a readable .pt2")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "an archive, but of something else")
    refused(run("report", path), 2, "bad.pt2: not a readable .pt2")
    (tmp_path / "folder.pt2").mkdir()
    refused(run("report", tmp_path / "folder.pt2"), 2, "is a folder")


def test_flipped_bytes_never_end_in_an_internal_error(tmp_path: Path, program: Path) -> None:
    whole = program.read_bytes()
    path = tmp_path / "bad.pt2"
    for place in range(0, len(whole), len(whole) // 40):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        ran = run("query", path, "macs")
        assert ran.code in {0, 2}, ran.err


@pytest.mark.parametrize(
    ("inputs", "part"),
    [
        (["N,8", "N,8"], "takes 1 inputs, 2 specs were given"),
        (["N"], "input 0 has 2 dimensions, its spec has 1"),
        (["N,9"], "input 0 has a size 8 where its spec says 9"),
        (["i64[N,8]"], "input 0 is float32, its spec says i64"),
    ],
)
def test_specs_that_do_not_fit_a_program(program: Path, inputs: list[str], part: str) -> None:
    refused(run("report", program, *(part for spec in inputs for part in ("-i", spec))), 2, part)


# -- IR text -------------------------------------------------------------------------------------------------------
TEXT = (DATA / "tiny_llama.mlir").read_text()
CODE = "__import__('os').system('touch PWNED')"
HOSTILE = {
    "empty": "",
    "prose": "This is no graph.",
    "cut off": TEXT[: len(TEXT) // 2],
    "cut off in the last line": TEXT[:-5],
    "said twice": TEXT + TEXT,
    "brackets": "(" * 100_000 + ")" * 100_000,
    "code in a size": TEXT.replace("[N, S]", f"[N, {CODE}]", 1),
    "code in a guard": TEXT.replace("fxcost.symbols", f'fxcost.domain = ["{CODE}"], fxcost.symbols', 1),
    "code in a range": TEXT.replace("min = 1", f"min = {CODE}", 1),
    "brackets in a size": TEXT.replace("[N, S]", f"[N, {'(' * 100_000}S{')' * 100_000}]", 1),
    "a power of powers": TEXT.replace("[N, S]", "[N, 9**9**9**9]", 1),
    "an integer without end": TEXT.replace("[N, S]", f"[N, {'9' * 100_000}]", 1),
    "division by zero": TEXT.replace("[N, S]", "[N, S//0]", 1),
    "an unknown symbol": TEXT.replace("[N, S]", "[N, T]", 1),
    "a negative size": TEXT.replace("[N, S]", "[N, 0-5]", 1),
    "another version": re.sub(r"fxcost\.version = \d+", "fxcost.version = 99", TEXT),
    "an undefined value": TEXT.replace("(%input_ids", "(%nowhere", 1),
    "zero bytes": TEXT.replace("fxcost.version", "fxcost\0version", 1),
    "another encoding": TEXT.encode("utf-16").decode("latin-1"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    text = HOSTILE[name]
    assert text != TEXT, "the damage did not apply"
    Path("bad.mlir").write_text(text, encoding="utf-8")
    refused(run("report", "bad.mlir"), 2, "bad.mlir")
    assert not Path("PWNED").exists()


def test_names_cannot_control_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "clear.mlir").write_text(TEXT.replace('"aten.embedding"', '"\x1b[2Jaten.embedding"'))
    for options in (
        ["report"],
        ["report", "--by", "op"],
        ["report", "--csv", "--by", "node"],
        ["report", "--markdown"],
    ):
        ran = run(options[0], tmp_path / "clear.mlir", *options[1:])
        assert ran.code == 0
        assert "\x1b" not in ran.out
        assert "\\x1b[2Jaten.embedding" in ran.out
    assert "\x1b" not in run("explain", tmp_path / "clear.mlir", "embedding").out
    assert "\x1b" not in run("report", tmp_path / "clear.mlir", "--strict").err
    assert "\x1b" not in run("query", tmp_path / "clear.mlir", "\x1b[2J").err


def test_binary_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "bad.mlir").write_bytes(bytes(range(256)) * 20)
    refused(run("report", tmp_path / "bad.mlir"), 2, "UTF-8")
    (tmp_path / "folder.mlir").mkdir()
    refused(run("report", tmp_path / "folder.mlir"), 2, "folder.mlir")


def test_gigantic_numbers_are_answered_exactly(tmp_path: Path) -> None:
    (tmp_path / "big.mlir").write_text(TEXT.replace("64", "9" * 200))
    ran = run("report", tmp_path / "big.mlir", "--at", "N=1,S=999999999999999999")
    assert ran.code in {0, 2}, ran.err
    at = "N=99999999999999999,H=99999999999999999,W=999999999999999999"
    ran = run("report", GRAPH, "--at", at)
    assert ran.code == 0
    assert max(map(len, ran.out.splitlines())) <= 80
    found = json.loads(run("query", GRAPH, "macs", "--json", "--at", at).out)["macs"]
    names = {part.partition("=")[0]: int(part.partition("=")[2]) for part in at.split(",")}
    assert eval(found["expr"], {}, names) == found["value"]


def test_a_graph_from_text_cannot_be_captured_anew(tmp_path: Path) -> None:
    text = TEXT.replace("fxcost.symbols", 'fxcost.domain = ["N != 3"], fxcost.symbols', 1)
    (tmp_path / "guarded.mlir").write_text(text)
    refused(run("query", tmp_path / "guarded.mlir", "macs", "--at", "N=3,S=4"), 2, "N != 3", "analyse the model itself")
    assert run("query", tmp_path / "guarded.mlir", "macs", "--at", "N=4,S=4").code == 0
    refused(run("query", tmp_path / "guarded.mlir", "macs", "--at", "N=3"), 2, "N != 3")
