"""One device of several, against real processes that share a model through torch's gloo backend.

What is compared with `wire_bytes` of the formulas: the bytes that the Linux kernel counted on the TCP connections of each
process while the model ran (TCP_INFO, `tcpi_bytes_acked`: what the kernel repeats counts once), less what gloo puts around
the messages. That is measured in the same processes, on one small all-reduce and one small all-gather of known size.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fxcost.devices import on_devices
from tests.support.shared_models import make

ROOT = Path(__file__).resolve().parents[2]
BATCH, LENGTH = 4, 16


def processes(folder: Path, name: str, devices: int) -> list[dict[str, Any]]:
    """What every process counted; they are ended whatever happens."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-m", "tests.support.gloo_worker"]
    given = [str(devices), str(folder), name, str(BATCH), str(LENGTH)]
    started = [
        subprocess.Popen(
            [*command, str(rank), *given],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(devices)
    ]
    try:
        outcomes = [each.communicate(timeout=600) for each in started]
    finally:
        for each in started:
            each.kill()
            each.wait()
    assert all(each.returncode == 0 for each in started), outcomes[0][1][-2000:]
    return [json.loads(out.splitlines()[-1]) for out, _ in outcomes]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads what Linux counts of TCP connections")
@pytest.mark.parametrize("devices", [2, 4])
def test_llama_sends_what_the_formulas_say(tmp_path: Path, devices: int) -> None:
    """Embedding, two layers of two all-reduces each, and the gathered logits; outputs and MACs beside."""
    cost = on_devices(make("llama"), "i64[N,S]", devices)
    expected = cost.wire_bytes(N=BATCH, S=LENGTH)
    for counted in processes(tmp_path, "llama", devices):
        around = sum(counted["framing"][kind] * n for kind, n in counted["collectives"].items())
        assert counted["sent"] - around == expected
        assert counted["collectives"] == {"all_reduce": 5, "all_gather_into_tensor": 1}
        assert counted["error"] <= 1e-5 * counted["scale"]  # as on one device
        assert counted["macs"] == cost.macs(N=BATCH, S=LENGTH)  # of this process, by torch's FlopCounterMode
