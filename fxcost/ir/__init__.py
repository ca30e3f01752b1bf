"""The intermediate representation: graphs of operator calls over tensors whose sizes are exact expressions.

`expr` has the expressions, `graph` the grammar of graphs, `text` their printed form; nothing here imports torch, and
only `sympy_bridge` imports sympy. The names below are the vocabulary that everything else is written in.
"""

from fxcost.ir.expr import Expr, symbol
from fxcost.ir.graph import Effects, Graph, Node, Standing, State, Value, Variant
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.types import DType, ScalarType, TensorType

__all__ = [
    "DType",
    "Effects",
    "Expr",
    "Graph",
    "Node",
    "ScalarType",
    "Standing",
    "State",
    "SymbolInfo",
    "TensorType",
    "Value",
    "Variant",
    "symbol",
]
