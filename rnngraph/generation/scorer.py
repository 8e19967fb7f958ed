"""What a model reads and scores: which input takes the text, which output scores what follows, and what is run for it.

A model whose states can all be fed reads one token at a time and is handed its states; any other reads the whole text
again for each token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace

from rnngraph.compilation.schedule_checks import checked_schedule
from rnngraph.compiled import Arrays, CompiledProgram, Elaborate
from rnngraph.data.shape_checks import SEED, unmasked
from rnngraph.diagnostics.errors import UserError
from rnngraph.generation.beam_search import Candidates
from rnngraph.generation.logits import are_probabilities
from rnngraph.generation.lookahead import Ahead
from rnngraph.generation.streaming import can_stream, handed_on
from rnngraph.generation.target_shift import behind
from rnngraph.generation.token_loop import CannotLoop, Extent, looped
from rnngraph.ir.graph import Value
from rnngraph.ir.types import BATCH
from rnngraph.language.elaboration.elaborated import Elaborated
from rnngraph.model import Model
from rnngraph.ops import call
from rnngraph.passes.index_sizes import reached
from rnngraph.runtime.choose_backend import backend_named


class Reader(Struct, frozen=True):
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
        logs = self._logs(call("last", steps, axis=axis))
        found = {LOGS: logs}
        if count:
            places = call("top_k", logs, k=count)
            found = {LOGS: call("entries", logs, places), LIKELIEST: places}
        return replace(made, graph=made.graph.with_outputs({**found, **outputs}), outputs=tuple(found))

    def looped(self, made: Elaborated, extent: Extent) -> Elaborated:
        """The model that chooses many tokens and reads them; see `decoding`."""
        return looped(made, self.tokens, self._logs(made.graph.outputs[self.scores]), extent)

    def _logs(self, scores: Value) -> Value:
        return call("log_softmax", call("log", scores) if self.probabilities else scores, dim=-1)


def reader(model: Model, tokens: str | None = None, scores: str | None = None, known: Sequence[str] = ()) -> Reader:
    """Which input and output of a model to write with; UserError where that is not plain.

    `known` are the inputs that are given otherwise.
    """
    outputs = model.graph.outputs
    texts = {
        i.name: {*i.axes, BATCH}
        for i in model.inputs
        if i.name not in known and len(i.axes) == 1 and i.type.dtype == "int" and not i.type.shape
    }
    scored = [
        name
        for name in model.outputs
        if outputs[name].type.dtype == "float"
        and len(outputs[name].type.shape) == 1
        and set(outputs[name].type.axes) in texts.values()
    ]
    scores = _only(scores, scored, "output that scores the next token at each step", "--scores")
    vocabulary = outputs[scores].type.shape[0]
    needed = _inputs_of(model, scores)
    limits = reached(model.graph)
    read = [name for name, axes in texts.items() if name in needed and axes == set(outputs[scores].type.axes)]
    tokens = _only(tokens, read, "input that takes tokens", "--tokens")
    if limits.get(tokens, vocabulary) != vocabulary:
        raise UserError(
            f"`{tokens}` takes {limits[tokens]} different tokens, but `{scores}` scores {vocabulary}", "E631"
        )
    lag, probabilities = behind(model.graph, tokens, scores), are_probabilities(model.made, scores)
    return Reader(tokens, scores, vocabulary, lag, probabilities)


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


# --- programs ----------------------------------------------------------------------------------------------------

LOGS, LIKELIEST = "log probabilities", "likeliest tokens"
"""The outputs of a program that scores tokens."""
MOST = 64
"""So many tokens are chosen by the program, where each moves up in a list; more by a sort of all."""


class Programs(Struct, eq=False):
    """What is compiled to write with a model, for one float type."""

    use: Reader
    elaborate: Elaborate
    dtype: str
    streams: bool
    """Whether the model can read a token at a time."""
    draws: bool
    scoring: dict[int, CompiledProgram] = field(default_factory=dict)
    """By how many tokens are chosen, 0 for all scores."""
    loops: dict[Extent, CompiledProgram | None] = field(default_factory=dict)
    asked: set[Extent] = field(default_factory=set)
    """The loops that one text would have had."""

    def scores(self, count: int) -> CompiledProgram:
        if count not in self.scoring:
            self.scoring[count] = self._compiled(self.elaborate, partial(self.use.scored, count=count))
        return self.scoring[count]

    def loop(self, extent: Extent) -> CompiledProgram | None:
        """What chooses and reads many tokens, from the second text on: to compile it takes as long as to write one."""
        if extent in self.asked and extent not in self.loops:
            self.loops[extent] = self._looped(extent)
        self.asked.add(extent)
        return self.loops.get(extent)

    def _looped(self, extent: Extent) -> CompiledProgram | None:
        states, change = self.elaborate(False, ()).states, partial(self.use.looped, extent=extent)
        try:
            return self._compiled(lambda padded, _: self.elaborate(padded, states), change)
        except CannotLoop:
            return None

    def _compiled(self, elaborate: Elaborate, change: Callable[[Elaborated], Elaborated]) -> CompiledProgram:
        schedule = checked_schedule("dynamic", None, self.dtype, False)
        return CompiledProgram(lambda *given: change(elaborate(*given)), schedule, backend_named("numpy"))


_PROGRAMS: WeakKeyDictionary[Model, dict[tuple[Reader, str], Programs]] = WeakKeyDictionary()


def _programs(model: Model, use: Reader, dtype: str) -> Programs:
    known = _PROGRAMS.setdefault(model, {})
    if (use, dtype) not in known:
        elaborate = model.elaborator(dtype, (use.scores,), states=True)
        streams = not use.behind and can_stream(model, (use.scores,))
        draws = any(v.node.attrs["kind"] == "seed" for v in model.graph.inputs.values())
        known[use, dtype] = Programs(use, elaborate, dtype, streams, draws)
    return known[use, dtype]


# --- scores of a text that grows ---------------------------------------------------------------------------------


class Scorer(Struct, eq=False):
    """Log probabilities of the token after each row of tokens, in one call for each token that a text grows by.

    `parents` says which row of the call before each row continues.
    """

    programs: Programs
    weights: Mapping[str, Any]
    data: Arrays
    hands_on: bool
    """Whether states are handed on from call to call; else the whole text is read again."""
    states: Arrays = field(default_factory=dict)
    read: int = 0
    """Tokens of each row that the states know."""

    def __call__(self, rows: list[list[int]], parents: list[int]) -> Any:
        """(rows, vocabulary)."""
        return self._results(0, rows, parents)[LOGS]

    @property
    def dtype(self) -> str:
        return self.programs.dtype

    def chooses(self, count: int) -> bool:
        return 0 < self._some(count) <= MOST

    def candidates(self, count: int) -> Candidates:
        """What chooses so many tokens of each row, if there are as many."""

        def chosen(rows: list[list[int]], parents: list[int]) -> tuple[Any, Any]:
            results = self._results(self._some(count), rows, parents)
            return results[LOGS], results[LIKELIEST]

        return chosen

    def ahead(self, extent: Extent, end: int | None) -> Ahead | None:
        """What chooses tokens behind those that were read, many in one run."""
        program = self.programs.loop(extent) if self.hands_on else None
        return Ahead(program, self.weights, extent, end, self.states) if program else None

    def _some(self, count: int) -> int:
        return min(count, self.programs.use.vocabulary)

    def _results(self, count: int, rows: list[list[int]], parents: list[int]) -> Arrays:
        program = self.programs.scores(count)
        return (self._going_on if self.hands_on else self._from_the_start)(program, rows, parents)

    def _going_on(self, program: CompiledProgram, rows: list[list[int]], parents: list[int]) -> Arrays:
        given = {name: array[parents] for name, array in self.states.items()}
        text = np.array([row[self.read :] for row in rows])
        results = program.run({self.programs.use.tokens: text, **self.data, **given}, self.weights)
        self.states, self.read = handed_on(program, results), len(rows[0])
        return results

    def _from_the_start(self, program: CompiledProgram, rows: list[list[int]], parents: list[int]) -> Arrays:
        """With so many places held open behind the text as steps score their own."""
        use = self.programs.use
        wide = {name: _wide(unmasked(name, array), len(rows)) for name, array in self.data.items()}
        text = np.array([row + [0] * use.behind for row in rows], np.int64)
        return program.run({use.tokens: text, **wide}, self.weights)


def _wide(array: Any, rows: int) -> Any:
    """The first row of an array for all rows; the seed as it is."""
    return np.repeat(array[:1], rows, axis=0) if array.ndim else array


def scorer(
    model: Model, use: Reader, weights: Mapping[str, Any], data: Mapping[str, Any], dtype: str, seed: int = 0
) -> Scorer:
    """Scores by a model for one text. `seed` is that of what the model itself draws."""
    programs = _programs(model, use, dtype)
    drawing = {SEED: np.asarray(seed)} if programs.draws and SEED not in data else {}
    return Scorer(programs, weights, {**data, **drawing}, not data and programs.streams)
