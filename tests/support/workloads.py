"""Workloads and machines in small numbers, for latency, energy and fit without a graph."""

from __future__ import annotations

from fxcost.ir.expr import Expr, as_expr, total
from fxcost.passes.workload import Work, Workload
from fxcost.target import Memory, Target


def work(
    macs: Expr | int = 0,
    read: Expr | int = 0,
    write: Expr | int = 0,
    weights: Expr | int = 0,
    other: Expr | int = 0,
    dtype: str = "fp32",
    op_class: str = "conv",
) -> Work:
    """One op or fused group."""
    return Work(
        macs=as_expr(macs),
        other_ops=as_expr(other),
        read_bytes=as_expr(read),
        write_bytes=as_expr(write),
        weight_bytes=as_expr(weights),
        dtype=dtype,
        is_floating=True,
        op_class=op_class,
    )


def workload(
    *rows: Work,
    model: Expr | int | None = None,
    used: Expr | int | None = None,
    inputs: Expr | int = 0,
    outputs: Expr | int = 0,
    arena: Expr | int = 0,
    unknown: tuple[tuple[str, int], ...] = (),
) -> Workload:
    """A model; its size is what its ops fetch unless `model` says another."""
    fetched = total(row.weight_bytes for row in rows)
    model_bytes = fetched if model is None else as_expr(model)
    used_bytes = model_bytes if used is None else as_expr(used)
    return Workload(rows, model_bytes, used_bytes, as_expr(inputs), as_expr(outputs), as_expr(arena), unknown)


def machine(
    *, fp32: float | None = 100.0, int8: float | None = None, bandwidth: float | None = 10.0, cache: int | None = None
) -> Target:
    """100 operations and 10 bytes a second, so that times can be read off."""
    peaks = tuple((dtype, rate) for dtype, rate in (("fp32", fp32), ("int8", int8)) if rate is not None)
    near = () if cache is None else (Memory("l2", "both", cache),)
    dram = Memory("dram", "both", bandwidth_bytes_per_s=bandwidth)
    return Target("box", "somebody", "cpu", "its own", peaks, memory=(*near, dram))
