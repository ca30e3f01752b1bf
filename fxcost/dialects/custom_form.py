"""MLIR in its custom form becomes the generic one, by whatever tool is installed: mlir-opt, torch-mlir, or jax."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator

from fxcost.errors import FileError

MLIR_OPT = ("mlir-opt", *(f"mlir-opt-{version}" for version in range(25, 15, -1)))
SECONDS = 300
_RESOURCES = re.compile(r"\n\{-#.*?#-\}", re.DOTALL)


def without_resources(text: str) -> str:
    """The text without the contents of its constants, which follow at the end of a file and count nothing."""
    return _RESOURCES.sub("", text) if "{-#" in text else text


def is_generic(text: str) -> bool:
    """True for the generic form: every op, the module first, stands in quotes."""
    return re.search(r'^\s*"builtin\.module"\s*\(|^\s*"func\.func"\s*\(', text, re.MULTILINE) is not None


def generic(text: str, where: str) -> str:
    """The text in the generic form; raises FileError where it does not parse, or nothing here can convert it."""
    if is_generic(text):
        return text
    tried = []
    for name, convert in _tools():
        try:
            return without_resources(convert(text))
        except Exception as problem:  # every tool has its own; another one may know the dialect
            lines = [line for line in str(problem).splitlines() if line.strip()]
            tried.append(f"{name}: {lines[0] if lines else type(problem).__name__}")
    if tried:
        raise FileError(
            f"{where}: is not MLIR that can be read here ({'; '.join(tried)[:600]}); print it in the generic form, "
            "or install what knows the dialect: torch-mlir (linalg), jax (stablehlo)"
        )
    raise FileError(
        f"{where}: is MLIR in its custom form, expected the generic form: print it with mlir-opt --mlir-print-op-generic, "
        "or install mlir-opt (Debian: mlir-19-tools), torch-mlir or jax"
    )


def _tools() -> Iterator[tuple[str, Callable[[str], str]]]:
    command = next((name for name in MLIR_OPT if shutil.which(name)), None)
    if command is not None:
        yield command, lambda text: _by_command(command, text)
    yield from _bindings()


def _by_command(command: str, text: str) -> str:
    options = [command, "--mlir-print-op-generic", "--allow-unregistered-dialect"]
    done = subprocess.run(options, input=text, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        raise ValueError(done.stderr.strip())
    return done.stdout


def _bindings() -> Iterator[tuple[str, Callable[[str], str]]]:
    try:
        from torch_mlir import ir
        from torch_mlir.dialects import torch as dialect

        yield "torch-mlir", lambda text: _by_bindings(ir, dialect.register_dialect, text)
    except ImportError:
        pass
    try:
        from jax.interpreters.mlir import make_ir_context
        from jaxlib.mlir import ir as jax_ir

        def by_jax(text: str) -> str:
            with make_ir_context():
                return str(
                    jax_ir.Module.parse(text).operation.get_asm(
                        print_generic_op_form=True, large_elements_limit=MAX_PRINTED
                    )
                )

        yield "jax", by_jax
    except ImportError:
        pass


MAX_PRINTED = 64
"""Elements of a constant that a tool prints: windows have few, weights are not wanted."""


def _by_bindings(ir: object, register: Callable[..., object], text: str) -> str:
    with ir.Context() as context:  # type: ignore[attr-defined]
        register(context)
        context.allow_unregistered_dialects = True
        module = ir.Module.parse(text)  # type: ignore[attr-defined]
        return str(module.operation.get_asm(print_generic_op_form=True, large_elements_limit=MAX_PRINTED))
