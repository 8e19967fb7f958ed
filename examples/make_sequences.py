"""Cut the data of the sequence examples anew: `python examples/make_sequences.py`.

Four tasks: letters without spaces, of the text in `examples/data`; dates in words, made up here by a fixed seed; strips
of handwritten digits, put together from `digits-train.npz` and `digits-test.npz`; and bits, all there are. The results
lie in `examples/data` already, README.md there names sources and licences. Running this again gives the same arrays.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Rows = dict[str, Array]
FOLDER = Path(__file__).parent / "data"

LONGEST_LINE = 80
"""Letters in one row of the text; a longer sentence goes on in the next row."""
FIRST_YEAR, LAST_YEAR = 1700, 2099
TRAINING_DATES, TEST_DATES = 6000, 1000
STRIPS = {"train": 2400, "test": 400}
DIGITS_IN_A_STRIP = (3, 7)
WIDEST_GAP = 2
"""Empty columns between two digits of a strip, at most; the least is none, and then they touch."""
MOST_BITS = 8


def padded(name: str, rows: Sequence[Sequence[int] | Array]) -> Rows:
    """Rows of different lengths as one array with zeros behind them, and their lengths beside it."""
    lengths = np.array([len(row) for row in rows], "uint8")
    array = np.zeros((len(rows), lengths.max(), *np.shape(rows[0])[1:]), "uint8")
    for place, row in zip(array, rows, strict=True):
        place[: len(row)] = row
    return {name: array, f"{name}.lengths": lengths}


def save(name: str, rows: Rows) -> None:
    np.savez_compressed(FOLDER / f"{name}.npz", **rows)  # type: ignore[arg-type]


# --- bits ------------------------------------------------------------------------------------------------------


def ponder() -> None:
    """`bits`, one to MOST_BITS at 1 or -1 with 0 behind them, and `odd`, whether those at 1 are an odd number."""
    rows = [[2 * (n >> i & 1) - 1 for i in range(k)] for k in range(1, MOST_BITS + 1) for n in range(2**k)]
    bits = np.array([row + [0] * (MOST_BITS - len(row)) for row in rows], "int8")[:, None]
    bits = bits[np.random.default_rng(0).permutation(len(bits))]
    cut = len(bits) * 9 // 10
    for name, part in (("train", bits[:cut]), ("test", bits[cut:])):
        save(f"ponder-{name}", {"bits": part, "odd": ((part == 1).sum(axis=-1) % 2).astype("uint8")})


# --- letters without spaces ------------------------------------------------------------------------------------


def word_ends() -> None:
    """`letters` (0 is a) of sentences without their spaces, `ends` 1 at each word's last; a tenth is held back."""
    lines = sentences((FOLDER / "pride_and_prejudice.txt").read_text(encoding="utf-8"))
    cut = len(lines) * 9 // 10
    for name, part in (("train", lines[:cut]), ("test", lines[cut:])):
        letters = padded("letters", [[ord(c) - ord("a") for c in "".join(words)] for words in part])
        ends = padded("ends", [[int(c == len(w) - 1) for w in words for c in range(len(w))] for words in part])
        save(f"word_ends-{name}", {**letters, "ends": ends["ends"]})


def sentences(text: str) -> list[list[str]]:
    """The words of each sentence, in small letters a to z alone; titles like `Mr.` end none."""
    plain = re.sub(r"\b(mr|mrs)\.", r"\1", text.lower().replace("'", ""))
    return [row for part in re.split(r"[.!?;:]", plain) for row in _rows(re.findall("[a-z]+", part))]


def _rows(words: list[str]) -> list[list[str]]:
    """The words in rows of no more than LONGEST_LINE letters."""
    rows: list[list[str]] = []
    for word in words:
        if not rows or sum(map(len, rows[-1])) + len(word) > LONGEST_LINE:
            rows.append([])
        rows[-1].append(word)
    return rows


# --- dates in words --------------------------------------------------------------------------------------------

SMALL = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
TENS = ["zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
ORDINALS = [
    "zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth",
    "nineteenth", "twentieth",
]  # fmt: skip
MONTHS = [
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
    "november", "december",
]  # fmt: skip
WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
PARTICLES = ["the", "of", "in", "year", "on", "and", "oh", "hundred", "thousand", "day", "month", "thirtieth"]

WORDS = sorted({*SMALL[1:], *TENS[2:], *ORDINALS[1:], *MONTHS, *WEEKDAYS, *PARTICLES})
"""The words of the dates; a word's id is its place here."""
SIGNS = ["", *"0123456789/"]
"""What dates are written with; 0 ends one."""


def dates() -> None:
    """`words` of a date, and its `digits` as day/month/year with an end behind; no date is in both parts."""
    rng = np.random.default_rng(0)
    first = datetime.date(FIRST_YEAR, 1, 1).toordinal()
    last = datetime.date(LAST_YEAR, 12, 31).toordinal()
    days = rng.choice(np.arange(first, last + 1), TRAINING_DATES + TEST_DATES, replace=False)
    chosen = [datetime.date.fromordinal(int(day)) for day in days]
    for name, part in (("train", chosen[:TRAINING_DATES]), ("test", chosen[TRAINING_DATES:])):
        words = padded("words", [word_ids(spoken(date, rng)) for date in part])
        digits = padded("digits", [sign_ids(f"{date.day}/{date.month}/{date.year}") for date in part])
        save(f"dates-{name}", words | digits)


def word_ids(text: str) -> list[int]:
    return [WORDS.index(word) for word in text.split()]


def sign_ids(text: str) -> list[int]:
    return [*(SIGNS.index(sign) for sign in text), 0]


def spoken(date: datetime.date, rng: np.random.Generator) -> str:
    """A date in words, in one of the ways that people say it."""

    def one_of(*choices: str) -> str:
        return str(rng.choice(choices))

    day, month = ordinal(date.day), MONTHS[date.month - 1]
    counted = f"the {day} day of the {ordinal(date.month)} month"
    plain = f"{month} {cardinal(date.day)}"
    said = one_of(f"the {day} of {month}", f"{day} {month}", f"{month} the {day}", plain, counted)
    weekday = WEEKDAYS[date.weekday()]
    before = one_of("", "", f"{weekday}", f"on {weekday}")
    between = one_of("", "", "in", "in the year")
    return f"{before} {said} {between} {spoken_year(date.year, one_of('', 'and'), bool(rng.integers(2)))}"


def cardinal(n: int) -> str:
    """1 to 99 in words."""
    if n < 20:
        return SMALL[n]
    return TENS[n // 10] + (f" {SMALL[n % 10]}" if n % 10 else "")


def ordinal(n: int) -> str:
    """First to thirty first."""
    if n <= 20:
        return ORDINALS[n]
    return "thirtieth" if n == 30 else f"{TENS[n // 10]} {ORDINALS[n % 10]}"


def spoken_year(year: int, link: str, plain: bool) -> str:
    """`nineteen eighty four`, or not `plain`: `nineteen hundred and eighty four`, `two thousand and four`."""
    century, rest = divmod(year, 100)
    if year // 10 == 200 or (century == 20 and not plain):
        return f"two thousand {link} {cardinal(rest)}" if rest else "two thousand"
    if not rest:
        return f"{cardinal(century)} hundred"
    if plain:
        return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"
    return f"{cardinal(century)} hundred {link} {cardinal(rest)}"


# --- strips of digits ------------------------------------------------------------------------------------------


def strips() -> None:
    """`strip` (rows, columns, 8 pixels from 0 to 16) and its `digits`; no handwritten digit is in both parts."""
    rng = np.random.default_rng(0)
    for name, count in STRIPS.items():
        with np.load(FOLDER / f"digits-{name}.npz") as source:
            columns = (source["image"] * 16).astype("uint8").transpose(0, 2, 1)
            labels = source["digit"]
        made = [strip(columns, labels, rng) for _ in range(count)]
        save(f"strips-{name}", padded("strip", [s for s, _ in made]) | padded("digits", [d for _, d in made]))


def strip(columns: Array, labels: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Some digits side by side, each without its empty edges, with gaps of any width up to WIDEST_GAP."""
    few, many = DIGITS_IN_A_STRIP
    chosen = rng.integers(0, len(labels), rng.integers(few, many + 1))
    parts = [gap(rng)]
    for image in columns[chosen]:
        parts += [trimmed(image), gap(rng)]
    return np.concatenate(parts), labels[chosen]


def gap(rng: np.random.Generator) -> Array:
    return np.zeros((rng.integers(0, WIDEST_GAP + 1), 8), "uint8")


def trimmed(image: Array) -> Array:
    """The columns (columns, pixels) from the first that is not empty to the last."""
    inked = np.flatnonzero(image.any(1))
    return image[inked[0] : inked[-1] + 1]


if __name__ == "__main__":
    ponder()
    word_ends()
    dates()
    strips()
