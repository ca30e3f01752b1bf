"""Where data is served from: main memory, or the nearest level on chip in which it stays.

The rule is whole or nothing. Activations stay in a level where the arena (the peak of live activations) fits into it,
weights where all of them fit beside the arena; a working set of a single op is never put on chip by itself. A level
serves bytes only at a bandwidth that its target states: without one the next farther level that states one is charged.
The first exception is the farthest level on chip: weights that stay there cause no traffic in main memory, whether or not
its own bandwidth is known, and where it is not that time is left out by name. The second is a share of the weights that
a target says to be pinned in a level (`cached_weights`): the level serves that share of every fetch, main memory the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fxcost.ir.expr import ZERO, Expr
from fxcost.passes._rates import Load, Residence
from fxcost.passes.workload import Workload
from fxcost.target import Memory, Target


@dataclass(frozen=True)
class Place:
    """A level that serves one kind of data where `inside` holds and `outside` does not (None: no such condition).

    `share` is how much of the data comes from it there.
    """

    level: Memory
    inside: Residence | None = None
    outside: Residence | None = None
    share: float = 1.0

    def load(self, amount: Expr, rate: float, what: str) -> Load:
        """The amount at a rate, as far as this place serves it: of a share the time is that share."""
        return Load(amount, rate / self.share, what, self.level.name, self.inside, self.outside)

    @property
    def is_possible(self) -> bool:
        """False when no size puts the data here."""
        return self.load(ZERO, 1.0, "").settled() is not None


def places(target: Target, work: Workload, what: str) -> tuple[Place, ...]:
    """Every level that can serve `what` (activations or weights), near to far, with its condition."""
    need = work.footprint_bytes + (work.model_bytes if what == "weights" else ZERO)
    found: list[Place] = []
    nearer: Residence | None = None
    for level in _serving(target, what):
        here = Residence(level.name, need, level.capacity_bytes or 0)
        found.append(Place(level, here, nearer))
        nearer = here
    pinned = [level for level in target.caches(what) if what == "weights" and level.cached_weights]
    rest = 1.0 - sum(level.cached_weights or 0.0 for level in pinned)
    found += (Place(level, None, nearer, level.cached_weights or 0.0) for level in pinned)
    if rest > 0:
        found.append(Place(target.home(what), None, nearer, rest))
    return tuple(place for place in found if place.is_possible)


def _serving(target: Target, what: str) -> Iterator[Memory]:
    """Levels on chip that may serve the data, each larger than the ones before."""
    largest = 0
    for level in target.caches(what):
        stated = level.read_bytes_per_s is not None and (what == "weights" or level.write_bytes_per_s is not None)
        if (stated or (what == "weights" and level == target.cache)) and (level.capacity_bytes or 0) > largest:
            largest = level.capacity_bytes or 0
            yield level
