"""Factorizations of matrices and what is solved with them: real operations of the direct algorithms, by the textbook.

Counts are those of Golub and Van Loan, Matrix Computations, 3rd edition (leading terms; tables 5.5.1, 5.7.1, 8.6.1 and
sections 3.2, 4.2, 7.5, 8.3); for singular values and eigenvalues they stand for the usual number of iterations.
Multiplications inside are no multiply-accumulates of a layer: everything here is `other_ops`. Matrices are the last two
dimensions, m x n, and n the smaller one where both count alike; all others are the batch.
"""

from __future__ import annotations

from fxcost.ir.expr import ONE, Expr, maximum, minimum, product
from fxcost.ir.types import TensorType
from fxcost.ops.names import aten
from fxcost.ops.registry import Call, OpCost, rule


def _first(call: Call) -> TensorType:
    """The matrix: the first operand."""
    found = call.operands[0]
    assert isinstance(found, TensorType), "all of these take a matrix first"
    return found


def _sides(matrix: TensorType) -> tuple[Expr, Expr, Expr]:
    """How many matrices, and their longer and shorter side."""
    rows, columns = matrix.shape[-2:]
    return product(matrix.shape[:-2]), maximum(rows, columns), minimum(rows, columns)


def _columns(matrix: TensorType, right: TensorType) -> Expr:
    """Right sides of a batch of systems: one where they are vectors."""
    return right.shape[-1] if right.rank >= matrix.rank else ONE


@rule(*aten("linalg_cholesky linalg_cholesky_ex cholesky"))
def cholesky(call: Call) -> OpCost:
    """n**3 / 3 a matrix."""
    count, _, n = _sides(_first(call))
    return OpCost(other_ops=count * n**3 // 3)


@rule(
    *aten("linalg_lu_factor linalg_lu_factor_ex linalg_lu linalg_det _linalg_det det logdet"),
    *aten("linalg_slogdet _linalg_slogdet slogdet"),
)
def triangles(call: Call) -> OpCost:
    """LU with row exchanges: n**2 * (m - n/3) a matrix, 2/3 n**3 where it is square."""
    count, m, n = _sides(_first(call))
    return OpCost(other_ops=count * n**2 * (3 * m - n) // 3)


@rule(*aten("linalg_inv linalg_inv_ex inverse"))
def inverse(call: Call) -> OpCost:
    """LU and its two triangles inverted and multiplied: 2 * n**3 a matrix."""
    count, _, n = _sides(_first(call))
    return OpCost(other_ops=2 * count * n**3)


@rule(*aten("linalg_solve linalg_solve_ex _linalg_solve_ex"))
def solve(call: Call) -> OpCost:
    """LU, and two triangles for each of k right sides: 2/3 n**3 + 2 * n**2 * k a matrix."""
    matrix, right = _first(call), call.tensor("B")
    count, _, n = _sides(matrix)
    return OpCost(other_ops=count * (2 * n**3 + 6 * n**2 * _columns(matrix, right)) // 3)


@rule("aten.linalg_solve_triangular")
def solve_triangular(call: Call) -> OpCost:
    """One triangle for each of k right sides: n**2 * k a matrix."""
    count, _, n = _sides(_first(call))
    return OpCost(other_ops=count * n**2 * call.tensor("B").shape[-1])


@rule("aten.linalg_qr", "aten.qr")
def orthogonal(call: Call) -> OpCost:
    """Householder: 2 * n**2 * (m - n/3) a matrix, and as much again where Q is written out."""
    count, m, n = _sides(_first(call))
    with_q = call.attr("mode", "reduced") != "r"
    return OpCost(other_ops=(1 + with_q) * count * (2 * n**2 * (3 * m - n)) // 3)


@rule(*aten("linalg_svd _linalg_svd svd linalg_pinv pinverse"))
def singular(call: Call) -> OpCost:
    """Values and vectors (R-SVD): 4*m**2*n + 8*m*n**2 + 9*n**3 a matrix; without vectors as `singular_values`."""
    if call.attr("compute_uv", True) is False:
        return singular_values(call)
    count, m, n = _sides(_first(call))
    return OpCost(other_ops=count * (4 * m**2 * n + 8 * m * n**2 + 9 * n**3))


@rule("aten.linalg_svdvals")
def singular_values(call: Call) -> OpCost:
    """By bidiagonalization: 4 * n**2 * (m - n/3) a matrix."""
    count, m, n = _sides(_first(call))
    return OpCost(other_ops=count * 4 * n**2 * (3 * m - n) // 3)


@rule(*aten("linalg_eigh _linalg_eigh"))
def symmetric_eigen(call: Call) -> OpCost:
    """Symmetric QR: 9 * n**3 a matrix with vectors, 4/3 n**3 without."""
    count, _, n = _sides(_first(call))
    return OpCost(other_ops=9 * count * n**3 if call.attr("compute_v", True) else 4 * count * n**3 // 3)


@rule("aten.linalg_eigvalsh")
def symmetric_eigenvalues(call: Call) -> OpCost:
    """Symmetric QR without vectors: 4/3 n**3 a matrix."""
    count, _, n = _sides(_first(call))
    return OpCost(other_ops=4 * count * n**3 // 3)


@rule("aten.linalg_eig", "aten._linalg_eigvals", "aten.linalg_eigvals")
def eigen(call: Call) -> OpCost:
    """Hessenberg QR: 25 * n**3 a matrix with vectors, 10 * n**3 without."""
    count, _, n = _sides(_first(call))
    return OpCost(other_ops=(25 if call.op.endswith("eig") else 10) * count * n**3)
