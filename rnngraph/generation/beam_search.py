"""Beam search: the best text among those that could be drawn, as far as a beam of open texts finds it.

A text is over with its end token, or is cut off at the length. Texts are compared by their log probability over a
length penalty: their number of tokens, the end included, or that of Wu and others (2016), "Google's neural machine
translation system: bridging the gap between human and machine translation", equation 14. The search is over once no
open text can win any more (Huang, Zhao, Ma 2017, "When to finish? Optimal beam search for neural text generation").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnngraph.diagnostics.errors import CannotDo
from rnngraph.planning.limits import megabytes
from rnngraph.system.memory import free_bytes

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Beam:
    """`width` open texts are kept; `alpha` is the exponent of Wu and others, None for the mean of a token."""

    width: int
    length: int
    end: int | None = None
    alpha: float | None = None

    def worth(self, total: float, tokens: int) -> float:
        """What a text of this log probability is compared by. The longer, the more for the same probability."""
        return total / (tokens if self.alpha is None else ((5 + tokens) / 6) ** self.alpha)


@dataclass(frozen=True)
class Text:
    """Tokens, the prompt among them, and the log probability of those behind it."""

    tokens: list[int]
    total: float
    parent: int = 0
    """Which of the texts a step ago it continues."""


def searched(
    score: Callable[[list[list[int]], list[int]], Any],
    prompt: Sequence[int],
    beam: Beam,
    tell: Tell = lambda text: None,
) -> list[int]:
    """The tokens after the prompt of the best text that the beam finds, without the end.

    `score(rows, parents)` gives log probabilities (rows, vocabulary) of the token after each row. CannotDo, at the
    first token, where texts and scores of such a beam take more memory than is free.
    """
    best, worth, kept = list(prompt), -np.inf, [Text(list(prompt), 0.0)]
    for tokens in range(1, beam.length + 1):
        tell(f"token {tokens:,} of at most {beam.length:,}, {len(kept):,} texts")
        scores = score([text.tokens for text in kept], [text.parent for text in kept])
        if tokens == 1:
            _refuse_too_large(beam, len(prompt), scores.shape[-1])
        kept, ended = _grown(scores, kept, beam)
        best, worth = _better(best, worth, ended if tokens < beam.length else [*ended, *kept], tokens, beam)
        # No token adds to a log probability, and no length makes more of it than the last one.
        if not any(beam.worth(text.total, beam.length) > worth for text in kept):
            break
    return best[len(prompt) :]


COPIES = 4
"""So many arrays of the size of the scores are there at once."""


def _refuse_too_large(beam: Beam, prompt: int, vocabulary: int) -> None:
    """A text of n tokens is one of vocabulary ** n, whatever the width."""
    texts = min(beam.width, vocabulary ** min(beam.length, 64))
    each, free = 8 * (2 * (prompt + beam.length) + COPIES * vocabulary), free_bytes()
    if texts * each > free:
        raise CannotDo(
            f"a beam of {texts:,} texts takes {megabytes(texts * each)}, beside what the model takes; {megabytes(free)}"
            " are free",
            "E502",
            f"a beam of {free // (2 * each):,} fits",
        )


def _grown(scores: Any, texts: Sequence[Text], beam: Beam) -> tuple[list[Text], list[Text]]:
    """The likeliest texts with one token more that go on, and those among the likeliest of all that end there."""
    totals = np.array([text.total for text in texts])[:, None] + scores
    kept, ended = list[Text](), list[Text]()
    # One token in each row is the end, so twice the width holds enough that go on.
    for rank, place in enumerate(largest(totals.ravel(), 2 * beam.width).tolist()):
        row, token = divmod(place, totals.shape[1])
        total = float(totals[row, token])
        if total == -np.inf:
            break
        if token != beam.end:
            kept.append(Text([*texts[row].tokens, token], total, row))
        elif rank < beam.width:
            ended.append(Text(texts[row].tokens, total))
    return kept[: beam.width], ended


def largest(values: Any, count: int) -> Any:
    """The places of so many of the largest values, in their order; of equals the first."""
    if count < len(values):
        least = np.partition(values, len(values) - count)[len(values) - count]
        places = np.flatnonzero(values >= least)
    else:
        places = np.arange(len(values))
    return places[np.argsort(-values[places], kind="stable")[:count]]


def _better(best: list[int], worth: float, texts: Iterable[Text], tokens: int, beam: Beam) -> tuple[list[int], float]:
    """The best text so far and of these, of so many tokens; of equals the first."""
    for text in texts:
        if (found := beam.worth(text.total, tokens)) > worth:
            best, worth = text.tokens, found
    return best, worth
