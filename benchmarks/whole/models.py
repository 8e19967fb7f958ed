"""The models whose training steps are timed: their texts, and what they are in the words of other frameworks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

LANGUAGE = """
model M(vocab, units) {{
  input a: seq int
  input b: seq int
  y = unroll {cell} over Embedding(vocab, {embedded})(a)
  loss cross_entropy(Dense(vocab)(y), b)
}}"""
GENERATING = """
model M(vocab, units) {{
  input a: seq int
  y, final = unroll {cell} over Embedding(vocab, {embedded})(a)
  scores = Dense(vocab)(y)
  output scores
}}"""
"""The same to generate a text with, a step at a time."""
WRITING = """
cell Likeliest(read) {{
  state token: int = 0
  token' = argmax(read(token))
  output token'
}}
model M(vocab, units) {{
  input a: int
  read = Embedding(vocab, {embedded}) >> {cell} >> Dense(vocab)
  output unroll Likeliest(read) for 20 from record(token = a) as text
}}"""
"""The same to write a text of TOKENS in one call."""
TOKENS = 20
"""How many steps of a text are generated in a turn."""
BEAM = 8
"""The open texts of a beam search."""
DROPPED = """
    DropoutAround(LSTM(units), inputs = 0.5) >> DropoutAround(LSTM(units), inputs = 0.5, outputs = 0.5)"""


@dataclass(frozen=True)
class Case:
    """A model, its settings, how its peer is made, and the data: steps of `a` and `b`, classes or features of each."""

    text: str
    settings: dict[str, int]
    peer: str
    batch: int
    steps: int
    classes: int = 0
    features: int = 0
    labels: int = 0
    generating: str = ""
    writing: str = ""
    """The texts that generate, where the model is one of a language."""
    label_steps: int = 0
    """Steps of the labels, where they are not those of `a`; -1 where there is a number for each step, no label."""

    def data(self, batch: int = 0) -> dict[str, Any]:
        """The same for all contestants; of `batch` rows, where it is not 0."""
        random, rows = np.random.default_rng(0), batch or self.batch
        shape = rows, self.steps
        if self.classes:
            a: Any = random.integers(0, self.classes, shape)
        else:
            a = random.normal(size=(*shape, self.features)).astype(np.float32)
        if self.label_steps < 0:
            return {"a": a, "b": random.normal(size=(*shape, 1)).astype(np.float32)}
        return {"a": a, "b": random.integers(0, self.labels, (rows, self.label_steps or self.steps))}


CASES = {
    "character LM": Case(
        LANGUAGE.format(cell="LSTM(units)", embedded=32),
        {"vocab": 74, "units": 128}, "Language(74, 32, 128, 1)", 32, 64, classes=74, labels=74,
        generating=GENERATING.format(cell="LSTM(units)", embedded=32),
        writing=WRITING.format(cell="LSTM(units)", embedded=32),
    ),
    "word LM": Case(
        LANGUAGE.format(cell="LSTM(units) >> LSTM(units)", embedded=200),
        {"vocab": 10_000, "units": 200}, "Language(10_000, 200, 200, 2)", 20, 35, classes=10_000, labels=10_000,
        generating=GENERATING.format(cell="LSTM(units) >> LSTM(units)", embedded=200),
        writing=WRITING.format(cell="LSTM(units) >> LSTM(units)", embedded=200),
    ),
    "word LM dropout": Case(
        LANGUAGE.format(cell=DROPPED, embedded=200),
        {"vocab": 10_000, "units": 200}, "Language(10_000, 200, 200, 2, 0.5)", 20, 35, classes=10_000, labels=10_000,
    ),
    "zoneout": Case(
        LANGUAGE.format(cell="Zoneout(LSTM(units), 0.1)", embedded=32),
        {"vocab": 74, "units": 128}, "Zoneout(74, 32, 128)", 32, 64, classes=74, labels=74,
    ),
    "tagger": Case(
        """
        model M(vocab, units) {
          input a: seq int
          input b: seq int
          y = Bidirectional(LSTM(units), LSTM(units))(Embedding(vocab, 100)(a))
          loss cross_entropy(Dense(20)(y), b)
        }""",
        {"vocab": 5000, "units": 128}, "Tagger(5000, 100, 128, 20)", 32, 50, classes=5000, labels=20,
    ),
    "attention": Case(
        """
        model M(vocab, units) {
          input a: seq@source int
          input b: seq@target int
          x = Embedding(vocab, 24)(a)
          p, _ = unroll GRU(units) over x
          q, f = unroll GRU(units) over x reversed
          memory = [p, q]
          y = unroll AdditiveAttention(GRU(units), units) over Embedding(12, 16)(shift(b, 1)) with memory = memory
          loss cross_entropy(Dense(12)(y), b)
        }""",
        {"vocab": 78, "units": 64}, "Attention(78, 24, 64, 12)", 32, 30, classes=78, labels=12, label_steps=11,
    ),
    "CTC": Case(
        """
        model M(units) {
          input a: seq@time[40]
          input b: seq@label int
          y = Bidirectional(LSTM(units), LSTM(units))(a)
          loss ctc_loss(Dense(30)(y), b)
        }""",
        {"units": 128}, "Speech(40, 128, 30)", 16, 100, features=40, labels=29, label_steps=15,
    ),
    "GRU 1000 steps": Case(
        """
        model M(units) {
          input a: seq[64]
          input b: seq[1]
          y = Dense(1)(unroll GRU(units) over a)
          loss squared_error(y, b)
        }""",
        {"units": 128}, "Regression(64, 128)", 16, 1000, features=64, label_steps=-1,
    ),
}  # fmt: skip
