"""Factories for `file.py:factory`: one model for each thing that a capture can meet."""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

torch.set_num_threads(1)


def mlp() -> nn.Module:
    """8*16 + 16*4 = 192 MACs an example; 8*16 + 16 + 16*4 + 4 = 212 parameters."""
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def conv() -> nn.Module:
    """3*8*9 = 216 MACs a pixel."""
    return nn.Conv2d(3, 8, 3, padding=1)


class Twice(nn.Module):
    """A block called twice, then a head."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(self.block(x)).mean((2, 3)))  # type: ignore[no-any-return]


class Masked(nn.Module):
    """Takes a mask by name."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(100, 32)
        self.out = nn.Linear(32, 100)

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        hidden = self.embed(ids)
        return self.out(hidden if mask is None else hidden * mask.unsqueeze(-1))  # type: ignore[no-any-return]


class Cache(nn.Module):
    """Takes a list of pairs, grows each by one step and returns it."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(16, 16)

    def forward(self, x: Tensor, cache: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, list[Tensor]]:
        out, grown = self.project(x), []
        for key, value in cache:
            grown.append(torch.cat([key, out], 1))
            out = out + value.mean(1, keepdim=True)
        return out, grown


class Branch(nn.Module):
    """Branches on its data: it is recorded, with the branch that the example takes, and fitted on further recordings."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        return y * 2 if y.sum() > 1e9 else y + 1  # type: ignore[no-any-return]


class Chosen(nn.Module):
    """Leaves torch to choose rows by their data: no trace takes it, and what it costs is no formula in the sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.numpy()
        return self.linear(torch.from_numpy(rows[rows[:, 0] > 0.5]))  # type: ignore[no-any-return]


def chosen_rows(size: int) -> int:
    """How many rows `Chosen` takes of the example input of a recorded run."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return int((torch.rand(size, 8)[:, 0] > 0.5).sum())


class Flat(nn.Module):
    """Takes 10 x 10 images alone."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(300, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1))  # type: ignore[no-any-return]


class Wide(nn.Module):
    """Another branch from 64 on: the formula of one side does not hold on the other."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        return self.linear(y) if x.shape[0] >= 64 else y  # type: ignore[no-any-return]


class Found(nn.Module):
    """Returns as many rows as the data says."""

    def forward(self, x: Tensor) -> Tensor:
        return x.nonzero() * 2


class Nothing(nn.Module):
    """Does nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Chatty(nn.Module):
    """Prints while it is built and while it runs."""

    def __init__(self) -> None:
        super().__init__()
        print("building")
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        print("running")
        return self.linear(x)  # type: ignore[no-any-return]


class Fails(nn.Module):
    """Never runs."""

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("deliberate\nwith a second line")


class Leaves(nn.Module):
    """Ends the process when it runs."""

    def forward(self, x: Tensor) -> Tensor:
        sys.exit(7)


@torch.library.custom_op("fxcost_tests::odd", mutates_args=())
def odd(x: Tensor) -> Tensor:
    """An operator that no rule knows."""
    return x + 1


@odd.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


class Odd(nn.Module):
    """8*8 = 64 MACs an example, and an unknown operator."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return odd(self.linear(x))  # type: ignore[no-any-return]


instance = nn.Linear(8, 8)
number = 3


def raises() -> nn.Module:
    """Raise, as a wrong configuration does."""
    raise ValueError("no such width\nand more")


def leaves() -> nn.Module:
    """Call sys.exit, as a script does that reads its own arguments."""
    sys.exit(7)


def leaves_quietly() -> nn.Module:
    """Raise SystemExit without a code."""
    raise SystemExit


class Cancelled(BaseException):
    """Not an Exception, as in some frameworks."""


def cancels() -> nn.Module:
    """Raise what no `except Exception` catches."""
    raise Cancelled("cancelled")


def returns_none() -> None:
    """Forget the return."""


def returns_tensor() -> Tensor:
    """Return something else."""
    return torch.zeros(3)


def needs(width: int) -> nn.Module:
    """Want an argument."""
    return nn.Linear(width, width)


def huge() -> nn.Module:
    """2^36 weights, 256 GiB: only where weights are never allocated can this be built."""
    return nn.Linear(1 << 18, 1 << 18, bias=False)


class Tied(nn.Module):
    """One tensor under two names: 50 * 16 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.out = nn.Linear(16, 50, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.out(self.embed(ids))  # type: ignore[no-any-return]


class Counter(nn.Module):
    """Updates a buffer in place while it runs."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(8))

    def forward(self, x: Tensor) -> Tensor:
        self.seen.add_(x.sum(0))
        return x * self.seen


class Attention(nn.Module):
    """Self-attention of 4 heads in 32 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0]  # type: ignore[no-any-return]


def encoder() -> nn.Module:
    """A layer of a transformer: self-attention and a perceptron of 64 hidden channels."""
    return nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
