"""What a training step takes on each of several processes, in bytes and, by a model, in time; nothing is run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rnngraph.analysis.cost import trained_values
from rnngraph.diagnostics.errors import UserError
from rnngraph.distributed.traffic import Exchange
from rnngraph.model import Model
from rnngraph.planning.program import ITEMSIZE


@dataclass(frozen=True)
class Among:
    """A batch of an update over processes: `rows` of the largest shard, which a process runs at once; the bytes that it
    holds for the exchange and that it sends in an update, those of the process with the most; and what all send."""

    processes: int
    shards: int
    rows: int
    held: int
    sent: int
    sent_by_all: int


@dataclass(frozen=True)
class Link:
    """Between processes: seconds until a message begins to come, and bytes a second."""

    latency: float = 25e-6
    bandwidth: float = 10e9 / 8


@dataclass(frozen=True)
class Took:
    """The predicted seconds of an update over so many processes, which is as long as that of the one with the most
    `rows`: those of its rows, as a part of the update of one process, and of the exchange behind them."""

    processes: int
    rows: int
    computing: float
    exchange: float

    @property
    def seconds(self) -> float:
        return self.computing + self.exchange


@dataclass(frozen=True)
class Scaling:
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
    model: Model, dtype: str, batch: int, processes: int, shards: int | None, alone: float, link: Link
) -> Scaling:
    """Of 1, 2, 4, ... processes and of the number asked for, as long as each has a shard."""
    numbers = {2**power for power in range((shards or batch).bit_length())} | {processes}
    took = (predicted(model, dtype, batch, number, shards, alone, link) for number in sorted(numbers))
    return Scaling(tuple(took))


def predicted(
    model: Model, dtype: str, batch: int, processes: int, shards: int | None, alone: float, link: Link
) -> Took:
    """`alone` is the seconds of the batch's update on one process. Computing is taken to be in proportion to the rows;
    a process's messages go one behind the other, and none while it computes."""
    exchange = _exchange(model, dtype, shards or processes, processes)
    rows = min(batch, exchange.rounds * -(-batch // exchange.shards))
    sent = max(exchange.sent(rank) for rank in {0, processes - 1})
    told = exchange.messages * link.latency + sent / link.bandwidth
    return Took(processes, rows, alone * rows / batch, told)


def _exchange(model: Model, dtype: str, shards: int, processes: int) -> Exchange:
    return Exchange(trained_values(model), ITEMSIZE["float", dtype], shards, processes)
