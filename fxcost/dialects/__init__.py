"""Programs in other dialects of MLIR: what torch-mlir and jax emit becomes a graph, without ever having been PyTorch.

`linalg` on tensors with `tensor` and `arith` around it, and `stablehlo`. xDSL parses the text (the extra `mlir`); what
is read is MLIR's generic form, and `custom_form` turns the other form into it with a tool that is installed.

    text -> operations (plain data) -> translate (values, sizes, calls) -> structured | hlo (what an op costs) -> Graph

Sizes that the text leaves open (`?`) become symbols, and index arithmetic is followed: a convolution's output is
`(x_2 - 1)//2 + 1`. An op without a rule is unknown, as everywhere.
"""

from fxcost.dialects.program import FOREIGN_NOTE, is_foreign, parse_foreign, read_foreign

__all__ = ["FOREIGN_NOTE", "is_foreign", "parse_foreign", "read_foreign"]
