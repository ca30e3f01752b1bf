"""MLIR in: a program that never was PyTorch, as jax would hand it over.

Reading it needs xDSL (the extra `mlir`). Sizes that the text leaves open get
names from a spec, as for a model.

python examples/16_mlir_in.py
"""

from __future__ import annotations

import fxcost

PROGRAM = """
"builtin.module"() ({
  "func.func"() <{function_type = (tensor<?x64xf32>, tensor<64x256xf32>)
      -> tensor<?x256xf32>, sym_name = "main"}> ({
  ^bb0(%x: tensor<?x64xf32>, %w: tensor<64x256xf32>):
    %y = "stablehlo.dot_general"(%x, %w) <{
        dot_dimension_numbers = #stablehlo.dot<
          lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [0]>
      }> : (tensor<?x64xf32>, tensor<64x256xf32>) -> tensor<?x256xf32>
    %z = "stablehlo.tanh"(%y) : (tensor<?x256xf32>) -> tensor<?x256xf32>
    "func.return"(%z) : (tensor<?x256xf32>) -> ()
  }) : () -> ()
}) : () -> ()
"""


def main() -> None:
    """Count it, and see what is alive."""
    cost = fxcost.analyze(PROGRAM, ("N,64", "64,256"))
    print(f"macs        = {cost.macs}")
    print(f"other_ops   = {cost.other_ops}")
    print(f"peak_memory = {cost.peak_memory}")
    print(f"unknown ops: {cost.unknown_ops or 'none'}")
    largest = cost.solve(cost.peak_memory <= 1 * fxcost.MB, wrt="N").max
    print(f"the largest N within 1 MB: {largest}")


if __name__ == "__main__":
    main()
