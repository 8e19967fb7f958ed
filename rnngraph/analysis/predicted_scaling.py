"""What a training step takes on each of several processes, in bytes and, by a model, in time; nothing is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import asdict

from rnngraph.analysis.cost import trained_values
from rnngraph.analysis.flops import products
from rnngraph.compilation.calls import GRADIENT
from rnngraph.compilation.variant import Variant
from rnngraph.diagnostics.errors import UserError
from rnngraph.distributed.communication_volume import Volume
from rnngraph.model import Model
from rnngraph.planning.program import ITEMSIZE, gradients_made


class Among(Struct, frozen=True):
    """A batch of an update over processes: `rows` of the largest shard, which a process runs at once; the bytes that it
    holds for the exchange and that it sends in an update, those of the process with the most; and what all send."""

    processes: int
    shards: int
    rows: int
    held: int
    sent: int
    sent_by_all: int


class Link(Struct, frozen=True):
    """Between processes: seconds until a message begins to come, and bytes a second."""

    latency: float = 25e-6
    bandwidth: float = 10e9 / 8


class Took(Struct, frozen=True):
    """The predicted seconds of an update over so many processes, which is as long as that of the one with the most
    `rows`: those of its rows, as a part of the update of one process, and of the exchange. So much of that is `hidden`
    behind computing where MPI moves messages meanwhile; `seconds` do not count on it."""

    processes: int
    rows: int
    computing: float
    exchange: float
    hidden: float = 0.0

    @property
    def seconds(self) -> float:
        return self.computing + self.exchange


class Scaling(Struct, frozen=True):
    """Predictions for 1, 2, 4, ... processes, and for the number that was asked for."""

    took: tuple[Took, ...]

    @property
    def best(self) -> Took:
        """From which on more processes do not pay."""
        return min(self.took, key=lambda took: took.seconds)

    def to_json(self) -> dict[str, Any]:
        return {"took": [{**asdict(took), "seconds": took.seconds} for took in self.took], "best": self.best.processes}


def among(model: Model, dtype: str, batch: int, processes: int, shards: int | None) -> Among:
    """UserError where there are fewer shards than processes, or fewer rows than shards."""
    shards = shards or processes
    if not processes <= shards <= batch:
        told = f"a batch of {batch} rows in {shards} shards is not for {processes} processes"
        raise UserError(told, "E732", "a shard has one row at least, and a process one shard")
    exchange = _exchange(model, dtype, shards, processes)
    sent = [exchange.sent(rank) for rank in range(processes)]
    held = max(exchange.held(rank) for rank in range(processes)) if processes > 1 else 0
    return Among(processes, shards, -(-batch // shards), held, max(sent), sum(sent))


def scaling(
    model: Model,
    dtype: str,
    batch: int,
    processes: int,
    shards: int | None,
    alone: float,
    link: Link,
    made: Sequence[Made] = (),
) -> Scaling:
    """Of 1, 2, 4, ... processes and of the number asked for, as long as each has a shard."""
    numbers = {2**power for power in range((shards or batch).bit_length())} | {processes}
    took = (predicted(model, dtype, batch, number, shards, alone, link, made) for number in sorted(numbers))
    return Scaling(tuple(took))


def predicted(
    model: Model,
    dtype: str,
    batch: int,
    processes: int,
    shards: int | None,
    alone: float,
    link: Link,
    made: Sequence[Made] = (),
) -> Took:
    """`alone` is the seconds of the batch's update on one process. Computing is taken to be in proportion to the rows;
    a process's messages go one behind the other, and none while it computes, but for what is told as hidden: that
    needs to know when gradients are `made`."""
    exchange = _exchange(model, dtype, shards or processes, processes)
    rows = min(batch, exchange.rounds * -(-batch // exchange.shards))
    sent = max(exchange.sent(rank) for rank in {0, processes - 1})
    told = exchange.messages * link.latency + sent / link.bandwidth
    computing = alone * rows / batch
    return Took(processes, rows, computing, told, hidden(exchange, computing, link, made) if made else 0.0)


class Made(NamedTuple):
    """So many entries of the gradient, and the part of a step's computing that is left when they are there."""

    entries: int
    left: float


def gradients_by_time(model: Model, variant: Variant, sizes: Mapping[str, int]) -> list[Made]:
    """The gradients in the order in which they are sent; none where steps are computed again, as all are there at the
    end. What is computed is taken to be the products."""
    if variant.walks:
        return []
    code, full = variant.program.code, variant.all_sizes(sizes)
    ends = {name: end for end, names in gradients_made(variant.program) for name in names}
    total = max(1, products(code, full))
    trained = sorted((w for w in model.weights if not w.frozen), key=lambda w: ends[GRADIENT + w.name])
    return [Made(prod(w.shape), products(code[ends[GRADIENT + w.name] :], full) / total) for w in trained]


def hidden(exchange: Volume, computing: float, link: Link, made: Sequence[Made]) -> float:
    """The seconds of messages that go out while the process computes, shard after shard: a bucket once its entries are
    there and the one before is away."""
    each, away, waited = computing / exchange.rounds, 0.0, 0.0
    for turn in range(exchange.rounds):
        sent = 0
        for size in exchange.buckets():
            sent += size
            took = (exchange.processes - 1) * link.latency + exchange.given(size, 0) / link.bandwidth
            away = max(away, (turn + 1 - _left(made, sent)) * each) + took
            waited += took
    return computing + waited - away


def _left(made: Sequence[Made], entries: int) -> float:
    """What is left to compute when the first so many entries are there."""
    left = 1.0
    for one in made:
        if entries <= 0:
            break
        left, entries = min(left, one.left), entries - one.entries
    return left


def _exchange(model: Model, dtype: str, shards: int, processes: int) -> Volume:
    return Volume(trained_values(model), ITEMSIZE["float", dtype], shards, processes)
