"""Where a training run stands, and keeping it in a file that survives being killed at any moment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rnngraph.diagnostics import UserError
from rnngraph.learn.config import FitConfig
from rnngraph.learn.files import Arrays, read_tensors, write_tensors
from rnngraph.learn.weights import shape_text

KIND = "rnngraph checkpoint 1"
_MAY_CHANGE = {"epochs", "patience"}


@dataclass(frozen=True)
class Training:
    """All that a run needs to go on: nothing else is remembered between two batches.

    `epoch` and `batch` count what is finished; `loss_sum` and `rows` belong to the epoch under way.
    `history` has one record of numbers by name for each finished epoch.
    """

    weights: Arrays
    state: Arrays
    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    rows: int = 0
    best: Arrays | None = None
    best_loss: float | None = None
    best_epoch: int = 0
    history: tuple[dict[str, float], ...] = ()


@dataclass(frozen=True)
class Identity:
    """What a checkpoint belongs to: the model, the settings and the amount of data."""

    model: str
    config: FitConfig
    rows: int
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def save(path: str | os.PathLike[str], training: Training, identity: Identity) -> None:
    """Write a checkpoint aside and move it into place. Raises CannotDo where it cannot be written."""
    groups = {"weights": training.weights, "state": training.state, "best": training.best or {}}
    arrays = {f"{group}/{name}": array for group, named in groups.items() for name, array in named.items()}
    place = {name: getattr(training, name) for name in _PLACE}
    told = {"model": identity.model, "config": identity.config.as_json(), "data_rows": identity.rows}
    write_tensors(path, arrays, {"kind": KIND, "training": json.dumps({**place, **told})})


def resume(path: str | os.PathLike[str], identity: Identity) -> Training:
    """The run that a checkpoint holds.

    Raises CannotDo where there is no file, UserError where it is damaged, no checkpoint, of another model,
    or made with other settings or data (only `epochs` and `patience` may differ: the batches to come must
    be the same).
    """
    arrays, metadata = read_tensors(path)
    if metadata.get("kind") != KIND:
        raise UserError(
            f"`{path}` is no checkpoint", code="E720", help="it may hold weights alone: start from them"
        )
    told = json.loads(metadata["training"])
    training = Training(
        _group(arrays, "weights"),
        _group(arrays, "state"),
        best=_group(arrays, "best") or None,
        **{**{name: told[name] for name in _PLACE}, "history": tuple(told["history"])},
    )
    _same_model(path, training, told, identity)
    _same_run(path, told, identity)
    return training


def best_weights(arrays: Arrays, metadata: Mapping[str, str]) -> Arrays:
    """Of a checkpoint its best weights (its last, where nothing is held back); of other files all arrays."""
    if metadata.get("kind") != KIND:
        return arrays
    return _group(arrays, "best") or _group(arrays, "weights")


_PLACE = ("epoch", "batch", "loss_sum", "rows", "best_loss", "best_epoch", "history")


def _group(arrays: Arrays, group: str) -> Arrays:
    return {name.removeprefix(f"{group}/"): a for name, a in arrays.items() if name.startswith(f"{group}/")}


def _same_model(path: object, training: Training, told: Mapping[str, Any], identity: Identity) -> None:
    found = {name: array.shape for name, array in training.weights.items()}
    for name in sorted({*found, *identity.shapes}):
        if found.get(name) != identity.shapes.get(name):
            ours, theirs = (shape_text(s[name]) if name in s else "missing" for s in (identity.shapes, found))
            raise UserError(
                f"`{path}` is the checkpoint of another model: `{name}` is {theirs} there and {ours} here",
                code="E721",
            )
    if told["model"] != identity.model:
        raise UserError(
            f"`{path}` is the checkpoint of another model: its equations or settings were changed since",
            code="E721",
            help="train it anew, or start from its weights",
        )


def _same_run(path: object, told: Mapping[str, Any], identity: Identity) -> None:
    ours = json.loads(json.dumps(identity.config.as_json()))
    differ = [n for n in ours if n not in _MAY_CHANGE and ours[n] != told["config"].get(n)]
    if differ:
        words = "; ".join(f"{n} was {_words(told['config'].get(n))}, now {_words(ours[n])}" for n in differ)
        raise UserError(
            f"`{path}` was made with other settings: {words}",
            code="E722",
            help="resume with the same settings, or start anew from its weights",
        )
    if told["data_rows"] != identity.rows:
        raise UserError(
            f"`{path}` was made with {told['data_rows']} rows of data, now there are {identity.rows}",
            code="E722",
        )


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['name']}({', '.join(f'{k} = {v}' for k, v in value.items() if k != 'name')})"
    return "not set" if value is None else str(value)
