"""Cells of `examples/papers/` with a matrix, a table or a tree as memory, and state spaces, in plain NumPy.

As in `recipe_equations.py`: one example at a time, written from the papers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.support.equations import sigmoid, softmax
from tests.support.recipe_equations import Weights, dense, gru, layer_norm, lstm, relu, softplus


def silu(x: Any) -> Any:
    return x * sigmoid(x)


# --- sums of outer products -----------------------------------------------------------------------------------------


def linear_attention(w: Weights, x: Any) -> Any:
    """By the quadratic form: weights over all steps so far."""
    q, k = (np.where(z > 0, z + 1, np.exp(z)) for z in (x @ w["w_q"], x @ w["w_k"]))
    weights = np.tril(q @ k.T)
    return weights / weights.sum(axis=1, keepdims=True) @ (x @ w["w_v"])


def retention(w: Weights, x: Any) -> Any:
    """By the parallel form: a decay for each pair of steps."""
    size, y = w["w_q"].shape[1] // 2, []
    distance = np.subtract.outer(np.arange(len(x)), np.arange(len(x)))
    for head in range(2):
        q, k, v = (x @ w[f"w_{n}"][:, head * size : (head + 1) * size] for n in "qkv")
        decay = np.where(distance >= 0, (1 - 2.0 ** (-5 - head)) ** distance, 0)
        o = (q @ k.T / np.sqrt(size) * decay) @ v
        y.append((o - o.mean(1, keepdims=True)) / np.sqrt(o.var(1, keepdims=True) + 1e-5))
    return (silu(x @ w["w_g"]) * np.concatenate(y, axis=1)) @ w["w_o"]


def gated_delta_net(w: Weights, x: Any) -> Any:
    heads, y = 2, []
    for head in range(heads):

        def of(name: str, head: int = head) -> Any:
            return np.split(silu(x @ w[f"w_{name}"]), heads, axis=1)[head]

        q, k = (z / np.sqrt((z * z).sum(axis=1, keepdims=True) + 1e-6) for z in (of("q"), of("k")))
        alpha = np.exp(-np.exp(w["a"]) * softplus(x @ w["w_alpha"] + w["b"]))[:, head]
        beta = sigmoid(x @ w["w_beta"])[:, head]
        s, out = np.zeros((of("v").shape[1], k.shape[1])), []
        for a, b, q_t, k_t, v_t in zip(alpha, beta, q, k, of("v"), strict=True):
            s = a * s @ (np.eye(len(k_t)) - b * np.outer(k_t, k_t)) + b * np.outer(v_t, k_t)
            out.append(s @ q_t)
        y.append(np.stack(out))
    return np.concatenate(y, axis=1)


def fast_weights(w: Weights, x: Any) -> Any:
    """The fast matrix as the paper reads it: a sum over the states before, by their products with the state."""
    h, states, y = np.zeros(len(w["w"])), [], []
    for x_t in x:
        states.append(h)
        given = h @ w["w"] + x_t @ w["c"]
        now = relu(given)
        ages = range(len(states))[::-1]
        found = sum(0.5 * 0.95**age * (old @ now) * old for age, old in zip(ages, states, strict=True))
        h = relu(layer_norm(w, "norm_of_it", given + found))
        y.append(h)
    return np.stack(y)


def rwkv(w: Weights, x: Any) -> Any:
    """The weights of all steps as exponents, without the stabiliser."""
    a, b, n = "time_mixing.", "channel_mixing.", len(x)
    x = x @ w["kernel"] + w["bias"]
    first = np.stack([layer_norm(w, "layer_norm", v) for v in x])

    def mixed(name: str, of: Any, part: str) -> Any:
        before = np.concatenate([np.zeros((1, of.shape[1])), of[:-1]])
        mu = w[f"{part}mu_{name}"]
        return (mu * of + (1 - mu) * before) @ w[f"{part}w_{name}"]

    r, k, v = (mixed(name, first, a) for name in "rkv")
    rows = []
    for t in range(n):
        power = [w[a + "bonus"] + k[t]] + [k[i] - (t - 1 - i) * np.exp(w[a + "decay"]) for i in range(t)]
        values = [v[t], *v[:t]]
        rows.append(sum(np.exp(p) * u for p, u in zip(power, values, strict=True)) / sum(map(np.exp, power)))
    now = x + (sigmoid(r) * np.stack(rows)) @ w[a + "w_o"]
    second = np.stack([layer_norm(w, "layer_norm_2", u) for u in now])
    r, k = (mixed(name, second, b) for name in "rk")
    return now + sigmoid(r) * (relu(k) ** 2 @ w[b + "w_v"])


def ttt(w: Weights, x: Any) -> Any:
    """The gradient of the inner loss by hand, through the normalisation."""
    matrix, y = w["w_0"], []
    gain, n = w["f.layer_norm.gain"], len(w["w_0"])
    for x_t in x:
        k, v, q = (x_t @ w[f"theta_{name}"] for name in "kvq")
        z = k @ matrix
        deviation = np.sqrt(z.var() + 1e-5)
        unit = (z - z.mean()) / deviation
        slope = 2 * (k + gain * unit + w["f.layer_norm.offset"] - v) * gain
        slope = (slope - slope.mean() - unit * (slope @ unit) / n) / deviation
        matrix = matrix - sigmoid(x_t @ w["theta_lr"]) * np.outer(k, slope)
        y.append(q + layer_norm(w, "f.layer_norm", q @ matrix))
    return np.stack(y)


# --- state spaces ---------------------------------------------------------------------------------------------------


def mamba_2(w: Weights, u: Any) -> Any:
    heads, size, states, width = 2, 3, 4, 4
    inner, padded = heads * size, [np.zeros(heads * size + 2 * states)] * (width - 1)
    h, out = np.zeros((heads, states, size)), []
    for u_t in u:
        z, new, dt = np.split(u_t @ w["in_proj"], [inner, 2 * inner + 2 * states])
        padded.append(new)
        seen = silu(sum(f * p for f, p in zip(w["filter"], padded[-width:], strict=True)) + w["filter_bias"])
        x, b, c = seen[:inner].reshape(heads, size), seen[inner : inner + states], seen[inner + states :]
        dt, y = softplus(dt + w["dt_bias"]), []
        for head in range(heads):
            fade = np.exp(-np.exp(w["log_a"][head]) * dt[head])
            h[head] = fade * h[head] + dt[head] * np.outer(b, x[head])
            y.append(c @ h[head] + w["d"][head] * x[head])
        gated = np.concatenate(y) * silu(z)
        out.append(gated / np.sqrt((gated**2).mean() + 1e-5) * w["gain"] @ w["out_proj"])
    return np.stack(out)


def s4d(w: Weights, u: Any) -> Any:
    """As a convolution with its kernel."""
    a = -np.exp(w["log_re"]) + 1j * w["a_im"]
    dt = np.exp(w["log_dt"])[:, None]
    c = w["c_re"] + 1j * w["c_im"]
    kernel = [2 * (c * (np.exp(dt * a) - 1) / a * np.exp(dt * a * k)).sum(axis=1).real for k in range(len(u))]
    return np.stack([sum(kernel[t - i] * u[i] for i in range(t + 1)) + w["d"] * u[t] for t in range(len(u))])


def lmu(w: Weights, x: Any) -> Any:
    order, theta = len(w["e_m"]), 20.0
    places = range(order)
    a = np.array([[(2 * i + 1) / theta * (-1 if i < j else (-1) ** (i - j + 1)) for j in places] for i in places])
    b = np.array([(2 * i + 1) / theta * (-1) ** i for i in places])
    values, vectors = np.linalg.eig(a)
    held = ((vectors * np.exp(values)) @ np.linalg.inv(vectors)).real
    put = np.linalg.solve(a, (held - np.eye(order)) @ b)
    h, m, y = np.zeros(w["w_h"].shape[0]), np.zeros(order), []
    for x_t in x:
        u = x_t @ w["e_x"] + h @ w["e_h"] + m @ w["e_m"]
        m = held @ m + put * u
        h = np.tanh(x_t @ w["w_x"] + h @ w["w_h"] + m @ w["w_m"])
        y.append(h)
    return np.stack(y)


def rg_lru(w: Weights, x: Any) -> Any:
    h, y = np.zeros(x.shape[1]), []
    for x_t in x:
        a = sigmoid(w["decay"]) ** (8 * sigmoid(x_t @ w["w_a"] + w["b_a"]))
        h = a * h + np.sqrt(1 - a**2) * sigmoid(x_t @ w["w_x"] + w["b_x"]) * x_t
        y.append(h)
    return np.stack(y)


# --- stacks, tapes, trees, images ------------------------------------------------------------------------------------


def neural_stack(w: Weights, x: Any) -> Any:
    """Lists that grow, as in the paper."""
    h, r, values, strengths, y = np.zeros(3), np.zeros(3), [], [], []
    for x_t in x:
        h = gru(w, "inner", np.r_[x_t, r], h)
        d, u = sigmoid(dense(w, "push", h))[0], sigmoid(dense(w, "pop", h))[0]
        left = [max(0, s - max(0, u - sum(strengths[i + 1 :]))) for i, s in enumerate(strengths)]
        values, strengths = [*values, np.tanh(dense(w, "v", h))], [*left, d]
        shares = [min(s, max(0, 1 - sum(strengths[i + 1 :]))) for i, s in enumerate(strengths)]
        r = sum(share * v for share, v in zip(shares, values, strict=True))
        y.append(np.tanh(dense(w, "shown", h)))
    return np.stack(y)


def dnc(w: Weights, x: Any) -> Any:
    slots, width, heads, units = 5, 4, 2, 3
    memory, links = np.zeros((slots, width)), np.zeros((slots, slots))
    used, written, newest = np.zeros((3, slots))
    reads, found = np.zeros((heads, slots)), np.zeros((heads, width))
    c, h, y = np.zeros(units), np.zeros(units), []

    def content(memory: Any, key: Any, beta: float) -> Any:
        cosines = [key @ row / (np.linalg.norm(key) * np.linalg.norm(row) + 1e-6) for row in memory]
        return softmax((1 + softplus(beta)) * np.array(cosines), 0)

    for x_t in x:
        c, h = lstm(w, "inner", np.r_[x_t, found.ravel()], c, h)
        cuts = np.cumsum([heads * width, heads, heads, 3 * heads, width, width, width, 1, 1])
        k_r, beta_r, free, modes, k_w, e, v, beta_w, g_a, g_w = np.split(dense(w, "dense", h), cuts)
        used = used + written - used * written
        for i in range(heads):
            used = used * (1 - sigmoid(free[i]) * reads[i])
        room, left = np.zeros(slots), 1.0
        for place in sorted(range(slots), key=lambda s: used[s]):
            room[place], left = (1 - used[place]) * left, left * used[place]
        where = sigmoid(g_a) * room + (1 - sigmoid(g_a)) * content(memory, k_w, beta_w[0])
        written = sigmoid(g_w) * where
        memory = memory * (1 - np.outer(written, sigmoid(e))) + np.outer(written, v)
        for i in range(slots):
            for j in range(slots):
                links[i, j] = (1 - written[i] - written[j]) * links[i, j] + written[i] * newest[j] if i != j else 0
        newest = (1 - written.sum()) * newest + written
        new = []
        for i in range(heads):
            back, by, on = softmax(modes[3 * i : 3 * i + 3], 0)
            key = k_r[i * width : (i + 1) * width]
            new.append(back * links.T @ reads[i] + by * content(memory, key, beta_r[i]) + on * links @ reads[i])
        reads = np.stack(new)
        found = reads @ memory
        y.append(dense(w, "dense_2", np.r_[h, found.ravel()]))
    return np.stack(y)


def tree_lstm(w: Weights, x: Any, children: Any) -> Any:
    nodes: list[tuple[Any, Any]] = []
    for x_t, below in zip(x, children, strict=True):
        units = len(w["b_f"])
        none = (np.zeros(units), np.zeros(units))
        given = [nodes[k - 1] if 0 < k <= len(nodes) else none for k in below]
        i, o, u = np.split(x_t @ w["w"] + sum(h for _, h in given) @ w["u"] + w["b"], 3)
        c = sigmoid(i) * np.tanh(u)
        for c_k, h_k in given:
            c = c + sigmoid(x_t @ w["w_f"] + h_k @ w["u_f"] + w["b_f"]) * c_k
        nodes.append((c, sigmoid(o) * np.tanh(c)))
    return np.stack([h for _, h in nodes])


def md_lstm(w: Weights, x: Any) -> Any:
    units = len(w["pixel.b"]) // 5
    height, width, _ = x.shape
    c, h = np.zeros((2, height + 1, width + 1, units))
    for row in range(height):
        for col in range(width):
            up, left, here = (row, col + 1), (row + 1, col), (row + 1, col + 1)
            sums = np.r_[x[row, col], h[left], h[up]] @ w["pixel.w"] + w["pixel.b"]
            i, f_1, f_2, o, g = np.split(sums, 5)
            c[here] = sigmoid(f_1) * c[left] + sigmoid(f_2) * c[up] + sigmoid(i) * np.tanh(g)
            h[here] = sigmoid(o) * np.tanh(c[here])
    return h[1:, 1:]
