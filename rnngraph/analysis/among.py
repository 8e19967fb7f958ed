"""What a training step takes on each of several processes; nothing is run."""

from __future__ import annotations

from dataclasses import dataclass

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


def among(model: Model, dtype: str, batch: int, processes: int, shards: int | None) -> Among:
    """UserError where there are fewer shards than processes, or fewer rows than shards."""
    shards = shards or processes
    if not processes <= shards <= batch:
        told = f"a batch of {batch} rows in {shards} shards is not for {processes} processes"
        raise UserError(told, "E732", "a shard has one row at least, and a process one shard")
    exchange = Exchange(trained_values(model), ITEMSIZE["float", dtype], shards, processes)
    sent = [exchange.sent(rank) for rank in range(processes)]
    held = max(exchange.held(rank) for rank in range(processes)) if processes > 1 else 0
    return Among(processes, shards, -(-batch // shards), held, max(sent), sum(sent))
