"""Write the committed graphs beside this file again: `python tests/data/make_fixtures.py [FOLDER]`.

Each is what `fxcost export --to mlir --costs none` writes, so that most tests of queries, reports and the command line
need no torch. Run it after a change of lowering or of the text form, and read the difference before committing it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 172,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "tie_word_embeddings": False,
}


PERCEPTRON = """from torch import nn


def perceptron_step():
    return nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 8))
"""


def write(target: Path) -> None:
    """Export every fixture into `target`; each capture runs in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "tiny_llama").mkdir()
        Path(folder, "tiny_llama", "config.json").write_text(json.dumps(LLAMA), encoding="utf-8")
        Path(folder, "perceptron.py").write_text(PERCEPTRON, encoding="utf-8")
        for model, spec, mode in (
            ("torchvision:resnet18", "N,3,H,W", "inference"),
            ("torchvision:mobilenet_v2", "N,3,H,W", "inference"),
            ("hf:tiny_llama", "i64[N,S]", "inference"),
            ("perceptron.py:perceptron_step", "N,16", "training"),
        ):
            output = target / f"{model.partition(':')[2]}.mlir"
            command = [sys.executable, "-m", "fxcost", "export", model, "-i", spec, "--to", "mlir"]
            command += ["--costs", "none", "--mode", mode, "-o", str(output)]
            subprocess.run(command, check=True, cwd=folder, env={**os.environ, "HF_HUB_OFFLINE": "1"})
            print(f"{output.name}: {output.stat().st_size:,} bytes")


if __name__ == "__main__":
    write(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else HERE)
