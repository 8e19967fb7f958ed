"""docs/tf1_functions_b.md: every formula and every block of code is run, as it stands there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from tests.tensorflow.test_golden_nn_a import case
from tests.tensorflow.test_golden_nn_b import bags
from tests.tensorflow.tf1_docs import Page, Param, Seq, close, run

PAGE = Page("tf1_functions_b")


# --- lookups ---------------------------------------------------------------------------------------------------------


@PAGE.shows("table[ids]")
def _(formula: str) -> None:
    for name in ("matrix", "rank3_table", "vector"):
        _, a = case(f"embedding_lookup__{name}")
        ids = a["in_ids"].astype(int)
        (y,) = run(formula, {"table": Param(a["in_params"]), "ids": ids})
        close(y, a["out_y"])


@PAGE.shows("clip_by_norm(table[ids], m, axis = -1)")
def _(formula: str) -> None:
    meta, a = case("embedding_lookup__max_norm")
    given = {"table": Param(a["in_params"]), "ids": a["in_ids"].astype(int)}
    close(run(formula, given, m=meta["options"]["max_norm"])[0], a["out_y"], meta["rtol"])


@PAGE.shows("clip_by_norm(table[ids], m, axis = [-2, -1])")
def _(formula: str) -> None:
    table, ids = np.random.default_rng(0).normal(size=(5, 2, 3)), np.array([[0, 3], [4, 4]])
    rows = table[ids]
    norms = np.sqrt((rows**2).sum((-2, -1), keepdims=True))
    assert (norms > 1.5).any() and (norms < 1.5).any()
    close(run(formula, {"table": Param(table), "ids": ids}, m=1.5)[0], rows * np.minimum(1, 1.5 / norms))


def dealt(table: Any, parts: int, strategy: str) -> list[Any]:
    """The parts that TensorFlow looks up in: `mod` deals the rows out in turn, `div` cuts, the first ones longer."""
    if strategy == "mod":
        return [table[p::parts] for p in range(parts)]
    return [np.asarray(part) for part in np.array_split(table, parts)]


@pytest.mark.parametrize(("rows", "parts"), [(17, 4), (11, 3), (12, 3), (3, 3), (2, 2), (7, 5)])
@pytest.mark.parametrize("strategy", ["div", "mod"])
def test_tables_in_parts(rows: int, parts: int, strategy: str) -> None:
    """For any number of parts: the formula of the page for three, with another number in it."""
    (formula,) = (f for f in PAGE.formulas if f.startswith("concat(p0") and ("%" in f) == (strategy == "mod"))
    names = [f"p{i}" for i in range(parts)]
    formula = re.sub(r"concat\([^)]*, axis", f"concat({', '.join(names)}, axis", formula)
    formula = formula.replace("% 3", f"% {parts}").replace("// 3", f"// {parts}")
    table = np.arange(float(rows))[:, None] * [1, 10]
    pieces = dict(zip(names, map(Param, dealt(table, parts, strategy)), strict=True))
    ids = np.arange(rows)[None]
    close(run(formula, {**pieces, "ids": ids}, vocab=rows)[0][0], table)
    (block,) = PAGE.blocks("python")
    scope = {"parts": [table[p::parts] for p in range(parts)], "np": np}
    exec(block, scope)
    assert np.array_equal(scope["table"], table)


@PAGE.shows(
    "concat(p0, p1, axis = 0)[ids]",
    "concat(p0, p1, p2, axis = 0)[(ids % 3) * (vocab // 3) + min(ids % 3, vocab % 3) + ids // 3]",
)
def _(formula: str) -> None:
    """Two parts of TensorFlow's `div`, three of its `mod`, as in its own case."""
    _, a = case("embedding_lookup__partition_mod")
    ids = a["in_ids"][None].astype(int)
    if "%" in formula:
        parts = {f"p{i}": Param(a[f"in_params_{i}"]) for i in range(3)}
        close(run(formula, {**parts, "ids": ids}, vocab=11)[0][0], a["out_y"])
        return
    table = np.random.default_rng(0).normal(size=(11, 4))
    parts = {f"p{i}": Param(part) for i, part in enumerate(dealt(table, 2, "div"))}
    close(run(formula, {**parts, "ids": ids})[0][0], table[ids[0]])


def bag_data(name: str) -> tuple[dict[str, Any], Any, Any, Any, dict[str, Any]]:
    """Ids and weights as rows with lengths; what fills them up is no id and no number."""
    meta, a = case(f"embedding_lookup_sparse__{name}")
    ids, weights, lengths, _ = bags(a)
    past = np.arange(ids.shape[1]) >= lengths[:, None]
    return meta, np.where(past, 5, ids), np.where(past, np.nan, weights), lengths, a


BAGS = {
    "BagSum(vocab, units)(ids, weights)": "sum_weighted",
    "BagSum(vocab, units, max_norm = m)(ids, weights)": "sum_weighted_max_norm",
    "BagMean(vocab, units)(ids, weights)": "mean_weighted",
    "BagRootN(vocab, units)(ids, weights)": "sqrtn_weighted",
}


@PAGE.shows(*BAGS)
def _(formula: str) -> None:
    meta, ids, weights, lengths, a = bag_data(BAGS[formula])
    most = meta["options"]["max_norm"] or 0
    text = f"model M(vocab = 13, units = 3, m = {most}) {{\n  input ids: seq@bag int\n  input weights: seq@bag\n"
    model = rg.parse(f"{text}  layer_ = {formula.rpartition('(ids')[0]}\n  output layer_(ids, weights) as y\n}}")
    data = {"ids": ids, "weights": weights, "ids.lengths": lengths}
    close(model.compile(kernels="numpy").run(data, {"layer_.table": a["in_params"]})["y"], a["out_y"], meta["rtol"])


@PAGE.shows("sum(table[ids], axis = bag)", "mean(table[ids], axis = bag)")
def _(formula: str) -> None:
    meta, ids, _, lengths, a = bag_data(f"{formula.partition('(')[0]}_plain")
    given = {"table": Param(a["in_params"]), "ids": Seq(ids, lengths, "bag")}
    close(run(formula, given)[0], a["out_y"], meta["rtol"])


def test_the_blocks_about_bags() -> None:
    bag, safe = PAGE.blocks("rnn")
    meta, ids, weights, lengths, a = bag_data("mean_weighted")
    data = {"ids": ids, "weights": weights, "ids.lengths": lengths}
    close(
        rg.parse(bag).compile(kernels="numpy").run(data, {"bag_mean.table": a["in_params"]})["y"],
        a["out_y"],
        meta["rtol"],
    )
    for model, name in (("SafeMean", "mean_zeros"), ("SafeSum", "sum_default")):
        meta, a = case(f"safe_embedding_lookup_sparse__{name}")
        ids, weights, lengths, _ = bags(a)
        data = {"ids": ids, "weights": weights, "ids.lengths": lengths}
        found = rg.parse(safe, model).compile(kernels="numpy").run(data, {"table": a["in_params"]})["y"]
        close(found, a["out_y"], meta["rtol"])


# --- images ----------------------------------------------------------------------------------------------------------


@PAGE.shows("value + bias")
def _(formula: str) -> None:
    _, a = case("bias_add__rank4")
    close(run(formula, {"value": a["in_value"], "bias": Param(a["in_bias"])})[0], a["out_y"])


@PAGE.shows("value + reshape(bias, [channels, 1, 1])")
def _(formula: str) -> None:
    _, a = case("bias_add__rank4_channels_first")
    close(run(formula, {"value": a["in_value"], "bias": Param(a["in_bias"])}, channels=5)[0], a["out_y"])


@PAGE.shows("lrn(x, depth_radius, bias = 1, alpha = 1, beta = 0.5)")
def _(formula: str) -> None:
    _, a = case("lrn__default")
    close(run(formula, {"x": a["in_input"].astype(float)}, depth_radius=5)[0], a["out_y"], 1e-5)


def windows(x: Any, sizes: Sequence[int], same: bool) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Every place and what a window there sees of an image, moved one by one; NaN outside."""
    rank = len(sizes)
    around = [((k - 1) // 2, k // 2) if same else (0, 0) for k in sizes]
    wide = np.pad(x, [(0, 0), *around, (0, 0)], constant_values=np.nan)
    counts = [wide.shape[1 + i] - sizes[i] + 1 for i in range(rank)]
    for at in np.ndindex(*counts):
        yield at, wide[(slice(None), *(slice(p, p + k) for p, k in zip(at, sizes, strict=True)))]


@PAGE.shows(
    "conv2d(x, kernel, stride = 1, dilation = 1, padding = true)",
    "conv1d(x, kernel, stride = 1, dilation = 1, padding = true)",
    "conv2d(x, kernel, padding = true)",
    "conv2d(x, kernel, padding = false)",
)
def _(formula: str) -> None:
    rng, line = np.random.default_rng(0), formula.startswith("conv1d")
    x, kernel = (rng.normal(size=s) for s in (((2, 5, 3), (2, 3, 2)) if line else ((2, 5, 4, 3), (2, 3, 3, 2))))
    (y,) = run(formula, {"x": x, "kernel": Param(kernel)})
    letters = "bac,acd->bd" if line else "bhwc,hwcd->bd"
    for at, seen in windows(x, kernel.shape[:-2], "padding = true" in formula):
        close(y[(slice(None), *at)], np.einsum(letters, np.nan_to_num(seen), kernel))
    assert y.shape[1:-1] == (x.shape[1:-1] if "true" in formula else (4, 2))


@PAGE.shows("max_pool(x, [2, 2], stride = 1)", "avg_pool(x, [2, 2], stride = 1)")
def _(formula: str) -> None:
    """What lies outside never wins and is not counted."""
    x = np.random.default_rng(0).normal(size=(2, 4, 3, 2))
    (y,) = run(formula, {"x": x})
    for at, seen in windows(x, (2, 2), True):
        close(y[(slice(None), *at)], (np.nanmax if "max" in formula else np.nanmean)(seen, axis=(1, 2)))


DILATED = {
    "conv2d(x, kernel, dilation = rate)": "conv_same",
    "avg_pool(x, [2, 3], stride = 1, dilation = rate, count_padding = true)": "avg_pool_same",
}


@PAGE.shows(*DILATED)
def _(formula: str) -> None:
    meta, a = case(f"with_space_to_batch__{DILATED[formula]}")
    kernel = {"kernel": Param(a["in_filter"])} if "in_filter" in a else {}
    written = formula.replace("rate", str(meta["options"]["dilation_rate"]))
    close(run(written, {"x": a["in_input"], **kernel})[0], a["out_y"], meta["rtol"])


@PAGE.shows(
    "dilation2d(x, filter, stride = [2, 1], dilation = [1, 2], padding = true)",
    "erosion2d(x, filter, stride = [2, 1], dilation = [1, 2], padding = true)",
)
def _(formula: str) -> None:
    meta, a = case(f"{formula.partition('(')[0]}__stride_rate")
    close(run(formula, {"x": a["in_input"], "filter": Param(a["in_filter"])})[0], a["out_y"], meta["rtol"])


# --- statistics and norms --------------------------------------------------------------------------------------------


@PAGE.shows("mean, variance = moments(x, axis = [0, 1])", "mean, variance = moments(x, axis = [0, 1], keep = true)")
def _(formula: str) -> None:
    x, keep = np.random.default_rng(0).normal(size=(2, 3, 4, 2)), "keep" in formula
    mean, variance = run(formula, {"x": x})
    close(mean, x.mean((1, 2), keepdims=keep))
    close(variance, x.var((1, 2), keepdims=keep))


@PAGE.shows("mean, variance = weighted_moments(x, w, axis = [0, 1])")
def _(formula: str) -> None:
    """TensorFlow sees the batch too: the whole of its case is one example here."""
    _, a = case("weighted_moments__batch_same")
    x, w = (a[name].reshape(1, 6, 3, 2) for name in ("in_x", "in_frequency_weights"))
    mean, variance = run(formula, {"x": x, "w": w})
    close(mean[0], a["out_mean"])
    close(variance[0], a["out_variance"])


@PAGE.shows("count, sum_, squares = sufficient_statistics(x, axis = [0, 1], shift = s)")
def _(formula: str) -> None:
    meta, a = case("sufficient_statistics__batch_shift")
    count, sums, squares = run(formula, {"x": a["in_x"].reshape(1, 6, 3, 2)}, s=meta["options"]["shift"])
    assert np.ravel(count) == a["out_count"]
    close(sums[0], a["out_mean_ss"])
    close(squares[0], a["out_variance_ss"])


@PAGE.shows("mean, variance = normalize_moments(count, sum_, squares, s)")
def _(formula: str) -> None:
    _, a = case("normalize_moments__shift")
    count = np.full(2, float(a["in_counts"]))[:, None]
    given = {"count": count, "sum_": a["in_mean_ss"], "squares": a["in_variance_ss"], "s": a["in_shift"]}
    mean, variance = run(formula, given)
    close(mean, a["out_mean"])
    close(variance, a["out_variance"])


@PAGE.shows("zero_fraction(x)")
def _(formula: str) -> None:
    _, a = case("zero_fraction__float64")
    close(run(formula, {"x": a["in_value"][None]})[0], [a["out_fraction"]], 1e-7)


@PAGE.shows("clip(x, low, high)")
def _(formula: str) -> None:
    x = np.linspace(-2, 2, 9)[None]
    close(run(formula, {"x": x}, low=-0.5, high=1.25)[0], np.clip(x, -0.5, 1.25))


@PAGE.shows("clip_by_norm(t, m, axis = 1)")
def _(formula: str) -> None:
    meta, a = case("clip_by_norm__axes")
    close(run(formula, {"t": a["in_t"][None]}, m=meta["options"]["clip_norm"])[0], a["out_y"][None])


@PAGE.shows("c, d, norm = clip_by_global_norm(a, b, limit = m)", "global_norm(a, b)")
def _(formula: str) -> None:
    meta, a = case("clip_by_global_norm__clipped")
    given = {"a": a["in_t_0"][None], "b": a["in_t_1"][None]}
    found = run(formula, given, m=meta["options"]["clip_norm"])
    wanted = ("t_0", "t_1", "global_norm") if "clip" in formula else ("global_norm",)
    for got, want in zip(found, wanted, strict=True):
        close(got[0], a[f"out_{want}"])


@pytest.mark.parametrize("formula", PAGE.formulas)
def test_a_formula_of_the_page(formula: str) -> None:
    PAGE.checks[formula](formula)


def test_no_check_is_of_a_formula_that_is_gone() -> None:
    assert set(PAGE.formulas) == set(PAGE.checks)
