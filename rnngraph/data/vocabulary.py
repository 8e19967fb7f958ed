"""The signs of a text that ids stand for: characters, bytes or words; kept with data, and with weights."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from msgspec import Struct

from rnngraph.data.tokenising import Kind, pieces
from rnngraph.diagnostics.errors import UserError

ALPHABET = "alphabet"
"""The name under which it is kept: an array of data files, an entry of what is kept with weights."""
UNKNOWN = "<unknown>"
"""The word that stands for all words that have no id of their own."""

_CLOSING = re.compile(r" (?=[.,;:!?)\]}’”])|(?<=[(\[{‘“]) | ?\n ?")


class Alphabet(Struct, frozen=True, dict=True):
    """The signs in the order of their ids; of bytes there are always 256."""

    signs: tuple[str, ...]
    kind: Kind = "char"

    @cached_property
    def _ids(self) -> Mapping[str, int]:
        return {sign: i for i, sign in enumerate(self.signs)}

    def __len__(self) -> int:
        return len(self.signs)

    @property
    def plural(self) -> str:
        return {"char": "characters", "byte": "bytes", "word": "words"}[self.kind]

    def ids(self, text: str, what: str = "text") -> list[int]:
        """The ids of a text. UserError names the signs that it does not have; an unknown word stands for others."""
        if self.kind == "byte":
            return list(text.encode())
        found = pieces(text, self.kind)
        unknown = sorted({sign for sign in found if sign not in self._ids})
        if unknown and UNKNOWN not in self._ids:
            few = ", ".join(map(repr, unknown[:8])) + (", ..." if len(unknown) > 8 else "")
            known = repr("".join(self.signs)) if self.kind == "char" else f"{len(self)} words"
            raise UserError(f"the {what} has {few}, which the model was not trained on", "E634", f"it knows {known}")
        return [self._ids[sign] if sign in self._ids else self._ids[UNKNOWN] for sign in found]

    def text(self, ids: Iterable[int]) -> str:
        if self.kind == "byte":
            return bytes(ids).decode(errors="replace")
        signs = [self.signs[i] for i in ids]
        return "".join(signs) if self.kind == "char" else _CLOSING.sub(lambda m: m[0].strip(" "), " ".join(signs))

    def as_json(self) -> Any:
        return {"kind": self.kind, "signs": [] if self.kind == "byte" else list(self.signs)}


def alphabet_for(text: str, kind: Kind, most: int | None = None) -> Alphabet:
    """The signs of a text: characters in their order, words by how often they come. Of words at most `most`, the last
    of which stands for all others."""
    if kind == "byte":
        return BYTES
    if kind == "char":
        return Alphabet(tuple(sorted(set(text))))
    counts = Counter(pieces(text, "word"))
    words = sorted(counts, key=lambda word: (-counts[word], word))
    kept = words if most is None or len(words) < most else words[: most - 1]
    return Alphabet((*kept, UNKNOWN), "word")


def alphabet_in(made: Mapping[str, Any]) -> Alphabet | None:
    """The alphabet among what is told of data, where there is one. UserError where it is damaged."""
    told = made.get(ALPHABET)
    if told is None:
        return None
    match told:
        case {"kind": "byte"}:
            return BYTES
        case {"kind": "char" | "word" as kind, "signs": [*signs]} if all(isinstance(s, str) for s in signs):
            return Alphabet(tuple(signs), kind)
    raise UserError("the alphabet that is kept with the weights is damaged", "E661")


def characters(signs: Sequence[str]) -> Alphabet:
    """An alphabet of characters, each once, in the order in which they first come."""
    return Alphabet(tuple(dict.fromkeys(signs)))


BYTES = Alphabet(tuple(map(chr, range(256))), "byte")
