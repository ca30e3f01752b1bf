"""map_items: order, chunks, errors beside results, lost workers, Ctrl-C; over any executor of processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any, ClassVar

import pytest

from fxcost.errors import SpecError
from fxcost.parallel import DIED, Outcome, map_items, run_chunk
from tests.support.work import mishap, square, threads

ROOT = Path(__file__).resolve().parent.parent


def test_order_is_kept_over_chunks() -> None:
    said: list[str] = []
    found = map_items(square, range(50), jobs=2, chunk=3, progress=said.append)
    assert [each.value for each in found] == [n * n for n in range(50)]
    assert said[-1] == "50 of 50 done"
    assert not active_children()


def test_an_item_costs_its_own_result_alone() -> None:
    found = map_items(mishap, range(16), jobs=2, chunk=4)
    assert {n: each.error for n, each in enumerate(found) if each.error is not None} == {
        3: "ValueError: three",
        5: "its code called sys.exit(5)",
        7: DIED,
        11: found[11].error,
        13: DIED,
    }
    assert "pickle" in (found[11].error or "")
    assert [each.value for n, each in enumerate(found) if n not in {3, 5, 7, 11, 13}] == [
        n for n in range(16) if n not in {3, 5, 7, 11, 13}
    ]


def test_an_executor_that_is_given_is_used_and_left_running() -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        worker = pool.submit(os.getpid).result()
        assert {each.value[1] for each in map_items(threads, range(6), pool, chunk=2) if each.value} == {worker}
        assert pool.submit(square, 3).result() == 9


def test_an_executor_that_breaks_is_said() -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        found = map_items(mishap, [1, 7, 2], pool, chunk=1)
    assert found[0] == Outcome(1)
    assert found[1].error is not None
    assert all(each.value == 2 or "broke" in (each.error or "") for each in found[2:])


def test_who_was_blamed_for_a_neighbour_is_really_run_again() -> None:
    """A scheduler that knows tasks by their arguments, as dask does, answers a known one with what it knows."""

    class Remembering(Executor):
        known: ClassVar[dict[object, Future[Any]]] = {}

        def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            key = repr((function, args, kwargs))
            if key not in self.known:
                future: Future[Any] = Future()
                self.known[key] = future
                if len(self.known) == 1:
                    future.set_exception(RuntimeError("the worker was lost"))
                else:
                    future.set_result(function(*args, **kwargs))
            return self.known[key]

    assert map_items(square, [2, 3], Remembering(), chunk=1) == [Outcome(4), Outcome(9)]


def test_workers_have_one_thread() -> None:
    assert [each.value and each.value[0] for each in map_items(threads, [0], jobs=1)] == ["1"]


def test_nothing_to_do() -> None:
    assert map_items(square, []) == []


@pytest.mark.parametrize(
    ("options", "part"), [({"jobs": 0}, "at least one process"), ({"chunk": 0}, "at least one item")]
)
def test_what_is_refused(options: dict[str, int], part: str) -> None:
    with pytest.raises(SpecError, match=part):
        map_items(square, [1], **options)  # type: ignore[arg-type]


def test_threads_are_refused() -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(SpecError, match="executor of processes"):
        map_items(square, [1], pool)


def test_what_items_print_goes_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    run_chunk(print, ["aside"])
    assert capfd.readouterr() == ("", "aside\n")


def test_a_script_without_a_guard_is_told(tmp_path: Path) -> None:
    script = tmp_path / "bare.py"
    script.write_text(
        "from fxcost.parallel import map_items\nprint(map_items(abs, [1, 2], jobs=1))\n", encoding="utf-8"
    )
    done = subprocess.run(
        [sys.executable, str(script)], cwd=ROOT, env=_env(), capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "if __name__ == '__main__':" in done.stderr.splitlines()[-1]


def test_ctrl_c_stops_the_workers(tmp_path: Path) -> None:
    """The trace that the item leaves holds the worker's process id; after Ctrl-C that process is gone."""
    trace, script = tmp_path / "trace", tmp_path / "long.py"
    script.write_text(
        "import signal\nfrom fxcost.parallel import map_items\nfrom tests.support.work import noted\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts jobs in the background without it\n"
        f"if __name__ == '__main__':\n    map_items(noted, [{str(trace)!r}] * 4, jobs=1)\n",
        encoding="utf-8",
    )
    with subprocess.Popen(
        [sys.executable, str(script)], cwd=ROOT, env=_env(), stderr=subprocess.PIPE, text=True
    ) as run:
        deadline = time.monotonic() + 60
        while not (trace.exists() and trace.read_text(encoding="utf-8")) and time.monotonic() < deadline:
            time.sleep(0.05)
        worker = int(trace.read_text(encoding="utf-8"))
        start = time.monotonic()
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=30)
    assert run.returncode != 0
    assert "KeyboardInterrupt" in errors
    assert time.monotonic() - start < 30
    for _ in range(100):
        if not _runs(worker):
            break
        time.sleep(0.05)
    assert not _runs(worker)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[:1]


def _env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
