"""Models that the tests walk over: one per library cell and option, and some that strain the compiler."""

from __future__ import annotations

from pathlib import Path

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.rnn"))


def over(cell: str, width: int = 3) -> str:
    """A model that runs a cell over a sequence of vectors, with a loss of every step."""
    return f"""
model Walk {{
  input x: seq[{width}]
  net = {cell}
  y, final = unroll net over x
  output y, final
  loss mean(y * y)
}}
"""


CELLS = {
    "rnn": over("RNN(5)"),
    "rnn relu": over("RNN(5, relu)"),
    "gru": over("GRU(5)"),
    "gru reset after": over("GRU(5, reset_after = true)"),
    "lstm": over("LSTM(5)"),
    "lstm peepholes": over("LSTM(5, peepholes = true)"),
    "lstm clip": over("LSTM(5, cell_clip = 0.05)"),
    "lstm projection": over("LSTM(5, projection = 4, projection_clip = 0.05)"),
    "lstm everything": over("LSTM(4, 0.5, relu, true, 0.9, 3, 0.8)"),
    "stack": over("LSTM(4) >> GRU(3) >> RNN(5)"),
    "residual": over("Residual(GRU(3)) >> Residual(LSTM(3))"),
    "dropout": over("LSTM(4) >> Dropout(0.4)"),
}

LAYERS = {
    "bidirectional": """
model Both {
  input x: seq[3]
  y = Bidirectional(LSTM(4), GRU(5))(x)
  z = Bidirectional(RNN(3), RNN(2))(y)
  scores = Dense(4)(z)
  output z, last(z) as end
  loss mean(scores * scores)
}
""",
    "tagger": """
model Tagger(vocab = 11, tags = 3, units = 4) {
  input words: seq int
  input tag: seq int
  embedded = Embedding(vocab, units)(words)
  y, final = unroll LSTM(units) >> RNN(3) over embedded
  scores = Dense(tags)(y)
  output argmax(scores) as predicted, final
  loss cross_entropy(scores, tag)
  metric accuracy(scores, tag)
}
""",
    "two speeds": """
cell Clockwork(units, period) {
  input x: [n]
  input gate: []
  state slow: [units] = 0
  state fast: [2 * units] = 0.1
  state count: int = 0
  param w: [n + units, units] ~ glorot_uniform
  param v: [units, 2 * units] ~ normal(0, 0.4)
  param scale: [] = 0.5
  candidate = tanh([x, slow] @ w) * scale
  slow' = where(t % period == 0, candidate, slow)
  fast' = sigmoid(gate) * fast + slow' @ v - slow @ v
  count' = count + 1
  output [slow', fast'], sum(fast') - float(count)
}
model Speeds(units = 3) {
  input x: seq[4]
  input gate: seq[]
  a, b, final = unroll Clockwork(units, 2) over x, gate
  output a, b, final
  loss b * b + mean(a * a)
}
""",
    "depth": """
cell Highway(units, depth) {
  input x: [n]
  state s: [units] = 0
  param w: [n, 2 * units] ~ glorot_uniform
  y = s
  for k in 1..depth {
    param r: [units, 2 * units] ~ orthogonal
    param b: [2 * units] = 0.1
    z = y @ r + b
    if k == 1 {
      z = z + x @ w
    }
    h, g = split(z, 2)
    y = sigmoid(g) * tanh(h) + (1 - sigmoid(g)) * y
  }
  s' = y
  output y
}
model Deep {
  input x: seq[3]
  y, final = unroll Highway(4, 3) over x reversed
  output y, final
  loss mean(abs(y))
}
""",
    "encoder decoder": """
model Pair(units = 4) {
  input source: seq@source int
  input target: seq@target int
  embed = Embedding(7, 3)
  _, thought = unroll LSTM(units) over embed(source)
  y, _ = unroll LSTM(units) over embed(shift(target, 1)) from thought
  scores = Dense(7)(y)
  output scores
  loss cross_entropy(scores, target)
}
""",
    "shared": """
model Shared {
  input x: seq[3]
  enc = GRU(3)
  a, first = unroll enc over x
  b, second = unroll enc over a from first
  output b, second
  loss sum(b)
}
""",
}

ALL = CELLS | LAYERS
