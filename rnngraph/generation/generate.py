"""Writing text with a model that scores the next token: drawing, and beam search."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np

from rnngraph.data.vocabulary import Alphabet
from rnngraph.diagnostics.argument_kinds import kinds_checked
from rnngraph.diagnostics.errors import UserError
from rnngraph.generation.beam_search import (
    Beam,
    Candidate,
    Candidates,
    Grow,
    Tell,
    Text,
    ranked,
    refuse_nan,
    refuse_too_large,
    searched,
)
from rnngraph.generation.sampling import Style, chosen, log_softmax
from rnngraph.generation.scorer import Reader, Scorer, reader, scorer
from rnngraph.generation.token_loop import Extent
from rnngraph.model import Model

Scores = Callable[[list[list[int]], list[int]], Any]
"""Log-probabilities (rows, vocabulary) after each row of tokens; `parents` says which old row each row continues."""


def _of_signs(score: Scores, count: int) -> Scores:
    """The scores of the first so many ids; the others, which the model was never shown, stand for no sign."""
    if isinstance(score, Scorer) and score.programs.use.vocabulary == count:
        return score

    def told(rows: list[list[int]], parents: list[int]) -> Any:
        with np.errstate(invalid="ignore"):
            return log_softmax(score(rows, parents)[:, :count])

    return told


def written(
    score: Scores, prompt: Sequence[int], style: Style, behind: int = 0, tell: Tell = lambda text: None
) -> list[int]:
    """The tokens after a prompt, up to `end` (which is left out) or `length`.

    A model that shifts its text (`behind`) can begin with none.
    """
    if not prompt and not behind:
        raise UserError("there is no initial text", "E633", "give a --prompt")
    if style.beam:
        beam = Beam(style.beam, style.length, style.end, style.length_penalty)
        return searched(_search(score, beam, len(prompt)), prompt, beam, tell)
    if style.temperature == 0:
        return _likeliest(score, prompt, style, tell)
    return _drawn(score, prompt, style, tell)


def _candidates(score: Scores, count: int) -> Candidates:
    """So many of the likeliest tokens of each row, or, where that is no less work, all."""
    if isinstance(score, Scorer) and score.chooses(count):
        return score.candidates(count)

    def all(rows: list[list[int]], parents: list[int]) -> tuple[Any, Any]:
        scores = score(rows, parents)
        return scores, np.broadcast_to(np.arange(scores.shape[-1]), scores.shape)

    return all


def _search(score: Scores, beam: Beam, prompt: int) -> Grow:
    """The candidates of a beam search. CannotDo, at the first token, where it takes more memory than is free."""
    choose = _candidates(score, beam.candidates)

    def fitting(rows: list[list[int]], parents: list[int]) -> tuple[Any, Any]:
        found = choose(rows, parents)
        if len(rows[0]) == prompt:
            refuse_too_large(beam, prompt, found[0].shape[-1])
        return found

    # Only sums of float32 scores are exact in a loop.
    exact = isinstance(score, Scorer) and score.dtype == "float32" and score.chooses(beam.candidates)
    ranks = ranked(fitting, beam.candidates)
    return _ahead(ranks, score, beam.width, beam.candidates, beam.length, beam.end) if exact else ranks


AHEAD, AHEAD_OF_END, FEW = 32, 8, 4
"""So many tokens are chosen in one run at most, fewer where a text may end at any; how many is a multiple of a few, as
each number takes a program."""


def _ahead(grow: Grow, score: Scores, texts: int, candidates: int, length: int, end: int | None) -> Grow:
    """The same candidates: those behind the prompt, which is read for it, then of many tokens in one run, if the model
    can be run so."""
    if not isinstance(score, Scorer) or length <= FEW:
        return grow
    runs = -(-(length - 1) // (AHEAD if end is None else AHEAD_OF_END))
    extent = Extent(texts, candidates, -(-(length - 1) // (FEW * runs)) * FEW)
    asked, going = count(), grow

    def grown(found: Sequence[Text]) -> Iterable[Candidate]:
        nonlocal going
        if next(asked) == 1 and (ahead := score.ahead(extent, end)):
            going = ahead.grown
        return going(found)

    return grown


def _likeliest(score: Scores, prompt: Sequence[int], style: Style, tell: Tell) -> list[int]:
    grow = _ahead(ranked(_candidates(score, 1), 1), score, 1, 1, style.length, style.end)
    text = Text(list(prompt), 0.0)
    for tokens in range(1, style.length + 1):
        tell(f"token {tokens:,} of at most {style.length:,}")
        [(_, _, token)] = grow([text])
        if token == style.end:
            break
        text.tokens.append(token)
    return text.tokens[len(prompt) :]


def _drawn(score: Scores, prompt: Sequence[int], style: Style, tell: Tell) -> list[int]:
    rng = np.random.Generator(np.random.Philox(style.seed))
    text = Text(list(prompt), 0.0)
    for tokens in range(1, style.length + 1):
        tell(f"token {tokens:,} of at most {style.length:,}")
        scores = score([text.tokens], [0])
        refuse_nan(scores, [text])
        token = chosen(scores[0], style, rng)
        if token == style.end:
            break
        text.tokens.append(token)
    return text.tokens[len(prompt) :]


# --- characters --------------------------------------------------------------------------------------------------


def ids(text: str, use: Reader) -> list[int]:
    """`3,5,7` as token ids; UserError for what is none."""
    try:
        found = [int(part) for part in text.split(",")] if text else []
    except ValueError:
        raise UserError(
            f"`{text}` is not token ids with commas between",
            "E636",
            "the weight file holds no alphabet; give one with --alphabet to write characters",
        ) from None
    if any(not 0 <= i < use.vocabulary for i in found):
        raise UserError(f"`{text}`: token ids go from 0 to {use.vocabulary - 1}", "E636")
    return found


def end_token(text: str | None, alphabet: Alphabet | None, use: Reader) -> int | None:
    """The one token that ends a text; UserError where there are several."""
    if not text:
        return None
    found = alphabet.ids(text, "end") if alphabet else ids(text, use)
    if len(found) != 1:
        raise UserError(f"`{text}` is {len(found)} tokens, but the end must be one token", "E636")
    return found[0]


def _refuse_rows(data: Mapping[str, Any]) -> None:
    """UserError where data are of several rows, of which one text could only follow the first."""
    for name, array in data.items():
        if np.ndim(array) and len(array) > 1:
            told = f"`{name}` has {len(array)} rows, and one text is written"
            raise UserError(told, "E638", "give the one row that it is written for")


def check_vocabulary(use: Reader, alphabet: Alphabet, spare: bool = False) -> None:
    """UserError where there is not a sign for each id, or, where ids may be `spare`, an id for each sign."""
    if len(alphabet) > use.vocabulary or (len(alphabet) < use.vocabulary and not spare):
        raise UserError(
            f"the alphabet has {len(alphabet)} {alphabet.plural}, but `{use.scores}` scores {use.vocabulary}", "E635"
        )


__all__ = ["Style", "check_vocabulary", "chosen", "end_token", "ids", "reader", "scorer", "written"]


@kinds_checked
def generated(
    model: Model,
    weights: Mapping[str, Any],
    prompt: str,
    data: Mapping[str, Any],
    *,
    alphabet: Alphabet | None = None,
    spare: bool = False,
    end: str | None = None,
    tokens: str | None = None,
    scores: str | None = None,
    dtype: str = "float32",
    progress: Tell = lambda text: None,
    **style: Any,
) -> str:
    """The prompt and what the model writes after it, as text; as ids where there is no alphabet.

    `spare` says that there may be more ids than signs; `progress` is told before each token. `style` are the fields of
    `Style`. UserError where the model scores no next token, or the prompt has characters that the alphabet lacks.
    """
    _refuse_rows(data)
    use = reader(model, tokens, scores, tuple(data))
    if alphabet:
        check_vocabulary(use, alphabet, spare)
    begin = alphabet.ids(prompt, "prompt") if alphabet else ids(prompt, use)
    chosen = kinds_checked(Style)(end=end_token(end, alphabet, use), **style)
    score: Scores = scorer(model, use, weights, data, dtype, chosen.seed)
    if alphabet:
        score = _of_signs(score, len(alphabet))
    found = begin + written(score, begin, chosen, use.behind, progress)
    return alphabet.text(found) if alphabet else ",".join(map(str, found))
