"""Writing text with a model that scores the next token: drawing, and beam search.

Temperature; top-k (Fan, Lewis, Dauphin 2018, "Hierarchical neural story generation"); top-p (Holtzman and others 2020,
"The curious case of neural text degeneration"). A model whose states can all be fed reads one token at a time and is
handed its states; any other reads the whole text again for each token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from rnngraph.compiled import Arrays, CompiledProgram
from rnngraph.data.alphabet import Alphabet
from rnngraph.data.shapes import SEED, unmasked
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.diagnostics.kinds import kinds_checked
from rnngraph.generation.beam_search import Beam, Candidates, Tell, largest, searched
from rnngraph.generation.scored import are_probabilities, behind
from rnngraph.generation.streaming import can_stream, handed_on
from rnngraph.ir.types import BATCH
from rnngraph.language.elaboration.elaborated import Elaborated
from rnngraph.model import Model
from rnngraph.ops import call
from rnngraph.passes.index_sizes import reached


@dataclass(frozen=True)
class Style:
    """How the next token is chosen: drawn, or, with a `beam` of 1 or more, searched for (`generation.beam_search`)."""

    length: int = 400
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    beam: int = 0
    length_penalty: float | None = None
    end: int | None = None

    def __post_init__(self) -> None:
        for fine, text in (
            (self.length >= 0, f"a length of {self.length}: must be 0 or more"),
            (self.temperature >= 0, f"a temperature of {self.temperature}: must be 0 or more"),
            (self.top_k >= 0, f"top-k {self.top_k}: must be 0 (all) or more"),
            (0 < self.top_p <= 1, f"top-p {self.top_p}: must be above 0 and at most 1"),
            (self.beam >= 0, f"a beam of {self.beam}: must be 0 (none) or more"),
            (self.length_penalty is None or self.beam, "a length penalty: it needs a beam"),
            (
                self.length_penalty is None or 0 <= self.length_penalty <= 10,
                f"a length penalty of {self.length_penalty}: must be 0 to 10",
            ),
            (
                not self.beam or (self.temperature, self.top_k, self.top_p) == (1, 0, 1),
                "a beam search does not sample: leave out temperature, top-k and top-p",
            ),
        ):
            if not fine:
                raise UserError(text, "E630")


@dataclass(frozen=True)
class Reader:
    """The input that takes the text so far, and the output that scores the token after each of it."""

    tokens: str
    scores: str
    vocabulary: int
    behind: int = 0
    """With 1, what is scored at a step is the token of that step, not of the next."""
    probabilities: bool = False
    """Whether the output gives probabilities, whose logarithms are then the scores."""

    def scored(self, made: Elaborated, count: int = 0) -> Elaborated:
        """The model whose output is LOGS, the log probabilities (vocabulary) of the token after each row; with a
        `count` only the largest of them, of the tokens that are LIKELIEST."""
        outputs = dict(made.graph.outputs)
        steps = outputs.pop(self.scores)
        [axis] = set(steps.type.axes) - {BATCH}
        last = call("last", steps, axis=axis)
        logs = call("log_softmax", call("log", last) if self.probabilities else last, dim=-1)
        found = {LOGS: logs}
        if count:
            places = call("top_k", logs, k=count)
            found = {LOGS: call("entries", logs, places), LIKELIEST: places}
        return replace(made, graph=made.graph.with_outputs({**found, **outputs}), outputs=tuple(found))


def reader(model: Model, tokens: str | None = None, scores: str | None = None, known: Sequence[str] = ()) -> Reader:
    """Which input and output of a model to write with; UserError where that is not plain.

    `known` are the inputs that are given otherwise.
    """
    outputs = model.graph.outputs
    scored = [
        name
        for name in model.outputs
        if outputs[name].type.dtype == "float"
        and len(outputs[name].type.shape) == 1
        and len(outputs[name].type.axes) == 2
    ]
    scores = _only(scores, scored, "output that scores the next token at each step", "--scores")
    vocabulary = outputs[scores].type.shape[0]
    needed = _inputs_of(model, scores)
    limits = reached(model.graph)
    read = [
        i.name
        for i in model.inputs
        if i.name in needed and i.name not in known and len(i.axes) == 1 and i.type.dtype == "int" and not i.type.shape
    ]
    tokens = _only(tokens, read, "input that takes tokens", "--tokens")
    if limits.get(tokens, vocabulary) != vocabulary:
        raise UserError(
            f"`{tokens}` takes {limits[tokens]} different tokens, but `{scores}` scores {vocabulary}", "E631"
        )
    return Reader(tokens, scores, vocabulary, behind(model.graph, tokens, scores), are_probabilities(outputs[scores]))


def _only(given: str | None, found: Sequence[str], what: str, flag: str) -> str:
    if given is not None:
        if given not in found:
            raise UserError(f"`{given}` is not an {what}", "E632", f"there is {', '.join(found) or 'none'}")
        return given
    if len(found) != 1:
        said = f"several {what.split()[0]}s are possible: {', '.join(found)}" if found else f"the model has no {what}"
        raise UserError(said, "E632", f"name it with {flag}" if found else "")
    return found[0]


def _inputs_of(model: Model, output: str) -> set[str]:
    graph = model.graph.with_outputs({output: model.graph.outputs[output]})
    return {node.attrs["name"] for node in graph.nodes() if node.op.name == "input"}


# --- reading -----------------------------------------------------------------------------------------------------

LOGS, LIKELIEST = "log probabilities", "likeliest tokens"
"""The outputs of a program that scores tokens."""
_PROGRAMS: WeakKeyDictionary[Model, dict[tuple[Reader, str, int], CompiledProgram]] = WeakKeyDictionary()
"""Of each model, by which input and output, in which float type, and how many tokens it chooses."""
_STREAM: WeakKeyDictionary[Model, dict[str, bool]] = WeakKeyDictionary()
"""Of each model, by the output: whether it can read a token at a time."""

Scores = Callable[[list[list[int]], list[int]], Any]
"""Log-probabilities (rows, vocabulary) after each row of tokens; `parents` says which old row each row continues."""
Read = Callable[[list[list[int]], list[int]], Arrays]
"""The results of a program that has read such rows."""

MOST = 64
"""So many tokens are chosen by the program, where each moves up in a list; more by a sort of all."""


@dataclass(frozen=True, eq=False)
class Scorer:
    """Scores of all tokens, or candidates that the program itself chooses: one or the other for a text."""

    vocabulary: int
    read: Callable[[int], Read]
    """By how many of the tokens are wanted, 0 for all."""

    def __call__(self, rows: list[list[int]], parents: list[int]) -> Any:
        return self._whole(rows, parents)[LOGS]

    @cached_property
    def _whole(self) -> Read:
        return self.read(0)

    def chooses(self, count: int) -> bool:
        return 0 < min(count, self.vocabulary) <= MOST

    def candidates(self, count: int) -> Candidates:
        """What chooses so many of each row, if there are as many."""
        read = self.read(min(count, self.vocabulary))

        def found(rows: list[list[int]], parents: list[int]) -> tuple[Any, Any]:
            results = read(rows, parents)
            return results[LOGS], results[LIKELIEST]

        return found


def scorer(
    model: Model, use: Reader, weights: Mapping[str, Any], data: Mapping[str, Any], dtype: str, seed: int = 0
) -> Scorer:
    """Reads with handed-on states where the model allows it, else the whole text each time.

    `seed` is that of what the model itself draws.
    """
    draws = any(v.node.attrs["kind"] == "seed" for v in model.graph.inputs.values())
    drawing = {SEED: np.asarray(seed)} if draws and SEED not in data else {}
    stream = not data and not use.behind and _streams(model, use.scores)

    def read(count: int) -> Read:
        program = _program(model, use, dtype, count)
        if stream:
            return _handing_on(program, use, weights, drawing)
        return _from_the_start(program, use, weights, {**data, **drawing})

    return Scorer(use.vocabulary, read)


def _program(model: Model, use: Reader, dtype: str, count: int) -> CompiledProgram:
    """What scores tokens by a model, compiled once."""
    known = _PROGRAMS.setdefault(model, {})
    if (use, dtype, count) not in known:
        program = model.compile(dtype=dtype, outputs=(use.scores,), states=True)
        known[use, dtype, count] = program.changed(partial(use.scored, count=count))
    return known[use, dtype, count]


def _streams(model: Model, scores: str) -> bool:
    known = _STREAM.setdefault(model, {})
    if scores not in known:
        known[scores] = can_stream(model, (scores,))
    return known[scores]


def _handing_on(program: CompiledProgram, use: Reader, weights: Mapping[str, Any], drawing: Arrays) -> Read:
    states: Arrays = {}
    reached = 0

    def read(rows: list[list[int]], parents: list[int]) -> Arrays:
        nonlocal states, reached
        given = {name: array[parents] for name, array in states.items()}
        results = program.run({use.tokens: np.array([row[reached:] for row in rows]), **drawing, **given}, weights)
        states = handed_on(program, results)
        reached = len(rows[0])
        return results

    return read


def _from_the_start(program: CompiledProgram, use: Reader, weights: Mapping[str, Any], data: Arrays) -> Read:
    """Reads the text again each time, with so many places held open behind it as steps score their own."""

    def read(rows: list[list[int]], parents: list[int]) -> Arrays:
        wide = {name: _wide(unmasked(name, array), len(rows)) for name, array in data.items()}
        text = np.array([row + [0] * use.behind for row in rows], np.int64)
        return program.run({use.tokens: text, **wide}, weights)

    return read


def _wide(array: Any, rows: int) -> Any:
    """The first row of an array for all rows; the seed as it is."""
    return np.repeat(array[:1], rows, axis=0) if array.ndim else array


def log_softmax(scores: Any) -> Any:
    shifted = scores.astype(np.float64) - scores.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _of_signs(score: Scores, count: int) -> Scores:
    """The scores of the first so many ids; the others, which the model was never shown, stand for no sign."""
    if isinstance(score, Scorer) and score.vocabulary == count:
        return score

    def told(rows: list[list[int]], parents: list[int]) -> Any:
        return log_softmax(score(rows, parents)[:, :count])

    return told


# --- choosing ----------------------------------------------------------------------------------------------------


def chosen(log_probabilities: Any, style: Style, rng: np.random.Generator) -> int:
    """One token, drawn from what temperature, top-k and top-p leave; temperature 0 takes the likeliest."""
    if style.temperature == 0:
        return int(np.argmax(log_probabilities))
    behind = log_probabilities.astype(np.float64) - log_probabilities.max()
    with np.errstate(over="ignore"):  # a small temperature leaves the likeliest alone
        scaled = log_softmax(np.where(behind == 0, 0.0, behind / style.temperature))
    order = largest(scaled, style.top_k or len(scaled))
    if style.top_p < 1:
        before = np.cumsum(np.exp(scaled[order])) - np.exp(scaled[order])
        order = order[before < style.top_p]
    left = np.exp(scaled[order])
    return int(
        order[np.searchsorted(np.cumsum(left), rng.random() * left.sum(), side="right").clip(max=len(order) - 1)]
    )


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
        return searched(_candidates(score, beam.candidates), prompt, beam, tell)
    return _drawn(_candidates(score, int(style.temperature == 0)), prompt, style, tell)


def _candidates(score: Scores, count: int) -> Candidates:
    """So many of the likeliest tokens of each row, or, with 0 or where that is no less work, all; CannotDo where a
    score is not a number, as nothing can be chosen by it."""
    choose = score.candidates(count) if isinstance(score, Scorer) and score.chooses(count) else _all(score)

    def told(rows: list[list[int]], parents: list[int]) -> tuple[Any, Any]:
        with np.errstate(invalid="ignore"):
            found, tokens = choose(rows, parents)
        if np.isnan(found).any():
            raise CannotDo(
                f"the scores after {len(rows[0])} tokens hold a nan", "E637", "`rnngraph run` tells where it comes from"
            )
        return found, tokens

    return told


def _all(score: Scores) -> Candidates:
    def found(rows: list[list[int]], parents: list[int]) -> tuple[Any, Any]:
        scores = score(rows, parents)
        return scores, np.broadcast_to(np.arange(scores.shape[-1]), scores.shape)

    return found


def _drawn(choose: Candidates, prompt: Sequence[int], style: Style, tell: Tell) -> list[int]:
    rng = np.random.Generator(np.random.Philox(style.seed))
    row = list(prompt)
    for tokens in range(1, style.length + 1):
        tell(f"token {tokens:,} of at most {style.length:,}")
        scores, among = choose([row], [0])
        token = int(among[0, chosen(scores[0], style, rng)])
        if token == style.end:
            break
        row.append(token)
    return row[len(prompt) :]


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
