"""`fxcost calibrate`: a machine measured and described, or one line that says why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from fxcost.target import load_target
from tests.support.commands import answer, shell


def test_writes_a_target_that_every_command_takes(tmp_path: Path) -> None:
    file = tmp_path / "my-box.toml"
    text = answer(f"calibrate -o {file} --quick")
    target = load_target(file)
    assert target.name == "my-box"
    assert target.efficiency is not None
    assert not target.efficiency.machine
    assert f"{100 * target.efficiency.error:.1f} % off over {target.efficiency.n} runs" in text
    assert all(name in text for name, _ in target.efficiency.shares)
    assert max(map(len, text.splitlines()[1:4])) <= 80
    assert [path.name for path in tmp_path.iterdir()] == ["my-box.toml"]
    assert "my-box" in answer(f"targets {file}")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("-o {folder}/box.json", "box.json: a target file must end in .toml"),
        ("-o {folder}/no/box.toml", "expected a file in a directory that exists"),
        ("-o {folder}/a+b.toml", "name='a+b': expected letters"),
        ("-o {folder}/box.toml --threads 0", "threads=0: expected a positive integer"),
        ("-o {folder}/box.toml --device gpu", "device='gpu' is not one of cpu, cuda"),
        ("-o {folder}/box.toml --seconds -1", "seconds=-1.0: expected a positive number"),
        ("-o {folder}/box.toml --quick --model torchvison:resnet18", "torchvison"),
    ],
)
def test_bad_arguments(tmp_path: Path, arguments: str, complaint: str) -> None:
    seen = shell(f"calibrate {arguments.format(folder=tmp_path)}")
    assert seen.code == 2
    assert complaint in seen.err
    assert "Traceback" not in seen.err
    assert not list(tmp_path.iterdir())
