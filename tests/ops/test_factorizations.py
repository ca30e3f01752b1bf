"""Factorizations: the textbook's leading terms at sizes done by hand, shapes of every spelling from torch itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fxcost
from tests.support.calls import cost_of, number
from tests.support.torch_calls import meta, torch_call


@pytest.mark.parametrize(
    ("op", "shapes", "arguments", "operations"),
    [
        ("aten.linalg_cholesky", [(2, 6, 6)], {}, 2 * 216 // 3),
        ("aten.linalg_inv", [(2, 6, 6)], {}, 2 * 2 * 216),
        ("aten.linalg_lu_factor", [(9, 6)], {}, 36 * (9 - 2)),  # n**2 * (m - n/3)
        ("aten.linalg_det", [(5, 6, 6)], {}, 5 * 144),  # 2/3 of 216
        ("aten.linalg_solve", [(6, 6), (6, 4)], {}, 144 + 2 * 36 * 4),
        ("aten.linalg_solve", [(3, 6, 6), (3, 6)], {}, 3 * (144 + 2 * 36)),  # a vector each
        ("aten.linalg_qr", [(9, 6)], {}, 2 * (2 * 36 * 7)),
        ("aten.linalg_qr", [(9, 6)], {"mode": "r"}, 2 * 36 * 7),
        ("aten.linalg_svdvals", [(6, 9)], {}, 4 * 36 * 7),
        ("aten.linalg_svd", [(9, 6)], {}, 4 * 81 * 6 + 8 * 9 * 36 + 9 * 216),
        ("aten.linalg_eigh", [(2, 6, 6)], {}, 2 * 9 * 216),
        ("aten.linalg_eigvalsh", [(6, 6)], {}, 4 * 72),
        ("aten.linalg_eigvals", [(6, 6)], {}, 10 * 216),
        ("aten.linalg_eig", [(6, 6)], {}, 25 * 216),
    ],
)
def test_operations(op: str, shapes: list[tuple[int, ...]], arguments: dict[str, object], operations: int) -> None:
    call = torch_call(op, *(meta(*shape) for shape in shapes), **arguments)
    assert number(cost_of(call).other_ops) == operations
    assert number(cost_of(call).macs) == 0


class Whitened(nn.Module):
    """Solves with the covariance of what comes in, in several spellings."""

    def forward(self, x: Tensor) -> Any:
        square = x @ x.transpose(1, 2)
        return torch.linalg.solve(square, x), torch.linalg.inv(square), torch.linalg.cholesky(square), torch.det(square)


def test_formulas_in_the_size_of_the_matrix() -> None:
    cost = fxcost.analyze(Whitened(), "N,S,8", check=False)
    assert not cost.unknown_ops
    n, s = 3, 6
    assert cost.macs(N=n, S=s) == n * s * s * 8
    assert cost.other_ops(N=n, S=s) == n * (144 + 2 * 36 * 8) + 2 * n * 216 + n * 72 + n * 144
