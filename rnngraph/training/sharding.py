"""How a training begins on several processes: into how many shards its batches are cut, and that all mean the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from msgspec.structs import replace

import rnngraph
from rnngraph.diagnostics.errors import UserError
from rnngraph.distributed.processes import Processes, own
from rnngraph.files.arrays import host_arrays
from rnngraph.files.safetensors import read_texts
from rnngraph.files.untrusted_files import foreign, parsed_json
from rnngraph.training import batches
from rnngraph.training.checkpoint import Made
from rnngraph.training.config import FitConfig
from rnngraph.weights.checks import shape_text
from rnngraph.weights.save_load import CHECKPOINT

SAMPLED = 16
"""So many rows of each array are compared between processes."""


def with_shards(config: FitConfig, processes: Processes, resume: str | None) -> FitConfig:
    """The settings with a number of shards: the one asked for, else that of the checkpoint, else one for each process.

    UserError where batches cannot be cut so, or processes would have nothing to do.
    """
    shards = config.shards
    if shards is None and resume is not None:
        shards = processes.of_first(lambda: _shards_of(resume))
    shards = shards or processes.size
    if shards < processes.size:
        told = f"there are {shards} shards for {processes.size} processes: {processes.size - shards} would do nothing"
        raise UserError(told, "E732", f"start {shards} processes, or train anew with more shards")
    if shards > config.batch:
        told = f"a batch of {config.batch} rows cannot be cut into {shards} shards"
        raise UserError(told, "E732", "give a larger `batch`, which is that of all processes together, or fewer shards")
    return replace(config, shards=shards)


def _shards_of(path: str) -> int | None:
    """How many shards the batches of a checkpoint have."""
    texts = read_texts(path)
    if texts.get("kind") != CHECKPOINT:
        return None  # what it is instead is told where it is read
    with foreign(path, "a checkpoint", "E720"):
        return int(parsed_json(texts["identity"])["config"].get("shards") or 1)


def check_part(check: Callable[[Mapping[str, Any]], object], data: Mapping[str, Any], processes: Processes) -> None:
    """Has each process check its part of the rows; UserError with what does not fit, told by the rows of the data."""
    if processes.size == 1:
        check(data)
        return
    try:
        mine = own(batches.row_count(data), processes.size, processes.rank)
        check({name: a[mine.start : max(mine.stop, 1)] if np.ndim(a) else a for name, a in data.items()})
    except UserError:
        check(data)
        raise


def refuse_others(processes: Processes, made: Made, config: FitConfig, data: Mapping[str, Any]) -> None:
    """UserError where processes have other versions, models, settings or data than the first one."""
    if processes.size == 1:
        return
    everyone = processes.gathered(lambda: _meant(made, config, data))
    for rank, theirs in enumerate(everyone):
        for what, first in everyone[0].items():
            if theirs.get(what) != first:
                told = f"{what} differs between ranks: {theirs[what]} on rank {rank}, {first} on rank 0"
                raise UserError(told, "E734", "all processes need the same files, and the same rnngraph")


def _meant(made: Made, config: FitConfig, data: Mapping[str, Any]) -> dict[str, str]:
    """What has to be the same on all processes, in words or by a digest. Of the data a few rows are looked at."""
    arrays = host_arrays(dict(sorted(data.items())))
    settings = {**made.settings, **config.as_json()}
    return {
        "the version": f"rnngraph {rnngraph.__version__} with NumPy {np.__version__}",
        "the model": f"`{made.name}` {_digest(made.equations.whole)}",
        **{f"`{name}`": json.dumps(value) for name, value in settings.items()},
        "the shape of the data": ", ".join(f"`{n}` {shape_text(a.shape)} {a.dtype}" for n, a in arrays.items()),
        "what is in the data": _digest(*(_sample(array) for array in arrays.values())),
    }


def _digest(*parts: str | bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part.encode() if isinstance(part, str) else part)
    return found.hexdigest()[:12]


def _sample(array: Any) -> bytes:
    """Some rows, from the first to the last."""
    if array.ndim == 0:
        return bytes(array.tobytes())
    rows = np.unique(np.linspace(0, len(array) - 1, SAMPLED).astype(int))
    return bytes(np.ascontiguousarray(array[rows]).tobytes())
