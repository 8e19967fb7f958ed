"""Labels without times, against all paths, PyTorch, and 64 bits; what they cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from tests.tensorflow.test_golden_nn_a import ctc_text, flag, modes


def brute_force(logits: Any, labels: list[int], merge: bool, blank: int = -1) -> float:
    """The loss as the sum over all paths."""
    blank, logs = blank % logits.shape[1], logits - np.log(np.exp(logits).sum(1, keepdims=True))
    total = 0.0
    for path in np.ndindex(*[logits.shape[1]] * len(logits)):
        kept = [c for t, c in enumerate(path) if not (merge and t and path[t - 1] == c)]
        if [c for c in kept if c != blank] == labels:
            total += float(np.exp(sum(logs[t, c] for t, c in enumerate(path))))
    return -float(np.log(total))


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("labels", [[], [0], [1, 0], [0, 0], [1, 1, 0]])
def test_the_loss_is_that_of_all_paths(labels: list[int], merge: bool) -> None:
    x = np.random.default_rng(1).normal(size=(1, 5, 3))
    data = {"x": x, "y": np.array([labels + [0] * (3 - len(labels))]), "y.lengths": np.array([len(labels)])}
    found = modes(ctc_text(3, f", merge = {flag(merge)}"), data)[0]["loss_of_each"]
    assert found[0] == pytest.approx(brute_force(x[0], labels, merge), rel=1e-12)


def loss_of(text: str, labels: Any, x: Any, lengths: Any = None, dtype: str = "float64") -> tuple[Any, Any]:
    """The loss of each row, and the gradient of their sum with respect to the scores."""
    data = {"x": x, "y": np.asarray(labels)} | ({} if lengths is None else {"y.lengths": np.asarray(lengths)})
    results, grads = modes(text, data, cot={"loss_of_each": np.ones(len(x))}, dtype=dtype)
    return results["loss_of_each"], grads["x"]


def scores(rows: int, steps: int, classes: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).normal(size=(rows, steps, classes))


# --- where labels end, and what they are ---------------------------------------------------------------------------


def test_labels_end_at_the_blank_or_where_their_lengths_say() -> None:
    x = scores(3, 6, 4)
    short, _ = loss_of(ctc_text(4, ""), [[0], [2], [1]], x)
    ended, _ = loss_of(ctc_text(4, ""), [[0, 3, 1], [2, 3, -1], [1, 9, 9]], x, [3, 3, 1])
    assert np.array_equal(ended, short)
    guarded, _ = loss_of(ctc_text(4, "", "where(y < 0, 3, y)"), [[0, -1, -1], [2, -1, 0], [1, -1, -1]], x)
    assert np.array_equal(guarded, short)


@pytest.mark.parametrize(("labels", "by_name"), [("y", "`y` holds"), ("y + 0", "the labels hold")])
@pytest.mark.parametrize(("value", "more"), [(7, ""), (-1, ""), (4, ", blank = 0"), (9, ", ignore_longer = true")])
def test_a_label_that_is_no_class_is_refused(labels: str, by_name: str, value: int, more: str) -> None:
    """Labels of the data before anything runs, computed ones when they are met."""
    program = rg.parse(ctc_text(4, more, labels)).compile(gradient=True)
    data = {"x": scores(2, 6, 4), "y": np.array([[1, 2, 1], [1, value, 2]])}
    blank = 0 if "blank" in more else 3
    for call in (
        lambda: program.run(data, {}),
        lambda: program.gradients(data, {}, {"loss_of_each": np.ones(2)}),
    ):
        with pytest.raises(rg.UserError) as refused:
            call()
        (told,) = refused.value.diagnostics
        where = f"{value} at row 1, place 1"
        assert told.message == f"{by_name} {where}, which is not a class: they go from 0 to 3, the blank is {blank}"
        assert told.code == "E531" and told.span is not None and told.span.text == f"ctc_loss(x, {labels}{more})"
    with pytest.raises(rg.UserError, match="E531"):
        program.check(data) if labels == "y" else program.run(data, {})


@pytest.mark.parametrize(
    ("wrong", "code", "steps"),
    [
        ([[1, 2, 1], [1, 7, 2]], "E531", 4),
        ([[1, 2, 1], [1, 7, 2]], "E531", 9),
        ([[1, 2, 1], [1, -1, 2]], "E531", 9),
        ([[1, 1, 1], [2, 2, 2]], "E539", 4),
    ],
)
def test_labels_of_later_calls_are_looked_at_too(wrong: list[list[int]], code: str, steps: int) -> None:
    """With 9 steps any labels fit, so only what they are is looked at."""
    program, x = rg.parse(ctc_text(4, "")).compile(gradient=True), scores(2, steps, 4)
    first, other = np.array([[1, 2, 1], [0, 1, 2]]), np.array([[0, 2, 3], [1, 0, 3]])
    for _ in range(2):
        assert not np.array_equal(*(program.run({"x": x, "y": y}, {})["loss_of_each"] for y in (first, other)))
        with pytest.raises(rg.UserError, match=code):
            program.run({"x": x, "y": np.array(wrong)}, {})


# --- rows that no path says -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "left"),
    [("", [1, 2]), (", merge = false", [2]), (", collapse = true", [])],
)
@pytest.mark.parametrize("labels", ["y", "y + 0"])
def test_rows_that_need_more_steps_are_left_out(more: str, left: list[int], labels: str) -> None:
    x, y = scores(3, 2, 3), [[0, 1, 2], [1, 1, 2], [1, 1, 1]]
    found, slopes = loss_of(ctc_text(3, f", ignore_longer = true{more}", labels), y, x)
    for row, said in enumerate(([0, 1], [1, 1], [1, 1, 1])):
        if row in left:
            assert found[row] == 0 and not slopes[row].any()
            continue
        said = said[:1] if "collapse" in more and row else said
        assert found[row] == pytest.approx(brute_force(x[row], said, "merge" not in more), rel=1e-12)
        assert slopes[row].any()


NEVER = """model M {
  input x: seq[4]
  input y: seq@label int
  param mask: [4]
  output ctc_loss(x + mask, y, blank = 0, ZERO) as loss_of_each
}"""


@pytest.mark.parametrize("more", ["zero_infinity = true", "ignore_longer = true"])
def test_an_infinite_loss_counts_as_nothing_where_that_is_told(more: str) -> None:
    """Of the second row, whose class cannot be; `ignore_longer` goes by the labels alone."""
    x, mask = scores(3, 3, 4), np.array([0, 0, 0, -np.inf])
    data = {"x": x, "y": np.array([[1, 2], [3, 0], [1, 1]])}
    cot = {"loss_of_each": np.array([1.0, 2.0, 3.0])}
    results, slopes = modes(NEVER.replace("ZERO", more), data, {"mask": mask}, cot)
    zero = "zero" in more
    assert results["loss_of_each"][0] == pytest.approx(brute_force((x + mask)[0], [1, 2], True, 0), rel=1e-12)
    assert results["loss_of_each"][1] == (0 if zero else np.inf)
    assert slopes["x"][0].any() and slopes["x"][1].any() != zero
    long, _ = modes(NEVER.replace("ZERO", more), {"x": x[:, :2], "y": data["y"]}, {"mask": mask}, cot)
    assert long["loss_of_each"][2] == 0


@pytest.mark.slow
@pytest.mark.parametrize("zero", [False, True])
def test_the_loss_is_that_of_pytorch(zero: bool) -> None:
    """Also where no path says the labels; without `zero_infinity` the gradient is nan there, and TensorFlow's here."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    rows, steps, classes = 12, 7, 4
    x, y = rng.normal(size=(rows, steps, classes)) * 2, rng.integers(1, classes, (rows, 5))
    lengths, counts = rng.integers(1, steps + 1, rows), rng.integers(0, 6, rows)
    given = torch.tensor(x, requires_grad=True)
    logs = torch.log_softmax(given, -1).transpose(0, 1)
    wanted = torch.nn.functional.ctc_loss(
        logs, torch.tensor(y), torch.tensor(lengths), torch.tensor(counts), 0, "none", zero_infinity=zero
    )
    cot = rng.uniform(0.5, 2, rows)
    wanted.backward(torch.tensor(cot))
    data = {"x": x, "x.lengths": lengths, "y": y, "y.lengths": counts}
    text = ctc_text(classes, f", blank = 0, zero_infinity = {flag(zero)}", "y + 0")
    results, grads = modes(text, data, cot={"loss_of_each": cot})
    never = lengths < counts + np.array([sum(r[1:n] == r[: n - 1]) if n else 0 for r, n in zip(y, counts, strict=True)])
    assert 2 < never.sum() < rows - 4
    np.testing.assert_allclose(results["loss_of_each"], wanted.detach(), rtol=1e-12)
    shown = np.ones(rows, bool) if zero else ~never
    np.testing.assert_allclose(grads["x"][shown], given.grad[shown], rtol=1e-9, atol=1e-13)


# --- width of numbers -----------------------------------------------------------------------------------------------


def test_gradients_near_zero_are_right_in_32_bits() -> None:
    """Scores that are nearly sure of the labels, over many steps: what is left to learn is small."""
    steps, said = 120, np.array([[1, 2, 1, 0, 2]])
    x = scores(1, steps, 4) * 0.3
    path = np.repeat([1, 3, 2, 3, 1, 3, 0, 3, 2, 3], steps // 10)
    x[0, np.arange(steps), path] += 9
    x = x.astype("float32")
    loss, slopes = loss_of(ctc_text(4, ""), said, x.astype("float64"))
    small_loss, small = loss_of(ctc_text(4, ""), said, x, dtype="float32")
    assert np.abs(slopes).min() < 1e-6
    np.testing.assert_allclose(small, slopes, rtol=2e-7)
    np.testing.assert_allclose(small_loss, loss, rtol=2e-7)


# --- decoding -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("blank", "steps"), [(2, 3), (0, 4), (1, 1)])
def test_a_beam_finds_the_likeliest_labels(blank: int, steps: int) -> None:
    """A wide beam gives all sequences of labels, each with the probability of the loss; together 1."""
    x = np.random.default_rng(2).normal(size=(2, 4, 3)) * 2
    text = f"model M {{ input x: seq[3]  y, n, s = ctc_beam(x, 400, 40, blank = {blank})  output y, n, s }}"
    found = rg.parse(text).compile().run({"x": x, "x.lengths": np.array([steps, 4])}, {})
    real = np.isfinite(found["s"][0])
    assert np.exp(found["s"][0][real]).sum() == pytest.approx(1, rel=1e-12)
    for path in np.flatnonzero(real):
        labels = found["y"][0, : found["n"][0, path], path].tolist()
        assert -found["s"][0, path] == pytest.approx(brute_force(x[0, :steps], labels, True, blank), rel=1e-12)
    assert np.all(np.diff(found["s"][0][real]) <= 0)
