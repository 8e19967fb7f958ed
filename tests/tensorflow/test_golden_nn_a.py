"""Agreement with TensorFlow 1 of CTC, ranking, samplers and losses: values and gradients, statically and dynamically.

`golden_nn/README.md` says what each array means; `docs/tf1_functions_a.md` what is written for which function.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import rnngraph as rg
from rnngraph.data.shape_checks import steps_of

GOLDEN = Path(__file__).parent / "golden_nn"
Arrays = dict[str, Any]


@cache
def case(name: str) -> tuple[dict[str, Any], Arrays]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = dict(file)
    return json.loads(str(arrays.pop("meta"))), arrays


def named(*functions: str) -> list[str]:
    return [p.stem for f in functions for p in sorted(GOLDEN.glob(f"{f}__*.npz"))]


def flag(value: bool) -> str:
    return str(bool(value)).lower()


def modes(
    text: str, data: Arrays, weights: Arrays | None = None, cot: Arrays | None = None, dtype: str = "float64"
) -> Any:
    """Results and gradients, after all lowerings gave the same bits."""
    model, weights = rg.parse(text), weights or {}
    steps = steps_of(model.inputs, data)
    found = []
    for schedule in ({"unroll": "static", "steps": steps}, {"unroll": "dynamic"}, {"unroll": 3}):
        program = model.compile(dtype=dtype, gradient=cot is not None, **schedule)
        results = program.run(data, weights)
        grads = program.gradients(data, weights, cot)[1] if cot is not None else {}
        found.append((results, grads))
    for results, grads in found[1:]:
        for first, other in ((found[0][0], results), (found[0][1], grads)):
            assert all(first[k].tobytes() == other[k].tobytes() for k in first)
    return found[0]


def assert_close(got: Any, expected: Any, meta: Mapping[str, Any]) -> None:
    assert np.shape(got) == np.shape(expected)
    np.testing.assert_allclose(got, expected, rtol=meta["rtol"], atol=meta["atol"])


def swapped(array: Any, major: bool) -> Any:
    """Batch-major, of what is time-major."""
    return np.swapaxes(array, 0, 1) if major else array


# --- connectionist temporal classification -------------------------------------------------------------------------


def padded(arrays: Arrays, name: str) -> tuple[Any, Any]:
    """A sparse tensor as rows filled with 0, and how many entries each has."""
    rows, columns = (int(n) for n in arrays[f"{name}_shape"])
    dense, counts = np.zeros((rows, columns), int), np.zeros(rows, int)
    for (row, column), value in zip(arrays[f"{name}_indices"], arrays[f"{name}_values"], strict=True):
        dense[row, column] = value
        counts[row] += 1
    return dense, counts


def ctc_text(classes: int, options: str, labels: str = "y") -> str:
    return f"""model M {{
  input x: seq[{classes}]
  input y: seq@label int
  output ctc_loss(x, {labels}{options}) as loss_of_each
}}"""


def check_ctc(
    meta: Any, arrays: Arrays, x: str, labels: tuple[Any, Any], steps: Any, options: str, major: bool, y: str = "y"
) -> None:
    scores = swapped(arrays[f"in_{x}"], major)
    data = {"x": scores, "x.lengths": steps, "y": labels[0], "y.lengths": labels[1]}
    text = ctc_text(scores.shape[-1], options, y)
    dtype = "float32" if scores.dtype == np.float32 else "float64"
    results, grads = modes(text, data, cot={"loss_of_each": arrays["cot_loss"]}, dtype=dtype)
    assert_close(results["loss_of_each"], arrays["out_loss"], meta)
    assert_close(grads["x"], swapped(arrays[f"grad_{x}"], major), meta)


@pytest.mark.parametrize("name", named("ctc_loss"))
def test_ctc_loss(name: str) -> None:
    meta, arrays = case(name)
    o = meta["options"]
    # TensorFlow counts a row that no path says as infinite, whatever is to be ignored. Here such a row can only come
    # from labels that are computed.
    never = not np.isfinite(arrays["out_loss"]).all()
    options = (
        f", merge = {flag(o['ctc_merge_repeated'])}, collapse = {flag(o['preprocess_collapse_repeated'])}"
        f", ignore_longer = {flag(o['ignore_longer_outputs_than_inputs'] and not never)}"
    )
    labels, steps = padded(arrays, "in_labels"), arrays["in_sequence_length"]
    check_ctc(meta, arrays, "inputs", labels, steps, options, o["time_major"], "y + 0" if never else "y")


@pytest.mark.parametrize("name", named("ctc_loss_v2"))
def test_ctc_loss_v2(name: str) -> None:
    meta, arrays = case(name)
    o = meta["options"]
    dense = o["labels"] == "dense"
    labels = (arrays["in_labels"], arrays["in_label_length"]) if dense else padded(arrays, "in_labels")
    options = f", blank = {o['blank_index']}"
    check_ctc(meta, arrays, "logits", labels, arrays["in_logit_length"], options, o["logits_time_major"])


def said(results: Arrays, count: int) -> list[list[list[int]]]:
    """The labels of each path and row."""
    labels, lengths = results["labels"], results["lengths"]
    assert not labels[np.arange(labels.shape[1])[None, :, None] >= lengths[:, None, :]].any()
    return [[row[:n, p].tolist() for row, n in zip(labels, lengths[:, p], strict=True)] for p in range(count)]


def told(arrays: Arrays, name: str) -> list[list[int]]:
    dense, counts = padded(arrays, name)
    return [row[:n].tolist() for row, n in zip(dense, counts, strict=True)]


def decoded(meta: Any, arrays: Arrays, call: str) -> Arrays:
    scores = np.swapaxes(arrays["in_inputs"], 0, 1)
    text = f"""model M {{
  input x: seq[{scores.shape[-1]}]
  labels, lengths, scores = {call}
  output labels, lengths, scores
}}"""
    data = {"x": scores, "x.lengths": arrays["in_sequence_length"]}
    return modes(text, data, dtype=str(scores.dtype))[0]


@pytest.mark.parametrize("name", named("ctc_beam_search_decoder", "ctc_beam_search_decoder_v2"))
def test_ctc_beam(name: str) -> None:
    meta, arrays = case(name)
    o = meta["options"]
    merge = flag(o.get("merge_repeated", False))
    call = f"ctc_beam(x, width = {o['beam_width']}, paths = {o['top_paths']}, merge = {merge})"
    results = decoded(meta, arrays, call)
    assert said(results, o["top_paths"]) == [told(arrays, f"out_decoded_{p}") for p in range(o["top_paths"])]
    assert_close(results["scores"], arrays["out_log_probability"], meta)


@pytest.mark.parametrize("name", named("ctc_greedy_decoder"))
def test_ctc_greedy(name: str) -> None:
    meta, arrays = case(name)
    o = meta["options"]
    blank = -1 if o["blank_index"] is None else o["blank_index"]
    results = decoded(meta, arrays, f"ctc_greedy(x, merge = {flag(o['merge_repeated'])}, blank = {blank})")
    several = {"labels": results["labels"][..., None], "lengths": results["lengths"][:, None]}
    assert said(several, 1) == [told(arrays, "out_decoded")]
    assert_close(results["scores"][:, None], arrays["out_neg_sum_logits"], meta)


def test_one_path_has_no_dimension_of_its_own() -> None:
    text = "model M { input x: seq[4] y, n, s = ctc_beam(x, width = 6)  output y, n, s }"
    x = np.random.default_rng(0).normal(size=(2, 5, 4))
    results = rg.parse(text).compile().run({"x": x}, {})
    assert [results[k].shape for k in ("y", "n", "s")] == [(2, 5), (2,), (2,)]


def test_collapse_repeated() -> None:
    meta, arrays = case("collapse_repeated__plain")
    text = "model M { input y: seq int  labels, count = collapse_repeated(y)  output labels, count }"
    results, _ = modes(text, {"y": arrays["in_labels"], "y.lengths": arrays["in_seq_length"]})
    width = arrays["out_labels"].shape[1]
    assert_close(results["labels"][:, :width], arrays["out_labels"], meta)
    assert not results["labels"][:, width:].any()
    assert_close(results["count"], arrays["out_seq_length"], meta)


def test_ctc_unique_labels() -> None:
    meta, arrays = case("ctc_unique_labels__plain")
    text = "model M { input y: [6] int  ids, places = UniqueLabels(y)  output ids, places }"
    results, _ = modes(text, {"y": arrays["in_labels"]})
    assert_close(results["ids"], arrays["out_ids"], meta)
    assert_close(results["places"], arrays["out_idx"], meta)


# --- ranking -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", named("top_k"))
def test_top_k(name: str) -> None:
    meta, arrays = case(name)
    x = arrays["in_input"][None] if arrays["in_input"].ndim == 1 else arrays["in_input"]
    kind = " int" if x.dtype.kind == "i" else ""
    sizes = ", ".join(map(str, x.shape[1:]))
    text = f"""model M {{
  input x: [{sizes}]{kind}
  values, places = top_k(x, {meta["options"]["k"]})
  output values, places
}}"""
    cot = arrays.get("cot_values")
    lone = arrays["in_input"].ndim == 1
    given = None if cot is None else {"values": cot[None] if lone else cot}
    results, grads = modes(text, {"x": x}, cot=given)
    values, places = (results[k][0] if lone else results[k] for k in ("values", "places"))
    if not meta["options"]["sorted"]:
        order = np.argsort(arrays["out_indices"], axis=-1)
        assert np.array_equal(np.sort(places, axis=-1), np.take_along_axis(arrays["out_indices"], order, -1))
        assert np.array_equal(np.sort(values, axis=-1), np.sort(arrays["out_values"], axis=-1))
        return
    assert_close(values, arrays["out_values"], meta)
    assert np.array_equal(places, arrays["out_indices"])
    if given is not None:
        assert_close(grads["x"][0] if lone else grads["x"], arrays["grad_input"], meta)


@pytest.mark.parametrize("name", named("in_top_k"))
def test_in_top_k(name: str) -> None:
    """The predictions are weights here: what is not finite is refused in data."""
    meta, arrays = case(name)
    rows, classes = arrays["in_predictions"].shape
    text = f"""model M {{
  input row: int
  input target: int
  param table: [{rows}, {classes}]
  output in_top_k(table[row], target, {meta["options"]["k"]}) as hit
}}"""
    data = {"row": np.arange(rows), "target": arrays["in_targets"]}
    results, _ = modes(text, data, {"table": arrays["in_predictions"]}, dtype="float32")
    assert np.array_equal(results["hit"], arrays["out_hit"])


# --- softmax and cross-entropies ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", named("softmax", "log_softmax"))
def test_softmax(name: str) -> None:
    meta, arrays = case(name)
    x, axis = arrays["in_logits"], meta["options"]["axis"]
    function = name.partition("__")[0]
    sizes = ", ".join(map(str, x.shape[1:]))
    text = f"""model M {{
  input x: [{sizes}]
  output {function}(x, axis = {axis - 1 if axis > 0 else axis}) as y
}}"""
    results, grads = modes(text, {"x": x}, cot={"y": arrays["cot_y"]})
    assert_close(results["y"], arrays["out_y"], meta)
    assert_close(grads["x"], arrays["grad_logits"], meta)


def crossed(name: str, lines: str, target: str) -> tuple[Any, Arrays, Arrays, Arrays]:
    """A loss of `x` and `y` as one output, compared with the case; its gradients."""
    meta, arrays = case(name)
    x, y = arrays["in_logits"], arrays["in_labels"]
    sizes = f"[{', '.join(map(str, x.shape[1:]))}]"
    text = f"model M {{\n  input x: {sizes}\n  input y: {target.format(sizes=sizes)}\n  {lines}\n}}"
    results, grads = modes(text, {"x": x, "y": y}, cot={"loss_of_each": arrays["cot_loss"]})
    assert_close(results["loss_of_each"], arrays["out_loss"], meta)
    assert_close(grads["x"], arrays["grad_logits"], meta)
    return meta, arrays, results, grads


@pytest.mark.parametrize("name", named("softmax_cross_entropy_with_logits"))
def test_softmax_cross_entropy(name: str) -> None:
    _, _, _, grads = crossed(name, "output cross_entropy(x, detach(y)) as loss_of_each", "{sizes}")
    assert not grads["y"].any()


TENSORFLOWS = """logs = log_softmax(x, axis = {axis})
  short = 1 - sum(y, axis = {axis})
  total = mean(x - logs, axis = {axis})
  output short * (total - detach(total)) - sum(y * logs, axis = {axis}) as loss_of_each"""
"""TensorFlow's gradient to the logits is softmax - labels, also where the labels do not sum to 1."""
SOFTMAX_V2 = {
    "plain": "output cross_entropy(x, y) as loss_of_each",
    "plain_large": "output cross_entropy(x, y) as loss_of_each",
    "axis1": TENSORFLOWS.format(axis=0),
    "unnormalised_rank3": TENSORFLOWS.format(axis=-1),
}


@pytest.mark.parametrize("name", named("softmax_cross_entropy_with_logits_v2"))
def test_softmax_cross_entropy_v2(name: str) -> None:
    meta, arrays, _, grads = crossed(name, SOFTMAX_V2[name.partition("__")[2]], "{sizes}")
    assert_close(grads["y"], arrays["grad_labels"], meta)


@pytest.mark.parametrize("name", named("sparse_softmax_cross_entropy_with_logits"))
def test_sparse_softmax_cross_entropy(name: str) -> None:
    meta, arrays = case(name)
    seq = "seq" if arrays["in_logits"].ndim == 3 else ""
    text = f"""model M {{
  input x: {seq}[{arrays["in_logits"].shape[-1]}]
  input y: {seq} int
  output cross_entropy(x, y) as loss_of_each
}}"""
    data = {"x": arrays["in_logits"], "y": arrays["in_labels"]}
    results, grads = modes(text, data, cot={"loss_of_each": arrays["cot_loss"]})
    assert_close(results["loss_of_each"], arrays["out_loss"], meta)
    assert_close(grads["x"], arrays["grad_logits"], meta)


@pytest.mark.parametrize("name", named("sigmoid_cross_entropy_with_logits", "weighted_cross_entropy_with_logits"))
def test_sigmoid_cross_entropies(name: str) -> None:
    meta, arrays = case(name)
    weight = meta["options"].get("pos_weight")
    more = f", {weight}" if weight else ""
    width = arrays["in_logits"].shape[1:]
    text = f"""model M {{
  input x: {list(width) or "[]"}
  input y: {list(width) or "[]"}
  output binary_cross_entropy(x, y{more}) as loss_of_each
}}"""
    data = {"x": arrays["in_logits"], "y": arrays["in_labels"]}
    results, grads = modes(text, data, cot={"loss_of_each": arrays["cot_loss"]})
    assert_close(results["loss_of_each"], arrays["out_loss"], meta)
    assert_close(grads["x"], arrays["grad_logits"], meta)
    assert_close(grads["y"], arrays["grad_labels"], meta)


# --- sequences ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", named("sequence_loss"))
def test_sequence_loss(name: str) -> None:
    """What has no batch any more is the same in every row of an output: the first takes the whole cotangent."""
    meta, arrays = case(name)
    o = meta["options"]
    over_steps, over_batch = o["average_across_timesteps"], o["average_across_batch"]
    weighted = "in_weights" in arrays
    text = f"""model M {{
  input x: seq[{arrays["in_logits"].shape[-1]}]
  input y: seq int
  {"input w: seq" if weighted else ""}
  output sequence_loss(x, y{", w" if weighted else ""}, over_steps = {flag(over_steps)}, over_batch = {
        flag(over_batch)
    }) as loss_of_all
}}"""
    data = {"x": arrays["in_logits"], "y": arrays["in_targets"]}
    if weighted:
        data["w"] = arrays["in_weights"]
    else:
        data["x.lengths"] = arrays["in_sequence_length"]
    cot, expected, rows = arrays["cot_loss"], arrays["out_loss"], len(arrays["in_logits"])
    if over_batch and not over_steps:
        cot = np.concatenate([cot[None], np.zeros((rows - 1, *cot.shape))])
        expected = np.repeat(expected[None], rows, 0)
        expected = expected if weighted else np.where(real(data), expected, 0)
    results, grads = modes(text, data, cot={"loss_of_all": cot})
    assert_close(results["loss_of_all"], expected, meta)
    if over_batch and not over_steps and not weighted:
        return  # its first row stands for all rows only where that one is as long as any, see the next test
    assert_close(grads["x"], arrays["grad_logits"], meta)
    if "grad_weights" in arrays:
        assert_close(grads["w"], arrays["grad_weights"], meta)


def real(data: Arrays) -> Any:
    return np.arange(data["x"].shape[1]) < data["x.lengths"][:, None]


def test_sequence_loss_of_each_step_over_the_batch_with_lengths() -> None:
    """A cotangent in a row that is real there, for each step."""
    meta, arrays = case("sequence_loss__time0_batch1_lengths")
    data = {"x": arrays["in_logits"], "y": arrays["in_targets"], "x.lengths": arrays["in_sequence_length"]}
    longest = int(np.argmax(data["x.lengths"]))
    cot = np.zeros((len(data["x"]), *arrays["cot_loss"].shape))
    cot[longest] = arrays["cot_loss"]
    text = f"""model M {{
  input x: seq[{arrays["in_logits"].shape[-1]}]
  input y: seq int
  output sequence_loss(x, y, over_steps = false) as loss_of_all
}}"""
    _, grads = modes(text, data, cot={"loss_of_all": cot})
    assert_close(grads["x"], arrays["grad_logits"], meta)


def test_a_loss_is_the_mean_over_the_real_steps() -> None:
    """`loss cross_entropy(...)` is `sequence_loss` with lengths and both averages, but for its 1e-12."""
    meta, arrays = case("sequence_loss__time1_batch1_lengths")
    text = "model M { input x: seq[4]  input y: seq int  loss cross_entropy(x, y) }"
    data = {"x": arrays["in_logits"], "y": arrays["in_targets"], "x.lengths": arrays["in_sequence_length"]}
    loss, grads = rg.parse(text).compile(gradient=True).gradients(data, {})
    assert_close(loss, arrays["out_loss"], meta)
    assert_close(grads["x"] * arrays["cot_loss"], arrays["grad_logits"], meta)


@pytest.mark.parametrize("name", named("sequence_mask"))
def test_sequence_mask(name: str) -> None:
    _, arrays = case(name)
    rows, width = arrays["out_mask"].shape
    text = "model M { input x: seq  output sequence_mask(x) as mask }"
    results, _ = modes(text, {"x": np.zeros((rows, width)), "x.lengths": arrays["in_lengths"]})
    assert np.array_equal(results["mask"], arrays["out_mask"])


@pytest.mark.parametrize("name", named("reverse_sequence"))
def test_reverse_sequence(name: str) -> None:
    """Behind a row's end, where TensorFlow hands on what stands there, there is 0."""
    meta, arrays = case(name)
    major = meta["options"]["seq_axis"] == 0
    x, y, cot, grad = (swapped(arrays[k], major) for k in ("in_input", "out_y", "cot_y", "grad_input"))
    text = "model M { input x: seq[2]  output reversed(x) as y }"
    lengths = arrays["in_seq_lengths"]
    results, grads = modes(text, {"x": x, "x.lengths": lengths}, cot={"y": cot})
    own = (np.arange(x.shape[1]) < lengths[:, None])[..., None]
    assert_close(results["y"], np.where(own, y, 0), meta)
    assert_close(grads["x"], np.where(own, grad, 0), meta)


# --- samplers ----------------------------------------------------------------------------------------------------


def numbers(values: Any) -> str:
    return "[" + ", ".join(repr(float(v)) for v in values) + "]"


def sampler_text(name: str, meta: Any, count: int, unique: bool) -> str:
    """The sampler of a case, over the labels `y`."""
    o, kind = meta["options"], name.partition("_candidate")[0]
    ways = f"{count}, unique = {flag(unique)}"
    if kind == "uniform":
        return f"UniformSampler({count}, {o['range_max']}, {flag(unique)})(y)"
    if kind == "log_uniform":
        return f"LogUniformSampler({count}, {o['range_max']}, {flag(unique)})(y)"
    counts = o.get("unigrams") or [float(line.rpartition(",")[2]) for line in o["vocab_file_lines"]]
    more = f"distortion = {o['distortion']}, reserved = {o['num_reserved_ids']}"
    shards = f", shards = {o.get('num_shards', 1)}, shard = {o.get('shard', 0)}"
    return f"UnigramSampler({ways}, {more}{shards})(y, {numbers(counts)})"


def sampled(call: str, labels: Any, rows: int, seed: int, dtype: str = "float64") -> Arrays:
    text = f"model M {{ input y: [{np.size(labels)}] int  c, te, e = {call}  output c, te, e }}"
    data = {"y": np.tile(np.ravel(labels), (rows, 1)), "seed": seed}
    return rg.parse(text).compile(dtype=dtype).run(data, {})


WHOLE = ("uniform_candidate_sampler", "log_uniform_candidate_sampler", "fixed_unigram_candidate_sampler")
SAMPLERS = [n for n in named(*WHOLE) if n.split("__")[1] not in ("shards", "vocab_file")]


def expected_count(p: Any, count: int, tries: Any) -> Any:
    """`ExpectedCount` of the library, on given probabilities and tries."""
    text = f"""model M {{
  input p: [{p.shape[-1]}]
  input tries: int
  output ExpectedCount({count})(p, tries) as found
}}"""
    return modes(text, {"p": p, "tries": tries})[0]["found"]


@pytest.mark.parametrize("name", SAMPLERS)
def test_expected_counts_of_given_candidates(name: str) -> None:
    meta, arrays = case(name)
    count, classes = meta["options"]["num_sampled"], meta["options"]["range_max"]
    tries = np.atleast_1d(arrays.get("in_num_tries", count))
    p = np.asarray(arrays["out_probability"], float)
    drawn = np.reshape(arrays["in_sampled_candidates"], (len(tries), count))
    wanted = np.reshape(arrays["out_sampled_expected_count"], (len(tries), count))
    assert_close(expected_count(p[drawn], count, tries), wanted, meta)
    true = np.tile(np.ravel(arrays["in_true_classes"]), (len(tries), 1))
    wanted = np.reshape(arrays["out_true_expected_count"], (len(tries), true.shape[1]))
    assert_close(expected_count(p[true], count, tries), wanted, meta)
    assert classes == len(p)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_counts_of_a_sampler_are_those_of_its_distribution(name: str) -> None:
    """Every class is asked for: the expected counts say the probability of each, as TensorFlow's."""
    meta, arrays = case(name)
    classes = meta["options"]["range_max"]
    call = sampler_text(name, meta, 1, False)
    results = sampled(call, np.arange(classes), 3, 1)
    assert_close(results["te"], np.tile(arrays["out_probability"], (3, 1)), meta | {"rtol": 1e-6})
    p = results["te"][0]
    assert np.allclose(np.take_along_axis(results["te"], results["c"], 1), results["e"], rtol=1e-12)
    assert p.sum() == pytest.approx(1, rel=1e-12)


def chi_square(seen: Any, expected: Any) -> float:
    """The probability of so large a distance, classes that are never expected left out after a look at them."""
    assert not seen[expected == 0].any()
    seen, expected = seen[expected > 0], expected[expected > 0]
    distance = float(np.sum((seen - expected) ** 2 / expected))
    return float(stats.chi2.sf(distance, len(seen) - 1))


@pytest.mark.parametrize("name", [n for n in SAMPLERS if n.endswith("replace")])
def test_draws_follow_the_distribution(name: str) -> None:
    meta, arrays = case(name)
    classes, rows, count = meta["options"]["range_max"], 2000, 20
    p = np.asarray(arrays["out_probability"], float)
    results = sampled(sampler_text(name, meta, count, False), [0], rows, 3)
    seen = np.bincount(results["c"].ravel(), minlength=classes)
    assert chi_square(seen, p * rows * count) > 1e-4
    histogram = arrays["out_histogram"]
    assert chi_square(histogram, p * histogram.sum()) > 1e-4  # the same test holds for TensorFlow's own


@pytest.mark.parametrize("name", [n for n in SAMPLERS if n.endswith("unique")])
def test_different_draws_are_present_as_often_as_tensorflows(name: str) -> None:
    meta, arrays = case(name)
    o, rows = meta["options"], 20_000
    text = f"""model M {{
  input weights: [{o["range_max"]}]
  c, tries = draw(weights, {o["num_sampled"]})
  output c, tries
}}"""
    p = np.asarray(arrays["out_probability"], float)
    results = rg.parse(text).compile().run({"weights": np.tile(p, (rows, 1)), "seed": 5}, {})
    assert all(len(set(row)) == o["num_sampled"] for row in results["c"].tolist())
    batches = arrays["out_num_tries_histogram"].sum()
    for ours, theirs in (
        (np.bincount(results["c"].ravel(), minlength=len(p)), arrays["out_histogram"]),
        (np.bincount(results["tries"]), arrays["out_num_tries_histogram"]),
    ):
        size = max(len(ours), len(theirs))
        a, b = (np.pad(h, (0, size - len(h))) / n for h, n in ((ours, rows), (theirs, batches)))
        spread = np.sqrt((a * (1 - a) / rows + b * (1 - b) / batches).clip(1e-12)) + 1e-3
        assert (np.abs(a - b) < 5 * spread).all()


@pytest.mark.parametrize("shard", [0, 1])
def test_shards(shard: int) -> None:
    meta, arrays = case("fixed_unigram_candidate_sampler__shards")
    meta["options"]["shard"] = shard
    p = arrays[f"out_probability_shard{shard}"]
    call = sampler_text("fixed_unigram_candidate_sampler", meta, 1, False)
    assert_close(sampled(call, np.arange(len(p)), 1, 0)["te"][0], p, meta | {"rtol": 1e-6})


def test_reserved_classes_belong_to_shards_too() -> None:
    call = "UnigramSampler(1, unique = false, reserved = 2, shards = 3, shard = 1)(y, [1, 2, 3, 4, 5])"
    assert np.allclose(sampled(call, [0, 1], 1, 0)["te"][0], [0, 1])  # 1 and 4 of [0, 0, 1, 2, 3, 4, 5]: 0 and 3


def test_vocab_file() -> None:
    """What the file holds is written as a list here, or kept as a `frozen param`."""
    meta, arrays = case("fixed_unigram_candidate_sampler__vocab_file")
    p = arrays["out_probability"]
    call = sampler_text("fixed_unigram_candidate_sampler", meta, 1, False)
    assert_close(sampled(call, np.arange(len(p)), 1, 0)["te"][0], p, meta | {"rtol": 1e-6})


@pytest.mark.parametrize("name", named("all_candidate_sampler"))
def test_all_candidates(name: str) -> None:
    meta, arrays = case(name)
    labels = arrays["in_true_classes"]
    text = f"""model M {{
  input y: [{labels.shape[1]}] int
  c, te, e = AllSampler({meta["options"]["num_sampled"]})(y)
  output c, te, e
}}"""
    results, _ = modes(text, {"y": labels})
    assert_close(results["c"], arrays["out_sampled_candidates"], meta)
    assert_close(results["e"], arrays["out_sampled_expected_count"], meta)
    assert_close(results["te"], arrays["out_true_expected_count"], meta)


def learned(arrays: Arrays, count: int, unique: bool, rows: int) -> Arrays:
    """The sampler as a cell: one step for each run of TensorFlow's."""
    true = arrays["in_true_classes"]
    labels = true.reshape(len(true), -1)
    text = f"""model M {{
  input y: seq[{labels.shape[1]}] int
  c, te, e, final = unroll LearnedUnigramSampler({count}, 10, {flag(unique)}) over y
  output c, te, e, final
}}"""
    data = {"y": np.tile(labels, (rows, 1, 1)), "seed": 2}
    return modes(text, data)[0]


def test_learned_unigram() -> None:
    meta, arrays = case("learned_unigram_candidate_sampler__replace")
    count = meta["options"]["num_sampled"]
    results = learned(arrays, 50, False, 400)
    shape = arrays["out_true_expected_count"].shape
    assert_close(results["te"][0].reshape(shape) / 50 * count, arrays["out_true_expected_count"], meta)
    for step, p in enumerate(arrays["out_probability"]):
        assert chi_square(np.bincount(results["c"][:, step].ravel(), minlength=10), p * 50 * 400) > 1e-4


def test_learned_unigram_unique() -> None:
    meta, arrays = case("learned_unigram_candidate_sampler__unique")
    true, count = arrays["in_true_classes"], meta["options"]["num_sampled"]
    seen = np.ones(10)
    for run in range(len(true)):
        p = seen / seen.sum()
        for ids, wanted in (
            (arrays["in_sampled_candidates"][run], arrays["out_sampled_expected_count"][run]),
            (true[run].ravel(), arrays["out_true_expected_count"][run].ravel()),
        ):
            found = expected_count(p[ids][None], count, arrays["in_num_tries"][run : run + 1])
            assert_close(found[0], wanted, meta)
        np.add.at(seen, true[run].ravel(), 1)
    results = learned(arrays, count, True, 5)
    assert np.array_equal(results["final.seen"][0], seen)
    assert all(len(set(c)) == count for c in results["c"].reshape(-1, count).tolist())


@pytest.mark.parametrize("name", named("compute_accidental_hits"))
def test_accidental_hits(name: str) -> None:
    """TensorFlow lists them, row by row; here they are a table of 1 and 0."""
    _, arrays = case(name)
    labels, drawn = arrays["in_true_classes"], arrays["in_sampled_candidates"]
    text = f"""model M {{
  input y: [{labels.shape[1]}] int
  input c: [{len(drawn)}] int
  output AccidentalHits(y, c) as hits
}}"""
    hits = modes(text, {"y": labels, "c": np.tile(drawn, (len(labels), 1))})[0]["hits"]
    rows, _, places = np.nonzero(hits)
    assert np.array_equal(rows, arrays["out_indices"]) and np.array_equal(places, arrays["out_ids"])


# --- losses over candidates ----------------------------------------------------------------------------------------


def part_of(meta: Any, ids: Any) -> tuple[Any, Any]:
    """Which part each class is in and where there: `mod` deals the rows out in turn, `div` cuts the table."""
    n, classes = meta["options"]["partitions"], meta["options"]["num_classes"]
    if meta["options"]["partition_strategy"] == "mod":
        return ids % n, ids // n
    small, more = divmod(classes, n)
    bounds = np.cumsum([small + (i < more) for i in range(n)])
    part = np.searchsorted(bounds, ids, side="right")
    return part, ids - np.concatenate([[0], bounds])[part]


def whole(meta: Any, arrays: Arrays, kind: str) -> Any:
    """The one table that the parts make."""
    if meta["options"]["partitions"] == 1:
        return arrays[f"{kind}_weights"]
    parts, places = part_of(meta, np.arange(meta["options"]["num_classes"]))
    return np.stack([arrays[f"{kind}_weights_{p}"][i] for p, i in zip(parts, places, strict=True)])


@pytest.mark.parametrize("name", named("sampled_softmax_loss", "nce_loss"))
def test_losses_over_given_candidates(name: str) -> None:
    meta, arrays = case(name)
    weights, labels, x = whole(meta, arrays, "in"), arrays["in_labels"], arrays["in_inputs"]
    rows, count = len(x), len(arrays["in_sampled_candidates"])
    layer = "NCELoss" if name.startswith("nce") else "SampledSoftmaxLoss"
    text = f"""model M {{
  input x: [{x.shape[1]}]
  input y: [{labels.shape[1]}] int
  input c: [{count}] int
  input te: [{labels.shape[1]}]
  input e: [{count}]
  param w: {list(weights.shape)}
  param b: [{len(weights)}]
  output {layer}({flag(meta["options"]["remove_accidental_hits"])})(w, b, x, y, c, te, e) as loss_of_each
}}"""
    drawn = {"c": arrays["in_sampled_candidates"], "e": arrays["in_sampled_expected_count"]}
    data = {"x": x, "y": labels, "te": arrays["in_true_expected_count"]}
    data |= {k: np.tile(v, (rows, 1)) for k, v in drawn.items()}
    results, grads = modes(text, data, {"w": weights, "b": arrays["in_biases"]}, {"loss_of_each": arrays["cot_loss"]})
    assert_close(results["loss_of_each"], arrays["out_loss"], meta)
    for ours, theirs in (
        ("w", whole(meta, arrays, "grad")),
        ("b", arrays["grad_biases"]),
        ("x", arrays["grad_inputs"]),
    ):
        assert_close(grads[ours], theirs, meta)


# --- what no case holds ----------------------------------------------------------------------------------------------


def draws(text: str, data: Arrays) -> Any:
    return rg.parse(text).compile().run(data, {})["c"]


def test_a_draw_depends_on_seed_place_step_and_row_alone() -> None:
    text = "model M { input x: seq[1]  c, _, _ = LogUniformSampler(6, 50)(int(x))  output c }"
    few, many = np.zeros((2, 3, 1)), np.zeros((5, 4, 1))
    small, large = draws(text, {"x": few, "seed": 4}), draws(text, {"x": many, "seed": 4})
    assert np.array_equal(large[:2, :3], small)
    assert not np.array_equal(draws(text, {"x": few, "seed": 5}), small)
    rows = large.reshape(-1, 6)
    assert len({tuple(r) for r in rows.tolist()}) == len(rows)
    twice = "model M { input x: seq[1]  a, _ = draw(ones([50]), 6)  b, _ = draw(ones([50]), 6)  output [a, b] as c }"
    both = draws(twice, {"x": few})
    assert not np.array_equal(both[..., :6], both[..., 6:])


def test_a_draw_inside_of_a_loop_is_the_same_in_every_mode() -> None:
    text = """
cell Drawing {
  input x: [1]
  state seen: [9] = 1
  c, tries = draw(seen, 3)
  seen' = seen + sum(one_hot(c, 9), axis = 0)
  output c, tries
}
model M { input x: seq[1]  c, tries, final = unroll Drawing over x  output c, tries, final }
"""
    results, _ = modes(text, {"x": np.zeros((4, 6, 1)), "seed": 7})
    assert all(len(set(c)) == 3 for c in results["c"].reshape(-1, 3).tolist())
    assert (results["tries"] >= 3).all() and results["final.seen"].sum() == 4 * (9 + 6 * 3)


MODEL = "model M {{\n  input x: seq[4]\n  input y: seq@label int\n  input z: int\n  {}\n}}\n"
WRONG = {
    "labels longer than inputs": (
        "loss ctc_loss(x, y)",
        {"y": [[0, 1, 2, 1], [0, 0, 0, 0]], "y.lengths": [3, 4]},
        "E539",
        "row 1 of `y` has 4 labels, of which 3 must follow an equal one behind a blank, for 3 steps of the scores",
        "ctc_loss(x, y)",
    ),
    "collapsed labels longer than inputs": (
        "loss ctc_loss(x, y, collapse = true)",
        {"y": [[0, 1, 2, 1], [0, 0, 0, 0]]},
        "E539",
        "row 0 of `y` has 4 labels for 3 steps of the scores",
        "ctc_loss(x, y, collapse = true)",
    ),
    "too small a vocabulary": (
        "c, _, _ = UniformSampler(12, 5)([z])  output c",
        {},
        "E203",
        "12 different classes are to be drawn, but there are only 5",
        "UniformSampler(12, 5)([z])",
    ),
    "too few weights above 0": (
        "c, _, _ = UnigramSampler(3)([z], [1, 0, 2])  output c",
        {},
        "E538",
        "3 different classes are to be drawn, but only 2 of 3 have a weight above 0",
        "UnigramSampler(3)([z], [1, 0, 2])",
    ),
    "no class at all": (
        "c, _ = draw([0, 0], 1, unique = false)  output c",
        {},
        "E203",
        "no class has a weight above 0, so none can be drawn",
        "[0, 0]",
    ),
    "a negative weight": (
        "c, _, _ = UnigramSampler(1)([z], [1, -1])  output c",
        {},
        "E538",
        "the weight of a class is negative or not a number",
        "UnigramSampler(1)([z], [1, -1])",
    ),
    "labels on the axis of the scores": (
        "loss ctc_loss(x, int(x[0]))",
        {},
        "E305",
        "`int(x[0])` runs over time, as the scores do",
        "int(x[0])",
    ),
    "a blank that is no class": (
        "loss ctc_loss(x, y, blank = 4)",
        {},
        "E206",
        "there is no class 4: there are 4",
        "4",
    ),
    "more paths than the beam is wide": (
        "y2, _, _ = ctc_beam(x, width = 2, paths = 3)  output y2",
        {},
        "E203",
        "a beam of 2 has 1 to 2 paths, not 3",
        "3",
    ),
    "more than there are": (
        "v, _ = top_k(x, 5)  output v",
        {},
        "E203",
        "`x` has 4 values: they have no 5 largest",
        "5",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_told_once_at_the_users_line(name: str) -> None:
    line, data, code, message, at = WRONG[name]
    given = {"x": np.zeros((2, 3, 4)), "y": np.zeros((2, 1), int), "z": np.zeros(2, int)} | data
    with pytest.raises(rg.UserError) as refused:
        rg.parse(MODEL.format(line)).compile().run(given, {})
    (told_once,) = (d for d in refused.value.diagnostics if d.severity == "error")
    assert (told_once.code, told_once.message) == (code, message)
    assert told_once.span is not None and told_once.span.text == at


def test_a_class_that_hardly_ever_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnngraph.ops.sampling.MOST_DRAWS", 3000)
    text = "model M { input w: [3]  c, _ = draw(w, 3)  output c }"
    with pytest.raises(rg.UserError, match="3,000 draws did not find 3 different classes"):
        rg.parse(text).compile().run({"w": np.array([[1.0, 1e-12, 1e-14]])}, {})
