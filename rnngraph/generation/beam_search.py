"""Beam search: the best text among those that could be drawn, as far as a beam of open texts finds it.

A text is over with its end token, or is cut off at the length. Texts are compared by their log probability over a
length penalty: their number of tokens, the end included, or that of Wu and others (2016), "Google's neural machine
translation system: bridging the gap between human and machine translation", equation 14. The search is over once no
open text can win any more (Huang, Zhao, Ma 2017, "When to finish? Optimal beam search for neural text generation").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct

from rnngraph.diagnostics.errors import CannotDo
from rnngraph.planning.limits import megabytes
from rnngraph.system.memory import free_bytes

Tell = Callable[[str], None]
Candidates = Callable[[list[list[int]], list[int]], tuple[Any, Any]]
"""Log probabilities and tokens, (rows, so many) each, that may follow each row, of equal ones the first tokens; the
second argument says which old row each row continues."""


class Beam(Struct, frozen=True):
    """`width` open texts are kept; `alpha` is the exponent of Wu and others, None for the mean of a token."""

    width: int
    length: int
    end: int | None = None
    alpha: float | None = None

    @property
    def candidates(self) -> int:
        """So many of each row's tokens can be among those that are kept: one of them is the end."""
        return 2 * self.width

    def worth(self, total: float, tokens: int) -> float:
        """What a text of this log probability is compared by. The longer, the more for the same probability."""
        return total / (tokens if self.alpha is None else ((5 + tokens) / 6) ** self.alpha)


class Text(NamedTuple):
    """Tokens, the prompt among them, and the log probability of those behind it."""

    tokens: list[int]
    total: float
    parent: int = 0
    """Which of the texts a step ago it continues."""


Candidate = tuple[float, int, int]
"""Minus the log probability of a text that is one token longer, which text it continues, and by which token."""
Grow = Callable[[Sequence[Text]], Iterable[Candidate]]
"""The best candidates behind some texts, in their order; of equal ones that of the first text with the first token."""


def searched(
    grow: Grow,
    prompt: Sequence[int],
    beam: Beam,
    tell: Tell = lambda text: None,
) -> list[int]:
    """The tokens after the prompt of the best text that the beam finds, without the end.

    `grow` gives the best `beam.candidates` of all. It must be asked for every token in turn.
    """
    best, worth, kept = list(prompt), -np.inf, [Text(list(prompt), 0.0)]
    for tokens in range(1, beam.length + 1):
        tell(f"token {tokens:,} of at most {beam.length:,}, {len(kept):,} texts")
        kept, ended = _sorted_out(grow(kept), kept, beam)
        best, worth = _better(best, worth, ended if tokens < beam.length else [*ended, *kept], tokens, beam)
        # No token adds to a log probability, and no length makes more of it than the last one.
        if not any(beam.worth(text.total, beam.length) > worth for text in kept):
            break
    return best[len(prompt) :]


COPIES = 4
"""So many arrays of the size of the scores are there at once."""
LITTLE = 2**20
"""Bytes for which nobody asks what is free, as long as asking takes."""


def refuse_too_large(beam: Beam, prompt: int, candidates: int) -> None:
    """CannotDo where texts and scores of such a beam take more memory than is free.

    A text of n tokens is one of candidates ** n, whatever the width.
    """
    texts = min(beam.width, candidates ** min(beam.length, 64))
    each = 8 * (2 * (prompt + beam.length) + COPIES * candidates)
    if texts * each > LITTLE and texts * each > (free := free_bytes()):
        raise CannotDo(
            f"a beam of {texts:,} texts takes {megabytes(texts * each)}, beside what the model takes; {megabytes(free)}"
            " are free",
            "E502",
            f"a beam of {free // (2 * each):,} fits",
        )


def ranked(choose: Candidates, count: int) -> Grow:
    """The best `count` of all candidates, where `choose` gives at least as many of each text, if there are as many."""

    def grow(texts: Sequence[Text]) -> list[Candidate]:
        scores, among = choose([text.tokens for text in texts], [text.parent for text in texts])
        refuse_nan(scores, texts)
        totals = (np.array([text.total for text in texts])[:, None] + scores).ravel()
        places = largest(totals, count)
        rows, columns = np.divmod(places, scores.shape[1])
        # Rounded to equal totals, tokens of a row stand as they do in the vocabulary, too.
        return sorted(zip((-totals[places]).tolist(), rows.tolist(), among[rows, columns].tolist(), strict=True))

    return grow


def refuse_nan(scores: Any, texts: Sequence[Text]) -> None:
    """CannotDo where a score of the token after these texts is not a number, as nothing can be chosen by it."""
    if np.isnan(scores).any():
        raise CannotDo(
            f"the scores after {len(texts[0].tokens)} tokens hold a nan",
            "E637",
            "`rnngraph run` tells where it comes from",
        )


def _sorted_out(
    found: Iterable[Candidate], texts: Sequence[Text], beam: Beam
) -> tuple[list[Text], list[Text]]:
    """The likeliest texts with one token more that go on, and those among the likeliest of all that end there."""
    kept, ended = list[Text](), list[Text]()
    for rank, (loss, row, token) in enumerate(found):
        if len(kept) == beam.width or loss == np.inf:
            break
        if token != beam.end:
            kept.append(Text([*texts[row].tokens, token], -loss, row))
        elif rank < beam.width:
            ended.append(Text(texts[row].tokens, -loss))
    return kept, ended


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
