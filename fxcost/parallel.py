"""Mapping a function over many items in other processes: in chunks, in order, with errors kept beside the results.

Works over any `concurrent.futures.Executor` of processes, those of dask among them. An item that fails, or that takes its
worker process with it, costs that item's result and no other.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from concurrent.futures import wait as wait_for
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any, Generic, TypeVar
from uuid import uuid4

from fxcost.errors import FxcostError, SpecError

Item = TypeVar("Item")
Value = TypeVar("Value")

IN_FLIGHT = 32
"""Chunks handed at a time to an executor whose number of workers is not known."""

DIED = "its worker process died, as it does when memory runs out or native code crashes"


@dataclass(frozen=True)
class Outcome(Generic[Value]):
    """What became of one item: its value, or why there is none."""

    value: Value | None = None
    error: str | None = None


def map_items(
    function: Callable[[Item], Value],
    items: Iterable[Item],
    executor: Executor | None = None,
    *,
    jobs: int | None = None,
    chunk: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Outcome[Value]]:
    """Call `function` on every item in worker processes and return the outcomes in the items' order.

    Args:
        function: a function of a module, or a `functools.partial` of one, whose results can be pickled.
        items: what it is called on; they can be pickled, too.
        executor: where it runs; by default `jobs` fresh processes, which are gone afterwards.
        jobs: processes of the default executor; one a processor core unless given.
        chunk: items that are sent at a time.
        progress: called with a line as results come in.

    An item's exception becomes its error. Raises SpecError for an executor of threads, and where the processes of the
    default executor cannot start; on KeyboardInterrupt all that runs is stopped first.
    """
    known = list(items)
    if isinstance(executor, ThreadPoolExecutor):
        raise SpecError("captures cannot run in threads of one process: give an executor of processes")
    if jobs is not None and jobs < 1:
        raise SpecError(f"jobs={jobs}: at least one process is needed")
    if chunk is not None and chunk < 1:
        raise SpecError(f"chunk={chunk}: at least one item is sent at a time")
    if not known:
        return []
    workers = min(jobs or os.cpu_count() or 1, len(known)) if executor is None else IN_FLIGHT
    length = chunk or max(1, min(256, len(known) // (4 * workers)))
    run = _Run(function, known, executor, workers, progress)
    return run.all([range(start, min(start + length, len(known))) for start in range(0, len(known), length)])


@dataclass
class _Run(Generic[Item, Value]):
    """One call of `map_items`: what is in flight, and what is known so far."""

    function: Callable[[Item], Value]
    items: Sequence[Item]
    executor: Executor | None
    workers: int
    progress: Callable[[str], None]
    found: dict[int, Outcome[Value]] = field(default_factory=dict)
    pool: Executor | None = None

    def all(self, chunks: Iterable[range]) -> list[Outcome[Value]]:
        """Run the chunks, then one by one what was in a chunk that failed as a whole."""
        waiting = deque(chunks)
        flying: dict[Future[Any], range] = {}
        suspects: list[int] = []
        try:
            while waiting or flying:
                while waiting and len(flying) < self.workers + 2:
                    part = waiting.popleft()
                    sent = self._send(part)
                    if sent is None:
                        suspects += part
                    else:
                        flying[sent] = part
                done, _ = wait_for(flying, return_when=FIRST_COMPLETED) if flying else (set(), None)
                for future in done:
                    suspects += self._received(future, flying.pop(future))
                self.progress(f"{len(self.found):,} of {len(self.items):,} done")
            for item in sorted(suspects):  # alone, so that whoever takes the process along is found out
                self._alone(item)
            self._stop(at_once=False)
        except BaseException:
            for future in flying:
                future.cancel()
            self._stop(at_once=True)
            raise
        return [self.found[position] for position in range(len(self.items))]

    def _send(self, part: range) -> Future[Any] | None:
        """Hand a chunk to the executor; None where that is broken."""
        work = [self.items[position] for position in part]
        for _ in range(2):
            pool = self.executor or self._own_pool()
            try:
                return pool.submit(run_chunk, self.function, work, uuid4().hex)
            except BrokenExecutor:  # a chunk before this one has broken it
                self._stop(at_once=True)
                if self.executor is not None:
                    break
        return None

    def _received(self, future: Future[Any], part: range, *, alone: bool = False) -> list[int]:
        """Keep a chunk's outcomes; positions that must be run again, alone, where the chunk as a whole failed."""
        try:
            self.found.update(zip(part, future.result(), strict=True))
        except (KeyboardInterrupt, FxcostError):
            raise
        except BrokenExecutor:
            self._stop(at_once=True)
            return list(part)
        except Exception as error:  # what cannot be pickled, a lost worker of a cluster
            if not alone:  # a cluster blames whatever ran on the worker that was lost
                return list(part)
            self.found[part[0]] = Outcome(error=said(error))
        return []

    def _alone(self, position: int) -> None:
        """Run one item with nothing beside it."""
        sent = self._send(range(position, position + 1))
        if sent is None:
            self.found[position] = Outcome(error="the executor broke before its turn: a worker process died")
        elif self._received(sent, range(position, position + 1), alone=True):
            self.found[position] = Outcome(error=DIED)
        self.progress(f"{len(self.found):,} of {len(self.items):,} done")

    def _own_pool(self) -> Executor:
        """The default executor, started where there is none; spawned, for torch does not survive a fork."""
        if self.pool is None:
            pool = ProcessPoolExecutor(self.workers, get_context("spawn"), initializer=begin)
            self.pool = pool
            try:
                pool.submit(int).result()
            except BrokenExecutor as error:
                self._stop(at_once=True)
                raise SpecError(
                    "worker processes die as they start; a script that starts them has its own code under "
                    "`if __name__ == '__main__':`, and is a file"
                ) from error
        return self.pool

    def _stop(self, *, at_once: bool) -> None:
        """End the default executor; one that was given stays as it is."""
        pool, self.pool = self.pool, None
        if isinstance(pool, ProcessPoolExecutor):
            processes = list((getattr(pool, "_processes", None) or {}).values()) if at_once else []
            pool.shutdown(wait=not at_once, cancel_futures=True)
            for process in processes:
                process.terminate()


# -- in the worker -------------------------------------------------------------------------------------------------
def begin() -> None:
    """Prepare a worker of the default executor: one thread each, and Ctrl-C is the parent's affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"  # before anything imports torch


def run_chunk(function: Callable[[Item], Value], items: Sequence[Item], turn: str = "") -> list[Outcome[Value]]:
    """Call the function on every item; what the items' code prints goes to standard error.

    `turn` differs from call to call: dask knows a task by its arguments, and answers one that it has seen fail, if only
    because a neighbour took the worker along, with that failure again.
    """
    del turn
    with redirect_stdout(sys.stderr):
        return [_outcome(function, item) for item in items]


def _outcome(function: Callable[[Item], Value], item: Item) -> Outcome[Value]:
    try:
        return Outcome(function(item))
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        return Outcome(error=f"its code called sys.exit({error.code!r})")
    except BaseException as error:  # whatever the item's code raises is its own affair
        return Outcome(error=said(error))


def said(error: BaseException) -> str:
    """An error in one line: the message of our own, the type as well of others."""
    if isinstance(error, FxcostError):
        return str(error)
    return traceback.format_exception_only(error)[-1].strip().partition("\n")[0]
