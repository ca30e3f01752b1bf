"""Budgets in CI: what a change costs, module by module, and a test that fails.

Two revisions of one network: the second has a wider layer. The report of the
first is kept as JSON; `fxcost check` says what grew and leaves with 4 where
that is too much, and the pytest plugin does the same within a test.

python examples/17_budgets.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from torch import nn

AT = ("-i", "N,3,H,W", "--at", "N=1,H=32,W=32")

TEST = """
def test_it_stays_small(fxcost_budget):
    fxcost_budget("{after}", "N,3,H,W", at="N=1,H=32,W=32",
                  baseline="before.json", max_growth={{"params": "10%"}})
"""


def network(width: int) -> nn.Module:
    """Two convolutions and a classifier; `width` channels in the middle."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, width, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, 10),
    )


def before() -> nn.Module:
    """The network as it was."""
    return network(32)


def after() -> nn.Module:
    """The network as it is proposed."""
    return network(36)


def run(*command: str, folder: Path) -> str:
    """Run a command; what it prints, and the code it leaves with."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # ours is named
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{done.stdout}{done.stderr}exit code {done.returncode}"


def main() -> None:
    """Keep a report, compare with it, and do the same in a test."""
    here = str(Path(__file__).resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run("fxcost", "export", f"{here}:before", *AT, "--to", "json", "-o", "before.json", folder=folder)

        print("$ fxcost check NETWORK --against before.json \\\n    --max-growth macs=20% --max-growth params=10%")
        budget = ("--max-growth", "macs=20%", "--max-growth", "params=10%")
        print(run("fxcost", "check", f"{here}:after", *AT, "--against", "before.json", *budget, folder=folder))

        (folder / "test_budget.py").write_text(TEST.format(after=f"{here}:after"))
        plugin = ("-p", "fxcost.pytest_plugin", "-p", "no:cacheprovider", "-q")
        printed = run("pytest", *plugin, "test_budget.py", folder=folder)
        print("\n$ pytest test_budget.py")
        wanted = ("EXCEEDED", "params  ", "1 failed", "exit code")
        print("\n".join(line for line in printed.splitlines() if line.startswith(wanted)))


if __name__ == "__main__":
    main()
