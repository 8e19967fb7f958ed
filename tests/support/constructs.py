"""Every construct of the language, for tests that take each through something: expressions in three places, and models.

An expression may read `a`, `b` (`[4]`), `m` (`[2, 3]`), `j` (`[2] int`), `s` (one number), `k` (an int from 0 to 2),
`c` (a truth value) and the weights of `WEIGHTS`. `example`, `sequence` and `step` make one model of many expressions:
over a row's values, over sequences, and in every step of a cell.
"""

from __future__ import annotations

from collections.abc import Sequence

NAMES = {"a": "[4]", "b": "[4]", "m": "[2, 3]", "j": "[2] int", "s": "[]", "k": "int", "c": "bool"}
WEIGHTS = """
  param w: [4, 5]
  param table: [3, 2] ~ normal
  param line: [2, 3, 2] ~ normal
  param window_: [2, 2, 1, 2] ~ normal
  param shape_: [2, 2, 1] ~ normal
  param scale: [] = 0.5
  frozen param fixed: [4] = [1, 2.5, 3, -1]
"""
LITERALS = """
a + [0.5, 1, 2, 3]
[1, 2, 3, 4] * a
where(c, [1, 2], [3, 4])
where(c, 1, 0)
where(c, 1.5, -2)
where(a > 0, 1, 0)
where(c, true, false)
where(k == 1, k, 3)
[s, 1]
[k, 2]
[a, 0.5, b]
[1, 2] + [s, s]
a @ [1, 2, 3, 4]
[1, 2, 3, 4] @ w
w @ [1, 2, 3, 4, 5]
concat(a, [1, 2], axis = 0)
max([1, 2, 3, 4], a)
max(k, s)
min(k, 2)
- [1, 2, 3, 4] + a
outer(j, [1, 2, 3])
reshape([1, 0, 0, 1], [2, 2]) + s
weighted_moments(j, [1, 2])
reshape([1, 2, 3, 4, 5, 6], [3, 2])[k]
straight_through(0.5, a)
1e-30 * a
-1e30 * s
3
2.5
true
""".strip().splitlines()
ARITHMETIC = """
-k
-a
k + 1
1 - s
k * 2
k / 2
k // 2
k % 2
a // 0.5
-a % 0.5
mod(a, b + 9)
mod(k, 3)
mod(k, k)
k ** 2
a ** 3
a ** 4
abs(a) ** 0.5
(1 + abs(a)) ** -1
(1 + abs(a)) ** 1.5
(1 + abs(a)) ** b
2 ** k
k == 1
k != 1
k < s
a <= b
a >= 0
a > b
c == true
(k > 0) == c
c != (k == 1)
c != false
c and a > 0
c or not (k == 1)
not c
c * 2
c + a
float(c)
float(k)
int(a * 3)
int(c)
clip(a, -0.5, 0.5)
clip(k, 0, 1)
where(c, a, b)
where(a > b, k, 1)
where(k > 0, m, 0)
where(c, c, k > 1)
max(a, 0)
min(a, 0.5, b)
abs(k)
sign(k)
relu(k)
abs(a)
sign(a)
floor(a)
floor(k)
ceil(a * 3)
ceil(k)
round(a * 3)
round(k)
erf(a)
erf(3 * a)
atan2(a, b)
atan2(k - 1, s)
gelu(a)
gelu(2 * a, approximate = true)
silu(a)
mish(a)
elu(a)
elu(a, alpha = 0.5)
selu(a)
leaky_relu(a)
leaky_relu(a, slope = scale)
softsign(k)
hard_sigmoid(4 * a)
relu(a)
tanh(a)
sigmoid(a)
softplus(a)
log_sigmoid(a)
exp(a)
log(abs(a) + 1)
sqrt(abs(a))
square(a)
reciprocal(a * a + 1)
sin(a)
cos(k)
identity(a)
detach(a)
straight_through(float(a > 0), a)
a
k
c
scale
fixed * scale
a * scale
""".strip().splitlines()
DIMENSIONS = """
sum(a)
sum(m, axis = 0)
sum(m, axis = [0, 1])
sum(j)
mean(m, axis = 1)
mean(j)
max(m)
max(m, axis = 0)
min(m, axis = -1)
max(j)
norm(m, axis = [0, 1])
sum(m, axis = 0, keep = true)
mean(m, axis = [0, 1], keep = true)
max(m, axis = 1, keep = true)
min(m, axis = [0, 1], keep = true)
max(reshape(m, [1, 2, 3]), axis = [0, 2])
norm(m, axis = 1, keep = true)
prod(a)
prod(m, axis = 0, keep = true)
prod(j)
any(m > 0, axis = 1, keep = true)
any(c)
all(m > 0, axis = [0, 1], keep = true)
logsumexp(m)
logsumexp(m, axis = 1, keep = true)
argmax(m, axis = 1, keep = true)
argmin(m, axis = 0, keep = true)
argmin(j)
cumprod(m, axis = 1)
cummax(m, axis = 0)
cummax(j)
sort(m)
sort(m, axis = 0, descending = true)
sort(j, descending = true)
argsort(a)
argsort(m, axis = 0, descending = true)
softmax(m, axis = 0)
log_softmax(m, axis = 0)
argmax(a)
argmax(m, axis = 0)
cumsum(m, axis = 0)
concat(m, m, axis = 0)
concat(j, [7, 8])
repeat(m, 3, axis = 0)
repeat(j, 2)
reshape(m, [3, 2])
transpose(m)
transpose(reshape(m, [1, 2, 3]), [1, 0, 2])
flip(m, axis = 0)
flip(j)
split(m, 3, axis = 1)
split(a, [1, 3])
outer(a, b)
one_hot(k, 3)
one_hot(j, 3)
zeros([2])
ones([2, 2])
range(4) + k
eye(2) @ m
tri(2, 3, shift = -1) * m
tri(2) @ m
diag(a)
diag(j)
diag(m)
diag(m > 0)
einsum("h i, h j, i -> j h", m, m, [1, 2, 3])
einsum("hi,h->i", m, j)
einsum("i i j -> j", reshape(outer(a, b), [2, 2, 4]))
size(a, axis = 0) * s
where(reshape(range(4), [4, 1]) >= range(4), a, 0)
a[0]
a[-1]
a[1:3]
m[0, 1:]
j[0]
j[1:2]
a[k]
m[k // 2]
table[k]
table[j]
table[0, 1]
a @ w
m @ transpose(m)
a @ b
""".strip().splitlines()
FUNCTIONS = """
moments(m, axis = 0)
moments(m, axis = [0, 1], keep = true)
weighted_moments(m, abs(m), axis = 1, keep = true)
sufficient_statistics(m, axis = [0, 1], shift = 0.5, keep = true)
normalize_moments(2, s, abs(s) + 9, shift = 0.5)
zero_fraction(a)
global_norm(a, m)
clip_by_norm(m, 0.5, axis = -1)
clip_by_global_norm(a, m, limit = 0.5)
top_k(m, 2)
top_k(j, 1)
in_top_k(a, k, 2)
cross_entropy(a, k)
cross_entropy(a, b)
cross_entropy(m, j)
cross_entropy(m, j, weights = [1, 2, 0.5], ignore = 1, smoothing = 0.1, mean = false)
accuracy(m, j)
binary_cross_entropy(a, b)
binary_cross_entropy(a, c, positive = 3)
squared_error(m, m + 1)
accuracy(a, k)
conv1d(m, line, stride = 2, dilation = 2, padding = true)
conv1d(m, line, padding = false)
conv2d(reshape(m, [2, 3, 1]), window_, stride = [2, 1], dilation = 1, padding = true)
max_pool(m, 2, stride = 1, dilation = 1, padding = false)
avg_pool(reshape(m, [2, 3, 1]), [2, 2], stride = 1, dilation = 1, padding = true, count_padding = true)
avg_pool(m, 2)
dilation2d(reshape(m, [2, 3, 1]), shape_, stride = 2, dilation = 1, padding = true)
erosion2d(reshape(m, [2, 3, 1]), shape_, padding = false, stride = 1, dilation = 1)
stack(a, b, 2 * a)
stack(c, c)
steps(rows(m) + 1)
sum(rows(m))
steps(sequence(a, b))
m.T @ j
a[:, None] * m[None, 0]
m[1, None]
[[], a, []]
[a[k_] for k_ in 0..3]
max(a[k_] for k_ in 0..3)
lrn(m, radius = 1, bias = 2, alpha = 0.5, beta = 0.7)
Dense(3, relu)(a)
LayerNorm()(a)
UniqueLabels()(j)
""".strip().splitlines()
EVERYWHERE = [*LITERALS, *ARITHMETIC, *DIMENSIONS, *FUNCTIONS]

ALONG = """
shift(a, by = 2, fill = 1)
shift(a, -1, fill = [1, 2, 3, 4])
shift(k, 1, fill = 2)
shift(c, 1, fill = true)
shift(c, -1)
shift(s, 9)
last(a)
last(k)
last(c)
reversed(a)
reversed(k)
reversed(c)
window(a, 3)
window(s, 2)
window(k, 2)
every(a, 2)
every(c, 3)
every(every(k, 2), 2)
last(every(a, 2))
reversed(every(a, 2))
shift(every(a, 2), 1)
sum(whole(a, axis = other), axis = other)
whole(a, axis = others)
position(axis = time) * s
float(position(axis = time)) + a
sequence_mask(a)
where(sequence_mask(a), s, 1)
sum(a, axis = time)
sum(k, axis = time)
mean(c, axis = time)
max(a, axis = time)
max(k, axis = time)
norm(a, axis = time)
logsumexp(a, axis = time)
any(c, axis = time)
all(a > 0, axis = time)
min(k, axis = time)
softmax(a, axis = time)
log_softmax(a, axis = time)
moments(a, axis = time)
weighted_moments(a, abs(b), axis = time)
sufficient_statistics(a, axis = time, shift = 0.5)
cross_entropy(a, k, ignore = 1)
cross_entropy(a, abs(b), weights = [1, 2, 3, 4], smoothing = 0.1)
sequence_loss(a, k)
sequence_loss(a, k, abs(s), over_batch = false)
sequence_loss(a, k, weights = abs(s), over_steps = false, over_batch = false)
compact(a, a[0] > 0)
compact(k, k > 0)
collapse_repeated(k)
ctc_greedy(a, merge = false, blank = 0)
""".strip().splitlines()
CHANCE = """
uniform([2])
uniform([2], per_sequence = true)
normal([2, 2], per_sequence = true)
uniform([2, 2], per_batch = true)
normal([3], per_batch = true) + k
categorical(a)
""".strip().splitlines()
RESULTS = {
    "moments": 2, "weighted_moments": 2, "sufficient_statistics": 3, "normalize_moments": 2, "clip_by_global_norm": 3,
    "top_k": 2, "compact": 2, "collapse_repeated": 2, "ctc_greedy": 3, "UniqueLabels": 2, "split": 2,
}  # fmt: skip
"""How many values these give."""


def _results(expression: str, number: int) -> list[str]:
    count = RESULTS.get(expression.partition("(")[0], 1)
    pieces = 3 if expression.startswith("split(m") else count
    return [f"y{number}_{i}" for i in range(pieces)]


def _lines(expressions: Sequence[str]) -> tuple[str, str]:
    """A line for each expression, and the names of all results."""
    results = [_results(e, i) for i, e in enumerate(expressions)]
    lines = [f"{', '.join(names)} = {e}" for names, e in zip(results, expressions, strict=True)]
    return "\n  ".join(lines), ", ".join(name for names in results for name in names)


def _inputs(sequence: bool) -> str:
    return "".join(f"  input {n}: {'seq' * sequence}{t if t[0] == '[' else ' ' + t}\n" for n, t in NAMES.items())


def example(expressions: Sequence[str]) -> str:
    lines, names = _lines(expressions)
    return f"model Example {{\n{_inputs(False)}{WEIGHTS}  {lines}\n  output {names}\n}}\n"


def sequence(expressions: Sequence[str]) -> str:
    return example(expressions).replace(_inputs(False), _inputs(True))


def step(expressions: Sequence[str]) -> str:
    lines, names = _lines(expressions)
    cell = f"cell Step {{\n{_inputs(False)}{WEIGHTS}  {lines}\n  output {names}\n}}\n"
    over = f"  {names} = unroll Step() over {', '.join(NAMES)}\n  output {names}\n"
    return f"{cell}model Stepwise {{\n{_inputs(True)}{over}}}\n"


MODELS = {
    "a length alone": """
cell Count { input x: [n]  state h: [] = 0  h' = h + 1  output h', t / 2 }
model M {
  input x: seq[2]
  y, z, final = unroll Count() over x
  output y, z, final, sequence_mask(x) as here, position(axis = time) as at
}
""",
    "t": """
cell Clock {
  input x: [n]
  state h: [n] = 0
  state k: int = 1
  h' = h * 0.5 + x * float(t) + t / 2 + t
  k' = k + t * 2 - t // 2 + t % 3
  output h', [t, 1], t % 2 == 0, float(t % 2 == 0), where(t > 1, 2.5, 1), where(t == 0, 1, 2), [t, t + 1] * exp(t * 0.1)
  output clip(t, 1, 2), max(t, 2), abs(t - 2), one_hot(t % 3, 3), not (t == 1), t ** 2, sigmoid(t), softplus(t)
}
model M {
  input x: seq[2]
  y, b, c, d, e, f, g, h, i, j, k, l, m, n, o, final = unroll Clock() over x
  output y, b, c, d, e, f, g, h, i, j, k, l, m, n, o, final
}
""",
    "t backwards": """
cell Clock { input x: [n]  state h: [n] = 0  h' = h * float(t) + x  output h', t }
model M { input x: seq[2]  y, b, final = unroll Clock() over x reversed  output y, b, final }
""",
    "a loop in a step": """
cell Inner { state s: []  s' = tanh(s + 0.1 * t)  output s' }
cell Outer {
  input x: []
  state h: [] = 0
  _, end = unroll Inner for 2 from record(s = x)
  h' = end.s + h
  output h'
}
model M { input x: seq  y, final = unroll Outer() over x  output y, final }
""",
    "a loop over another axis in a step": """
cell Inner { input v: [n]  state s: [] = 0  s' = s + sum(abs(v))  output s', t  stop s' > 1 }
cell Outer {
  input x: []
  input m: seq@mem[n]
  state h: [] = 0
  ys, ts, end = unroll Inner() over m reversed
  h' = end.s + h * 0.5 + last(ys) * x + sum(ts, axis = mem)
  output h'
}
model M {
  input x: seq
  input m: seq@mem[2]
  y, final = unroll Outer() over x reversed with m = m
  output y, final
}
""",
    "three loops deep": """
cell A { state s: [] = 0  s' = tanh(s + 0.1 * float(t))  output s' }
cell B { input x: []  state h: [] = 0  _, end = unroll A for 2 from record(s = x)  h' = end.s + h  output h' }
cell D { input x: []  input m: seq@mem  state g: [] = 0
  ys, end = unroll B() over m
  g' = end.h * x + g
  output g', last(ys)
}
model M { input x: seq  input m: seq@mem  y, z, final = unroll D() over x with m = m  output y, z, final }
""",
    "inner steps until a sum reaches one": """
cell Ponder(units) {
  input x: [n]
  state s: [units]
  state halt: [] = 0
  param w: [n + units, units] ~ glorot_uniform
  param v: [units] ~ normal
  s' = tanh([x, s] @ w)
  halt' = halt + sigmoid(s' @ v)
  output s', halt'
  stop halt' > 1
}
cell ACT(units) {
  input x: [n]
  state h: [units] = 0
  _, _, end = unroll Ponder(units) with x = x for 4 from record(s = h, halt = 0)
  h' = end.s
  output h', end.halt
}
model M { input x: seq[3]  y, n, final = unroll ACT(4) over x  output y, n, final }
""",
    "first states": """
cell C(units) {
  input x: [n]
  param h0: [2, units] ~ normal
  param g0: [units] = 0.5
  state h: [units] = tanh(h0[0]) * 2
  state g: [units] = g0
  state k: int = 2
  state b: bool = true
  h' = tanh(h + g + sum(x) + float(k) + float(b))
  g' = g * 0.5
  k' = k + 1
  b' = not b
  output h', g', k', b'
}
model M { input x: seq[2]  y, g, k, b, final = unroll C(3) over x  output y, g, k, b, final }
""",
    "defaults": """
cell C { input x: [n]  input g: [] = 2  state h: [n] = 0  h' = h * 0.5 + x * g  output h' }
model M {
  input x: seq[2]
  input g: [2] = 0.5
  input s: seq = 2
  input k: int = 1
  output unroll C() over x as y, x * g + s as z, g + k
}
""",
    "an input that tells the size has a default": "model M { input g: seq[2] = 0.5  output g * 2 as y }\n",
    "inputs and constants as outputs": """
model M {
  input x: seq[2]
  input k: int
  param w: [2] = 3
  y = x * 2
  output x as same, k as number, y as one, y as two, 3, 2.5, true, w as v, w * 2 as u, zeros([2]), range(3), 1 == 1 as q
}
""",
    "a loss of weights alone": """
model M(n = 3, flag = true, squash = tanh) {
  input x: [n]
  param w: [n] = 3
  if flag { y = squash(x * w) } else { y = x }
  output y, size(x) as s, n
  loss sum(w * w) * 0.1
  loss mean(y)
  metric 3 as three
  metric mean(x)
}
""",
    "a loss without outputs": """
model M {
  input x: seq[2]
  input z: seq
  param w: [2] = 3
  loss squared_error(x @ w, z)
  metric mean(x)
  train { optimizer adam(rate = 0.001)  clip_norm 5  epochs 2 }
  schedule { unroll "static" }
}
""",
    "names": """
cell C {
  input t_: []
  state range: [] = 0
  state reversed: [] = 0
  range' = range + t_ + float(t)
  reversed' = range * 2 + reversed
  np = range' * 2
  bool_ = np > 1
  output np, bool_
}
model M {
  input lambda: seq
  input class: []
  input steps: []
  input batch: []
  input weights: []
  input checked: []
  input last: []
  input β: []
  y, z, final = unroll C() over lambda * class + steps + batch + weights + checked + β reversed
  output y, z, final, last as return
}
""",
    "truth and numbers over time": """
cell C {
  input x: []
  state seen: bool = false
  state n: int = 0
  seen' = seen or x > 0.5
  n' = where(seen', n + 1, n)
  output seen', n', float(seen') * x, where(x > 0, 1, -1)
}
model M {
  input x: seq
  input k: seq[2] int
  input c: seq[2] bool
  a, b, d, e, final = unroll C() over x
  output a, b, d, e, final, last(a) as la, shift(a, 1) as sa, every(b, 2) as eb, reversed(a) as ra
  output where(c, k, 0) as ck, max(k, axis = time) as mk, last(c) as lc, window(k, 2) as wk
}
""",
    "attention": """
cell Attend(inner) {
  input x: [n]
  input memory: seq@source[m]
  state context: [m] = 0
  y = inner([x, context])
  weights  = softmax(memory @ y, axis = source)
  context' = sum(weights * memory, axis = source)
  output [y, context'], max(memory, axis = source), last(memory)
}
model M {
  input a: seq@source[3]
  input b: seq@target[3]
  y, m, l, final = unroll Attend(GRU(3)) over b with memory = a
  output y, m, l, final
}
""",
    "two axes": """
model M {
  input a: seq@p[3]
  input b: seq@q[3]
  s = a @ b
  output s, softmax(s, axis = p) as sp, max(s, axis = q) as mq, sum(sum(s, axis = p), axis = q) as t
  output shift(sum(s, axis = q), 1) as u, outer(last(a), last(b)) as o
  loss mean(s * s)
}
""",
    "revise": """
cell R { input old: [n]  input new: [n]  output 0.5 * old + 0.5 * new }
cell W(inner) { input x: [n]  rule = R()  output revise(inner, rule, x) }
model M { input x: seq[2]  y, final = unroll W(LSTM(3)) over x  output y, final }
""",
    "sizes of 0": """
cell Causal(k) {
  input x: [n]
  state past: [k - 1, n]
  state counts: [k - 1] int
  param w: [k, n] ~ normal
  param q: [n, k - 1]
  param r: [k - 1, n]
  seen = concat(past, x[None, :], axis = 0)
  past' = seen[1:]
  counts' = counts + 1
  output sum(seen * w, axis = 0) + (x @ q) @ r + prod(x @ q), past'
}
cell Twice { state s: [2] = 1  s' = s * 2  output s' }
model M(k = 1) {
  input x: seq[3]
  input e: seq[0]
  input f: [2, 0]
  param u: [0, 3]
  y, p, final = unroll Causal(k) over x
  none, some = split([y, e, x @ zeros([3, 0])], [0, 3])
  before, after = unroll Twice for k - 1
  z, gru = unroll GRU(2) over [e, x]
  output y, none, some, p, final, before, after, z, gru, u, softmax(e) @ f.T as s, [f, ones([2, 1])] as g
  output x[1:1] as cut
  output mean(e, axis = time) as m, last(e) as l, norm(e) + sum(u @ x), any(e > 0)
  output einsum("i j, i k -> j k", u, f.T) as e2
  loss mean(z * z) + sum(y * y)
}
""",
    "a grid of two sequences": """
cell Point(units) {
  input x: [n]
  input above: [units]
  state left: [units] = 0
  param w: [n + 2 * units, units]
  left' = tanh([x, above, left] @ w)
  output left'
}
cell Row(units) {
  input line: seq@column[n]
  input side: [k]
  state above: seq@column[units] = 0
  above' = unroll Point(units) over line, above reversed
  output above' * sum(side), last(above')
}
cell Tail { input a: seq@column[n]  input b: [n]  output sum(a, axis = column) + b }
model Grid {
  input a: seq@row[2]
  input b: seq@column[2]
  x = [a * b, a + b]
  y, l = unroll Row(3) over x, a reversed
  z = unroll Row(2) >> Tail over x, a
  output y, l, z
  loss mean(z * z) + mean(l)
}
""",
    "rows that are written": """
cell Tape(slots) {
  input x: [n]
  input i: int
  state m: [slots, n] = 0.5
  state seen: [slots] int
  state late: [slots] bool
  m'[i] = tanh(x + m[0])
  m'[-1] = 2 * x * m'[i][0]
  m'[1:3] = m[:2] * 0.5
  m'[(i + 1) % slots] = 0
  seen'[i] = seen[i] + 1
  late'[t % slots] = t > 1
  output sum(m', axis = 0), seen', late'
}
model M(slots = 5) {
  input x: seq[3]
  input i: seq int
  param w: [3, 3]
  y, s, k, final = unroll Tape(slots) over x @ w, i % slots
  output y, s, k, final
  loss mean(y * y)
}
""",
    "stops": """
cell C { input x: []  state s: [] = 0  s' = s + abs(x)  output s', t  stop s' > 1  stop t == 2 }
model M {
  input x: seq
  y, k, final = unroll C() over x
  z, _ = unroll C() over x reversed
  output y, k, final, z, last(y) as l, mean(y, axis = time) as m
}
""",
    "every second step": """
model M {
  input x: seq[2]
  y = unroll GRU(3) over every(x, 2)
  z, final = unroll LSTM(2) over every(window(y, 2), 3) reversed
  output y, z, final, last(z) as l, reversed(y) as r
}
""",
    "records": """
layer L(k) { input x: seq[n]  input y: [n]  output sum(x * y, axis = time) * k, shift(x, 1) + last(x) }
cell Fixed(deep) {
  state h: [3] = 1
  now = h
  for k in 1..deep { param w: [3] = 0.5  now = now * w }
  h' = now
  output h'
}
model M {
  input x: seq[2]
  input h0: [3]
  input c0: [3]
  enc = LSTM(3) >> RNN(3)
  first, final = unroll LSTM(3) over x from record(c = c0, h = h0)
  y, last_ = unroll enc over first
  z = unroll enc over y from last_
  a, b = L(2)(x, h0[:2])
  v, ended = unroll Fixed(deep = 2) for 5 from h0
  output z, final.h as h, last_.0.c as c, last_, a, b, v, ended, every(v, 2) as e
}
""",
    "candidates": """
model M {
  input x: [3]
  input label: [2] int
  input drawn: [4] int
  param weights: [7, 3] ~ normal
  param biases: [7] ~ normal
  often = ExpectedCount(4)([0.25, 0.5, 0.125, 0.125], 5)
  all, true_, expected = AllSampler(7)(label)
  output AccidentalHits(label, drawn) as hits, all, true_, expected
  output SampledSoftmaxLoss(false)(weights, biases, x, label, drawn, [0.5, 0.25], often) as softmax_loss
  output NCELoss(true)(weights, biases, x, label, drawn, [0.5, 0.25], often) as nce_loss
}
""",
    "nothing but a step": """
cell C { input x: [n]  param w: [n, 2] ~ normal(0, 0.5)  output x @ w, x > 0, 1, true, w[0] }
model M { input x: seq[2]  y, b, one, yes, w = unroll C() over x  output y, b, one, yes, w }
""",
    "constants of a loop": """
cell C { input x: [n]  input g: []  input q: [2]  state h: [n] = 0  h' = h * g + x * sum(q)  output h' }
model M {
  input x: seq[2]
  input g: []
  output (unroll C() over x with g = g, q = [1, 2]) as y, (unroll C() over x with g = 0.5, q = [g, 1]) as z
}
""",
    "chance in a loop": """
cell C {
  input x: []
  state s: [] = 0
  s' = s + x * uniform([1])[0] + sum(normal([3]))
  output s', categorical([x, 1 - x, 0])
}
model M { input x: seq  y, k, final = unroll C() over x  output y, k, final }
""",
    "a first state by chance": """
cell C { input x: [n]  state h: [3] = uniform([3])  h' = tanh(h + sum(x))  output h' }
model M { input x: seq[2]  y, final = unroll C() over x  output y, final }
""",
}

UNSAID = [
    ("draw", "model M {\n  input x: [4]\n  y, n = draw(x, 2, unique = false)\n  output y, n\n}\n"),
    ("draw", "model M {\n  input k: [2] int\n  y, t, e = UniformSampler(3, 9)(k)\n  output y, t, e\n}\n"),
    ("draw", "model M {\n  input k: [2] int\n  y, t, e = LogUniformSampler(3, 9)(k)\n  output y, t, e\n}\n"),
    ("draw", "model M {\n  input k: [2] int\n  y, t, e = UnigramSampler(2)(k, [1, 2, 3])\n  output y, t, e\n}\n"),
    (
        "draw",
        "model M {\n  input k: seq[2] int\n  y, t, e = unroll LearnedUnigramSampler(2, 9) over k\n"
        "  output y, t, e\n}\n",
    ),
    (
        "ctc_beam",
        "model M {\n  input x: seq[4]\n  y, n, s = ctc_beam(x, width = 9, paths = 2, merge = true, blank = 0)\n"
        "  output y, n, s\n}\n",
    ),
    (
        "ctc_loss",
        "model M {\n  input x: seq[4]\n  input k: seq@label int\n"
        "  output ctc_loss(x, k, blank = 0, merge = true, collapse = false, ignore_longer = true,"
        " zero_infinity = true) as y\n}\n",
    ),
    ("solve", "model M {\n  input x: [4]\n  output solve(eye(4) + outer(x, x), x) as y\n}\n"),
    ("uniform", "model M {\n  input x: [4]\n  output x + uniform([4]) as y\n}\n"),
]
"""Ops that not every tool has, each with models that need it."""
