"""Candidates that a loop has chosen ahead, told one token at a time to who searches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct, field

from rnngraph.compiled import Arrays, CompiledProgram
from rnngraph.generation.beam_search import Candidate, Text, refuse_nan
from rnngraph.generation.token_loop import (
    DEAD,
    END,
    LARGEST,
    PARENTS,
    STATE,
    TOKEN,
    TOKENS,
    TOTAL,
    TOTALS,
    UNIT,
    Extent,
)


class Ahead(Struct, eq=False):
    """Runs of a loop of `decoding`. Whoever asks must go on with the first candidates that do not end a text."""

    program: CompiledProgram
    weights: Mapping[str, Any]
    extent: Extent
    end: int | None
    states: Arrays
    """Of the rows that were read last."""
    begun: bool = False
    steps: Iterator[tuple[Any, list[Candidate]]] = field(default_factory=lambda: iter(()))

    def grown(self, texts: Sequence[Text]) -> list[Candidate]:
        """The candidates behind these texts."""
        step = next(self.steps, None)
        if step is None:
            self.steps = self.run(texts)
            step = next(self.steps)
        largest, found = step
        refuse_nan(largest[: len(texts)], texts)
        return found

    def run(self, texts: Sequence[Text]) -> Iterator[tuple[Any, list[Candidate]]]:
        """The steps of one run. Where there are fewer texts than there is room for, the first one stands for others."""
        more = self.extent.texts - len(texts)
        filled = [*texts, *[texts[0]] * more]
        best = max(text.total for text in texts)
        totals = [round((text.total - best) * UNIT) for text in texts]
        data = {
            TOKEN: np.array([text.tokens[-1] for text in filled]),
            TOTAL: np.array([max(total, DEAD) for total in totals] + [DEAD] * more),
            END: np.array(-1 if self.end is None else self.end),
        }
        if not self.begun:
            rows = [text.parent for text in filled]
            self.states, self.begun = {STATE + name: array[rows] for name, array in self.states.items()}, True
        results = self.program.run({**data, **self.states}, self.weights)
        self.states = {name: results[name] for name in self.states}
        losses = np.where(results[TOTALS] <= DEAD, np.inf, results[TOTALS] / -UNIT - best)
        found = (array.tolist() for array in (losses, results[PARENTS], results[TOKENS]))
        rows_of = (list(zip(*step, strict=True)) for step in zip(*found, strict=True))
        return zip(results[LARGEST], rows_of, strict=True)
