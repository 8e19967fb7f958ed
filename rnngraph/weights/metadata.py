"""What a weight file says of itself: the model that it belongs to, and how its data were made."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict

from rnngraph.diagnostics.errors import UserError
from rnngraph.files.atomic_writes import PathLike
from rnngraph.files.untrusted_files import Damaged, foreign, parsed_json

ABOUT = "rnngraph"
"""The name of the text of a weight file that holds all of this, as JSON."""


class About(Struct, frozen=True):
    """The model that weights belong to, and how the data that they were trained on were made.

    `settings` are those that were given when the model was loaded, `text` its files by name. `outputs` holds for each
    output of the model a digest of all that computes it, `values` one for each named value (`ir.identity`). `data` is
    told by the functions that make data: an alphabet, a table's columns with their scaling.
    """

    model: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    text: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    dtype: str = ""
    version: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self != About()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_text(self) -> str:
        return json.dumps(self.as_json(), sort_keys=True)

    def lines(self) -> Iterator[str]:
        """What it says to a person: the model, what its data were made of, its text."""
        given = ", ".join(f"{n} = {_shown(v)}" for n, v in self.settings.items())
        yield f"trained as `{self.model}`{f' with {given}' if given else ''}, {self.dtype}, by rnngraph {self.version}"
        for name, told in self.data.items():
            yield f"{name}: {json.dumps(told, ensure_ascii=False)}"
        for name, text in self.text.items():
            yield f"\n# --- {name}\n{text.rstrip()}"


_WORDS, _OBJECTS = ("model", "dtype", "version"), ("settings", "text", "outputs", "values", "data")


def about_of(path: PathLike, texts: Mapping[str, str]) -> About:
    """What the texts of a file tell; nothing where it was written by another tool. UserError where it is damaged."""
    if ABOUT not in texts:
        return About()
    with foreign(path, "weights", "E661"):
        told = parsed_json(texts[ABOUT])
        fine = (
            isinstance(told, dict)
            and all(isinstance(told.get(name, ""), str) for name in _WORDS)
            and all(isinstance(told.get(name, {}), dict) for name in _OBJECTS)
        )
        if not fine:
            raise Damaged("what it says of its model is damaged")
        return About(**{name: told[name] for name in (*_WORDS, *_OBJECTS) if name in told})


def refuse_other(what: str, theirs: About, ours: About) -> None:
    """UserError where weights (`what` they are called) are of a model that computes one of its outputs otherwise, with
    what differs. Outputs are compared by name, and where no name is the same, by what they are."""
    if not theirs.outputs or _declared(theirs) == _declared(ours):
        return
    both = theirs.outputs.keys() & ours.outputs.keys()
    others = [name for name in ours.outputs if name in both and theirs.outputs[name] != ours.outputs[name]]
    if not both:
        others = [name for name, digest in ours.outputs.items() if digest not in theirs.outputs.values()]
    if others:
        raise other_model(what, theirs, ours, others)


def _declared(about: About) -> tuple[object, ...]:
    """What a model is made of: a file may have several."""
    return about.model, about.text, about.settings


def other_model(what: str, theirs: About, ours: About, outputs: Sequence[str] = ()) -> UserError:
    """What is said of weights of another model, by what differs."""
    return UserError(
        f"{what} {'were' if what.endswith('s') else 'was'} trained for another model:"
        f" {_difference(theirs, ours, outputs)}",
        "E659",
        "take the model as it was (`rnngraph weights show` prints it), or make weights of this one by"
        " `rnngraph weights convert`",
    )


def differing_settings(theirs: About, ours: About) -> list[str]:
    names = sorted({*theirs.settings, *ours.settings})
    return [n for n in names if theirs.settings.get(n) != ours.settings.get(n)]


def _difference(theirs: About, ours: About, outputs: Sequence[str]) -> str:
    settings = differing_settings(theirs, ours)
    if settings:
        return "; ".join(
            f"`{n}` was {_shown(theirs.settings.get(n))} there and is {_shown(ours.settings.get(n))} here"
            for n in settings
        )
    changed = [n for n in ours.values if n in theirs.values and theirs.values[n] != ours.values[n]] or list(outputs)
    few = ", ".join(f"`{n}`" for n in changed[:4]) + (", ..." if len(changed) > 4 else "")
    return f"{few} {'are' if len(changed) > 1 else 'is'} computed otherwise here"


def _shown(value: Any) -> str:
    return "its default" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
