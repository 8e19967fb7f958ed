"""The same models in JAX, as its users write them: `lax.scan` over the steps, each sequence's product before its loop,
the whole training step, or a step of a text, in one `jit`. Time is the first dimension inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Weights = Any
Loss = Callable[[Weights, Any, Any, Any], Any]
"""The loss of weights, both data, and a key for random numbers (None where nothing is dropped)."""


def step_of(case: str, data: Mapping[str, Any], infer: bool, rate: float, norm: float) -> Callable[[], object]:
    """A training step, or the loss alone."""
    weights, loss = MODELS[case](np.random.default_rng(0))
    weights = jax.tree.map(lambda array: jnp.asarray(array, "float32"), weights)
    given = tuple(jnp.asarray(data[name]) for name in ("a", "b"))
    if infer:
        forward = jax.jit(partial(loss, key=None))
        return lambda: float(forward(weights, *given))
    state = (weights, jax.tree.map(jnp.zeros_like, weights), jax.tree.map(jnp.zeros_like, weights), jnp.int32(0))

    @partial(jax.jit, donate_argnums=0)
    def step(state: Any, a: Any, b: Any) -> Any:
        weights, first, second, count = state
        found, gradients = jax.value_and_grad(loss)(weights, a, b, jax.random.fold_in(jax.random.key(0), count))
        length = jnp.sqrt(sum((g * g).sum() for g in jax.tree.leaves(gradients)))
        gradients = jax.tree.map(lambda g: g * jnp.minimum(1, norm / (length + 1e-6)), gradients)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradients)
        far, wide = 1 - 0.9 ** (count + 1.0), 1 - 0.999 ** (count + 1.0)
        weights = jax.tree.map(
            lambda w, m, v: w - rate * (m / far) / (jnp.sqrt(v / wide) + 1e-8), weights, first, second
        )
        return (weights, first, second, count + 1), found

    def run() -> float:
        nonlocal state
        state, found = step(state, *given)
        return float(found)

    return run


def generating(case: str, data: Mapping[str, Any], count: int, task: str, width: int) -> Callable[[], object]:
    """So many tokens after the first of each row, each the most likely one, in a call each to `generate` or in one to
    `write`; or the likeliest of `width` open texts behind the first row's."""
    weights, _ = MODELS[case](np.random.default_rng(0))
    weights = jax.tree.map(lambda array: jnp.asarray(array, "float32"), weights)
    first = jnp.asarray(data["a"][: 1 if task == "beam" else None, 0])
    zero = jnp.zeros((len(first), weights["layers"][0]["h"].shape[0]))

    def read(weights: Any, token: Any, states: Any) -> Any:
        x, after = weights["embedding"][token], []
        for layer, own in zip(weights["layers"], states, strict=True):
            after.append(lstm_step(layer, own, x @ layer["x"] + layer["b"]))
            x = after[-1][0]
        return scores(weights["scores"], x), after

    @jax.jit
    def likeliest(weights: Any, token: Any, states: Any) -> Any:
        found, after = read(weights, token, states)
        return found.argmax(-1), after

    @jax.jit
    def grown(weights: Any, token: Any, states: Any, totals: Any) -> Any:
        found, after = read(weights, token, states)
        found = totals[:, None] + jax.nn.log_softmax(found)
        totals, places = lax.top_k(found.ravel(), width)
        rows, token = jnp.divmod(places, found.shape[1])
        return token, jax.tree.map(lambda state: state[rows], after), totals, rows

    begin = [(zero, zero)] * len(weights["layers"])

    def greedy() -> Any:
        token, states = first, begin
        for _ in range(count):
            token, states = likeliest(weights, token, states)
            np.asarray(token)  # a text is shown as it grows
        return token

    @jax.jit
    def whole(weights: Any, token: Any, states: Any) -> Any:
        def step(now: Any, _: Any) -> Any:
            after = likeliest(weights, *now)
            return after, after[0]

        return lax.scan(step, (token, states), length=count)[1]

    @jax.jit
    def searched(weights: Any, token: Any, states: Any) -> Any:
        def step(now: Any, _: Any) -> Any:
            token, states, totals, rows = grown(weights, *now)
            return (token, states, totals), (token, rows)

        token, states, totals, _ = grown(weights, token, states, jnp.zeros(1))
        return token, lax.scan(step, (token, states, totals), length=count - 1)[1]

    def search() -> list[int]:
        begun, (tokens, rows) = searched(weights, first, begin)
        row, text = 0, list[int]()
        for token, parents in zip(np.asarray(tokens)[::-1], np.asarray(rows)[::-1], strict=True):
            text.append(int(token[row]))
            row = parents[row]
        return [*text, int(begun[row])][::-1]

    return {"generate": greedy, "write": lambda: np.asarray(whole(weights, first, begin)), "beam": search}[task]


# --- layers ---


def normal(random: Any, *shape: int) -> Any:
    return random.normal(size=shape) / np.sqrt(shape[0])


def recurrent(random: Any, inputs: int, units: int, gates: int) -> Any:
    return {"x": normal(random, inputs, gates * units), "h": normal(random, units, gates * units),
            "b": np.zeros(gates * units)}  # fmt: skip


def dense(random: Any, inputs: int, units: int) -> Any:
    return {"w": normal(random, inputs, units), "b": np.zeros(units)}


def scores(weights: Weights, x: Any) -> Any:
    return x @ weights["w"] + weights["b"]


def lstm_step(weights: Weights, states: Any, gates: Any) -> Any:
    h, c = states
    i, f, g, o = jnp.split(gates + h @ weights["h"], 4, -1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def lstm(weights: Weights, x: Any, reverse: bool = False) -> Any:
    zero = jnp.zeros((x.shape[1], weights["h"].shape[0]), x.dtype)

    def step(states: Any, gates: Any) -> Any:
        states = lstm_step(weights, states, gates)
        return states, states[0]

    return lax.scan(step, (zero, zero), x @ weights["x"] + weights["b"], reverse=reverse)[1]


def gru_step(weights: Weights, h: Any, gates: Any) -> Any:
    r, z, n = jnp.split(gates, 3, -1)
    hr, hz, hn = jnp.split(h @ weights["h"] + weights["c"], 3, -1)
    z = jax.nn.sigmoid(z + hz)
    return (1 - z) * jnp.tanh(n + jax.nn.sigmoid(r + hr) * hn) + z * h


def gru(weights: Weights, x: Any, reverse: bool = False) -> Any:
    zero = jnp.zeros((x.shape[1], weights["h"].shape[0]), x.dtype)

    def step(h: Any, gates: Any) -> Any:
        h = gru_step(weights, h, gates)
        return h, h

    return lax.scan(step, zero, x @ weights["x"] + weights["b"], reverse=reverse)[1]


def gru_weights(random: Any, inputs: int, units: int) -> Any:
    return recurrent(random, inputs, units, 3) | {"c": np.zeros(3 * units)}


def dropped(key: Any, rate: float, x: Any) -> Any:
    return x if key is None else jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)


def keys(key: Any, count: int) -> Any:
    return [None] * count if key is None else jax.random.split(key, count)


def cross_entropy(values: Any, labels: Any) -> Any:
    return -jnp.take_along_axis(jax.nn.log_softmax(values), labels[..., None], -1).mean()


# --- models ---


def language(words: int, embedded: int, units: int, layers: int, rate: float, random: Any) -> tuple[Weights, Loss]:
    weights = {
        "embedding": normal(random, words, embedded),
        "layers": [recurrent(random, units if i else embedded, units, 4) for i in range(layers)],
        "scores": dense(random, units, words),
    }

    def loss(weights: Weights, a: Any, b: Any, key: Any) -> Any:
        first, *rest = keys(key if rate else None, layers + 1)
        x = dropped(first, rate, weights["embedding"][a.T])
        for layer, own in zip(weights["layers"], rest, strict=True):
            x = dropped(own, rate, lstm(layer, x))
        return cross_entropy(scores(weights["scores"], x), b.T)

    return weights, loss


def zoneout(words: int, embedded: int, units: int, random: Any) -> tuple[Weights, Loss]:
    weights = {
        "embedding": normal(random, words, embedded),
        "layer": recurrent(random, embedded, units, 4),
        "scores": dense(random, units, words),
    }

    def loss(weights: Weights, a: Any, b: Any, key: Any) -> Any:
        layer, x = weights["layer"], weights["embedding"][a.T]
        zero = jnp.zeros((x.shape[1], units), x.dtype)

        def step(states: Any, now: Any) -> Any:
            gates, own = now
            new = lstm_step(layer, states, gates)
            if key is None:  # the mean of what may be
                states = tuple(0.1 * s + 0.9 * n for s, n in zip(states, new, strict=True))
            else:
                stay = jax.random.bernoulli(own, 0.1, (2, *zero.shape))
                states = tuple(jnp.where(m, s, n) for m, s, n in zip(stay, states, new, strict=True))
            return states, states[0]

        gates = x @ layer["x"] + layer["b"]
        own = jnp.zeros(len(gates)) if key is None else jax.random.split(key, len(gates))
        return cross_entropy(scores(weights["scores"], lax.scan(step, (zero, zero), (gates, own))[1]), b.T)

    return weights, loss


def tagger(words: int, embedded: int, units: int, tags: int, random: Any) -> tuple[Weights, Loss]:
    weights = {
        "embedding": normal(random, words, embedded),
        "layers": [recurrent(random, embedded, units, 4) for _ in range(2)],
        "scores": dense(random, 2 * units, tags),
    }

    def loss(weights: Weights, a: Any, b: Any, key: Any) -> Any:
        x, (forward, backward) = weights["embedding"][a.T], weights["layers"]
        y = jnp.concatenate([lstm(forward, x), lstm(backward, x, reverse=True)], -1)
        return cross_entropy(scores(weights["scores"], y), b.T)

    return weights, loss


def attention(words: int, embedded: int, units: int, classes: int, random: Any) -> tuple[Weights, Loss]:
    weights = {
        "embedding": normal(random, words, embedded),
        "written": normal(random, classes, 16),
        "readers": [gru_weights(random, embedded, units) for _ in range(2)],
        "cell": gru_weights(random, 16 + 2 * units, units),
        "keys": normal(random, 2 * units, units),
        "query": dense(random, units, units),
        "score": normal(random, units),
        "scores": dense(random, 3 * units, classes),
    }

    def loss(weights: Weights, a: Any, b: Any, key: Any) -> Any:
        x, (forward, backward) = weights["embedding"][a.T], weights["readers"]
        memory = jnp.concatenate([gru(forward, x), gru(backward, x, reverse=True)], -1)
        looked, rows = memory @ weights["keys"], memory.shape[1]
        written = weights["written"][jnp.concatenate([jnp.zeros_like(b[:, :1]), b[:, :-1]], 1).T]

        def step(states: Any, now: Any) -> Any:
            h, context = states
            cell = weights["cell"]
            h = gru_step(cell, h, jnp.concatenate([now, context], -1) @ cell["x"] + cell["b"])
            weight = jax.nn.softmax(jnp.tanh(looked + scores(weights["query"], h)) @ weights["score"], 0)
            context = (weight[..., None] * memory).sum(0)
            return (h, context), jnp.concatenate([h, context], -1)

        zeros = jnp.zeros((rows, units)), jnp.zeros((rows, 2 * units))
        return cross_entropy(scores(weights["scores"], lax.scan(step, zeros, written)[1]), b.T)

    return weights, loss


def speech(features: int, units: int, classes: int, random: Any) -> tuple[Weights, Loss]:
    weights = {
        "layers": [recurrent(random, features, units, 4) for _ in range(2)],
        "scores": dense(random, 2 * units, classes),
    }

    def loss(weights: Weights, a: Any, b: Any, key: Any) -> Any:
        x, (forward, backward) = jnp.swapaxes(a, 0, 1), weights["layers"]
        y = jnp.concatenate([lstm(forward, x), lstm(backward, x, reverse=True)], -1)
        return ctc(jax.nn.log_softmax(scores(weights["scores"], y)), b, classes - 1).mean()

    return weights, loss


def ctc(logs: Any, labels: Any, blank: int) -> Any:
    """The loss of each row; JAX has none, so it is the recursion of the paper over a scan.

    A. Graves et al. (2006), "Connectionist temporal classification", ICML, equations 5 to 8.
    """
    rows, count = labels.shape
    path = jnp.full((rows, 2 * count + 1), blank).at[:, 1::2].set(labels)
    skips = (path != blank) & (path != jnp.pad(path, ((0, 0), (2, 0)), constant_values=-1)[:, :-2])
    low = -1e30
    start = jnp.full(path.shape, low).at[:, 0].set(0.0)

    def step(before: Any, now: Any) -> Any:
        one = jnp.pad(before, ((0, 0), (1, 0)), constant_values=low)[:, :-1]
        two = jnp.where(skips, jnp.pad(before, ((0, 0), (2, 0)), constant_values=low)[:, :-2], low)
        merged = jax.nn.logsumexp(jnp.stack([before, one, two]), 0)
        return merged + jnp.take_along_axis(now, path, 1), None

    # Before the first step only the first blank is reached; it may be left for the first label at once.
    last, _ = lax.scan(step, start, logs)
    return -jnp.logaddexp(last[:, -1], last[:, -2])


def regression(features: int, units: int, random: Any) -> tuple[Weights, Loss]:
    weights = {"layer": gru_weights(random, features, units), "value": dense(random, units, 1)}

    def loss(weights: Weights, a: Any, b: Any, key: Any) -> Any:
        y = scores(weights["value"], gru(weights["layer"], jnp.swapaxes(a, 0, 1)))
        return ((y - jnp.swapaxes(b, 0, 1)) ** 2).mean()

    return weights, loss


MODELS: Mapping[str, Callable[[Any], tuple[Weights, Loss]]] = {
    "character LM": partial(language, 74, 32, 128, 1, 0.0),
    "word LM": partial(language, 10_000, 200, 200, 2, 0.0),
    "word LM dropout": partial(language, 10_000, 200, 200, 2, 0.5),
    "zoneout": partial(zoneout, 74, 32, 128),
    "tagger": partial(tagger, 5000, 100, 128, 20),
    "attention": partial(attention, 78, 24, 64, 12),
    "CTC": partial(speech, 40, 128, 30),
    "GRU 1000 steps": partial(regression, 64, 128),
}
