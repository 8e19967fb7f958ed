"""What the sequence examples have to beat: `python examples/sequence_baselines.py` prints the figures.

A dictionary for the letters without spaces, nearest templates for the strips of digits. Both are made of the
training rows alone, and what is free in the first is chosen on a part of those.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import make_sequences
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
FOLDER = Path(__file__).parent / "data"


def read(name: str) -> dict[str, Array]:
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as arrays:
        return dict(arrays)


# --- letters without spaces: which words are found -------------------------------------------------------------

LONGEST_WORD = 20
STRENGTHS = (50, 100, 200, 500, 1000, 2000)
"""How often words that were never seen are counted as seen, all together; the best is chosen."""

Words = list[str]


@dataclass(frozen=True)
class Found:
    """The share of letters rightly said to end a word or not; of words (F1) with both ends right; of new words."""

    accuracy: float
    words: float
    new: float

    def __str__(self) -> str:
        return f"{self.accuracy:.4f} of the letters, {self.words:.4f} of the words, {self.new:.4f} of the new ones"


def lines(rows: dict[str, Array], ends: Array | None = None) -> list[Words]:
    """The words of each row, with the ends of the data or those that were found."""
    given = rows["ends"] if ends is None else ends
    return [
        _words(letters[:n], end[:n])
        for letters, end, n in zip(rows["letters"], given, rows["letters.lengths"], strict=True)
    ]


def _words(letters: Array, ends: Array) -> Words:
    text = "".join(chr(ord("a") + c) for c in letters)
    cuts = sorted({0, *(np.flatnonzero(ends) + 1).tolist(), len(text)})
    return [text[a:b] for a, b in pairwise(cuts)]


def found(ours: Sequence[Words], theirs: Sequence[Words], known: Collection[str] = ()) -> Found:
    """How well words were found; both hold the same letters. Those that are not `known` are new."""
    letters = sum(len("".join(row)) for row in theirs)
    wrong = sum(len(set(_ends(a)) ^ set(_ends(b))) for a, b in zip(ours, theirs, strict=True))
    right = [_places(a) & _places(b) for a, b in zip(ours, theirs, strict=True)]
    words = 2 * sum(map(len, right)) / (sum(map(len, ours)) + sum(map(len, theirs)))
    new = [
        place in places
        for row, places in zip(theirs, right, strict=True)
        for word, place in zip(row, pairwise([0, *_ends(row)]), strict=True)
        if word not in known
    ]
    return Found(1 - wrong / letters, words, sum(new) / max(len(new), 1))


def vocabulary(rows: Sequence[Words]) -> set[str]:
    return {word for row in rows for word in row}


def _ends(words: Words) -> list[int]:
    return list(accumulate(map(len, words)))


def _places(words: Words) -> set[tuple[int, int]]:
    return set(pairwise([0, *_ends(words)]))


def no_words(test: dict[str, Array]) -> float:
    """The accuracy of saying that no letter ends a word."""
    real = np.arange(test["ends"].shape[1]) < test["letters.lengths"][:, None]
    return float(1 - test["ends"][real].mean())


def by_dictionary(train: dict[str, Array], test: dict[str, Array]) -> tuple[Found, int]:
    """The likeliest words, each by how often it was seen; and the strength that did best on training rows."""
    known, wanted = lines(train), lines(test)
    cut = len(known) * 9 // 10
    best = max(STRENGTHS, key=lambda s: _split_by(known[:cut], known[cut:], s).words)
    return _split_by(known, wanted, best), best


def _split_by(known: Sequence[Words], wanted: Sequence[Words], strength: int) -> Found:
    score = dictionary(known, strength)
    return found([likeliest("".join(row), score) for row in wanted], wanted, vocabulary(known))


def dictionary(known: Sequence[Words], strength: int) -> Callable[[str], float]:
    """The logarithm of a word's probability: as often as it was seen, and a little by its letters alone."""
    words = Counter(word for row in known for word in row)
    letters = Counter("".join(words.elements()))
    total, characters = words.total(), letters.total()
    ending = total / characters

    def score(word: str) -> float:
        unseen = math.prod(letters[c] / characters for c in word) * (1 - ending) ** (len(word) - 1) * ending
        return math.log((words[word] + strength * unseen) / (total + strength))

    return score


def likeliest(text: str, score: Callable[[str], float]) -> Words:
    """The words whose scores have the largest sum (A. J. Viterbi, 1967)."""
    best, back = [0.0], [0]
    for end in range(1, len(text) + 1):
        starts = range(max(0, end - LONGEST_WORD), end)
        value, start = max((best[s] + score(text[s:end]), s) for s in starts)
        best.append(value)
        back.append(start)
    words, end = list[str](), len(text)
    while end:
        words.append(text[back[end] : end])
        end = back[end]
    return words[::-1]


# --- strips of digits: how many are read without a mistake -----------------------------------------------------

Templates = dict[int, tuple[Array, Array]]
"""By width: trimmed digits (count, width * 8), and which they are."""


@dataclass(frozen=True)
class Readings:
    """The share of strips without a mistake, and mistakes (edits) for each digit that is there."""

    exact: float
    mistakes: float


def readings(ours: Sequence[Sequence[int]], theirs: Sequence[Sequence[int]]) -> Readings:
    edits = [edit_distance(a, b) for a, b in zip(ours, theirs, strict=True)]
    return Readings(edits.count(0) / len(edits), sum(edits) / sum(map(len, theirs)))


def edit_distance(a: Sequence[int], b: Sequence[int]) -> int:
    """The fewest insertions, deletions and replacements that make one of the other (V. I. Levenshtein, 1966)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def cut_rows(rows: dict[str, Array], name: str) -> list[Array]:
    return [row[:n] for row, n in zip(rows[name], rows[f"{name}.lengths"], strict=True)]


def by_templates(digits: dict[str, Array], test: dict[str, Array]) -> Readings:
    """Each strip as the training digits that are nearest to it, side by side."""
    kept = templates((digits["image"] * 16).astype("uint8").transpose(0, 2, 1), digits["digit"])
    wanted = [d.tolist() for d in cut_rows(test, "digits")]
    return readings([nearest(s, kept) for s in cut_rows(test, "strip")], wanted)


def templates(columns: Array, labels: Array) -> Templates:
    cut = [make_sequences.trimmed(image).astype(float) for image in columns]
    by_width: Templates = {}
    for width in sorted({len(image) for image in cut}):
        fitting = [i for i, image in enumerate(cut) if len(image) == width]
        by_width[width] = np.stack([cut[i].ravel() for i in fitting]), labels[fitting]
    return by_width


def nearest(strip: Array, templates: Templates) -> list[int]:
    """The digits whose templates, with empty columns between, differ least from a strip (squares of pixels)."""
    strip = strip.astype(float)
    matched = {width: _matches(strip, width, *kept) for width, kept in templates.items() if width <= len(strip)}
    best: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for end in range(1, len(strip) + 1):
        cost, said = best[end - 1]
        choices = [(cost + float(np.square(strip[end - 1]).sum()), said)]
        for width, (costs, labels) in matched.items():
            if width <= end:
                before, said = best[end - width]
                choices.append((before + costs[end - width], (*said, int(labels[end - width]))))
        best.append(min(choices))
    return list(best[-1][1])


def _matches(strip: Array, width: int, kept: Array, labels: Array) -> tuple[Array, Array]:
    """For each first column the distance to the nearest template of this width, and its label."""
    windows = np.lib.stride_tricks.sliding_window_view(strip, width, axis=0)
    flat = windows.transpose(0, 2, 1).reshape(len(windows), -1)
    distances = np.square(flat).sum(1)[:, None] - 2 * flat @ kept.T + np.square(kept).sum(1)
    place = distances.argmin(1)
    return distances[np.arange(len(flat)), place], labels[place]


def main() -> None:
    train, test = read("word_ends-train"), read("word_ends-test")
    print(f"word ends: none at all {no_words(test):.4f} of the letters right")
    words, strength = by_dictionary(train, test)
    print(f"  a dictionary (strength {strength}) {words}")
    strips = by_templates(read("digits-train"), read("strips-test"))
    print(f"strips: nearest templates {strips.exact:.4f} of the strips exact")
    print(f"  with {strips.mistakes:.4f} mistakes a digit")


if __name__ == "__main__":
    main()
