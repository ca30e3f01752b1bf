"""Write the MLIR beside this file again: `python tests/data/dialects/make_fixtures.py` with torch-mlir and jax installed.

Weights are left out. Large networks are packed: they are read by tests alone.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim

HERE = Path(__file__).resolve().parent
GENERIC = {"print_generic_op_form": True, "large_elements_limit": 8}


def by_torch_mlir(model: Any, inputs: tuple[Any, ...], **options: Any) -> str:
    """The model as torch-mlir lowers it."""
    from torch_mlir.fx import export_and_import

    options = {"output_type": "linalg-on-tensors", **options}
    module = export_and_import(model.eval(), *inputs, **options)
    return str(module.operation.get_asm(**GENERIC, large_resource_limit=0))


def by_jax(function: Any, shapes: tuple[Any, ...]) -> str:
    """The function as jax lowers it."""
    import jax

    return str(jax.jit(function).lower(*shapes).compiler_ir("stablehlo").operation.get_asm(**GENERIC))


def texts() -> dict[str, str]:
    """Every fixture by name."""
    from fxcost.capture.shim import prepare_torchvision

    prepare_torchvision()
    from torchvision import models

    from tests.support.foreign_models import TinyNet, jax_models, tiny_bert

    image = (torch.randn(2, 3, 32, 32),)
    sizes = {"x": {0: Dim("N"), 2: Dim("H", min=8), 3: Dim("W", min=8)}}
    ids = (torch.randint(0, 300, (2, 16)),)
    found = {
        "tiny_linalg": by_torch_mlir(TinyNet(), image),
        "tiny_linalg_dynamic": by_torch_mlir(TinyNet(), image, dynamic_shapes=sizes),
        "tiny_stablehlo": by_torch_mlir(TinyNet(), image, output_type="stablehlo"),
        "bert_linalg": by_torch_mlir(tiny_bert(), ids),
    }
    for name in ("resnet18", "mobilenet_v2"):
        model = models.get_model(name, weights=None)
        found[f"{name}_linalg"] = by_torch_mlir(model, (torch.randn(1, 3, 224, 224),))
    return found | {name: by_jax(*given) for name, given in jax_models().items()}


if __name__ == "__main__":
    for name, text in texts().items():
        packed = len(text) > 50_000
        path = HERE / f"{name}.mlir{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(text.encode(), mtime=0) if packed else text.encode())
        print(f"{path.name}: {path.stat().st_size:,} bytes")
