"""Design spaces: families of sequential models, costed from blocks that are captured once and composed exactly.

    chain = [Block(stem, (16,), "N,3,H,W"), Block(inverted, (16, 24, 3), "N,16,H,W"), Block(head, (24, 10), "N,24,H,W")]
    space = capture_blocks(chain, accounting="fused", weights="int8", activations="int8")
    space.totals(chain, {"N": 1, "H": 96, "W": 96})
    space.rank(candidates, within={"peak_memory": 320_000, "model_bytes": 1_000_000}, by="macs", largest=True)

A block is captured with its channels as numbers and its image sizes as symbols; see `fxcost.query.chain` for what makes
the composition exact, and for blocks that it refuses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fxcost import api
from fxcost.cost import Cost
from fxcost.errors import CaptureError, ModelError, OutsideDomain, SpecError, UnknownName, nearest
from fxcost.models import map_models
from fxcost.parallel import map_items
from fxcost.query.chain import COMPOSED, Evaluator, Link, composed, link
from fxcost.query.quantity import Quantity
from fxcost.query.table import Table

CHUNK = 1000
"""Candidates that are sent to a worker at a time: short work, for which sending is what costs."""


@dataclass(frozen=True)
class Block:
    """A block of a model: `make(*arguments)` builds it, `spec` is its input, with image sizes as names.

    Equal blocks are captured once, so arguments are hashable and decide alone what is built. A block that occurs twice in
    a model has its own weights each time.
    """

    make: Callable[..., Any]
    arguments: tuple[Any, ...]
    spec: str

    def __post_init__(self) -> None:
        """Refuse arguments that cannot be compared by value."""
        try:
            hash(self.arguments)
        except TypeError as error:
            raise SpecError(
                f"{self}: its arguments must be hashable ({error}); give tuples instead of lists"
            ) from error

    def __call__(self) -> Any:
        """The block as a module."""
        return self.make(*self.arguments)

    def __str__(self) -> str:
        return f"{getattr(self.make, '__name__', self.make)}({', '.join(map(str, self.arguments))})"


@dataclass(frozen=True)
class Candidate:
    """A model of the family: its blocks in order, the sizes at which it runs, and what to call it."""

    blocks: tuple[Block, ...]
    at: Mapping[str, int]
    label: Any = None


@dataclass(frozen=True)
class Ranked:
    """A candidate with its totals."""

    candidate: Candidate
    totals: Mapping[str, int]


@dataclass(frozen=True)
class Ranking:
    """The best candidates first; `counted` were costed, `feasible` of them are within every limit, `errors` were not costed.

    `errors` is by position in the order in which candidates came.
    """

    best: tuple[Ranked, ...]
    counted: int
    feasible: int
    errors: Mapping[int, str]

    def __iter__(self) -> Iterator[Ranked]:
        return iter(self.best)

    def __len__(self) -> int:
        return len(self.best)

    def table(self) -> Table:
        """One row a candidate."""
        rows = [{"candidate": row.candidate.label, **row.candidate.at, **row.totals} for row in self.best]
        return Table(tuple(dict.fromkeys(name for row in rows for name in row)), tuple(rows))


@dataclass(frozen=True)
class Space:
    """Captured blocks; every sequential model that is made of them can be costed."""

    blocks: Mapping[Block, int]
    links: tuple[Link, ...] = field(repr=False)
    seconds: float = 0.0

    def chain(self, blocks: Iterable[Block]) -> tuple[int, ...]:
        """Positions of the blocks; raises SpecError for one that was not captured, and for a chain of none."""
        try:
            found = tuple(self.blocks[block] for block in blocks)
        except KeyError as error:
            raise SpecError(f"{error.args[0]} was not captured; hand it to capture_blocks as well") from error
        if not found:
            raise SpecError("a chain of no blocks costs nothing; give at least one")
        return found

    def totals(
        self, blocks: Iterable[Block], at: Mapping[str, int], metrics: Iterable[str] = COMPOSED
    ) -> dict[str, int]:
        """Exact totals of the chain at a point.

        Raises SpecError where blocks do not fit each other, OutsideDomain where a guard of a block is false, UnknownName
        for a quantity that is not composed.
        """
        return Evaluator(self.links, _known(metrics)).at(self.chain(blocks), at)

    def quantities(self, blocks: Iterable[Block]) -> dict[str, Quantity]:
        """Totals of the chain as formulas in the sizes of its input."""
        return composed([self.links[position] for position in self.chain(blocks)])

    def evaluate(
        self,
        candidates: Iterable[Candidate],
        metrics: Iterable[str] = ("params", "macs", "peak_memory", "model_bytes"),
        executor: Executor | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> list[dict[str, int] | str]:
        """Totals of every candidate in order, or in one line why there are none; in this process without an executor."""
        names = _known(metrics)
        work = [(self.chain(each.blocks), dict(each.at)) for each in candidates]
        if executor is None:
            evaluator = Evaluator(self.links, names)
            return [_totals(evaluator, item) for item in work]
        parts = [work[start : start + CHUNK] for start in range(0, len(work), CHUNK)]
        links = tuple(each.only({*names, "input_bytes"}) for each in self.links)  # what is sent with every part
        found = map_items(partial(_totals_of_many, links, names), parts, executor, chunk=1, progress=progress)
        rows: list[dict[str, int] | str] = []
        for part, outcome in zip(parts, found, strict=True):
            rows += outcome.value if outcome.value is not None else [outcome.error or ""] * len(part)
        return rows

    def rank(
        self,
        candidates: Iterable[Candidate],
        within: Mapping[str, int],
        by: str = "macs",
        *,
        largest: bool = False,
        best: int = 10,
        executor: Executor | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> Ranking:
        """The candidates with the least `by` (or with `largest` the most) whose quantities are at most those of `within`.

        Equal ones stay in the order in which they came, whichever executor costs them.
        """
        known = list(candidates)
        metrics = tuple(dict.fromkeys([by, *within]))
        rows = self.evaluate(known, metrics, executor, progress)
        costed = [(known[i], row) for i, row in enumerate(rows) if isinstance(row, dict)]
        fitting = [Ranked(each, row) for each, row in costed if all(row[name] <= most for name, most in within.items())]
        fitting.sort(key=lambda found: -found.totals[by] if largest else found.totals[by])
        errors = {i: row for i, row in enumerate(rows) if isinstance(row, str)}
        return Ranking(tuple(fitting[:best]), len(costed), len(fitting), errors)


def capture_blocks(
    blocks: Iterable[Block | Sequence[Block]],
    *,
    accounting: str = "eager",
    inputs: str = "freed",
    weights: str | None = None,
    activations: str | None = None,
    executor: Executor | None = None,
    jobs: int = 1,
    progress: Callable[[str], None] = lambda _: None,
) -> Space:
    """Capture every distinct block once; chains of blocks may be given as they are.

    With `jobs` or an `executor` blocks are captured in worker processes. Raises CaptureError for a block that cannot be
    captured, SpecError for one that a chain cannot be composed of, saying why.
    """
    start = time.perf_counter()
    given = (block for each in blocks for block in ([each] if isinstance(each, Block) else each))
    known = list(dict.fromkeys(given))
    if weights is not None and not isinstance(weights, str):
        raise SpecError("weights of a design space have one width: names of parameters differ from chain to chain")
    options: dict[str, Any] = {
        "accounting": accounting,
        "inputs": inputs,
        "weights": weights,
        "activations": activations,
        "check": False,  # the self-check costs more than the capture of a block
    }
    costs = _captured(known, options, executor, jobs, progress)
    links = tuple(link(cost.graph, cost.options, str(block)) for block, cost in zip(known, costs, strict=True))
    return Space({block: place for place, block in enumerate(known)}, links, time.perf_counter() - start)


def _captured(
    blocks: Sequence[Block],
    options: Mapping[str, Any],
    executor: Executor | None,
    jobs: int,
    progress: Callable[[str], None],
) -> Iterator[Cost]:
    if executor is None and jobs == 1:
        from fxcost.capture.worker import built

        for place, block in enumerate(blocks):
            progress(f"capturing block {place + 1} of {len(blocks)}: {block}")
            try:
                yield api.analyze(built(block), block.spec, name=str(block), **options)
            except ModelError as error:
                raise CaptureError(f"block {block}: {error}") from error
        return
    pairs = [(block, block.spec) for block in blocks]
    for block, row in zip(
        blocks, map_models(pairs, executor=executor, jobs=jobs, progress=progress, **options), strict=True
    ):
        if row.cost is None:
            raise CaptureError(f"block {block}: {row.error}")
        yield row.cost


def _known(metrics: Iterable[str]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys([metrics] if isinstance(metrics, str) else metrics))
    for name in names:
        if name not in COMPOSED:
            raise UnknownName(f"{name!r} is not composed from blocks{nearest(name, COMPOSED)}")
    return names


Work = tuple[tuple[int, ...], dict[str, int]]


def _totals(evaluator: Evaluator, work: Work) -> dict[str, int] | str:
    try:
        return evaluator.at(*work)
    except (SpecError, OutsideDomain) as error:
        return str(error)


def _totals_of_many(
    links: Sequence[Link], metrics: tuple[str, ...], work: Sequence[Work]
) -> list[dict[str, int] | str]:
    """In the worker: as in this process, a thousand candidates at a time."""
    evaluator = Evaluator(links, metrics)
    return [_totals(evaluator, item) for item in work]
