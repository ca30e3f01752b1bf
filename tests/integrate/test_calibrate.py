"""Calibration on this machine, in seconds; and its parts with stand-ins for what is not here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import fxcost
from fxcost.calibration import machine, run_of
from fxcost.errors import ModelError, SpecError
from fxcost.integrate.ceilings import Cache, Ceilings, cpu_caches, device_name, measure_ceilings
from fxcost.integrate.clock import CpuClock, CudaClock, Timing, measuring, timed
from fxcost.integrate.probes import probes
from fxcost.integrate.profile import Profile, cold_share, exported, profile
from fxcost.passes._achieved import fit
from fxcost.passes.workload import Workload
from fxcost.target import parse_target
from fxcost.target.write import to_toml


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 8, 3), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.last(torch.relu(self.conv(x)).mean((2, 3)))
        return logits


def test_quick_calibration_end_to_end() -> None:
    lines: list[str] = []
    threads = torch.get_num_threads()
    images = torch.randn(1, 3, 32, 32)
    target = fxcost.calibrate({"net": (Net(), (images,))}, name="here", quick=True, progress=lines.append)
    assert torch.get_num_threads() == threads
    assert (target.name, target.kind, target.runtime, target.cores) == ("here", "cpu", "torch-eager", 1)
    fit = target.efficiency
    assert fit is not None
    assert (fit.n, fit.combine, fit.cores) == (1, "sum", 1)
    assert "on the runs of the fit itself" in fit.origin
    assert fit.noise is not None
    assert {"conv", "matmul_linear", "elementwise", "reduce"} <= {name for name, _ in fit.shares}
    assert all(row.source is not None for row in target.rows())
    assert parse_target(to_toml(target).encode(), "again") == target
    estimate = fxcost.analyze(Net(), "N,3,H,W").on(target, at={"N": 1, "H": 32, "W": 32})
    assert isinstance(estimate.calibrated, float)
    assert isinstance(estimate.roofline, float)
    assert 1e-6 < estimate.calibrated < 1
    assert estimate.to_dict()["calibration"]["error"] == fit.error
    assert any("exporting net" in line for line in lines)


def test_the_written_formula_is_the_fit() -> None:
    """`calibrated` of the target, to the four digits of its file, is what the fit itself predicts for the run."""
    model, images = Net().eval(), torch.randn(2, 3, 16, 16)
    plain = machine(CEILINGS, "box", "cpu", "a processor", 1)
    cost = fxcost.analyze(exported(model, (images,)))
    found = Profile(Timing(1e-3, (1e-3, 1e-3), 2), {node.name: 1e-4 for node in cost.graph.nodes})
    run = run_of("net", "net", cost, found, plain)
    assert len(run.samples) == len(cost.graph.nodes)
    fitted = fxcost.calibration.fitted(plain, [run], noise=None, what="made up")
    assert cost.on(fitted, at={}).calibrated == pytest.approx(fit([run]).run_seconds(run), rel=1e-3)


CEILINGS = Ceilings(
    ops_per_s={"fp32": 1e11, "bf16": 2e11},
    bytes_per_s={2**16: 9e10, 2**19: 8e10, 2**23: 5e10, 2**25: 3e10, 2**27: 2e10},
    caches=(Cache("l1", 2**15, 1), Cache("l2", 2**20, 1), Cache("l3", 2**25, 2)),
    memory_bytes=2**34,
)


def test_ceilings_as_a_target() -> None:
    """Working sets of up to three quarters of a level count as its own; beyond twice the last they are main memory's."""
    target = machine(CEILINGS, "box", "cpu", "a  processor\n", 2)
    assert target.vendor == "a processor"
    assert [(m.name, m.capacity_bytes, m.bandwidth_bytes_per_s, m.instances) for m in target.memory] == [
        ("l1", 2**15, None, 2),
        ("l2", 2**20, 9e10, 2),
        ("l3", 2**25, 5e10, None),
        ("dram", 2**34, 2e10, None),
    ]
    assert dict(target.peaks) == {"fp32": 1e11, "bf16": 2e11}
    assert target.efficiency is None
    slow = replace(CEILINGS, bytes_per_s={2**19: 1e9, 2**23: 5e10, 2**27: 2e10})
    assert [m.name for m in machine(slow, "box", "cpu", "x", 1).memory] == ["l1", "l3", "dram"]  # l2 is no cache of it
    with pytest.raises(ModelError, match="no matrix product ran"):
        machine(replace(CEILINGS, ops_per_s={}), "box", "cpu", "x", 1)


def test_measured_ceilings_are_sane() -> None:
    found = measure_ceilings(CpuClock(1), seconds=0.2, types=("fp32",))
    assert 1e8 < found.ops_per_s["fp32"] < 1e14
    assert all(1e7 < rate < 1e13 for rate in found.bytes_per_s.values())
    assert found.bandwidth(0, None) == max(found.bytes_per_s.values())
    assert found.bandwidth(2**60, None) is None


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"name": "a b"}, "name='a b': expected letters"),
        ({"device": "cpus"}, "device='cpus' is not one of cpu, cuda; did you mean 'cpu'"),
        ({"threads": 0}, "threads=0: expected a positive integer"),
        ({"threads": True}, "threads=True: expected a positive integer"),
        ({"seconds": 0}, "seconds=0: expected a positive number"),
        ({"seconds": float("nan")}, "seconds=nan: expected a positive number"),
        ({"models": {}}, "no models were given"),
        ({"models": []}, "no models were given"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint):
        fxcost.calibrate(**({"quick": True, "seconds": 0.1} | arguments))


def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SpecError, match="no CUDA device"):
        fxcost.calibrate(device="cuda", quick=True)


def test_inputs_that_do_not_fit() -> None:
    with pytest.raises(ModelError, match=r"torch\.export failed"):
        exported(Net(), (torch.randn(1, 5, 8, 8),))
    images = torch.randn(1, 3, 8, 8)
    with pytest.raises(ModelError, match="takes 1 inputs, 2 were given"):
        profile(lambda *_: None, exported(Net(), (images,)), (images, images), CpuClock(1), seconds=0)


# -- profiles --------------------------------------------------------------------------------------------------------
class Counting:
    """A clock that ticks once a mark."""

    device = "cpu"

    def __init__(self) -> None:
        self.now, self.chilled = 0, 0

    def mark(self) -> int:
        self.now += 1
        return self.now

    def finish(self) -> None:
        pass

    def seconds(self, start: int, end: int) -> float:
        return float(end - start)

    def chill(self) -> None:
        self.chilled += 1

    def cold(self) -> Counting | None:
        return self


def test_a_profile_has_every_op_and_computes_what_the_model_does() -> None:
    seen: list[torch.Tensor] = []
    model, images = Net().eval(), torch.randn(1, 3, 8, 8)
    program = exported(model, (images,))
    found = profile(lambda x: seen.append(model(x)), program, (images,), Counting(), seconds=0)
    called = [node.name for node in program.graph.nodes if node.op == "call_function"]
    assert list(found.ops) == called
    assert set(found.ops.values()) == {1.0}
    assert found.ops_s == len(called)
    assert found.whole.repeats == 3
    again = Profile(Timing(0.5, (0.5, 0.5), 1), {called[0]: 0.25}) | found
    assert (again.whole.best, again.whole.halves, again.ops[called[0]]) == (0.5, (0.5, 1.0), 0.25)


def test_cold_runs_are_compared_with_the_warm_one() -> None:
    """A mark before, one by the run itself, one after: two ticks, three times as long as the warm two thirds."""
    clock = Counting()
    found = cold_share(lambda: clock.mark(), (), clock, Timing(2 / 3, (2 / 3, 2 / 3), 1))
    assert found == pytest.approx(2)
    assert clock.chilled == 3
    assert cold_share(lambda: None, (), CpuClock(1), Timing(1, (1, 1), 1)) is None


def test_timing_and_noise() -> None:
    """Halves 4 2 and 3 5: best 2, the halves' bests differ by half of it."""
    assert Timing.of([4, 2, 3, 5]) == Timing(2, (2, 3), 4)
    assert Timing.of([4, 2, 3, 5]).noise == 0.5
    assert Timing.of([7]).noise == 0


def test_cuda_events_are_read_after_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for events: milliseconds become seconds, the queue is awaited, and a cold run flushes first."""
    log: list[str] = []

    class Event:
        made = 0

        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing
            Event.made += 1
            self.number = Event.made

        def record(self) -> None:
            log.append("mark")

        def elapsed_time(self, other: Event) -> float:
            assert log[-1] == "wait"
            return 2.0 * (other.number - self.number)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: log.append("wait"))
    clock = CudaClock()
    found = timed(lambda: log.append("run"), clock, seconds=0)
    assert found.best == pytest.approx(2e-3)
    assert log == ["run", "wait", *["mark", "run", "mark", "wait"] * 3]
    clock._flush = SimpleNamespace(zero_=lambda: log.append("flush"))  # type: ignore[assignment]
    log.clear()
    timed(lambda: None, clock, seconds=0, warm_up=0)
    assert log[1:3] == ["flush", "mark"]


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with measuring("cpu", before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_caches_as_linux_lists_them(tmp_path: Path) -> None:
    for index, (level, kind, size, shared) in enumerate(
        [
            ("1", "Data", "32K", "0"),
            ("1", "Instruction", "32K", "0"),
            ("2", "Unified", "1024K", "0-1"),
            ("3", "?", "x", ""),
        ]
    ):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        for name, text in (("level", level), ("type", kind), ("size", size), ("shared_cpu_list", shared)):
            (folder / name).write_text(text + "\n")
    assert cpu_caches(tmp_path) == (Cache("l1", 32 * 1024, 1), Cache("l2", 1024 * 1024, 2))
    assert cpu_caches(tmp_path / "none") == ()
    info = tmp_path / "cpuinfo"
    info.write_text("processor : 0\nmodel name\t: Some CPU @ 2 GHz\n")
    assert device_name("cpu", info) == "Some CPU @ 2 GHz"


def test_probes_contain_every_common_class_of_ops() -> None:
    classes: set[str] = set()
    for probe in probes(quick=True):
        cost = fxcost.analyze(exported(probe.build(), probe.inputs()), check=False)
        assert not cost.unknown_ops
        classes |= {row.op_class for row in cost.facts[Workload].rows if not row.is_idle}
    assert classes >= {
        "conv", "conv_pointwise", "conv_depthwise", "conv_grouped", "norm_batch", "norm", "pool_max", "pool_average",
        "matmul_linear", "matmul", "attention", "elementwise", "elementwise_composed", "elementwise_transcendental",
        "reduce", "reduce_softmax", "movement", "embedding", "resample",
    }  # fmt: skip
