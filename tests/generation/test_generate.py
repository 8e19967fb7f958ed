"""Writing with a model: drawing, beam search, and running it one step at a time."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.data.vocabulary import characters
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.generation.beam_search import largest
from rnngraph.generation.generate import end_token, written
from rnngraph.generation.sampling import Style, chosen, log_softmax
from rnngraph.generation.scorer import Reader, reader, scorer
from rnngraph.generation.streaming import can_stream, per_step, stream

CHARS = """
model Chars(vocab = 5, units = 4) {
  input text: seq int
  input following: seq int
  y, final = unroll LSTM(units) >> GRU(3) over Embedding(vocab, 3)(text)
  scores = Dense(vocab)(y)
  output scores
  loss cross_entropy(scores, following)
}
"""
HIDDEN = CHARS.replace("y, final = unroll", "y, _ = unroll")


def scored(text: str, seed: int = 3) -> Any:
    model = rg.parse(text)
    weights = {k: w * 3 for k, w in model.init(seed).items()}
    return scorer(model, reader(model), weights, {}, "float64")


def test_states_handed_on_score_as_the_whole_text_does() -> None:
    rows = [[1, 2], [3, 4]]
    one, two = scored(CHARS), scored(HIDDEN)
    assert can_stream(rg.parse(CHARS), ("scores",)) and not can_stream(rg.parse(HIDDEN), ("scores",))
    assert np.allclose(one(rows, [0, 0]), two(rows, [0, 0]))
    longer = [[3, 4, 0], [1, 2, 2], [3, 4, 1]]
    assert np.allclose(one(longer, [1, 0, 1]), two(longer, [1, 0, 1]))


COUNTED = """
cell Counted(decoder) { input x: [n]  output decoder([x, sin(float(t))]) }
""" + CHARS.replace("LSTM(units) >> GRU(3)", "Counted(LSTM(units))")
PARAMETER = CHARS.replace("LSTM(units) >> GRU(3)", "Begun(units)") + """
cell Begun(units) {
  input x: [n]
  param token: [units]
  state h: [units] = token
  h' = tanh(Dense(units)([x, h]) + token)
  output h'
}
"""
PLACED = CHARS.replace("(text)\n", "(text) + float(position(axis = time))\n")


def texts(read: Any, styles: list[Style]) -> list[list[int]]:
    return [written(read(), [0, 3], style) for style in styles]


@pytest.mark.parametrize("text, loops", [(CHARS, True), (COUNTED, True), (PARAMETER, True), (PLACED, False)])
@pytest.mark.parametrize("scale", [0.0, 3.0])
def test_tokens_chosen_in_one_run_are_those_chosen_one_by_one(text: str, loops: bool, scale: float) -> None:
    """Where all weights are 0 all tokens are equally likely. What asks for all scores chooses by NumPy."""
    model = rg.parse(text, vocab=23)
    weights = {k: (w * scale).astype(np.float32) for k, w in model.init(7).items()}
    styles = [Style(n, beam=b, end=end) for n in (2, 9, 40) for b in (1, 3, 8) for end in (None, 5)]
    styles += [Style(n, temperature=0, end=end) for n in (2, 40) for end in (None, 5)]
    styles += [Style(9, beam=16, end=5, length_penalty=0.6), Style(9, beam=40)]
    programs = scorer(model, reader(model), weights, {}, "float32").programs

    def one_by_one() -> Any:
        score = scorer(model, reader(model), weights, {}, "float32")
        return lambda rows, parents: score(rows, parents)

    want = texts(one_by_one, styles)
    assert not programs.loops
    for _ in range(3):
        assert texts(lambda: scorer(model, reader(model), weights, {}, "float32"), styles) == want
    assert {program is not None for program in programs.loops.values()} == {loops}


def test_a_nan_within_a_run_is_told_at_its_token() -> None:
    model = rg.parse(CHARS, vocab=23)
    weights = {k: (w * 3).astype(np.float32) for k, w in model.init(7).items()}

    def write(style: Style) -> list[int]:
        return written(scorer(model, reader(model), weights, {}, "float32"), [0], style)

    style = Style(12, temperature=0)
    free = write(style)
    token = next(t for t in free[2:] if t not in (0, *free[:2]))
    weights["embedding.table"][token] = np.nan
    told = f"the scores after {2 + free.index(token)} tokens hold a nan"
    for _ in range(3):
        with pytest.raises(CannotDo, match=told):
            write(style)


def test_a_wide_beam_finds_the_likeliest_text() -> None:
    score = scored(HIDDEN)

    def total(tokens: tuple[int, ...]) -> float:
        return sum(float(score([[0, *tokens[:i]]], [0])[0, t]) for i, t in enumerate(tokens))

    best = max(product(range(5), repeat=3), key=total)
    assert written(scored(CHARS), [0], Style(length=3, beam=125)) == list(best)
    greedy = written(scored(CHARS), [0], Style(length=3, temperature=0))
    assert total(tuple(greedy)) <= total(best)


def test_a_model_is_compiled_for_the_first_token_and_for_those_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without states that go in, and with them; a second text compiles nothing."""
    from rnngraph.compilation import variant

    model, made, lower = rg.parse(CHARS), list[object](), variant.lower
    monkeypatch.setattr(variant, "lower", lambda graph, *more: made.append(graph) or lower(graph, *more))
    for _ in range(2):
        assert len(model.generate(model.init(0), "1,2", length=5).split(",")) == 7
        assert len(made) == 2


def test_a_beam_takes_memory_for_the_texts_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a beam of any width needs is told at the first token; a text of two tokens is one of 25."""
    monkeypatch.setattr("rnngraph.generation.beam_search.free_bytes", lambda: 100_000)
    told: list[str] = []
    wide = written(scored(CHARS), [0], Style(length=2, beam=10**12), 0, told.append)
    assert wide == written(scored(CHARS), [0], Style(length=2, beam=25))
    assert told == ["token 1 of at most 2, 1 texts", "token 2 of at most 2, 5 texts"]
    with pytest.raises(CannotDo, match="a beam of 10,000 texts takes") as error:
        written(scored(CHARS), [0], Style(length=6, beam=10_000))
    assert "help: a beam of 183 fits" in str(error.value)
    assert len(written(scored(CHARS), [0], Style(length=6, beam=183))) == 6


def test_a_text_ends_at_the_end_token() -> None:
    free = written(scored(CHARS), [0], Style(length=6, temperature=0))
    end = free[-1]
    assert written(scored(CHARS), [0], Style(length=6, temperature=0, end=end)) == free[: free.index(end)]


TOKENS, LENGTH, END = 4, 4, 3
"""Of the small models whose texts are all looked at: with 64 open texts none is left out."""

PENALTIES = (None, 0.0, 0.6, 2.0)


def worth(total: float, tokens: int, alpha: float | None) -> float:
    return total / tokens if alpha is None else total / ((5 + tokens) / 6) ** alpha


def asked(seed: int) -> tuple[dict[tuple[int, ...], Any], Any]:
    """Log probabilities after every text of a made-up model, and the scores that a search asks for."""
    rng = np.random.default_rng(seed)
    texts = [t for n in range(LENGTH) for t in product(range(TOKENS - 1), repeat=n)]
    table = {t: log_softmax(rng.normal(size=TOKENS) * 2 + [0, 0, 0, seed % 3 - 1]) for t in texts}
    return table, lambda rows, parents: np.array([table[tuple(row[1:])] for row in rows])


def likelihood(table: dict[tuple[int, ...], Any], text: tuple[int, ...]) -> float:
    return float(sum(table[text[:i]][token] for i, token in enumerate(text)))


def all_texts() -> list[tuple[int, ...]]:
    """What can be drawn: texts that end, and those that are cut off."""
    ended = [(*t, END) for n in range(LENGTH) for t in product(range(END), repeat=n)]
    return ended + list(product(range(END), repeat=LENGTH))


def by_definition(table: dict[tuple[int, ...], Any], width: int, end: int | None) -> list[tuple[int, ...]]:
    """The texts that a beam comes upon, searched to the last length."""
    found, kept = list[tuple[int, ...]](), [()]
    for _ in range(LENGTH):
        grown = sorted(((*t, c) for t in kept for c in range(TOKENS)), key=lambda t: -likelihood(table, t))
        found += [t for t in grown[:width] if t[-1] == end]
        kept = [t for t in grown if t[-1] != end][:width]
    return found + kept


@pytest.mark.parametrize("alpha", PENALTIES)
@pytest.mark.parametrize("width", [1, 2, 3, 8, 64])
def test_a_beam_finds_the_best_of_the_texts_that_it_comes_upon(width: int, alpha: float | None) -> None:
    """64 come upon all: the best is that of brute force."""
    for seed in range(25):
        table, score = asked(seed)
        found = written(score, [0], Style(length=LENGTH, beam=width, end=END, length_penalty=alpha))
        text = tuple(found) if len(found) == LENGTH else (*found, END)
        met = all_texts() if width == 64 else by_definition(table, width, END)
        best = max(worth(likelihood(table, t), len(t), alpha) for t in met)
        assert worth(likelihood(table, text), len(text), alpha) == pytest.approx(best, rel=1e-12), seed


def test_an_early_end_does_not_stop_the_search() -> None:
    """A quarter of a chance to end at once, against a long text that is likelier by the token."""
    likely, surely = np.log([0.49, 0.11, 0.15, 0.25]), np.log([0.001, 0.001, 0.001, 0.997])

    def score(rows: list[list[int]], parents: list[int]) -> Any:
        return np.array([surely if row[-1] == 0 and len(row) > 1 else likely for row in rows])

    assert written(score, [0], Style(length=LENGTH, beam=2, end=END)) == [0]


def test_a_search_is_over_when_no_open_text_can_win() -> None:
    reads: list[int] = []

    def score(rows: list[list[int]], parents: list[int]) -> Any:
        reads.append(len(rows))
        return np.log(np.tile([0.1, 0.1, 0.2, 0.6], (len(rows), 1)))

    assert written(score, [0], Style(length=50, beam=2, end=END, length_penalty=0)) == [] and reads == [1]
    reads.clear()
    # By the mean of a token a text may still win for as long as it would, were all tokens to come certain.
    assert written(score, [0], Style(length=50, beam=2, end=END)) == [] and 1 < len(reads) < 50


@pytest.mark.parametrize("count", [1, 7, 40, 99])
def test_the_largest_are_those_of_a_sort_that_keeps_equals_in_order(count: int) -> None:
    values = np.random.default_rng(count).integers(0, 5, 40).astype(float)
    values[::7] = -np.inf
    assert largest(values, count).tolist() == np.argsort(-values, kind="stable")[:count].tolist()


def test_drawing_follows_the_probabilities_and_the_seed() -> None:
    scores = log_softmax(np.log(np.array([0.5, 0.3, 0.15, 0.05])))

    def counts(**style: Any) -> Any:
        rng = np.random.default_rng(0)
        drawn = [chosen(scores, Style(**style), rng) for _ in range(4000)]
        return np.bincount(drawn, minlength=4) / 4000

    assert np.allclose(counts(), [0.5, 0.3, 0.15, 0.05], atol=0.03)
    assert np.allclose(counts(top_k=2), [0.625, 0.375, 0, 0], atol=0.03)
    assert np.allclose(counts(top_p=0.79), [0.625, 0.375, 0, 0], atol=0.03)
    assert np.allclose(counts(top_p=0.81), [10 / 19, 6 / 19, 3 / 19, 0], atol=0.03)
    assert np.allclose(counts(top_k=3, top_p=0.81), [0.625, 0.375, 0, 0], atol=0.03)  # 0.84 of the three
    assert counts(temperature=0).tolist() == [1, 0, 0, 0]
    assert counts(temperature=0.2)[0] > 0.9
    same = [written(scored(CHARS), [0], Style(length=20, seed=s)) for s in (1, 1, 2)]
    assert same[0] == same[1] != same[2]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: Style(temperature=-1), "temperature"),
        (lambda: Style(top_p=0), "top-p"),
        (lambda: Style(beam=2, temperature=0.5), "a beam search does not sample"),
        (lambda: Style(beam=2, length_penalty=-1), "length penalty of -1"),
        (lambda: Style(length_penalty=1), "it needs a beam"),
        (lambda: end_token("1,2", None, Reader("x", "y", 3)), "`1,2` is 2 tokens"),
        (lambda: written(lambda rows, parents: np.full((1, 3), np.nan), [0], Style(beam=2)), "hold a nan"),
        (lambda: written(lambda rows, parents: np.full((1, 3), np.nan), [0], Style()), "hold a nan"),
        (lambda: characters("ab").ids("ab?"), "'?', which the model was not trained on"),
        (lambda: written(scored(CHARS), [], Style()), "there is no initial text"),
        (lambda: reader(rg.parse(CHARS), tokens="nothing"), "`nothing` is not an input"),
        (lambda: reader(rg.parse("model M { input x: seq[3]\n output x }")), "the model has no"),
    ],
)
def test_mistakes(call: Any, told: str) -> None:
    with pytest.raises(UserError, match=told.replace("?", r"\?")):
        call()


STEPS = """
model Steps {
  input x: seq[2]
  input flag: seq int
  y, final = unroll GRU(3) over [x, one_hot(flag, 2)]
  output y, sum(y) as total, final, last(y) as end
}
"""


def test_streaming_gives_what_the_whole_run_gives() -> None:
    model = rg.parse(STEPS.replace(", last(y) as end", ""))
    weights, rng = model.init(0), np.random.default_rng(0)
    x, flag = rng.normal(size=(1, 5, 2)), np.array([[0, 1, 1, 0, 1]])
    whole = model.compile().run({"x": x, "flag": flag}, weights)
    lines = [f"{a}, {b}, {f}" for (a, b), f in zip(x[0], flag[0], strict=True)]
    lines[2] = json.dumps({"x": x[0, 2].tolist(), "flag": 1})
    told = [json.loads(line) for line in stream(model, weights, ["", *lines], "float64", {})]
    assert [set(t) for t in told] == [{"y", "total"}] * 5
    assert np.allclose([t["y"] for t in told], whole["y"][0], rtol=1e-14)


FACTORS = """
model Factors {
  input x: seq[2]
  input factors: [2] = 1
  y, final = unroll GRU(3) over x * factors
  output y, final
}
"""


def test_what_is_the_same_at_every_step_stays_for_all_lines() -> None:
    model, rng = rg.parse(FACTORS), np.random.default_rng(0)
    weights, x = model.init(0), rng.normal(size=(1, 4, 2))
    data = {"factors": rng.normal(size=(1, 2)), "final.h": rng.normal(size=(1, 3))}
    whole = model.compile().run({"x": x, **data}, weights)
    told = model.stream(weights, (json.dumps(row.tolist()) for row in x[0]), "float64", data=data)
    assert np.allclose([json.loads(line)["y"] for line in told], whole["y"][0], rtol=1e-14)
    for line, more, message in (
        ('{"x": [1, 2], "factors": [3, 4]}', {}, "line 1: the model has no sequence `factors`"),
        ("1 2", {"x": x}, "`x` is in the data, and comes a line at a time"),
    ):
        with pytest.raises(UserError, match=message):
            next(model.stream(weights, [line], data=more))


def test_what_cannot_be_streamed_is_told_with_its_line() -> None:
    for text, code in (
        ("y, final = unroll GRU(3) over x reversed", "E640"),
        ("y, _ = unroll GRU(3) over x", "E641"),
        ("y = shift(x, 1)", "E642"),
    ):
        model = rg.parse(f"model M {{\n  input x: seq[2]\n  {text}\n  output y\n}}")
        with pytest.raises(UserError) as error:
            next(stream(model, model.init(0), ["1 2"], "float64", {}))
        assert error.value.diagnostics[0].code == code and error.value.diagnostics[0].span is not None
    assert per_step(rg.parse(STEPS)) == ("y", "total")
    model = rg.parse(STEPS)
    for line, told in (("1 2", "line 1 has 2 numbers, expected 3"), ("a b c", "is not numbers")):
        with pytest.raises(UserError, match=told):
            next(stream(model, model.init(0), [line], "float64", {}))


TRANSLATE = """
model Translate(units = 5) {
  input source: seq@source int
  input target: seq@target int
  embed = Embedding(4, 3)
  _, thought = unroll GRU(units) over embed(source)
  y, _ = unroll GRU(units) over embed(shift(target, 1)) from thought
  likely = Dense(4)(y)
  output likely
  loss cross_entropy(likely, target)
}
"""


def test_a_model_that_shifts_its_text_begins_with_none() -> None:
    """A translation by beam search: the best of all of three tokens, scored as the loss scores them."""
    model = rg.parse(TRANSLATE)
    weights = {k: w * 3 for k, w in model.init(5).items()}
    source = {"source": np.array([[1, 2, 3]]), "source.lengths": np.array([2])}
    use = reader(model, known=("source",))
    assert use.behind == 1 and use.tokens == "target"
    program = model.compile()

    def loss(tokens: tuple[int, ...]) -> float:
        return float(program.run({**source, "target": np.array([tokens])}, weights)["loss"])

    best = min(product(range(4), repeat=3), key=loss)
    found = written(scorer(model, use, weights, source, "float64"), [], Style(length=3, beam=64), use.behind)
    assert found == list(best)


@pytest.mark.parametrize(
    "read, scored, behind",
    [
        ("[embed(shift(text, 1)), embed(shift(text, 2))]", "text", 1),
        ("[embed(text), embed(shift(text, 1))]", "following", 0),
        ("[embed(text), embed(shift(text, 1))]", "", 0),
        ("shift(embed(text), 1)", "text", 1),
        ("shift(embed(text), 1)", "", 1),
        ("embed(shift(text, 1))", "shift(text, -1)", 0),
    ],
)
def test_the_loss_says_which_token_a_step_scores_else_what_it_reads(read: str, scored: str, behind: int) -> None:
    model = rg.parse(f"""
        model Chars {{
          input text, following: seq int
          embed = Embedding(5, 3)
          scores = Dense(5)(unroll GRU(4) over {read})
          output scores
          {f"loss cross_entropy(scores, {scored})" if scored else ""}
        }}
    """)
    weights = model.init(3)
    results = model.compile(outputs=("scores",)).run({"text": [[1, 2, 3] + [0] * behind]}, weights)
    found = scorer(model, reader(model), weights, {}, "float64")([[1, 2, 3]], [0])
    assert np.allclose(found, log_softmax(results["scores"][:, -1]))


def test_scores_of_a_token_further_ahead_are_no_text() -> None:
    model = rg.parse(CHARS.replace("(scores, following)", "(scores, shift(text, -2))"))
    with pytest.raises(UserError, match="scores the token 2 steps ahead, not the next one"):
        reader(model)


MASKED = "p = softmax(scores) * [0, 1, 0, 1, 1]"
MIXED = "param a: [] = 0.3\np = a * softmax(scores) + (1 - a) * softmax(2 * scores)"
SCALED = "cell Half { input x: [n] output 0.5 * softmax(x) }"


@pytest.mark.parametrize(
    "tail, holds",
    [
        ("output scores as p", "logits"),
        ("output log_softmax(scores) as p", "logits"),
        ("p = relu(scores)\noutput p\nloss cross_entropy(p, following)", "logits"),
        ("output scores as p\nloss cross_entropy(scores, following) + 0.1 * mean(square(scores))", "logits"),
        ("output scores as p\nloss logsumexp(scores) - scores[following]", "logits"),
        ("output scores as p\nloss cross_entropy(shift(scores, 1), text)", "logits"),
        ("p = scores - y[0]\noutput p\nloss cross_entropy(p, following)", "logits"),
        ("p = softmax(scores)\noutput p\nloss cross_entropy(p, following)", "logits"),  # what it was trained as
        ("output softmax(scores) as p\nloss cross_entropy(scores, following)", "probabilities"),
        (f"{MASKED}\nq = p / sum(p)\noutput q as p", "probabilities"),
        (f"{MASKED}\nq = p / sum(p)\noutput q as p\nloss cross_entropy(scores, following)", "probabilities"),
        (f"{MASKED}\nq = p / sum(p)\noutput q as p\nloss -log(max(q[following], 1e-9))", "probabilities"),
        (f"{MIXED}\noutput p\nloss -log(p[following])", "probabilities"),
        (f"{MIXED}\noutput p\nloss -sum(one_hot(following, 5) * log(p + 1e-9))", "probabilities"),
        (f"{MIXED}\noutput p\nloss -log(sum(one_hot(following, 5) * p))", "probabilities"),
        ("p = sigmoid(scores)\noutput p\nloss -log(p[following]) + log(sum([0.5, 2]))", "probabilities"),
        (f"{MIXED}\noutput p\nloss cross_entropy(scores, following)", ""),
        (f"{MASKED}\noutput p", ""),
        ("more = Dense(7)(y)\np = exp(more)\noutput p[0:5] / sum(p) as p", ""),
        ("output scores as p\nloss cross_entropy(scores[0:4], min(following, 3))", ""),
        ("output sigmoid(scores) as p", ""),
        ("output unroll Half over scores as p", ""),
        ("output scores as p\nloss mean(binary_cross_entropy(scores, one_hot(following, 5)))", ""),
        ("output scores as p\nloss cross_entropy(scores / 2, following)", ""),
    ],
)
def test_the_loss_says_whether_scores_are_logits_or_probabilities(tail: str, holds: str) -> None:
    """What neither the loss nor the equations say is refused, at the output."""
    text = CHARS.partition("  output scores")[0] + tail + "\n}\n" + SCALED
    model = rg.parse(text)
    if not holds:
        with pytest.raises(UserError, match="whether `p` holds logits or probabilities is not known") as refused:
            reader(model)
        [told] = refused.value.diagnostics
        assert told.span is not None and text[: told.span.start].rpartition("\n")[2].startswith("output")
        return
    weights = {k: w * 3 for k, w in model.init(3).items()}
    last = model.compile(outputs=("p",)).run({"text": [[1, 2]]}, weights)["p"][:, -1]
    with np.errstate(divide="ignore"):
        want = log_softmax(last if holds == "logits" else np.log(last))
    assert np.allclose(scorer(model, reader(model), weights, {}, "float64")([[1, 2]], [0]), want)


@pytest.mark.parametrize(
    "scores",
    [
        "unroll RNN(4) over every(one_hot(text, 4), 2)",
        "unroll Ahead() with thought = last(one_hot(text, 4)) for 3",
        "source * last(one_hot(text, 4))",
    ],
)
def test_scores_along_another_axis_than_the_text_are_those_of_no_token(scores: str) -> None:
    """`every` second step, steps of a loop of its own, and those of another sequence."""
    ahead = "cell Ahead { input thought: [4]  state s: [4] = 0  s' = tanh(s + thought)  output s' }"
    inputs = "input text: seq int  input source: seq@source[4]"
    model = rg.parse(f"{ahead} model M {{ {inputs} scores = {scores} output scores }}")
    with pytest.raises(rg.UserError, match="the model has no output that scores the next token at each step"):
        model.generate(model.init(0), "1,2", data={"source": np.ones((1, 2, 4))})


def test_a_text_is_written_for_one_row_of_other_inputs() -> None:
    model = rg.parse("model M { input text: seq int  input c: [3]  output unroll RNN(3) over one_hot(text, 3) + c }")
    with pytest.raises(rg.UserError, match="`c` has 2 rows, and one text is written"):
        model.generate(model.init(0), "1,2", data={"c": np.ones((2, 3))})
    assert model.generate(model.init(0), "1,2", data={"c": np.ones((1, 3))}, length=0) == "1,2"


def test_probabilities_are_drawn_by_as_they_are() -> None:
    cell = "cell Chance { input x: [n] output softmax(x) }\n"
    probable = [CHARS.replace("output scores", "output softmax(scores) as p")]
    probable.append(cell + CHARS.replace("output scores", "output unroll Chance over scores as p"))
    want = scored(CHARS)([[1, 2]], [0])
    for text in probable:
        assert np.allclose(scored(text)([[1, 2]], [0]), want)
