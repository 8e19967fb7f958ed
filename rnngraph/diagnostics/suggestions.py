"""What was probably meant by an unknown name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from difflib import get_close_matches

from msgspec import Struct, field

from rnngraph.diagnostics import other_names
from rnngraph.diagnostics.lookalikes import latin, told_apart, twin

LONGEST_WORD = 100
"""Characters of a name that is compared with others."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word, or nothing; of one that looks the same, what tells it apart.

    A known word that stands where it cannot has no hint: it is meant.
    """
    meant = nearest(name, known)
    if meant in ("", name):
        return ""
    return told_apart(name, meant) if latin(meant) == latin(name) else f"did you mean `{meant}`?"


def nearest(name: str, known: Iterable[str]) -> str:
    """The known word that is most like a name, or nothing. What is longer than any word is compared with none."""
    if len(name) > LONGEST_WORD:
        return ""
    words = sorted(word for word in set(known) if len(word) <= LONGEST_WORD)
    alike = next((word for word in words if word.lower() == name.lower()), "")
    return twin(name, words) or alike or next(iter(get_close_matches(name, words, n=1, cutoff=0.6)), "")


class Hints(Struct):
    """What was probably meant by the unknown names of one file, each found once.

    A name is compared with all that are known: with thousands of both, those that come first get a hint.
    """

    left: int = 15_000
    """So many comparisons may still be made."""
    found: dict[tuple[str, Hashable], str] = field(default_factory=dict)

    def of(self, name: str, known: Callable[[], Collection[str]], where: Hashable) -> str:
        """A hint for a name; what is known is the same for all that have the same `where`."""
        key = name, where
        if key not in self.found:
            words = known() if self.left > 0 else ()
            self.left -= len(words)
            self.found[key] = other_names.of_name(name) or did_you_mean(name, words)
        return self.found[key]
