"""Texts without measure, and texts with a slip in them: an answer in words, soon, and nothing else."""

from __future__ import annotations

import random
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.diagnostics import Diagnostic, UserError, render
from rnngraph.learn.config import FitConfig
from rnngraph.texts import check

ROOT = Path(__file__).parent.parent
SECONDS = 2.0
"""What a text may take that has a slip in it; a text without measure is given five times that, on a busy machine."""


def told(path: Path, text: str) -> list[Diagnostic]:
    """What is said of a text, each with its place inside of it and its picture drawn."""
    path.write_text(text, encoding="utf-8")
    found = check(str(path))
    for diagnostic in found:
        assert diagnostic.code != "E999"
        render(diagnostic)
        for span in (diagnostic.span, *(label.span for label in diagnostic.labels)):
            assert span is None or 0 <= span.start <= span.end <= len(span.source.text)
    return found


# --- slips -------------------------------------------------------------------------------------------------------

ODD = [
    "і", "а", "\u200b", "\u202e", "\u00ad", "\u0301", "٣", "²", "ﬁ", "ß", "İ", "\U0001f600", "\ud7ff", "\ufeff",
    "\u2028", "\x0b", "\x0c", "\x1b", "\x7f", "\x85", "'", '"', "`", "´", "\t", "\\", "@", "~", "..", "**", "//", ">>",
    "0x1", "1e400", "1e300", "9" * 30, "9" * 5000, "0", "-1", "-", "not ", "nan", "inf", "none", "x" * 300,
]  # fmt: skip
WORDS = [
    "cell", "layer", "model", "input", "state", "param", "output", "for", "in", "if", "else", "unroll", "over", "with",
    "from", "reversed", "seq", "int", "bool", "stop", "loss", "metric", "train", "schedule", "import", "as", "frozen",
    "true", "training", "t", "batch", "time", "_", "h'", "x", "h", "units", "n", "RNN(4)", "LSTM", "tanh", "mean", "[",
    "]", "(", ")", "{", "}", "=", "~ normal", "~ uniform(1, 0)", ":", ",", ".", "@", "and", "or", "==", "<", "+", "*",
]  # fmt: skip


def pieces(text: str) -> list[str]:
    """A text as words, signs and what lies between."""
    found, word = [], ""
    for character in text:
        if word and (word[-1].isalnum() != character.isalnum() or not character.isalnum()):
            found.append(word)
            word = ""
        word += character
    return [*found, word]


def slipped(text: str, chance: random.Random) -> str:
    """The text with one to three slips: of characters, of words, of lines, of brackets."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        apart: Callable[[str], list[str]] = chance.choice((list, pieces, lambda t: t.splitlines(keepends=True)))
        parts = apart(text) or [""]
        at, other = chance.randrange(len(parts)), chance.randrange(len(parts))
        match chance.randrange(7):
            case 0:
                del parts[at]
            case 1:
                parts.insert(at, parts[at])
            case 2:
                parts[at], parts[other] = parts[other], parts[at]
            case 3:
                parts.insert(at, chance.choice(ODD))
            case 4:
                parts[at] = f" {chance.choice(WORDS)} "
            case 5:
                del parts[at : at + chance.randrange(1, 20)]
            case 6:
                parts[at:at] = parts[other : other + chance.randrange(1, 20)]
        text = "".join(parts)
    return text


def texts() -> Iterator[str]:
    """Every example and every file of the library."""
    for folder in ("examples", "rnngraph/library"):
        for path in sorted((ROOT / folder).rglob("*.rnn")):
            yield path.read_text(encoding="utf-8")


def slips(number: int, seed: int) -> Iterator[str]:
    chance, known = random.Random(seed), list(texts())
    for _ in range(number):
        yield slipped(chance.choice(known), chance)


def test_a_slip_is_answered_in_words(tmp_path: Path) -> None:
    for text in slips(150, 1):
        begun = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            told(tmp_path / "m.rnn", text)
        assert time.process_time() - begun < SECONDS, text
