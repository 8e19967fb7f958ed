"""Letters that look like others: a Cyrillic `і` in `bias` cannot be seen, only told by its number."""

from __future__ import annotations

import re
from collections.abc import Iterable
from unicodedata import name, normalize

_LETTERS = {
    **dict(zip("аеорсухіјѕԁһԛԝӏѵк", "aeopcyxijsdhqwlvk", strict=True)),  # Cyrillic
    **dict(zip("АВСЕНІЈКМОРЅТХУԌ", "ABCEHIJKMOPSTXYG", strict=True)),
    **dict(zip("οναιρυκγχηω", "ovaipukyxnw", strict=True)),  # Greek
    **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX", strict=True)),
    **dict(zip("օոսհıɑɡ", "onuhiag", strict=True)),  # Armenian, and Latin ones of other alphabets
}
"""The common ones, each with the Latin letter that it is taken for. A small table of this project's, not Unicode's."""


def latin(text: str) -> str:
    """The text as it is read, with letters of other alphabets and of other widths, and those joined into one."""
    return "".join(_LETTERS.get(letter, letter) for letter in normalize("NFKC", text))


def twin(written: str, known: Iterable[str]) -> str:
    """A known word that looks the same and is another one, or nothing."""
    read = latin(written)
    others = (word for word in known if not (word.isascii() and written.isascii()))
    return next((word for word in others if word != written and latin(word) == read), "")


def told_apart(written: str, meant: str) -> str:
    """Where a word differs from one that looks the same."""
    if len(written) == len(meant):
        letter, other = next(pair for pair in zip(written, meant, strict=True) if pair[0] != pair[1])
    else:
        letter = next((c for c in written if latin(c) != c), written[:1])
        other = latin(letter)
    instead = f"`{other}`" if other.isascii() else _numbered(other)
    return f"`{written}` has {_numbered(letter)} instead of {instead}"


def _numbered(letter: str) -> str:
    return f"`{letter}` ({code_point(letter)})"


HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Signs that make a text look like another one: they drive a terminal, or turn round the order of what is shown."""


def code_point(letter: str) -> str:
    """`U+0456, CYRILLIC SMALL LETTER BYELORUSSIAN-UKRAINIAN I`."""
    said = name(letter, "")
    return f"U+{ord(letter):04X}" + (f", {said}" if said else "")
