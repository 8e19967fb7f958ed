"""Where a training run stands, and keeping it in a file that survives being killed at any moment."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct, field

from rnngraph.data.dataset import ends_of
from rnngraph.data.value_checks import parts
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.files.atomic_writes import PathLike, is_device
from rnngraph.files.safetensors import Arrays, read_tensors, write_tensors
from rnngraph.files.untrusted_files import Damaged, foreign, parsed_json
from rnngraph.ir.identity import Identity as Equations
from rnngraph.training.config import FitConfig
from rnngraph.weights.checks import shape_text
from rnngraph.weights.metadata import ABOUT, About
from rnngraph.weights.save_load import CHECKPOINT, group_of

_MAY_CHANGE = {"epochs", "patience"}


class Training(Struct, frozen=True):
    """All that a run needs to go on: nothing else is remembered between two batches.

    `epoch` and `batch` count what is finished; `loss_sum` and `rows` (or what else the losses are divided by) belong to
    the epoch under way.
    `history` has one record of numbers by name for each finished epoch.
    """

    weights: Arrays
    state: Arrays
    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    rows: float = 0.0
    best: Arrays | None = None
    best_loss: float | None = None
    best_epoch: int = 0
    history: tuple[dict[str, float], ...] = ()
    carried: tuple[Arrays, ...] = ()
    """Of each shard the states that the last segment left for the next one of its rows; none where rows begin."""


class Made(Struct, frozen=True):
    """What is trained: the model's name, its equations, and what else its numbers depend on, by name (the dtype)."""

    name: str = ""
    equations: Equations = field(default_factory=lambda: Equations("", {}))
    settings: Mapping[str, Any] = field(default_factory=dict)


class Identity(Struct, frozen=True):
    """What a checkpoint belongs to: the model, the settings, and the data, by a digest of each array."""

    model: Made
    config: FitConfig
    rows: int
    data: Mapping[str, str] = field(default_factory=dict)
    about: About = field(default_factory=About)
    """What is kept with the weights, so that those of a checkpoint can be used as any."""

    def as_json(self) -> dict[str, Any]:
        equations = {"whole": self.model.equations.whole, "values": dict(self.model.equations.values)}
        made = {"name": self.model.name, "equations": equations, "settings": dict(self.model.settings)}
        return {"model": made, "config": self.config.as_json(), "rows": self.rows, "data": dict(self.data)}


def digests(data: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """A digest of each array by name: of its type, its shape and all of its bytes; and of the order of its rows."""
    ends = ends_of(data)
    arrays = {**data, **({} if ends is None else {"the order of rows": ends})}
    return {f"{prefix}{name}": _digest(np.asarray(array)) for name, array in sorted(arrays.items())}


def _digest(array: Any) -> str:
    found = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    for part in parts(array):  # windows are views of one sequence, and stay that
        found.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def save(path: PathLike, training: Training, identity: Identity) -> None:
    """Write a checkpoint aside and move it into place. Raises CannotDo where it cannot be written."""
    groups = {
        "weights": training.weights,
        "state": training.state,
        "best": training.best or {},
        "carried": {f"{i}/{name}": a for i, shard in enumerate(training.carried) for name, a in shard.items()},
    }
    arrays = {f"{group}/{name}": array for group, named in groups.items() for name, array in named.items()}
    place = {name: getattr(training, name) for name in _PLACE}
    texts = {"kind": CHECKPOINT, "training": json.dumps(place), "identity": json.dumps(identity.as_json())}
    texts |= {ABOUT: identity.about.to_text()} if identity.about else {}
    write_tensors(path, arrays, texts)


def resume(path: PathLike, identity: Identity, begun: Training) -> Training:
    """The run that a checkpoint holds; `begun` is the same run at its beginning.

    Raises CannotDo where there is no file, UserError where it is damaged, no checkpoint, of another model,
    or made with other settings or data (only `patience` may differ, and `epochs` where the rate does not depend on
    them: the batches to come must be the same).
    """
    arrays, texts = read_tensors(path, checked=lambda texts: texts.get("kind") == CHECKPOINT)
    if texts.get("kind") != CHECKPOINT:
        raise UserError(f"`{path}` is not a checkpoint", "E720", "it may hold only weights: start from them")
    with foreign(path, "a checkpoint", "E720"):
        told = parsed_json(texts["identity"])
        place = _place(parsed_json(texts["training"]))
        _same_model(path, told, group_of(arrays, "weights"), identity, begun)
        _same_run(path, told, identity)
        return Training(
            _like(begun.weights, group_of(arrays, "weights")),
            _like(begun.state, group_of(arrays, "state")),
            best=_like(begun.weights, best) if (best := group_of(arrays, "best")) else None,
            carried=_carried(group_of(arrays, "carried"), identity.config.shards or 1),
            **place,
        )


@contextmanager
def alone(path: PathLike | None) -> Iterator[None]:
    """Keeps every other training away from the checkpoint at `path`. CannotDo where one has it already."""
    from filelock import FileLock, Timeout

    if path is None or is_device(Path(path)):
        yield
        return
    place = Path(os.path.realpath(path))
    lock = FileLock(place.with_name(f".{place.name[:200]}.lock"), blocking=False)
    try:
        lock.acquire()
    except Timeout:
        help = "wait until it ends, or name another file with `--checkpoint`"
        raise CannotDo(f"another training saves its state in `{path}`", "E723", help) from None
    except OSError as error:
        raise CannotDo(f"cannot write beside `{path}`: {error.strerror or error}", "E660") from error
    try:
        yield
    finally:
        with suppress(OSError):
            os.unlink(lock.lock_file)
        lock.release()


_PLACE = ("epoch", "batch", "loss_sum", "rows", "best_loss", "best_epoch", "history")


def _place(told: Any) -> dict[str, Any]:
    """Where a run stands, every number looked at."""
    counts = [told[name] for name in ("epoch", "batch", "best_epoch")]
    sums = [told["loss_sum"], told["rows"], *([told["best_loss"]] if told["best_loss"] is not None else [])]
    records = [number for record in told["history"] for number in record.values()]
    whole = all(type(n) is int and n >= 0 for n in counts)
    if not whole or not all(type(n) in (int, float) for n in (*sums, *records)):
        raise Damaged("it does not say how far the training was")
    return {**{name: told[name] for name in _PLACE}, "history": tuple(told["history"])}


def _carried(found: Arrays, shards: int) -> tuple[Arrays, ...]:
    """The states of each shard."""
    return tuple(group_of(found, str(shard)) for shard in range(shards)) if found else ()


def _like(begun: Arrays, found: Arrays) -> Arrays:
    """The arrays in the order of those at the beginning, of which each has its like."""
    if {n: (a.shape, a.dtype) for n, a in begun.items()} != {n: (a.shape, a.dtype) for n, a in found.items()}:
        raise Damaged("it does not hold the arrays of this training")
    return {name: found[name] for name in begun}


def _same_model(path: object, told: Mapping[str, Any], weights: Arrays, identity: Identity, begun: Training) -> None:
    ours, theirs = ({name: a.shape for name, a in named.items()} for named in (begun.weights, weights))
    for name in sorted({*ours, *theirs}):
        if ours.get(name) != theirs.get(name):
            here, there = (shape_text(s[name]) if name in s else "missing" for s in (ours, theirs))
            raise UserError(
                f"`{path}` is the checkpoint of another model: `{name}` is {there} there and {here} here",
                code="E721",
            )
    made = told["model"]
    before = Equations(str(made["equations"]["whole"]), dict(made["equations"]["values"]))
    equations = identity.model.equations
    if made["name"] != identity.model.name or before.whole != equations.whole:
        raise UserError(
            f"`{path}` is the checkpoint of another model: {_changed(before, equations)}",
            code="E721",
            help="train again, or start from its weights",
        )


def _changed(before: Equations, now: Equations) -> str:
    """Which equations are others, a few by name."""
    names = [f"`{name.rstrip(chr(39))}`" for name in now.differing(before)]
    few = ", ".join(dict.fromkeys(names[:4])) + (", ..." if len(names) > 4 else "")
    told = "its equations or settings have changed since"
    return f"{told}: {few} {'are' if len(names) > 1 else 'is'} computed otherwise" if names else told


def _same_run(path: object, told: Mapping[str, Any], identity: Identity) -> None:
    ours = json.loads(json.dumps({**identity.model.settings, **identity.config.as_json()}))
    before = {**told["model"]["settings"], **told["config"]}
    may_change = {"patience"} if identity.config.rate_schedule.over_all else _MAY_CHANGE
    differ = [n for n in ours if n not in may_change and ours[n] != before.get(n)]
    if differ:
        words = "; ".join(f"{n} was {_words(before.get(n))}, now {_words(ours[n])}" for n in differ)
        raise UserError(
            f"`{path}` was made with other settings: {words}",
            code="E722",
            help="resume with the same settings, or start again from its weights",
        )
    if told["rows"] != identity.rows:
        raise UserError(f"`{path}` was made with {told['rows']} rows of data, now there are {identity.rows}", "E722")
    data = {**told["data"], **identity.data}
    others = [f"`{name}`" for name in sorted(data) if told["data"].get(name) != identity.data.get(name)]
    if others:
        raise UserError(
            f"`{path}` was made with other data: {', '.join(others)} {'are' if len(others) > 1 else 'is'} not the same",
            code="E722",
            help="resume with the same data, or start again from its weights",
        )


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['name']}({', '.join(f'{k} = {v}' for k, v in value.items() if k != 'name')})"
    return "not set" if value is None else str(value)


def own_checkpoint(file: str, out: str | None) -> str:
    """Where training keeps its state while it runs, where the user names no place."""
    return f"{out or Path(file).stem}.checkpoint"
