"""Data from a text: its characters, bytes or words as ids, in windows along it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rnngraph.data.dataset import Dataset
from rnngraph.data.roles import Roles
from rnngraph.data.tokenising import kind_named
from rnngraph.data.vocabulary import ALPHABET, Alphabet, alphabet_for, alphabet_in
from rnngraph.data.windowing import over, whole
from rnngraph.diagnostics.argument_kinds import kinds_checked
from rnngraph.diagnostics.errors import UserError
from rnngraph.files.untrusted_files import foreign
from rnngraph.language.elaboration.elaborated import DataInput

STEPS = 64
"""The signs of a window where nobody says."""


WINDOW = "text steps"
"""The name under which it is told how many signs a window has."""


class Reading(Protocol):
    """What a model tells of its inputs, and of how many ids each has at most."""

    @property
    def roles(self) -> Roles: ...

    @property
    def vocabularies(self) -> Mapping[str, int]: ...


@kinds_checked
def text(
    model: Reading,
    source: str | Path,
    *,
    tokens: str | None = None,
    steps: int | None = None,
    stride: int | None = None,
    rows: int | None = None,
    like: Mapping[str, Any] | None = None,
    only: Collection[str] | None = None,
) -> Dataset:
    """The inputs of a model from a file of text in UTF-8: its integer sequence, and, where the loss reads another one,
    the sign that comes after each.

    `tokens` is char, byte or word; where the text has more words than the model has ids, the rarest share one. Windows
    have `steps` signs (64) and begin every `stride` (`steps`). With `rows` the text is laid out as so many rows that
    follow each other instead, for training with `segment`. `like` (`Dataset.made`, `Weights.about.data`) has the text
    read with the alphabet of other data, and cut as they were. `only` names the inputs that are made.

    UserError where the model takes no text, or the text has more signs than the model has ids.
    """
    known = alphabet_in(like or {})
    kind = kind_named(tokens) if tokens else known.kind if known else "char"
    read, ahead = _inputs(model)
    ahead = ahead if ahead is not None and (only is None or ahead.name in only) else None
    with foreign(source, "a text", "E544", "save it as UTF-8"):
        signs = Path(source).read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    alphabet = known if known and known.kind == kind else alphabet_for(signs, kind, _most(model, read, ahead))
    _refuse_large(model, read, alphabet, str(source))
    ids = np.array(alphabet.ids(signs, f"text `{source}`"), np.int64)
    names = {item.name: offset for offset, item in enumerate((read, ahead)) if item is not None}
    if rows:
        arrays = _rows(ids, names, rows, source)
    else:
        steps = steps or (like or {}).get(WINDOW) or STEPS
        arrays = _windows(ids, names, steps, stride or steps, source)
    window = {} if rows else {WINDOW: steps}
    return Dataset(arrays, {ALPHABET: alphabet.as_json(), **window})


def _inputs(model: Reading) -> tuple[DataInput, DataInput | None]:
    """The input that takes the text, and the target that takes what follows, where there is one."""
    fits = [i for i in model.roles.inputs if len(i.axes) == 1 and i.type.dtype == "int" and not i.type.shape]
    read = [i for i in fits if i.name not in model.roles.targets]
    ahead = [i for i in fits if i.name in model.roles.targets and read and i.axes == read[0].axes]
    if len(read) != 1 or len(ahead) > 1:
        found = ", ".join(f"`{i.name}`" for i in read) or "none"
        raise UserError(
            f"a text needs one input that is a sequence of integers and at most one such target; the model has {found}",
            "E555",
            "declare `input text: seq int`, and `input following: seq int` for the loss",
        )
    return read[0], ahead[0] if ahead else None


def _most(model: Reading, *items: DataInput | None) -> int | None:
    sizes = [model.vocabularies[i.name] for i in items if i is not None and i.name in model.vocabularies]
    return min(sizes, default=None)


def _refuse_large(model: Reading, read: DataInput, alphabet: Alphabet, source: str) -> None:
    most = model.vocabularies.get(read.name)
    if most is not None and len(alphabet) > most:
        raise UserError(
            f"`{source}` has {len(alphabet)} signs ({alphabet.kind}), and `{read.name}` takes {most}",
            "E555",
            f"set the size of the model's vocabulary to {len(alphabet)}, as by --set vocab={len(alphabet)}",
        )


def _windows(ids: Any, names: Mapping[str, int], steps: int, stride: int, source: object) -> dict[str, Any]:
    steps, stride = whole("steps", steps, 1), whole("stride", stride, 1)
    extra = max(names.values())
    if len(ids) < steps + extra:
        behind = " and the sign behind it" if extra else ""
        told = f"a window of {steps} signs{behind} is longer than `{source}`, which has {len(ids)}"
        raise UserError(told, "E553", "take fewer `steps`")
    found = over([len(ids)], steps, stride, extra)
    return {name: found.steps(ids, offset) for name, offset in names.items()}


def _rows(ids: Any, names: Mapping[str, int], rows: int, source: object) -> dict[str, Any]:
    rows = whole("rows", rows, 1)
    steps = (len(ids) - max(names.values())) // rows
    if steps < 1:
        raise UserError(f"`{source}` has {len(ids)} signs, too few for {rows} rows", "E553", "take fewer rows")
    return {name: ids[offset : offset + rows * steps].reshape(rows, steps) for name, offset in names.items()}


