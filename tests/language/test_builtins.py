"""Floats, ints and truth: of what kind every function, operator and op is, and what it gives, against NumPy."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from statistics import NormalDist
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import rnngraph as rg
from rnngraph.diagnostics.errors import UserError
from rnngraph.files.safetensors import Arrays
from rnngraph.ir.graph import ShapeError
from rnngraph.ir.types import Type
from rnngraph.language.builtins.registry import TABLE
from rnngraph.ops import TABLE as OPS
from rnngraph.planning.lowering import lower
from rnngraph.planning.plan import plan
from rnngraph.runtime.choose_backend import backend_named
from tests.support.paths import ROOT
from tests.support.running import SIZES, array_of, op_graph

REFERENCE = (ROOT / "grammar" / "README.md").read_text(encoding="utf-8")
KINDS = ("float", "int", "bool")
ROWS, STEPS, LABELS = 2, 4, 2
Case = tuple[str, Callable[[Any], Any]]


def as_float(x: Any) -> Any:
    return x.astype(np.float64)


def as_number(x: Any) -> Any:
    return as_float(x) if x.dtype == bool else x


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def norm_cdf(x: Any) -> Any:
    return np.vectorize(NormalDist().cdf, [float])(x)


def softmax(x: Any, axis: int = -1) -> Any:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def chosen(x: Any, i: Any) -> Any:
    """x[b, t, i[b, t]]."""
    return np.stack([[x[b, t, i[b, t]] for t in range(STEPS)] for b in range(ROWS)])


def everywhere(x: Any) -> Any:
    """What depends on no data, at each step of each row."""
    return np.broadcast_to(x, (ROWS, STEPS, *np.shape(x)))


# --- what is computed at each step ---------------------------------------------------------------------------------

FLOATING: dict[str, Callable[[Any], Any]] = {
    "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "sin": np.sin, "cos": np.cos, "tanh": np.tanh, "square": np.square,
    "reciprocal": lambda x: 1 / x, "sigmoid": sigmoid, "softplus": lambda x: np.log1p(np.exp(x)),
    "log_sigmoid": lambda x: np.log(sigmoid(x)), "softmax": softmax, "log_softmax": lambda x: np.log(softmax(x)),
    "erf": np.vectorize(math.erf, [float]), "gelu": lambda x: x * norm_cdf(x), "silu": lambda x: x * sigmoid(x),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))), "softsign": lambda x: x / (1 + x),
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1), "elu": lambda x: x, "leaky_relu": lambda x: x,
    "selu": lambda x: 1.0507009873554805 * x, "logsumexp": lambda x: np.log(np.exp(x).sum(-1)),
    "mean": lambda x: x.mean(-1), "norm": lambda x: np.sqrt((x * x).sum(-1)), "float": lambda x: x,
}  # fmt: skip
NUMBERS: dict[str, Callable[[Any], Any]] = {
    "abs": np.abs, "sign": np.sign, "relu": lambda x: np.maximum(x, 0), "floor": np.floor,
    "ceil": np.ceil, "round": np.round, "prod": lambda x: x.prod(-1), "cumprod": lambda x: np.cumprod(x, -1),
    "cummax": lambda x: np.maximum.accumulate(x, -1), "sort": lambda x: np.sort(x, -1),
    "sum": lambda x: x.sum(-1), "cumsum": lambda x: np.cumsum(x, -1), "max": lambda x: x.max(-1),
    "min": lambda x: x.min(-1),
}  # fmt: skip


def windows(x: Any, *sizes: int) -> Any:
    """The whole windows of an image (B, T, ..., channels), each flattened: (B, T, places..., entries, channels)."""
    axes = tuple(range(2, 2 + len(sizes)))
    seen = np.lib.stride_tricks.sliding_window_view(x, sizes, axes)
    seen = np.moveaxis(seen, 2 + len(sizes), -1)
    return seen.reshape(*seen.shape[: 2 + len(sizes)], -1, x.shape[-1])


def top(x: Any, k: int) -> tuple[Any, Any]:
    places = np.argsort(-as_number(x), axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(as_number(x), places, -1), places


def cross_entropy(x: Any, i: Any) -> Any:
    return -np.log(chosen(softmax(as_float(x)), i))


def clipped(x: Any, norm: Any, limit: float) -> Any:
    return as_float(x) * limit / np.maximum(norm, limit)


def lrn(x: Any) -> Any:
    """Over neighbouring channels, of radius 1."""
    squares = np.pad(x * x, [(0, 0)] * (x.ndim - 1) + [(1, 1)])
    return x / np.sqrt(1 + squares[..., :-2] + squares[..., 1:-1] + squares[..., 2:])


STEPWISE: dict[str, Case] = {
    **{name: (f"{name}(x)", lambda d, f=f: f(as_float(d.x))) for name, f in FLOATING.items()},
    **{name: (f"{name}(x)", lambda d, f=f: f(as_number(d.x))) for name, f in NUMBERS.items()},
    "int": ("int(x)", lambda d: d.x.astype(np.int64)),
    "identity": ("identity(x)", lambda d: d.x),
    "detach": ("detach(x)", lambda d: d.x),
    "straight_through": ("straight_through(x, f)", lambda d: as_float(d.x)),
    "mod": ("mod(x, y)", lambda d: np.mod(as_number(d.x), as_number(d.y))),
    "clip": ("clip(x, y, y)", lambda d: as_number(d.y)),
    "where": ("where(c, x, y)", lambda d: np.where(d.c[..., None], d.x, d.y)),
    "stack": ("stack(m, m)", lambda d: np.stack([d.m, d.m], 2)),
    "steps": ("steps(rows(m))", lambda d: d.m),
    "rows": ("steps(rows(x))", lambda d: d.x),
    "sequence": ("steps(sequence(x, x))", lambda d: np.stack([d.x, d.x], 2)),
    "concat": ("concat(m, m, axis = 0)", lambda d: np.concatenate([d.m, d.m], 2)),
    "split": ("_, NAME = split(x, [1, 2])", lambda d: d.x[..., 1:]),
    "repeat": ("repeat(x, 2)", lambda d: np.repeat(d.x, 2, -1)),
    "reshape": ("reshape(m, [3, 2])", lambda d: d.m.reshape(ROWS, STEPS, 3, 2)),
    "transpose": ("transpose(m)", lambda d: d.m.swapaxes(2, 3)),
    "flip": ("flip(x)", lambda d: d.x[..., ::-1]),
    "outer": ("outer(x, y)", lambda d: as_number(d.x)[..., None] * as_number(d.y)[..., None, :]),
    "argmax": ("argmax(x)", lambda d: np.argmax(d.x, -1)),
    "argmin": ("argmin(x)", lambda d: np.argmin(d.x, -1)),
    "argsort": ("argsort(x)", lambda d: np.argsort(d.x, -1, kind="stable")),
    "any": ("any(x > 1, axis = -1)", lambda d: (d.x > 1).any(-1)),
    "all": ("all(x > 1, axis = -1)", lambda d: (d.x > 1).all(-1)),
    "atan2": ("atan2(x, y)", lambda d: np.arctan2(as_float(d.x), as_float(d.y))),
    "diag": ("diag(x)", lambda d: np.where(np.eye(3) > 0, d.x[..., None, :], np.zeros((), d.x.dtype))),
    "diagonal": ("diag(m)", lambda d: np.diagonal(d.m, axis1=-2, axis2=-1)),
    "tri": ("tri(3, 4, shift = 1)", lambda d: everywhere(np.tri(3, 4, 1))),
    "einsum": ('einsum("i j, j, i j -> i", m, x, m)', lambda d: np.einsum(
        "btij,btj,btij->bti", as_number(d.m), as_number(d.x), as_number(d.m))),
    "solve": ("solve(eye(3) + outer(x, x), y)", lambda d: np.linalg.solve(
        np.eye(3) + as_float(d.x)[..., None] * as_float(d.x)[..., None, :], as_float(d.y)[..., None])[..., 0]),
    "one_hot": ("one_hot(i, 3)", lambda d: np.eye(3)[d.i]),
    "size": ("size(x)", lambda d: everywhere(np.array(3))),
    "range": ("range(4)", lambda d: everywhere(np.arange(4))),
    "eye": ("eye(3)", lambda d: everywhere(np.eye(3))),
    "zeros": ("zeros([2])", lambda d: everywhere(np.zeros(2))),
    "ones": ("ones([2])", lambda d: everywhere(np.ones(2))),
    "top_k": ("NAME, NAME_2 = top_k(x, 2)", lambda d: top(d.x, 2)),
    "in_top_k": ("in_top_k(x, i, 2)", lambda d: (as_float(d.x) > chosen(d.x, d.i)[..., None]).sum(-1) < 2),
    "cross_entropy": ("cross_entropy(x, i)", lambda d: cross_entropy(d.x, d.i)),
    "accuracy": ("accuracy(x, i)", lambda d: as_float(np.argmax(d.x, -1) == d.i)),
    "binary_cross_entropy": (
        "binary_cross_entropy(x, y)",
        lambda d: np.log1p(np.exp(as_float(d.x))) - as_float(d.y) * as_float(d.x),
    ),
    "squared_error": ("squared_error(x, y)", lambda d: ((as_float(d.x) - as_float(d.y)) ** 2).mean(-1)),
    "moments": ("NAME, NAME_2 = moments(x)", lambda d: (d.x.mean(-1), d.x.var(-1))),
    "weighted_moments": (
        "NAME, NAME_2 = weighted_moments(x, z)",
        lambda d: (m := (d.z * d.x).sum(-1) / d.z.sum(-1), (d.z * (d.x - m[..., None]) ** 2).sum(-1) / d.z.sum(-1)),
    ),
    "sufficient_statistics": (
        "NAME, NAME_2, NAME_3 = sufficient_statistics(x)",
        lambda d: (everywhere(np.array(3.0)), as_float(d.x).sum(-1), (as_float(d.x) ** 2).sum(-1)),
    ),
    "normalize_moments": (
        "NAME, NAME_2 = normalize_moments(z, x, y)",
        lambda d: (d.x / as_float(d.z), d.y / as_float(d.z) - (d.x / as_float(d.z)) ** 2),
    ),
    "zero_fraction": ("zero_fraction(x)", lambda d: (d.x == 0).mean(-1)),
    "clip_by_norm": ("clip_by_norm(x, 2)", lambda d: clipped(d.x, np.linalg.norm(d.x, axis=-1, keepdims=True), 2)),
    "global_norm": ("global_norm(x, y)", lambda d: np.sqrt((as_float(d.x) ** 2 + as_float(d.y) ** 2).sum(-1))),
    "clip_by_global_norm": (
        "NAME, NAME_2 = clip_by_global_norm(x, limit = 1)",
        lambda d: (clipped(d.x, (n := np.linalg.norm(d.x, axis=-1))[..., None], 1), n),
    ),
    "conv1d": (
        "conv1d(m, reshape([1, 2, 3], [1, 3, 1]), padding = false)",
        lambda d: (d.m * [1.0, 2, 3]).sum(-1, keepdims=True),
    ),
    "conv2d": (
        "conv2d(p, reshape([1, 2, 3, 4], [2, 2, 1, 1]), padding = false)",
        lambda d: (windows(d.p, 2, 2) * np.array([1.0, 2, 3, 4])[:, None]).sum(-2),
    ),
    "max_pool": ("max_pool(p, 2, stride = 1, padding = false)", lambda d: as_float(windows(d.p, 2, 2).max(-2))),
    "avg_pool": ("avg_pool(p, 2, stride = 1, padding = false)", lambda d: windows(d.p, 2, 2).mean(-2)),
    "dilation2d": (
        "dilation2d(p, reshape([1, 2, 3, 4], [2, 2, 1]), padding = false)",
        lambda d: (windows(d.p, 2, 2) + np.array([1.0, 2, 3, 4])[:, None]).max(-2),
    ),
    "erosion2d": (
        "erosion2d(p, reshape([1, 2, 3, 4], [2, 2, 1]), padding = false)",
        lambda d: (windows(d.p, 2, 2) - np.array([4.0, 3, 2, 1])[:, None]).min(-2),
    ),
    "lrn": ("lrn(x, 1)", lambda d: lrn(as_float(d.x))),
}
OPERATORS: dict[str, Case] = {
    "add": ("x + y", lambda d: as_number(d.x) + as_number(d.y)),
    "sub": ("x - y", lambda d: as_number(d.x) - as_number(d.y)),
    "mul": ("x * y", lambda d: as_number(d.x) * as_number(d.y)),
    "div": ("x / y", lambda d: as_float(d.x) / as_float(d.y)),
    "floordiv": ("x // y", lambda d: np.floor_divide(as_number(d.x), as_number(d.y))),
    "remainder": ("x % y", lambda d: np.mod(as_number(d.x), as_number(d.y))),
    "power": ("x ** 3", lambda d: as_float(d.x) ** 3),
    "powers": ("x ** y", lambda d: as_float(d.x) ** as_float(d.y)),
    "negative": ("-x", lambda d: -as_number(d.x)),
    "twice": ("x * 2", lambda d: as_number(d.x) * (2.0 if d.x.dtype == bool else 2)),
    "from_one": ("1 - x", lambda d: (1.0 if d.x.dtype == bool else 1) - as_number(d.x)),
    "matmul": ("m @ x", lambda d: np.einsum("btij,btj->bti", as_number(d.m), as_number(d.x))),
    "dot": ("x @ y", lambda d: (as_number(d.x) * as_number(d.y)).sum(-1)),
    "eq": ("x == y", lambda d: d.x == d.y),
    "ne": ("x != 1", lambda d: d.x != 1),
    "lt": ("x < y", lambda d: d.x < d.y),
    "ge": ("x >= 1", lambda d: d.x >= 1),
    "and_": ("c and not c", lambda d: d.c & ~d.c),
    "or_": ("c or not c", lambda d: d.c | ~d.c),
    "join": ("[x, y]", lambda d: np.concatenate([d.x, d.y], -1)),
    "join_numbers": (
        "[x, 1]",
        lambda d: np.concatenate([as_number(d.x), np.ones((ROWS, STEPS, 1), as_number(d.x).dtype)], -1),
    ),
    "entry": ("x[1]", lambda d: d.x[..., 1]),
    "piece": ("x[1:]", lambda d: d.x[..., 1:]),
    "pick": ("x[i]", lambda d: chosen(d.x, d.i)),
    "row": ("transpose(m)[i]", lambda d: chosen(d.m.swapaxes(2, 3), d.i)),
    "rows": ("transpose(m)[[i, 0]]", lambda d: np.stack([chosen(d.m.swapaxes(2, 3), i) for i in (d.i, 0 * d.i)], 2)),
    "larger": ("max(x, y)", lambda d: np.maximum(as_number(d.x), as_number(d.y))),
    "smaller": ("min(x, y, 1)", lambda d: np.minimum(np.minimum(as_number(d.x), as_number(d.y)), 1)),
    "table": ("[30, 10, 20][i]", lambda d: np.array([30, 10, 20])[d.i]),
    "truths": ("[true, false, true][i]", lambda d: np.array([True, False, True])[d.i]),
    "matrix": ("reshape([1, 2, 3, 4, 5, 6], [3, 2])[i]", lambda d: np.array([[1, 2], [3, 4], [5, 6]])[d.i]),
    "step": ("t", lambda d: np.broadcast_to(np.arange(STEPS), (ROWS, STEPS))),
}


# --- what looks along time -----------------------------------------------------------------------------------------


def ctc_paths(labels: tuple[int, ...], classes: int) -> list[tuple[int, ...]]:
    """Every path that says the labels; the last class is the blank."""
    blank = classes - 1

    def said(path: tuple[int, ...]) -> tuple[int, ...]:
        kept = [c for c, before in zip(path, (None, *path[:-1]), strict=True) if c != before]
        return tuple(c for c in kept if c != blank)

    return [path for path in itertools.product(range(classes), repeat=STEPS) if said(path) == labels]


def ctc_loss(x: Any, labels: Any) -> Any:
    p = softmax(as_float(x))
    paths = [ctc_paths(tuple(row), x.shape[-1]) for row in labels]
    return np.array([-np.log(sum(np.prod(p[b][range(STEPS), q]) for q in paths[b])) for b in range(ROWS)])


def fronted(rows: list[list[Any]], like: Any) -> Any:
    """Rows of kept steps with zeros behind them."""
    found = np.zeros_like(like)
    for b, row in enumerate(rows):
        found[b, : len(row)] = row
    return found


def ctc_greedy(x: Any) -> tuple[Any, Any, Any]:
    best, blank = np.argmax(x, -1), x.shape[-1] - 1
    rows = [[c for c, p in zip(r, [-1, *r[:-1]], strict=True) if c != p and c != blank] for r in best.tolist()]
    return fronted(rows, best), np.array(list(map(len, rows))), -as_float(x).max(-1).sum(-1)


def ctc_beam(x: Any) -> tuple[Any, Any, Any]:
    """The likeliest labels of all, by trying every one."""
    p, classes = softmax(as_float(x)), x.shape[-1]
    labels = [c for n in range(STEPS + 1) for c in itertools.product(range(classes - 1), repeat=n)]
    scores = [[sum(np.prod(row[range(STEPS), q]) for q in ctc_paths(c, classes)) for c in labels] for row in p]
    best = [labels[int(np.argmax(row))] for row in scores]
    counts, score = np.array(list(map(len, best))), np.log(np.max(scores, -1))
    return fronted([list(c) for c in best], np.zeros((ROWS, STEPS), np.int64)), counts, score


def shifted(x: Any) -> Any:
    return np.concatenate([np.zeros_like(x[:, :1]), x[:, :-1]], 1)


ALONG: dict[str, Case] = {
    "shift": ("shift(x, 1)", lambda d: shifted(d.x)),
    "every": ("every(x, 2)", lambda d: d.x[:, ::2]),
    "whole": ("whole(x)", lambda d: d.x),
    "last": ("last(x)", lambda d: d.x[:, -1]),
    "reversed": ("reversed(x)", lambda d: d.x[:, ::-1]),
    "window": ("window(x, 2)", lambda d: np.concatenate([shifted(d.x), d.x], -1)),
    "position": ("position(axis = time)", lambda d: np.broadcast_to(np.arange(STEPS), (ROWS, STEPS))),
    "sequence_mask": ("sequence_mask(x)", lambda d: np.ones((ROWS, STEPS), bool)),
    "compact": (
        "NAME, NAME_2 = compact(x, c)",
        lambda d: (fronted([d.x[b][d.c[b]].tolist() for b in range(ROWS)], d.x), d.c.sum(1)),
    ),
    "collapse_repeated": (
        "NAME, NAME_2 = collapse_repeated(i)",
        lambda d: (
            fronted([[c for c, _ in itertools.groupby(row)] for row in d.i.tolist()], d.i),
            np.array([len(list(itertools.groupby(row))) for row in d.i.tolist()]),
        ),
    ),
    "ctc_loss": ("ctc_loss(x, labels)", lambda d: ctc_loss(d.x, d.labels)),
    "ctc_greedy": ("NAME, NAME_2, NAME_3 = ctc_greedy(f)", lambda d: ctc_greedy(d.f)),
    "ctc_beam": ("NAME, NAME_2, NAME_3 = ctc_beam(f, 1000)", lambda d: ctc_beam(d.f)),
    "sequence_loss": ("sequence_loss(x, i)", lambda d: cross_entropy(d.x, d.i).mean()),
    "sum_time": ("sum(x, axis = time)", lambda d: as_number(d.x).sum(1)),
    "mean_time": ("mean(x, axis = time)", lambda d: d.x.mean(1)),
    "max_time": ("max(x, axis = time)", lambda d: as_number(d.x).max(1)),
    "any_time": ("any(x > 1, axis = time)", lambda d: (d.x > 1).any(1)),
    "all_time": ("all(x > 1, axis = time)", lambda d: (d.x > 1).all(1)),
    "norm_time": ("norm(x, axis = time)", lambda d: np.sqrt((as_float(d.x) ** 2).sum(1))),
    "logsumexp_time": ("logsumexp(x, axis = time)", lambda d: np.log(np.exp(as_float(d.x)).sum(1))),
    "min_time": ("min(x, axis = time)", lambda d: as_number(d.x).min(1)),
    "softmax_time": ("softmax(x, axis = time)", lambda d: softmax(as_float(d.x), 1)),
    "log_softmax_time": ("log_softmax(x, axis = time)", lambda d: np.log(softmax(as_float(d.x), 1))),
    "moments_time": ("NAME, NAME_2 = moments(x, axis = time)", lambda d: (d.x.mean(1), d.x.var(1))),
    "weighted_moments_time": (
        "NAME, NAME_2 = weighted_moments(x, [1, 2, 4], axis = time)", lambda d: (d.x.mean(1), d.x.var(1)),
    ),
    "sufficient_statistics_time": (
        "NAME, NAME_2, NAME_3 = sufficient_statistics(x, axis = time)",
        lambda d: (np.full(ROWS, float(STEPS)), as_float(d.x).sum(1), (as_float(d.x) ** 2).sum(1)),
    ),
    "sum_of_places": ("sum(position(axis = time), axis = time)", lambda d: np.full(ROWS, STEPS * (STEPS - 1) // 2)),
    "last_place": ("last(position(axis = time))", lambda d: np.full(ROWS, STEPS - 1)),
    "places_back": ("reversed(position(axis = time))", lambda d: np.tile(np.arange(STEPS)[::-1], (ROWS, 1))),
}  # fmt: skip
RANDOM = {
    "uniform": "uniform([2])", "normal": "normal([2])", "categorical": "categorical(x)",
    "draw": "NAME, NAME_2 = draw(ones([5]), 2)",
}  # fmt: skip


# --- one model of all ----------------------------------------------------------------------------------------------


def lines(cases: dict[str, str]) -> tuple[str, list[str]]:
    """Statements that name each result of each call, and these names."""
    text, names = "", []
    for name, call in cases.items():
        said = call.replace("NAME", f"r_{name}") if "NAME" in call else f"r_{name} = {call}"
        text += f"  {said}\n"
        names += [word for word in said.partition(" = ")[0].split(", ") if word != "_"]
    return text, names


INPUTS = {
    "x": "[3] KIND", "y": "[3] KIND", "z": "[3] KIND", "m": "[2, 3] KIND", "p": "[3, 3, 1] KIND", "f": "[3]",
    "i": " int", "c": " bool",
}  # fmt: skip


def model_of(kind: str) -> rg.Model:
    inner, stepwise = lines({n: call for n, (call, _) in (STEPWISE | OPERATORS).items()})
    outer, along = lines({**{n: call for n, (call, _) in ALONG.items()}, **RANDOM})
    declared = {n: spec.replace("KIND", kind) for n, spec in INPUTS.items()}
    return rg.parse(
        "cell Steps {\n"
        + "".join(f"  input {n}: {spec.strip()}\n" for n, spec in declared.items())
        + inner
        + f"  output {', '.join(stepwise)}\n}}\n\nmodel All {{\n"
        + "".join(f"  input {n}: seq{spec}\n" for n, spec in declared.items())
        + "  input labels: seq@label int\n"
        + f"  {', '.join(stepwise)} = unroll Steps over {', '.join(declared)}\n"
        + outer
        + f"  output {', '.join([*stepwise, *along])}\n}}"
    )


def data_of(kind: str) -> Arrays:
    rng = np.random.default_rng(4)

    def drawn(*shape: int) -> Any:
        whole = rng.integers(1, 4, (ROWS, STEPS, *shape))
        return {"float": rng.uniform(0.5, 3, whole.shape), "int": whole, "bool": whole > 1}[kind]

    return {
        "x": drawn(3), "y": drawn(3), "z": np.ones((ROWS, STEPS, 3), {"float": float, "int": int, "bool": bool}[kind]),
        "m": drawn(2, 3), "p": drawn(3, 3, 1), "f": rng.normal(size=(ROWS, STEPS, 3)),
        "i": rng.integers(0, 3, (ROWS, STEPS)), "c": rng.integers(0, 2, (ROWS, STEPS)) > 0,
        "labels": np.array([[0, 1], [1, 1]]),
    }  # fmt: skip


def expected(data: Arrays) -> Arrays:
    d, found = SimpleNamespace(**data), Arrays()
    with np.errstate(all="ignore"):
        for name, (_, reference) in (STEPWISE | OPERATORS | ALONG).items():
            results = reference(d)
            for k, array in enumerate(results if isinstance(results, tuple) else (results,)):
                found[f"r_{name}" + (f"_{k + 1}" if k else "")] = np.asarray(array)
    return found


def kind_of(array: Any) -> str:
    return {"f": "float", "i": "int", "b": "bool"}[array.dtype.kind]


@pytest.mark.parametrize("kernels", ["numpy", "native"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_function_and_operator_against_numpy(kind: str, kernels: str) -> None:
    """The kind and the numbers of each result, in both modes; lengths change no shape and no kind."""
    model, data = model_of(kind), data_of(kind)
    lengths = {f"{i.name}.lengths": np.array([STEPS, 3]) for i in model.inputs if i.axes == ("time",)}
    dynamic = model.compile(kernels=kernels)
    got, padded = dynamic.run(data, {}), dynamic.run(data | lengths, {})
    static = model.compile("static", {"time": STEPS, "label": LABELS}, kernels=kernels).run(data, {})
    for name, array in expected(data).items():
        assert kind_of(got[name]) == kind_of(array), f"{name}: {kind_of(got[name])}"
        assert got[name].shape == array.shape, name
        assert np.allclose(got[name], array, rtol=1e-9, atol=1e-12, equal_nan=True), name
    for name, array in got.items():
        assert static[name].dtype == array.dtype and static[name].tobytes() == array.tobytes(), name
        assert padded[name].dtype == array.dtype and padded[name].shape == array.shape, name


# --- what the reference says ---------------------------------------------------------------------------------------

ROWS_OF_KINDS = {"what it is given": "same", "a number": "number", "floats": "float", "ints": "int", "truth": "bool"}


def told_kinds() -> dict[str, str]:
    """Of each function, what the table of the reference says that it gives."""
    table = REFERENCE.split("| gives | of |\n|---|---|\n")[1].split("\n\n")[0]
    rows = [line.strip("|").split("|", 1) for line in table.splitlines()]
    kinds = {ROWS_OF_KINDS[re.split(r"[:,]", said.strip())[0]]: words for said, words in rows}
    return {name: kind for kind, words in kinds.items() for name in re.findall(r"[a-z]\w+", words)}


TRIED_ELSEWHERE = {"revise", "read_through", "reweigh", "restart", "gradient"}
"""What runs a cell gives what that gives."""


def test_the_reference_tells_the_kind_of_every_function() -> None:
    told = told_kinds()
    assert {name: function.gives[0] for name, function in TABLE.items() if name not in TRIED_ELSEWHERE} == {
        name: told.get(name, "") for name in TABLE if name not in TRIED_ELSEWHERE
    }


def test_every_function_is_tried() -> None:
    assert set(TABLE) - TRIED_ELSEWHERE <= {*STEPWISE, *ALONG, *RANDOM}


@pytest.mark.parametrize("kind", KINDS)
def test_functions_give_what_they_say(kind: str) -> None:
    """The kinds in the table of functions are those of the results."""
    types = {name: value.type.dtype for name, value in model_of(kind).graph.outputs.items()}
    given = {"same": kind, "number": "int" if kind == "int" else "float"}
    for name, function in TABLE.items():
        if name in TRIED_ELSEWHERE:
            continue
        results = [f"r_{name}", *(f"r_{name}_{k + 2}" for k in range(len(function.gives) - 1))]
        for result, gives in zip(results, function.gives, strict=bool(function.gives)):
            asked = {"collapse_repeated": "int", "categorical": "int"}.get(name, given.get(gives, gives))
            assert types[result] == asked, name


# --- what is known while compiling ---------------------------------------------------------------------------------

LITERALS = {"float": ("2.5", "0.5"), "int": ("7", "2"), "bool": ("true", "true")}
PAIRS = [(a, b) for a in KINDS for b in KINDS]
OF_TWO = ["A + B", "A - B", "A * B", "A / B", "A // B", "A % B", "A ** B", "A == B", "A < B", "mod(A, B)", "max(A, B)",
          "min(A, B)", "clip(A, B, B)", "where(true, A, B)", "where(false, A, B)", "straight_through(A, B)", "-A",
          *(f"{name}(A)" for name, f in TABLE.items() if f.fold and f.parameters == ("x",))]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_numbers_are_of_the_kind_that_values_would_be(first: str, second: str) -> None:
    """What is computed while compiling is what would be computed at each step: number, kind and shape."""
    a, b = LITERALS[first][0], LITERALS[second][1]
    text = f"model M {{\n  input A: {first}\n  input B: {second}\n"
    for k, e in enumerate(OF_TWO):
        text += f"  output {e} as value_{k}, {e.replace('A', a).replace('B', b)} as number_{k}\n"
    program = rg.parse(text + "}").compile(kernels="numpy")
    number = {"true": True, "2.5": 2.5, "0.5": 0.5, "7": 7, "2": 2}
    dtypes = {"float": float, "int": np.int64, "bool": bool}
    found = program.run({"A": np.array([number[a]], dtypes[first]), "B": np.array([number[b]], dtypes[second])}, {})
    for k, e in enumerate(OF_TWO):
        value, number = found[f"value_{k}"], found[f"number_{k}"]
        if e == "A ** B" and first == second == "int":
            assert kind_of(number) == "int"  # sizes are made of it
        else:
            assert kind_of(value) == kind_of(number), e
        assert np.allclose(value, number, rtol=1e-14), e


# --- ops -----------------------------------------------------------------------------------------------------------


def run_op(name: str, attrs: Any, types: tuple[Type, ...], arrays: list[Any], kernels: str) -> Any:
    """The result of one op over these arrays. ShapeError where it refuses their kinds."""
    graph, _, y = op_graph(name, attrs, types)
    backend = backend_named("numpy", kernels)
    program = backend.adapted(lower(graph), "float64")
    given = {f"x{i}": array for i, array in enumerate(arrays)}
    bound = backend.bound(program, plan(program, SIZES, "float64"), None)
    found = np.array(bound.run({n: given[n] for n in program.inputs}, {})["y"])
    assert kind_of(found) == y.type.dtype
    return found


@pytest.mark.parametrize("kind", ["int", "bool"])
@pytest.mark.parametrize("kernels", ["numpy", "native"])
def test_an_op_refuses_a_kind_or_computes_with_it(kind: str, kernels: str) -> None:
    """An op that takes ints or truth gives what it gives of the same numbers as floats."""
    rng, taken = np.random.default_rng(3), set()
    for name, attrs, types in ((n, *example) for n, op in OPS.items() for example in op.examples):
        wanted = tuple(replace(t, dtype=kind) if t.dtype == "float" else t for t in types)
        if wanted == types:
            continue
        numbers = [array_of(t, rng) for t in types]
        numbers = [rng.integers(1, 5, a.shape) if a.dtype == float else a for a in numbers]
        if kind == "bool":
            numbers = [a > 2 if t.dtype == "float" else a for a, t in zip(numbers, types, strict=True)]
        try:
            got = run_op(name, attrs, wanted, numbers, kernels)
        except ShapeError:
            continue
        taken.add(name)
        floats = [a.astype(float) if t.dtype == "float" else a for a, t in zip(numbers, types, strict=True)]
        assert np.array_equal(got.astype(float), run_op(name, attrs, types, floats, kernels).astype(float)), name
    assert {"where", "concat", "shift", "compact", "take", "max_over", "eq"} <= taken
    sums = {"sum", "sum_axes", "contract", "cumsum", "scatter_rows", "put_entries", "unpatch", "add", "floordiv"}
    assert (sums <= taken) == (kind == "int") and (sums & taken == set()) == (kind == "bool")
    assert not taken & {"div", "pow", "exp", "softmax", "log"}


# --- what is exact, and what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ints_are_exact_whatever_the_width_of_floats(dtype: str) -> None:
    """Beyond the 24 bits of a float32, and the 53 of a float64."""
    text = """
    model M {
      input a: int
      input b: int
      input m: [3, 2] int
      input i: int
      output a // b as whole, a % b as rest, m[i] as row, cumsum(m, axis = 0) as sums, m @ [1, 1] as product
    }
    """
    a, b, big = np.array([2**60 + 1, -(2**60) - 1]), np.array([7, -7]), 2**58 + np.arange(12).reshape(2, 3, 2)
    for kernels in ("numpy", "native"):
        program = rg.parse(text).compile(dtype=dtype, kernels=kernels)
        found = program.run({"a": a, "b": b, "m": big, "i": np.array([2, 0])}, {})
        assert found["whole"].tolist() == [x // y for x, y in zip(a.tolist(), b.tolist(), strict=True)]
        assert found["rest"].tolist() == [x % y for x, y in zip(a.tolist(), b.tolist(), strict=True)]
        assert found["row"].tolist() == [big[0, 2].tolist(), big[1, 0].tolist()]
        assert found["sums"].tolist() == big.cumsum(1).tolist() and found["product"].tolist() == big.sum(-1).tolist()
        by_none = program.run({"a": a, "b": 0 * b, "m": big, "i": np.array([2, 0])}, {})
        assert by_none["whole"].tolist() == by_none["rest"].tolist() == [0, 0]


def test_a_quotient_is_rounded_down_as_its_remainder_says() -> None:
    """x = (x // y) * y + x % y, which the quotient rounded first does not keep: 1 / 0.1 is 10."""
    x, y = np.array([1.0, -1.0, 7.0, 0.3]), np.array([0.1, 0.1, -2.0, 0.1])
    for kernels in ("numpy", "native"):
        program = rg.parse("model M { input x: float input y: float output x // y as q, 1.0 // 0.1 as n }")
        found = program.compile(kernels=kernels).run({"x": x, "y": y}, {})
        assert found["q"].tolist() == [9.0, -10.0, -4.0, 2.0] and found["n"] == 9.0


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("a @ a", "`@` multiplies by a vector or a matrix, but `a` has 3 x 3 x 3 values"),
        ("a[0] @ a", "`@` multiplies by a vector or a matrix"),
        ("a[0, 0] @ a", "`@` multiplies by a vector or a matrix"),
        ("split(a[0, 0], [1.5, 1.5])", "the sizes of pieces are whole numbers"),
        ("zeros([2.5])", "must be sizes"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(expression: str, message: str) -> None:
    """NumPy and others multiply two stacks of matrices pair by pair."""
    with pytest.raises(UserError, match=message):
        rg.parse(f"model M {{ input a: [3, 3, 3] output {expression} }}")


def test_sizes_are_whole_numbers_however_they_are_made() -> None:
    model = rg.parse("model M(n = 5) { input x: [4] output zeros([floor(n / 2)]) as a, split(x, max(2, 1.0)) }")
    assert [model.graph.outputs[n].type.shape for n in model.outputs] == [(2,), (2,), (2,)]


def test_what_stands_for_an_input_that_is_not_given_is_of_its_kind() -> None:
    """In a model as in a layer: 2.5 is no 2."""
    layer = "layer L { input x: [n] input k: int = 2.5 output x * k } model M { input x: [3] output L(x) }"
    for text in ("model M { input x: [3] input k: int = 2.5 output x * k }", layer):
        with pytest.raises(UserError, match=r"`2\.5` is float, but int is needed here"):
            rg.parse(text)
