"""Models that the tests walk over: one per library cell and option, and some that strain the compiler."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import rnngraph as rg
from rnngraph.model import Model
from tests.support.constructs import MODELS
from tests.support.paths import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.rnn"))


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
    "lstm coupled": over("LSTM(4, coupled = true, peepholes = true)"),
    "lstm straight clip": over("LSTM(4, cell_clip = 9, straight_clip = true)"),
    "layer norm lstm": over("LayerNormLSTM(4)"),
    "mgu": over("MGU(5)"),
    "ugrnn": over("UGRNN(5)"),
    "janet": over("JANET(5)"),
    "recurrent highway": over("RecurrentHighway(4, 3)"),
    "ind rnn": over("IndRNN(5)"),
    "sru": over("SRU(5) >> SRU(5)"),
    "min gru": over("MinGRU(5)"),
    "min lstm": over("MinLSTM(5)"),
    "lru": over("LRU(4, 6)"),
    "clockwork": over("Clockwork(8, 4)"),
    "nas": over("NAS(4)"),
    "multiplicative lstm": over("MultiplicativeLSTM(4)"),
    "slstm": over("SLSTM(4)"),
    "mlstm": over("MLSTM(4)"),
    "highway": over("Highway(GRU(3))"),
    "projected": over("Projected(LSTM(5), 2, tanh)"),
    "layer norm": over("GRU(4) >> LayerNorm()"),
    "dropout around": over("DropoutAround(LSTM(4), 0.2, 0.3, 0.4)"),
    "dropout per sequence": over("DropoutAround(GRU(4), 0.2, 0.3, 0.4, per_sequence = true)"),
    "drop connect": over("DropoutAround(DropConnect(GRU(4), 0.3), 0.2, states = 0.3)"),
    "zoneout": over("Zoneout(LSTM(4), 0.2) >> Zoneout(MLSTM(3), 0.3)"),
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
    "single steps": """
layer Both(inner) {
  input x: seq[n]
  a = unroll inner over x
  b = unroll GRU(2) over a reversed
  output b
}
cell Sum {
  input x
  state all: [3] = 1
  all' = all + x.T @ [0.5, -1]
}
model Steps {
  input x0, x1: [3]
  input m: [2, 3]
  input x: seq[3]
  param c: [2] = 0.2
  net = LSTM(2) >> RNN(2)
  _, s0 = net(x0)
  y, s = net(x1) from s0
  z, last_ = unroll net over rows(m) from record(record(c = c, h = tanh(s0.1.h)), s0.1)
  both = Both(RNN(3))
  a, f = both(x)
  b, g = both(x) from record(inner = 0.1, gru = f.gru)
  total = unroll Sum over sequence(m, 2 * m)
  w = unroll RNN(3) over sequence(x0, x1) from total.all
  parts = []
  for k in 1..2 { parts = [parts, Dense(2)(m[k - 1])] }
  output y, s, z, a, b, g, steps(w), parts, [Dense(1)(x0) for k in 1..3] as gathered
  loss sum(y * y) + sum(steps(z)) + mean(last(b)) + sum(steps(w) * stack(x0, x1)) + sum(parts * parts)
}
""",
    "derivatives": """
cell Learns(rate = 0.3) {
  input x, y: [n]
  state w: [n, n] = 0.1
  w' = w - rate * gradient(squared_error(tanh(x @ w), y), w)
  output tanh(x @ w')
}
model Derivatives {
  input x: seq[3]
  input z: [2]
  param scale: [2] = 0.7
  net = GRU(4)
  y = unroll Learns over x, shift(x, 1)
  h = last(unroll net over x)
  slope = gradient(sum(h * h), x)
  third = gradient(sum(gradient(sum(gradient(sum(tanh(z) ** 4), z)), z)), z)
  own = gradient(sum(sigmoid(scale * z)), scale)
  output y, slope, third, own
  loss mean(slope * slope) + mean(y * y) + sum(third) + sum(own * own)
}
""",
    "masked and reset": """
cell Counted(inner) {
  input x: [n]
  state steps: int = 3
  steps' = steps + 1
  output inner(x) * float(steps')
}
model Waits {
  input x: seq[3]
  input mask, new: seq bool
  a, fa = unroll Masked(Counted(LSTM(3)) >> GRU(2)) over x, mask
  b, fb = unroll ResetAt(Zoneout(Counted(LSTM(3)), 0.1) >> Begins(2)) over x, new
  output a, b, fa, fb
  loss mean(a * a) + mean(b * b)
}
cell Begins(units) {
  input x: [n]
  state h: [units] = h0
  param h0: [units] = 0.5
  param w: [n + units, units]
  h' = tanh([x, h] @ w)
  output h'
}
""",
    "counted": """
cell Turns {
  state h: [2] = 1
  param w: [2, 2] ~ orthogonal
  h' = tanh(h @ w * 2 + 1)
  output h'
}
cell Outer {
  input x: [n]
  input k: int
  state s: [2] = 0
  _, end = unroll Turns for min(k, 4) from s + x
  s' = end.h
  output s'
}
model Counted {
  input n: int
  input k: seq int
  input x: seq[2]
  y, f = unroll Turns for min(3 * n, 5)
  z, g = unroll Outer over x, 2 * k
  output y, f, last(y) as end, last(reversed(y)) as begin, z, g
  loss sum(f.h * f.h) + mean(z * z)
}
""",
    "grid": """
cell Point(units) {
  input x: [n]
  input m: [k]
  input above: [units]
  state left: [units] = 0
  param w: [n + k + 2 * units, units]
  left' = tanh([x, m, above, left] @ w)
  output left'
}
cell Row(units) {
  input x: [n]
  input memory: seq@source[k]
  state above: seq@source[units] = 0.3
  above' = unroll Point(units) over memory, above with x = x
  output last(above')
}
model Grid {
  input x: seq[2]
  input m: seq@source[4]
  y, final = unroll Row(3) over x with memory = m
  output y, final
  loss mean(y * y)
}
""",
    "scanned image": """
cell Point(units) {
  input x: [n]
  input above: [units]
  state left: [units] = 0.1
  param w: [n + 2 * units, units]
  left' = tanh([x, above, left] @ w)
  output left'
}
cell Row(units) {
  input line: seq@column[n]
  state above: seq@column[units] = 0.2
  above' = unroll Point(units) over line, above reversed
  output above'
}
layer Pool {
  input image: seq@row@column[n]
  output max(max(image, axis = column), axis = row)
}
model Image {
  input x: seq@row@column[2]
  input label: seq@row@column int
  input mark: seq@column
  y = unroll Row(3) over x
  z = Dense(4)(y) + mark * mean(x)
  output y, z, Pool()(y) as pooled
  loss cross_entropy(z, label)
}
""",
    "qrnn": """
model Pooled {
  input x: seq[3]
  y = QRNN(4, 2)(x)
  output y
  loss mean(y * y)
}
""",
    "phased lstm": """
model Phased {
  input x: seq[3]
  input time: seq[]
  y, final = unroll PhasedLSTM(4, open = 0.9, peepholes = true) over x, 3 * abs(time)
  output y, final
  loss mean(y * y)
}
""",
    "conv lstm": """
model Weather {
  input x: seq[3, 4, 2]
  y, final = unroll ConvLSTM(2, peepholes = true) over x
  output y, final
  loss mean(y * y)
}
""",
    "attention": """
model Reader(units = 4) {
  input source: seq@source int
  input target: seq@target int
  embed = Embedding(7, 3)
  memory, thought = unroll GRU(units) over embed(source)
  decoder = AdditiveAttention(GRU(units), 5)
  y, final = unroll decoder over embed(shift(target, 1)) with memory = memory from thought
  scores = Dense(7)(y)
  output scores, final
  loss cross_entropy(scores, target)
}
""",
    "attention general": """
model Looker {
  input source: seq@source[3]
  input x: seq@target[3]
  y, final = unroll MultiplicativeAttention(LSTM(4)) over x with memory = source
  output y, final
  loss mean(y * y)
}
""",
    "pooling": """
model Pooling {
  input x: seq[3]
  y = unroll GRU(4) over x
  best = max(y, axis = time)
  least = min(y, axis = time)
  attended = sum(softmax(sum(y), axis = time) * y, axis = time)
  logs = mean(log_softmax(y, axis = time), axis = time)
  output best, least, attended, logs
  loss mean(best * attended) + mean(least) + mean(logs)
}
""",
    "self attention": """
model Itself {
  input x: seq[3]
  y = SelfAttention(4)(x)
  z = SelfAttention(2, causal = true)(y)
  w, final = unroll MultiplicativeAttention(GRU(3), 2) over z with memory = y
  output y, z, w, final
  loss mean(w * w)
}
""",
    "pyramid": """
model Listener {
  input x: seq[3]
  low = unroll GRU(4) over x
  high = Bidirectional(GRU(3), GRU(2))(every(window(low, 2), 2))
  top, final = unroll LSTM(3) over every(high, 3)
  scores = Dense(2)(top)
  output high, scores, last(scores) as end, final
  loss mean(scores * scores)
}
""",
    "shifts": """
model Shifts {
  input x: seq[3]
  y = shift(x, 2, fill = 1) * shift(x, -1, fill = last(x))
  output y
  loss mean(y * y)
}
""",
    "stop": """
cell Walk(units, limit) {
  input x: [n]
  state h: [units] = 0
  state far: [] = 0
  param kernel: [n + units, units] ~ glorot_uniform
  h' = tanh([x, h] @ kernel)
  far' = far + sum(abs(h'))
  output h'
  stop far' > limit
}
model Far {
  input x: seq[3]
  y, final = unroll Walk(3, 2.0) over x
  output y, final
  loss mean(y * y)
}
""",
    "greedy": """
cell Greedy(decoder, embed, start, end) {
  state token: int = start
  scores = decoder(embed(token))
  token' = argmax(scores)
  output scores, token'
  stop token' == end
}
model Translate(units = 4) {
  input source: seq int
  embed = Embedding(5, 3)
  decoder = LSTM(units) >> Dense(5)
  _, thought = unroll LSTM(units) over embed(source)
  scores, tokens = unroll Greedy(decoder, embed, 1, 2) for 6 from thought
  output scores, tokens
  loss sum(square(scores))
}
""",
    "images": """
cell Seeing(channels) {
  input x: [rows, columns, n]
  input more: []
  state h: [rows, columns, channels] = 0
  state best: [rows - 1, columns - 1, channels] = 0
  param kernel: [3, 2, n, channels] ~ normal(0, 0.3)
  param again: [3, 3, channels, channels] ~ normal(0, 0.3)
  param shape: [2, 2, channels] ~ normal(0, 0.3)
  h' = tanh(conv2d(x, kernel) * more + conv2d(h, again, dilation = 2))
  pooled = max_pool(h', 2, stride = 1, padding = false)
  best' = 0.5 * best + dilation2d(h', shape, padding = false) - erosion2d(h, shape, padding = false)
  output pooled + lrn(best', 1), avg_pool(h', [2, 3])
}
model Video {
  input x: seq[4, 3, 2]
  input more: seq[]
  a, b, final = unroll Seeing(2) over x, more
  mean, variance = moments(a, axis = [0, 1])
  output a, b, final
  loss sum(mean * variance) + norm(flip(b[1], axis = 0))
}
""",
    "rows of units": """
cell Slots(units) {
  input x: [4, n]
  state c, h: [4, units] = 0
  param w: [n, 3 * units]
  param u: [units, 3 * units]
  param w_o: [units, units]
  g_x, f_x, o_x = split(x @ w, 3)
  g_h, f_h, o_h = split(h @ u, 3)
  c' = sigmoid(f_x + f_h) * c + tanh(g_x + g_h)
  h' = sigmoid(o_x + o_h + c' @ w_o) * tanh(c')
  output h'
}
model Rows {
  input x: seq[4, 3]
  y, final = unroll Slots(2) over x
  output y, final
  loss mean(y ** 2)
}
""",
    "lines": """
model Lines {
  input x: seq[5, 2]
  input picture: seq[4, 4, 1]
  param first: [3, 2, 3] ~ normal(0, 0.4)
  param second: [3, 3, 1, 2] ~ normal(0, 0.4)
  y = max_pool(relu(conv1d(x, first, stride = 2)), 2)
  z = conv2d(picture, second, stride = [2, 1], padding = false)
  a, b, total = clip_by_global_norm(y, z, limit = 1)
  along, spread = moments(y, axis = time)
  output a, b, clip_by_norm(y, 0.2, axis = 0) as c, spread
  loss total + mean(square(along)) + sum(a * a * a)
}
""",
    "bags": """
model Bags {
  input ids: seq@bag int
  input weights: seq@bag
  summed = BagSum(7, 3, max_norm = 0.05)(ids, weights)
  meaned = BagMean(7, 3)(ids, square(weights) + 0.1)
  rooted = BagRootN(7, 3)(ids, weights)
  output [summed, meaned, rooted] as y
  loss sum(square(summed + meaned * rooted))
}
""",
    "speech": """
model Speech {
  input x: seq[3]
  input label: seq@label int
  scores = Dense(4)(unroll GRU(4) over x)
  labels, count, score = ctc_greedy(scores)
  likely, counts, chances = ctc_beam(scores, width = 5, paths = 1)
  short, kept = collapse_repeated(label)
  output labels, count, score, likely, counts, chances, short, kept
  loss ctc_loss(scores, label, collapse = true, ignore_longer = true)
  loss ctc_loss(scores, label, merge = false, blank = 2, ignore_longer = true) * 0.5
}
""",
    "candidates": """
model Words {
  input word: seq int
  y = unroll RNN(4) over Embedding(12, 3)(shift(word, 1))
  output y
  loss SampledSoftmax(12, 3)(y, word)
  if training {
    drawn, _, counts = unroll LearnedUnigramSampler(2, 12) over [word]
    metric mean(counts) + float(sum(drawn)) as often
  }
}
""",
    "ranking": """
model Ranking {
  input x: seq[5]
  input target: seq int
  scores = Dense(6)(x)
  values, places = top_k(scores, 3)
  front, count = compact(values, values[0] > 0.3)
  ids, number = UniqueLabels(places)
  output values, places, front, count, ids, number, sequence_mask(x) as here
  loss sequence_loss(scores, target) + 0.1 * mean(front * front) + mean(values[0] * values[2])
  metric float(in_top_k(scores, target, 2)) as hits
}
""",
}

NESTED = {
    "loop in a step": """
cell Inner(units) {
  input q: [units]
  state s: [units] = 0.1
  state k: [] = 0.5
  param w: [2 * units, units] ~ orthogonal
  s' = tanh([q, s] @ w) * k
  k' = 0.7 * k + 0.1 * sum(s')
  output s' * k
}
cell Outer(units) {
  input x: [n]
  state h: [units] = 0
  param u: [n + units, units] ~ glorot_uniform
  ys, end = unroll Residual(Inner(units)) with x = tanh([x, h] @ u) for 3
  h' = end.inner.s + 0.3 * last(ys)
  output h', end.inner.k
}
model Nested {
  input x: seq[3]
  y, k, final = unroll Outer(3) >> Both() over x
  output y, k, final
  loss mean(y * y) + k
}
cell Both {
  input y: [n]
  input k: []
  inner = GRU(n)
  output inner(y), k
}
""",
    "loop over memory": """
cell Scan(units) {
  input m: [n]
  input q: [units]
  state s: [units] = 0
  param w: [n + units, units] ~ glorot_uniform
  s' = tanh([m, s] @ w + q)
  output s'
}
cell Reader(units) {
  input x: [n]
  input memory: seq@source[k]
  state h: [units] = 0
  param u: [n + units, units] ~ glorot_uniform
  q = [x, h] @ u
  ys, end = unroll Scan(units) over memory reversed with q = q
  zs = unroll Scan(units) over every(memory, 2) with q = q from h
  h' = tanh(end.s + last(ys) + last(zs) + mean(ys, axis = source))
  output h'
}
model Rereading {
  input x: seq[3]
  input m: seq@source[2]
  a = unroll Reader(2) over x with memory = m
  b, final = unroll Reader(2) over x reversed with memory = x
  output a, b, final
  loss mean(a * b) + mean(b)
}
""",
    "thoughts": """
cell Thought(units, most) {
  input x: [n]
  state s: [units] = 0
  state total: [] = 0
  state mean: [units] = 0
  param w: [n + units, units] ~ glorot_uniform
  param v: [units] ~ normal(0, 1)
  s' = tanh([x, s] @ w)
  p = sigmoid(s' @ v)
  ends = total + p > 0.95 or t == most - 1
  share = where(ends, 1 - total, p)
  total' = total + share
  mean' = mean + share * s'
  output p
  stop ends
}
cell Pondering(units, most) {
  input x: [n]
  state h: [units] = 0
  _, end = unroll Thought(units, most) with x = x for most from record(s = h, total = 0.0, mean = 0 * h)
  h' = end.mean
  output h', end.total
}
model Ponder {
  input x: seq[3]
  y, n, final = unroll Pondering(4, 5) over x
  output y, n, final
  loss mean(y * y) + 0.1 * n
}
""",
    "three deep": """
cell A(units) {
  input q: [units]
  state s: [units] = 0
  param w: [units, units] ~ orthogonal
  s' = tanh(s @ w + q)
  output s'
}
cell B(units) {
  input q: [units]
  state s: [units] = 0
  param w: [units, units] ~ orthogonal
  y, e = unroll A(units) with q = q + s for 2
  s' = tanh(e.s @ w) + 0.1 * last(y)
  output s'
}
cell C(units) {
  input x: [n]
  state h: [units] = 0
  param u: [n + units, units] ~ glorot_uniform
  y, e = unroll B(units) with q = [x, h] @ u for 2
  h' = 0.5 * h + e.s * last(y)
  output h'
}
model Deep {
  input x: seq[3]
  y, final = unroll Zoneout(C(3), 0.3) over x
  z = unroll Again(3) with x = last(y) for 2
  output y, z, final
  loss mean(y * y) + mean(last(z))
}
cell Again(units) {
  input x: [n]
  state h: [units] = 0.1
  _, e = unroll A(units) with q = x for 2 from h
  h' = e.s
  output h'
}
""",
}
"""Loops inside of a step."""

POLES = {
    "entropies": """
cell Look(units) {
  input x: [n]
  input memory: seq@source[k]
  state h: [units] = 0
  param u: [n + units, units] ~ glorot_uniform
  param v: [k, units] ~ glorot_uniform
  w = softmax((memory @ v) @ h, axis = source)
  h' = tanh([x, h] @ u) + sum(w * memory[0], axis = source)
  output h', -sum(w * log(w), axis = source)
}
model Entropies {
  input x: seq[3]
  input m: seq@source[2]
  param a: [3] ~ normal(0, 1)
  y, e, final = unroll Look(4) over x with memory = m
  w = softmax(x @ a, axis = time)
  output y, e, w, final
  loss mean(y * y) + e
  loss -sum(w * log(w), axis = time)
}
""",
    "norms": """
model Norms {
  input x: seq[3]
  param v: [3, 3] ~ orthogonal
  z = x @ v
  y, final = unroll GRU(3) over z / norm(z)
  w = unroll RNN(2) over z / sqrt(sum(z * z)) reversed
  output y, w, final
  loss mean(y * y) + mean(w)
}
""",
    "logarithms": """
cell Falling(units) {
  input x: [n]
  state h: [units] = 1
  param w: [n, units] ~ glorot_uniform
  param r: [units, units] ~ orthogonal
  left = 2.5 - float(t)
  h' = tanh(log(square(x @ w)) @ r + sqrt(left) * h + log(left))
  output h'
  stop t == 2
}
model Logarithms {
  input x: seq[3]
  y, final = unroll Falling(3) over x
  z = relu(x[0] + 0.1)
  output y, where(z > 0, log(z) + z ** 0.3 + 1 / z, z) as g, final
  loss mean(y * y) + where(z > 0, log(z) + z ** 0.3 + 1 / z, z)
}
""",
}
"""Poles behind masks: what stands there must not reach a result or a gradient."""

ALL = CELLS | LAYERS | NESTED | POLES | {name: MODELS[name] for name in ("sizes of 0", "rows that are written")}


@cache
def parsed(name: str) -> Model:
    """A model of `ALL`, the same one in every test: what was compiled of it once is not compiled again."""
    return rg.parse(ALL[name])


@cache
def loaded(path: Path) -> Model:
    """A model of `EXAMPLES`, the same one in every test."""
    return rg.load(path)

REPEATED = """
cell Twice(units) {
  input x: [n]
  for k in 1..2 {
    state h: [units] = 0
    param r: [units, units]
    h' = tanh(x + h @ r)
  }
  output h'
}
model M { input x: seq[3]  output unroll Twice(3) over x as y }
"""
"""States and weights that a `for` makes: how they are called is seen in summaries and pictures."""
