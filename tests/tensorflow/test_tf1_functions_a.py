"""docs/tf1_functions_a.md: every formula and every block of code is run, as it stands there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from tests.tensorflow.test_golden_nn_a import case, padded, swapped
from tests.tensorflow.tf1_docs import Page, Param, Seq, check_reversed, close, gradients, model_text, run

PAGE = Page("tf1_functions_a")


# --- labels without times, ranking -----------------------------------------------------------------------------------

CTC = {
    "ctc_loss(scores, labels)": "ctc_loss__collapse0_merge1_lengths",
    "ctc_loss(scores, labels, collapse = true)": "ctc_loss__collapse1_merge1_lengths",
    "ctc_loss(scores, labels, merge = false)": "ctc_loss__collapse0_merge0_lengths",
    "ctc_loss(scores, labels, ignore_longer = true)": "ctc_loss__ignore_longer",
}


@PAGE.shows(*CTC)
def _(formula: str) -> None:
    meta, a = case(CTC[formula])
    labels, counts = padded(a, "in_labels")
    scores = Seq(swapped(a["in_inputs"], meta["options"]["time_major"]), a["in_sequence_length"])
    (loss,) = run(formula, {"scores": scores, "labels": Seq(labels, counts, "label")})
    close(loss, a["out_loss"], meta["rtol"])


@PAGE.shows("ctc_loss(scores, labels, blank = 0)")
def _(formula: str) -> None:
    meta, a = case("ctc_loss_v2__dense_blank0_time_major")
    scores, labels = (Seq(np.swapaxes(a["in_logits"], 0, 1), a["in_logit_length"]), a["in_labels"])
    (loss,) = run(formula, {"scores": scores, "labels": Seq(labels, a["in_label_length"], "label")})
    close(loss, a["out_loss"], meta["rtol"])


GREEDY = {
    "labels, count, score = ctc_greedy(scores)": "ctc_greedy_decoder__merge1_float64",
    "ctc_greedy(scores, merge = false)": "ctc_greedy_decoder__merge0_float64",
    "ctc_greedy(scores, blank = 0)": "ctc_greedy_decoder__blank0",
}


@PAGE.shows(*GREEDY)
def _(formula: str) -> None:
    _, a = case(GREEDY[formula])
    line = formula if " = ctc" in formula else f"labels, count, score = {formula}"
    scores = Seq(np.swapaxes(a["in_inputs"], 0, 1), a["in_sequence_length"])
    labels, count, score = run(line, {"scores": scores})
    want, counts = padded(a, "out_decoded")
    assert np.array_equal(count, counts) and np.array_equal(labels[:, : want.shape[1]], want)
    close(score[:, None], a["out_neg_sum_logits"], 1e-6)


@PAGE.shows(
    "labels, counts, logs = ctc_beam(scores, width = 100, paths = 3, merge = true)",
    "labels, counts, logs = ctc_beam(scores, width = 100, paths = 3)",
)
def _(formula: str) -> None:
    """All paths fit into a beam of 100 here: the probability of the likeliest labels, by adding up every path."""
    scores = np.log(np.array([[[0.5, 0.2, 0.3], [0.1, 0.6, 0.3], [0.4, 0.4, 0.2]]]))
    labels, counts, found = run(formula, {"scores": Seq(scores)})
    totals: dict[tuple[int, ...], float] = {}
    for path in np.ndindex(3, 3, 3):
        said = tuple(k for i, k in enumerate(path) if k != 2 and (i == 0 or path[i - 1] != k))
        totals[said] = totals.get(said, 0.0) + float(np.exp(scores[0, range(3), path].sum()))
    best = sorted(totals, key=lambda said: -totals[said])[:3]
    close(found[0], [np.log(totals[said]) for said in best])
    merged = [tuple(k for i, k in enumerate(s) if i == 0 or s[i - 1] != k) for s in best]
    want = merged if "merge" in formula else best
    assert [tuple(labels[0, :n, p]) for p, n in enumerate(counts[0])] == want


@PAGE.shows("short, count = collapse_repeated(labels)")
def _(formula: str) -> None:
    _, a = case("collapse_repeated__plain")
    labels, count = run(formula, {"labels": Seq(a["in_labels"], a["in_seq_length"])})
    want = a["out_labels"]
    assert np.array_equal(count, a["out_seq_length"]) and np.array_equal(labels[:, : want.shape[1]], want)


@PAGE.shows("ids, places = UniqueLabels(labels)")
def _(formula: str) -> None:
    _, a = case("ctc_unique_labels__plain")
    ids, places = run(formula, {"labels": a["in_labels"]})
    assert np.array_equal(ids, a["out_ids"]) and np.array_equal(places, a["out_idx"])


@PAGE.shows("in_top_k(scores, target, k)")
def _(formula: str) -> None:
    meta, a = case("in_top_k__k3")
    (hit,) = run(formula, {"scores": a["in_predictions"], "target": a["in_targets"]}, k=meta["options"]["k"])
    assert np.array_equal(hit, a["out_hit"])


@PAGE.shows("values, places = top_k(x, k)")
def _(formula: str) -> None:
    meta, a = case("top_k__matrix")
    values, places = run(formula, {"x": a["in_input"]}, k=meta["options"]["k"])
    assert np.array_equal(values, a["out_values"]) and np.array_equal(places, a["out_indices"])


# --- samplers --------------------------------------------------------------------------------------------------------


def tries_of(expected: Any, p: Any, count: int) -> Any:
    """How many draws make a class of this probability come with this expectation: TensorFlow takes `count * p` where
    the first `count` draws are all different, else 1 - (1 - p)^tries."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.isclose(expected, count * p), count, np.log1p(-expected) / np.log1p(-p))


def check_sampler(formula: str, p: Any, count: int, counts: Any = None, **settings: Any) -> None:
    """Classes are different and their expectations are of one number of draws, or of `count` draws with replacement."""
    labels = np.tile(np.flatnonzero(p)[:2], (200, 1))
    more = {} if counts is None else {"c": np.tile(counts, (200, 1))}
    called = formula if formula.startswith("candidates") else f"candidates, true_expected, expected = {formula}"
    drawn, true, expected = run(called, {"labels": labels, **more}, count=count, **settings)
    assert drawn.shape == (200, count) and p[drawn].min() > 0
    if "unique = false" in formula:
        close(true, count * p[labels], 1e-6)
        close(expected, count * p[drawn], 1e-6)
        return
    assert all(len(set(row)) == count for row in drawn.tolist())
    tries = tries_of(true, p[labels], count)
    close(tries, np.round(tries), 1e-6)
    assert tries.min() >= count
    close(tries_of(expected, p[drawn], count), np.tile(tries[:, :1], count), 1e-6)


def unigrams(
    counts: Sequence[float], distortion: float = 1.0, reserved: int = 0, shards: int = 1, shard: int = 0
) -> Any:
    """The probabilities of `tf.nn.fixed_unigram_candidate_sampler`."""
    weights = np.concatenate([np.zeros(reserved), np.power(counts, distortion)])[shard::shards]
    return weights / weights.sum()


@PAGE.shows("candidates, true_expected, expected = UniformSampler(count, classes)(labels)")
@PAGE.shows("UniformSampler(count, classes, unique = false)(labels)")
def _(formula: str) -> None:
    _, a = case("uniform_candidate_sampler__replace")
    check_sampler(formula, np.asarray(a["out_probability"], float), 3, classes=len(a["out_probability"]))


@PAGE.shows("LogUniformSampler(count, classes)(labels)")
def _(formula: str) -> None:
    _, a = case("log_uniform_candidate_sampler__unique")
    check_sampler(formula, np.asarray(a["out_probability"], float), 3, classes=len(a["out_probability"]))


@PAGE.shows("UnigramSampler(count)(labels, c)")
def _(formula: str) -> None:
    check_sampler(formula, unigrams([1, 2, 3, 4, 5.0]), 3, np.arange(1, 6.0))


@PAGE.shows("UnigramSampler(count, distortion = 0.75, reserved = 2)(labels, c)")
def _(formula: str) -> None:
    check_sampler(formula, unigrams([1, 2, 3, 4, 5.0], 0.75, 2), 3, np.arange(1, 6.0))


@PAGE.shows("UnigramSampler(count, shards = 2, shard = 1)(labels, c)")
def _(formula: str) -> None:
    check_sampler(formula, unigrams([1, 2, 3, 4, 5, 6, 7.0], shards=2, shard=1), 2, np.arange(1, 8.0))


@PAGE.shows("UnigramSampler(count)(labels, [1, 2, 3])")
def _(formula: str) -> None:
    check_sampler(formula, unigrams([1, 2, 3.0]), 2)


@PAGE.shows("unroll LearnedUnigramSampler(count, classes) over labels")
def _(formula: str) -> None:
    """All classes of three are drawn each time; what was seen counts from the next step on."""
    labels = np.array([[[0], [0], [2]]])
    drawn, true, _ = run(f"drawn, often, expected = {formula}", {"labels": Seq(labels)}, count=3, classes=3)
    assert np.array_equal(np.sort(drawn[0]), np.tile(np.arange(3), (3, 1)))
    for step, p in enumerate((1 / 3, 2 / 4, 1 / 5)):
        tries = tries_of(true[0, step, 0], p, 3)
        assert tries == pytest.approx(np.round(tries), abs=1e-6) and tries > 2.5


@PAGE.shows("AllSampler(classes)(labels)")
def _(formula: str) -> None:
    _, a = case("all_candidate_sampler__unique1")
    labels = a["in_true_classes"]
    found = run(f"c, t, e = {formula}", {"labels": labels}, classes=len(a["out_sampled_candidates"]))
    for got, want in zip(found, ("sampled_candidates", "true_expected_count", "sampled_expected_count"), strict=True):
        assert np.array_equal(np.broadcast_to(got, np.shape(a[f"out_{want}"])), a[f"out_{want}"])


@PAGE.shows("AccidentalHits(labels, candidates)")
def _(formula: str) -> None:
    _, a = case("compute_accidental_hits__one")
    drawn, labels = a["in_sampled_candidates"], a["in_true_classes"]
    given = {"labels": labels, "candidates": np.tile(drawn, (len(labels), 1))}
    (hits,) = run(formula, given)
    rows, _, places = np.nonzero(hits)
    assert np.array_equal(rows, a["out_indices"]) and np.array_equal(places, a["out_ids"])


CANDIDATES = "(weights, biases, x, labels, candidates, true_expected, expected)"
OVER_CANDIDATES = {
    f"SampledSoftmaxLoss(){CANDIDATES}": "sampled_softmax_loss__one_true",
    f"SampledSoftmaxLoss(false){CANDIDATES}": "sampled_softmax_loss__one_true_keep",
    f"NCELoss(){CANDIDATES}": "nce_loss__one_true_keep",
    f"NCELoss(true){CANDIDATES}": "nce_loss__one_true",
}


@PAGE.shows(*OVER_CANDIDATES)
def _(formula: str) -> None:
    meta, a = case(OVER_CANDIDATES[formula])
    rows = len(a["in_inputs"])
    given = {
        "weights": Param(a["in_weights"]),
        "biases": Param(a["in_biases"]),
        "x": a["in_inputs"],
        "labels": a["in_labels"],
        "candidates": np.tile(a["in_sampled_candidates"], (rows, 1)),
        "true_expected": a["in_true_expected_count"],
        "expected": np.tile(a["in_sampled_expected_count"], (rows, 1)),
    }
    (loss,) = run(formula, given)
    close(loss, a["out_loss"], meta["rtol"])


@PAGE.shows("SampledSoftmax(classes, count)(x, label)")
def _(formula: str) -> None:
    """Outside of training the full cross-entropy."""
    _, a = case("sampled_softmax_loss__one_true")
    text = "model M(classes = 9, count = 5) {\n  input x: [4]\n  input label: int\n"
    text += f"  y = {formula}\n  output y\n}}"
    weights = {"sampled_softmax.weights": a["in_weights"], "sampled_softmax.biases": a["in_biases"]}
    got = (
        rg.parse(text).compile(kernels="numpy").run({"x": a["in_inputs"], "label": a["in_labels"][:, 0]}, weights)["y"]
    )
    logits = a["in_inputs"] @ a["in_weights"].T + a["in_biases"]
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    close(got, -np.take_along_axis(logs, a["in_labels"], 1)[:, 0])


# --- softmax, cross-entropies, losses over sequences -----------------------------------------------------------------


@PAGE.shows("softmax(x, axis = 0)")
def _(formula: str) -> None:
    _, a = case("softmax__axis1")
    close(run(formula, {"x": a["in_logits"]})[0], a["out_y"])


@PAGE.shows("log_softmax(x)")
def _(formula: str) -> None:
    _, a = case("log_softmax__last")
    close(run(formula, {"x": a["in_logits"]})[0], a["out_y"])


@PAGE.shows("cross_entropy(scores, detach(labels))", "cross_entropy(scores, labels)")
def _(formula: str) -> None:
    name = "softmax_cross_entropy_with_logits" + ("" if "detach" in formula else "_v2")
    meta, a = case(f"{name}__plain")
    text, _ = model_text(formula, {"scores": a["in_logits"], "labels": a["in_labels"]}, {})
    loss, grads = gradients(text, {"scores": a["in_logits"], "labels": a["in_labels"]}, "out_0", a["cot_loss"])
    close(loss, a["out_loss"], meta["rtol"])
    close(grads["scores"], a["grad_logits"], meta["rtol"])
    close(grads["labels"], a.get("grad_labels", np.zeros_like(a["in_labels"])), meta["rtol"])


@PAGE.shows("-sum(labels * log_softmax(x, axis = 0), axis = 0)")
def _(formula: str) -> None:
    """The value in any case; the gradient where labels sum to 1."""
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(2, 3, 4)), rng.random((2, 3, 4))
    labels /= labels.sum(1, keepdims=True)
    text, _ = model_text(formula, {"x": x, "labels": labels}, {})
    loss, grads = gradients(text, {"x": x, "labels": labels}, "out_0", np.ones((2, 4)))
    softmax = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    close(loss, -(labels * np.log(softmax)).sum(1))
    close(grads["x"], softmax - labels)
    _, a = case("softmax_cross_entropy_with_logits_v2__axis1")
    close(run(formula, {"x": a["in_logits"], "labels": a["in_labels"]})[0], a["out_loss"])


def test_rows_of_parts() -> None:
    """The block that puts the parts of a table together, for 17 rows in 4 parts."""
    table = np.arange(17.0)[:, None] * [1, 10]
    (block,) = PAGE.blocks("python")
    for strategy, parts in (("div", np.array_split(table, 4)), ("mod", [table[p::4] for p in range(4)])):
        scope = {"parts": parts, "np": np}
        exec(block, scope)
        assert np.array_equal(scope[strategy], table)


def test_labels_that_do_not_sum_to_1() -> None:
    """TensorFlow's loss and both its gradients, over the last dimension and over another."""
    (block,) = PAGE.blocks("rnn")
    _, a = case("softmax_cross_entropy_with_logits_v2__unnormalised_rank3")
    data = {"x": a["in_logits"].reshape(-1, 4), "labels": a["in_labels"].reshape(-1, 4)}
    assert np.abs(data["labels"].sum(1) - 1).min() > 0.01
    loss, grads = gradients(block, data, "xent", a["cot_loss"].ravel(), "Unnormalised")
    close(loss, a["out_loss"].ravel())
    close(grads["x"], a["grad_logits"].reshape(-1, 4))
    close(grads["labels"], a["grad_labels"].reshape(-1, 4))
    x = np.array([[[0.5, -1.0], [1.5, 0.25], [-0.75, 2.0]]])
    labels = np.array([[[0.5, 0.2], [1.0, 0.3], [0.25, 0.0]]])
    data, cot = {"x": x, "labels": labels}, np.array([[1.0, 2.0]])
    loss, grads = gradients(block, data, "xent", cot, "UnnormalisedOverAnother")
    close(loss, [[1.7406080285475998, 1.2258827346422165]])
    close(
        grads["x"][0],
        [[-0.25029880651374614, -0.31861939390521055], [-0.32124178320178, -0.3159537746430752],
         [-0.17845941028447382, 1.6345731685482856]],
    )  # fmt: skip
    close(
        grads["labels"][0],
        [[1.3874903020271998, 6.403530938568866], [0.3874903020271999, 3.903530938568866],
         [2.6374903020272, 0.4035309385688662]],
    )  # fmt: skip


@PAGE.shows("cross_entropy(scores, label)")
def _(formula: str) -> None:
    meta, a = case("sparse_softmax_cross_entropy_with_logits__plain")
    close(run(formula, {"scores": a["in_logits"], "label": a["in_labels"]})[0], a["out_loss"], meta["rtol"])


BINARY = {
    "binary_cross_entropy(logit, target)": "sigmoid_cross_entropy_with_logits__plain",
    "binary_cross_entropy(logit, target, positive = 3)": "weighted_cross_entropy_with_logits__pos3.0",
}


@PAGE.shows(*BINARY)
def _(formula: str) -> None:
    meta, a = case(BINARY[formula])
    close(run(formula, {"logit": a["in_logits"], "target": a["in_labels"]})[0], a["out_loss"], meta["rtol"])


OVER_STEPS = {
    "sequence_loss(scores, label, weights)": "sequence_loss__time1_batch1_weights",
    "sequence_loss(scores, label, weights, over_steps = false)": "sequence_loss__time0_batch1_weights",
    "sequence_loss(scores, label, weights, over_batch = false)": "sequence_loss__time1_batch0_weights",
}


@PAGE.shows(*OVER_STEPS)
def _(formula: str) -> None:
    """What has been averaged over the batch is the same for every row."""
    meta, a = case(OVER_STEPS[formula])
    given = {"scores": Seq(a["in_logits"]), "label": Seq(a["in_targets"]), "weights": Seq(a["in_weights"])}
    (loss,) = run(formula, given)
    want = a["out_loss"]
    close(loss, np.broadcast_to(want, (3, *want.shape)) if "over_steps" in formula else want, meta["rtol"])


@PAGE.shows("sequence_mask(x)")
def _(formula: str) -> None:
    _, a = case("sequence_mask__max5")
    (mask,) = run(formula, {"x": Seq(np.zeros(a["out_mask"].shape), a["in_lengths"])})
    assert np.array_equal(mask, a["out_mask"])


PAGE.shows("reversed(x)")(check_reversed)


def check_masked_loss(formula: str) -> None:
    """The mean over all real steps of all rows."""
    _, a = case("sequence_loss__time1_batch1_lengths")
    x, labels, lengths = a["in_logits"], a["in_targets"], a["in_sequence_length"]
    text = f"model M {{\n  input scores: seq[4]\n  input label: seq int\n  {formula}\n}}"
    data = {"scores": x, "label": labels, "scores.lengths": lengths}
    close(rg.parse(text).compile(kernels="numpy").run(data, {})["loss"], a["out_loss"], 1e-6)


PAGE.shows("loss cross_entropy(scores, label)")(check_masked_loss)


@pytest.mark.parametrize("formula", PAGE.formulas)
def test_a_formula_of_the_page(formula: str) -> None:
    PAGE.checks[formula](formula)


def test_no_check_is_of_a_formula_that_is_gone() -> None:
    assert set(PAGE.formulas) == set(PAGE.checks)
