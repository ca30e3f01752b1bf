"""Fuzz the readers of graphs and formulas: `python -m tests.fuzz.run [--seconds 600] [--seed N] [--folder FOLDER]`.

atheris (libFuzzer) searches by coverage from seeds that hypothesis draws: graphs in both forms, formulas, conditions. A
crash, an input that takes a minute by the clock (busy machines are slow) or 2 GB of memory end the run; the input is
then in the folder. In the end all inputs that it kept are read once more under `coverage`, and what they reach of each
reader is printed.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
READERS = ("reader", "text_reader", "mlir_reader", "mlir_ops", "mlir", "text", "verify", "limits")
WORDS = (
    "builtin.module func.func func.return fxcost.state fxcost.update fxcost.yield fxcost.call fxcost.slots fxcost.ids "
    "fxcost.name fxcost.symbols fxcost.domain fxcost.fixed fxcost.standing fxcost.notes fxcost.ones fxcost.views "
    "fxcost.writes fxcost.version module attributes affine_map loc tensor index function_type sym_name unit true false "
    "#fxcost.expr< #fxcost.int< #fxcost.shape< fact. max( min( ceildiv( all( any( and or // ** % -> ^bb0 %x#0 : i64"
)


@dataclass(frozen=True)
class Fuzzed:
    """What a run found: inputs tried and kept, edges reached, share of lines and branches by reader."""

    executions: int
    kept: int
    edges: int
    coverage: dict[str, float]

    def __str__(self) -> str:
        lines = [f"{self.executions:,} inputs, {self.kept:,} kept, {self.edges:,} edges; no crash, hang or blow-up"]
        return "\n".join([*lines, *(f"  fxcost/ir/{name}.py  {share:.0%}" for name, share in self.coverage.items())])


def fuzz(folder: Path, seconds: int, seed: int = 0) -> Fuzzed:
    """Run for so many seconds; raises AssertionError with libFuzzer's report when it finds something."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds(seed)):
        (corpus / f"seed{number}").write_bytes(data)
    words = folder / "words.dict"
    words.write_text("\n".join('"' + word.replace('"', '\\"') + '"' for word in WORDS.split()) + "\n")
    command = [
        sys.executable,
        "-m",
        "tests.fuzz.target",
        str(corpus),
        f"-max_total_time={seconds}",
        f"-seed={seed + 1}",
    ]
    command += ["-timeout=60", "-rss_limit_mb=2048", "-max_len=6000", f"-dict={words}", f"-artifact_prefix={folder}/"]
    # Through a shell that stays: Linux hands the most memory that the starting process ever held on to what it starts, and
    # libFuzzer would take that of a test run for its own.
    command = ["sh", "-c", '"$@"; exit $?', "sh", *command]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
    states = re.findall(r"#(\d+)\s+\w+\s+cov: (\d+)", done.stderr)
    assert states, done.stderr[-2000:]
    count = re.search(r"Done (\d+) runs", done.stderr)
    executions = int(count[1]) if count else int(states[-1][0])
    return Fuzzed(executions, len(list(corpus.iterdir())), int(states[-1][1]), covered(corpus))


def seeds(seed: int) -> Iterator[bytes]:
    """Texts that read: drawn graphs, formulas and conditions, and a graph with variants."""
    from fxcost.ir.mlir import condition
    from fxcost.ir.printing import python
    from fxcost.ir.text import print_graph
    from tests.strategies import expressions, graphs, predicates
    from tests.support.variants import TWO_REGIONS

    drawn: list[bytes] = [b"g" + TWO_REGIONS.encode()]

    @seeded(seed)
    @settings(
        max_examples=40, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(graphs(), expressions(), predicates(), st.sampled_from(("generic", "pretty")))
    def draw(graph: object, value: object, predicate: object, form: str) -> None:
        drawn.append(b"g" + print_graph(graph, form=form).encode("utf-8", "replace"))  # type: ignore[arg-type]
        drawn.append(b"e" + python(value).encode())  # type: ignore[arg-type]
        drawn.append(b"c" + condition(predicate).encode())  # type: ignore[arg-type]

    draw()
    yield from (data for data in drawn if len(data) <= 6000)


def covered(corpus: Path) -> dict[str, float]:
    """Share of lines and branches that the kept inputs reach, by reader."""
    told = corpus.parent / "coverage.json"
    program = f"""
import coverage
from pathlib import Path
measured = coverage.Coverage(branch=True, include=["*/fxcost/ir/*.py"], data_file=None)
measured.start()
from tests.fuzz.target import one_input
for path in sorted(Path({str(corpus)!r}).iterdir()):
    one_input(path.read_bytes())
measured.stop()
measured.json_report(outfile={str(told)!r})
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    files = json.loads(told.read_text())["files"]
    shares = {Path(file).stem: held["summary"]["percent_covered"] / 100 for file, held in files.items()}
    return {name: shares[name] for name in READERS}


def main() -> None:
    """Run from the command line and print what was reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=ROOT / ".fuzz")
    given_options = parser.parse_args()
    print(fuzz(given_options.folder, given_options.seconds, given_options.seed))


if __name__ == "__main__":
    main()
