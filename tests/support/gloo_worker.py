"""One of several processes that run a model under a plan with torch's gloo backend; prints what it sent, as JSON.

`python -m tests.support.gloo_worker RANK DEVICES FOLDER NAME N S`: processes meet in a file of the folder; no port is
chosen. Bytes are the kernel's own count of every TCP connection of the process (TCP_INFO), before and after the run.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor.debug import CommDebugMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

QUIET_S = 0.3
"""Gloo sends from a thread of its own: what is still on its way is waited for."""

TCP_BYTES_ACKED = 120
"""Offset of tcpi_bytes_acked in Linux's struct tcp_info: bytes that have arrived; what is sent twice counts once."""


def bytes_sent() -> int:
    """Bytes of this process that have arrived over TCP so far, over all open connections."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if not str(entry.readlink()).startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(entry.name))) as there:
                if there.type != socket.SOCK_STREAM or there.family not in (socket.AF_INET, socket.AF_INET6):
                    continue
                info = there.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_BYTES_ACKED + 8)
        except OSError:
            continue  # closed meanwhile, or not a socket that is connected
        found += struct.unpack_from("Q", info, TCP_BYTES_ACKED)[0]
    return found


@dataclass
class Meeting:
    """Processes wait for each other in the file that they met in: no byte goes over TCP."""

    store: Any
    devices: int
    met: int = 0

    def wait(self) -> None:
        """Until all are here, and what gloo's thread still sends is gone."""
        self.met += 1
        self.store.add(f"meeting {self.met}", 1)
        while self.store.add(f"meeting {self.met}", 0) < self.devices:
            time.sleep(0.05)
        time.sleep(QUIET_S)

    def sent_by(self, run: Any) -> tuple[int, Any]:
        """Bytes that this process sends while it runs, and the result."""
        self.wait()
        before = bytes_sent()
        result = run()
        self.wait()
        return bytes_sent() - before, result


def attention_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """Torch's own formula, which its table lacks for the CPU's kernel; arguments are shapes."""
    return int(sdpa_flop_count(query, key, value))


def framing(meeting: Meeting) -> dict[str, int]:
    """Bytes that gloo puts around one collective, measured on the smallest messages: all that is not the message."""
    group, devices = dist.group.WORLD, meeting.devices
    small = torch.ones(devices * 256)
    reduced, _ = meeting.sent_by(lambda: dist.all_reduce(small, group=group))
    whole = torch.empty(devices * 256)
    gathered, _ = meeting.sent_by(lambda: dist.all_gather_into_tensor(whole, small[:256].clone(), group=group))
    message = small.numel() * 4
    return {
        "all_reduce": reduced - 2 * (devices - 1) * message // devices,
        "all_gather_into_tensor": gathered - (devices - 1) * message // devices,
    }


def main(rank: int, devices: int, folder: str, name: str, batch: int, length: int) -> None:
    """Run the model whole and shared out, and print what was counted."""
    from fxcost.capture.plans import apply_styles, plan_of
    from tests.support.shared_models import make

    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    store = dist.FileStore(str(Path(folder) / "store"), devices)  # type: ignore[attr-defined]
    dist.init_process_group("gloo", rank=rank, world_size=devices, store=store)
    mesh = init_device_mesh("cpu", (devices,))
    torch.manual_seed(0)
    model, ids = make(name, "cpu"), torch.randint(0, 100, (batch, length))
    with torch.no_grad():
        expected = model(ids)[0]
        apply_styles(model, plan_of(model, "tensor"), mesh)
        model(ids)  # connections are made on first use
        meeting = Meeting(store, devices)
        around = framing(meeting)
        kernel = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops}
        with FlopCounterMode(display=False, custom_mapping=kernel) as flops, CommDebugMode() as counted:
            sent, found = meeting.sent_by(lambda: model(ids)[0])
    collectives = {str(op).rpartition(".")[2]: int(n) for op, n in counted.get_comm_counts().items()}
    print(
        json.dumps(
            {
                "sent": sent,
                "framing": around,
                "collectives": collectives,
                "macs": flops.get_total_flops() // 2,
                "error": float((found - expected).abs().max()),
                "scale": float(expected.abs().max()),
            }
        )
    )
    meeting.wait()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]), int(sys.argv[6]))
