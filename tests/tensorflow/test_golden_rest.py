"""Agreement with TensorFlow 1 where it needs a model of its own: block kernels, raw_rnn, saved states, losses.

`tests/tensorflow/golden/README.md` says what each array means; `docs/tf1_cells.md` points here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from tests.support.running import same_bits
from tests.tensorflow.test_golden import STRAIGHT_THROUGH, TOLERANCE, Written, cell_text, close, states_of, weight_name
from tests.tensorflow.test_golden import case as read

Arrays = dict[str, Any]


def of_kind(kind: str) -> list[str]:
    from tests.tensorflow.test_golden import GOLDEN

    return [p.stem for p in sorted(GOLDEN.glob("*.npz")) if read(p.stem)[0]["kind"] == kind]


def programs(text: str, steps: int, dtype: str, **more: Any) -> Iterator[Any]:
    model = rg.parse(text)
    for unroll in ("static", "dynamic", 3):
        yield model.compile(unroll, steps if unroll == "static" else None, dtype=dtype, gradient=True, **more)


def same(modes: list[Arrays]) -> None:
    first, *others = modes
    assert all(same_bits(other, first) for other in others)


def part(arrays: Mapping[str, Any], prefix: str) -> Arrays:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def ours(weights: Mapping[str, Any]) -> Arrays:
    """TensorFlow's weights by our names; `net` is the cell."""
    return {weight_name(k): v for k, v in weights.items()}


def agree(
    text: str,
    steps: int,
    dtype: str,
    data: Arrays,
    weights: Arrays,
    expected: Arrays,
    cotangents: Arrays | None,
    grads: Arrays,
    **more: Any,
) -> list[Arrays]:
    """Results and gradients as expected, and of equal bits in every mode; the results of each mode."""
    tolerance, modes = TOLERANCE[dtype] * (3 if dtype == "float32" else 1), []
    for program in programs(text, steps, dtype, **more):
        results = program.run(data, weights)
        _, found = program.gradients(data, weights, cotangents)
        for key, value in expected.items():
            close(results[key], value, tolerance)
        for key, value in grads.items():
            close(found[key], value, tolerance)
        modes.append(results | {f"d.{k}": v for k, v in found.items()})
    same(modes)
    return modes


# --- clips that gradients pass ---------------------------------------------------------------------------


class Straight(Written):
    """The same models over cells whose clip lets gradients through."""

    @property
    def text(self) -> str:
        return super().text.replace("cell_clip", "straight_clip = true, cell_clip")


@pytest.mark.parametrize("name", STRAIGHT_THROUGH)
def test_block_cells_pass_gradients_straight_through_a_clip(name: str) -> None:
    written = Straight(name)
    meta = written.meta
    results = written.outputs("out.") | written.split_states("sT.")
    cotangents = written.outputs("cot.out.") | written.split_states("cot.sT.")
    agree(
        written.text,
        meta["T"],
        meta["dtype"],
        written.data(),
        written.weights(),
        results,
        cotangents,
        written.expected(),
    )


# --- BlockLSTM and its single step -----------------------------------------------------------------------


def block_text(meta: Mapping[str, Any]) -> str:
    clip = f", cell_clip = {meta['cell_clip']}, straight_clip = true" if meta["cell_clip"] > 0 else ""
    peepholes = ", peepholes = true" if meta["use_peephole"] else ""
    return f"""
model Block {{
  input x: seq[{meta["D"]}]
  net = LSTM({meta["num_units"]}, {float(meta.get("forget_bias", 0))}{clip}{peepholes}, show_cell = true)
  h, cs, final = unroll net over x
  output h, cs, final
}}
"""


def reordered(meta: Mapping[str, Any], weights: Arrays) -> Arrays:
    """Version 2 has its columns in the order i, f, j, o; ours are i, j, f, o. The swap is its own inverse."""
    if meta.get("version") != 2:
        return weights
    n = meta["num_units"]
    order = np.r_[0:n, 2 * n : 3 * n, n : 2 * n, 3 * n : 4 * n]
    return {k: v[..., order] if k.endswith(("kernel", "bias")) else v for k, v in weights.items()}


@pytest.mark.parametrize("name", of_kind("block_lstm"))
def test_the_fused_kernel_over_all_steps(name: str) -> None:
    meta, arrays = read(name)
    swap = lambda d: {k: np.swapaxes(v, 0, 1) for k, v in d.items()}  # noqa: E731
    lengths = np.minimum(arrays.get("lengths", np.full(meta["B"], meta["T"])), meta["seq_len_max"])
    data = {"x": np.swapaxes(arrays["x"], 0, 1), "x.lengths": lengths}
    data |= {f"final.{k}": v for k, v in part(arrays, "s0.").items()}
    named = {"y": "h"}
    results = {named.get(k, k): v for k, v in swap(part(arrays, "out.")).items()}
    results |= {f"final.{k}": v for k, v in part(arrays, "sT.").items()}
    cotangents = {named.get(k, k): v for k, v in swap(part(arrays, "cot.out.")).items()}
    cotangents |= {f"final.{k}": v for k, v in part(arrays, "cot.sT.").items()}
    grads = ours(reordered(meta, part(arrays, "d.w."))) | {"x": np.swapaxes(arrays["d.x"], 0, 1)}
    grads |= {f"final.{k}": v for k, v in part(arrays, "d.s0.").items()}
    weights = ours(reordered(meta, part(arrays, "w.")))
    agree(block_text(meta), meta["T"], meta["dtype"], data, weights, results, cotangents, grads)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("name", of_kind("op_lstm_block_cell") + of_kind("op_gru_block_cell"))
def test_the_kernel_of_one_step(name: str) -> None:
    """All that the kernel gives, gates among them: as one step, with the gates watched."""
    meta, arrays = read(name)
    lstm = meta["kind"] == "op_lstm_block_cell"
    gru = (
        f"model One {{ input x: seq[{meta['D']}] net = GRU({meta['num_units']}) h, final = unroll net over x"
        f" output h, final }}"
    )
    text, watch = (block_text(meta), ("i", "j", "f", "o")) if lstm else (gru, ("r", "u", "net.c"))
    data = {"x": arrays["x"][:, None]} | {f"final.{k}": v for k, v in part(arrays, "s0.").items()}
    results = {f"final.{k}": v for k, v in part(arrays, "sT.").items()}
    cotangents = {f"final.{k}": v for k, v in part(arrays, "cot.sT.").items()}
    grads = ours(part(arrays, "d.w.")) | {"x": arrays["d.x"][:, None]}
    grads |= {f"final.{k}": v for k, v in part(arrays, "d.s0.").items()}
    weights = ours(part(arrays, "w."))
    modes = agree(text, 1, meta["dtype"], data, weights, results, cotangents, grads, watch=watch)
    seen = {k: modes[0][k][:, 0] for k in watch}
    if lstm:
        gates = {"i": sigmoid(seen["i"]), "f": sigmoid(seen["f"] + meta["forget_bias"]), "o": sigmoid(seen["o"])}
        gates |= {"ci": np.tanh(seen["j"]), "co": np.tanh(modes[0]["final.c"])}
    else:
        gates = {"r": seen["r"], "u": seen["u"], "c": seen["net.c"]}
    for key, value in part(arrays, "aux.").items():
        close(gates[key], value, TOLERANCE["float32"])


# --- raw_rnn: loops that feed themselves -----------------------------------------------------------------

FEEDBACK = """
cell Feedback(inner, feed, activation) {
  input tick: int                     # says no more than how many steps a row has
  state x: [width] = 0
  state steps: int = 0
  y = inner(x)
  x' = activation(feed(y))
  steps' = steps + 1 + 0 * tick
  output y
}
"""


def feedback_text(meta: Mapping[str, Any]) -> str:
    n, d = meta["cell"]["num_units"], meta["D"]
    states = states_of(meta["cell"])
    begun = ", ".join(f"{s} = start_{s}" for s in states)
    given = "\n  ".join(f"input start_{s}: [{n}]" for s in states)
    return f"""{FEEDBACK.replace("width", str(d))}
model Raw {{
  input tick: seq int
  input x0: [{d}]
  {given}
  net = {cell_text(meta["cell"])}
  feed = Dense({d})
  y, final = unroll Feedback(net, feed, {meta.get("feed_activation", "identity")}) over tick
             from record(x = x0, steps = 0, {begun})
  output y, {", ".join(f"final.inner.{s} as {s}" for s in states)}, final.steps as steps
}}
"""


def raw_weights(weights: Arrays) -> Arrays:
    """`feed.matrix` and `logits.matrix` are kernels of dense layers."""
    dense = {k.replace("matrix", "kernel"): v for k, v in weights.items() if k.startswith(("feed.", "logits."))}
    table = {k: v for k, v in weights.items() if k.startswith("embedding.")}
    return dense | table | ours({k: v for k, v in weights.items() if k.replace("kernel", "matrix") not in dense
                                 and k not in weights.keys() & (dense.keys() | table.keys())
                                 and not k.startswith(("feed.", "logits.", "embedding."))})  # fmt: skip


@pytest.mark.parametrize("name", of_kind("raw_rnn_feedback"))
def test_a_cell_that_is_fed_its_own_output(name: str) -> None:
    meta, arrays = read(name)
    lengths = arrays.get("lengths", np.full(meta["B"], meta["T"]))
    data = {"tick": np.zeros((meta["B"], meta["T"]), int), "tick.lengths": lengths, "x0": arrays["x0"]}
    data |= {f"start_{k}": v for k, v in part(arrays, "s0.").items()}
    results = {"y": arrays["out.y"], "steps": lengths} | part(arrays, "sT.")
    cotangents = {"y": arrays["cot.out.y"]} | part(arrays, "cot.sT.")
    grads = raw_weights(part(arrays, "d.w.")) | {"x0": arrays["d.x0"]}
    grads |= {f"start_{k}": v for k, v in part(arrays, "d.s0.").items()}
    weights = raw_weights(part(arrays, "w."))
    agree(feedback_text(meta), meta["T"], meta["dtype"], data, weights, results, cotangents, grads)


GREEDY = """
cell Greedy(inner, embedding, logits, end) {
  state token: int = 0
  state steps: int = 0
  scores = logits(inner(embedding(token)))
  token' = argmax(scores)
  steps' = steps + 1
  output scores, token'
  stop token' == end
}
"""


def test_a_decoder_that_ends_itself() -> None:
    meta, arrays = read("raw_rnn_greedy_gru")
    text = f"""{GREEDY}
model Decoder {{
  input start: int
  input h0: [{meta["cell"]["num_units"]}]
  net = {cell_text(meta["cell"])}
  embedding = Embedding({meta["V"]}, {meta["D"]})
  logits = Dense({meta["V"]})
  scores, tokens, final = unroll Greedy(net, embedding, logits, {meta["end"]}) for {meta["steps"]}
                          from record(token = start, steps = 0, h = h0)
  output scores, tokens, final.inner.h as h, final.steps as steps
}}
"""
    data = {"start": arrays["start"], "h0": arrays["s0.h"]}
    results = {"scores": arrays["out.logits"], "tokens": arrays["out.tokens"], "h": arrays["sT.h"]}
    cotangents = {"scores": arrays["cot.out.logits"], "h": arrays["cot.sT.h"]}
    grads = raw_weights(part(arrays, "d.w.")) | {"h0": arrays["d.s0.h"]}
    weights = raw_weights(part(arrays, "w."))
    modes = agree(text, meta["T"], meta["dtype"], data, weights, results, cotangents, grads)
    ended = (arrays["out.tokens"] == meta["end"]) & (np.cumsum(arrays["out.tokens"] == meta["end"], axis=1) == 1)
    own = np.where(ended.any(axis=1), ended.argmax(axis=1) + 1, meta["T"])
    assert modes[0]["steps"].tolist() == own.tolist()  # TensorFlow's own count goes on until the last row ends
    assert modes[0]["steps"].max() == arrays["out.steps"].max()


# --- state_saving: truncated backpropagation ---------------------------------------------------------------


@pytest.mark.parametrize("name", of_kind("state_saving"))
def test_states_go_on_and_gradients_do_not(name: str) -> None:
    """Each segment begins where the one before ended; its gradients reach no further back."""
    meta, arrays = read(name)
    text = f"""
model Segment {{
  input x: seq[{meta["D"]}]
  net = {cell_text(meta["cell"])}
  y, final = unroll net over x
  output y, final
}}
"""
    weights, steps = ours(part(arrays, "w.")), meta["T"]
    states = {f"final.{k}": v for k, v in part(arrays, "s0.").items()}
    for k in range(meta["K"]):
        rows = slice(k * steps, (k + 1) * steps)
        data = {"x": arrays["x"][:, rows], **states}
        if "lengths" in arrays:
            data["x.lengths"] = arrays["lengths"][k]
        results = {"y": arrays["out.y"][:, rows]} | {f"final.{n}": v[k] for n, v in part(arrays, "sT.").items()}
        cotangents = {"y": arrays["cot.out.y"][:, rows]}
        cotangents |= {f"final.{n}": v[k] for n, v in part(arrays, "cot.sT.").items()}
        grads = {n: v[k] for n, v in ours(part(arrays, "d.w.")).items()} | {"x": arrays["d.x"][:, rows]}
        grads |= {f"final.{n}": v[k] for n, v in part(arrays, "d.s0.").items()}
        modes = agree(text, steps, meta["dtype"], data, weights, results, cotangents, grads)
        states = {n: modes[0][n] for n in states}
    if "full.loss" in arrays:
        last = {f"final.{n}": v[-1] for n, v in part(arrays, "cot.sT.").items()}
        data = {"x": arrays["x"]} | {f"final.{n}": v for n, v in part(arrays, "s0.").items()}
        full = part(arrays, "full.d.")
        grads = ours(part(full, "w.")) | {"x": full["x"]} | {f"final.{n}": v for n, v in part(full, "s0.").items()}
        cotangents = {"y": arrays["cot.out.y"], **last}
        agree(text, steps * meta["K"], meta["dtype"], data, weights, {"y": arrays["out.y"]}, cotangents, grads)


# --- the cross-entropy of sequences --------------------------------------------------------------------------

LOSSES = {
    "tokens": "loss xent",
    "batch": "loss sum(xent, axis = time)",
    "weighted": "loss sequence_loss(scores, label, weight)",
}


@pytest.mark.parametrize("name", of_kind("sequence_xent"))
def test_the_cross_entropy_of_sequences(name: str) -> None:
    written = Xent(name)
    meta, arrays = written.meta, written.arrays
    results = written.split_states("sT.") | {
        "y": arrays["out.y"],
        "scores": arrays["out.logits"] * (arrays["out.mask"] != 0)[..., None],
        "xent": arrays["out.xent"] * (arrays["out.mask"] != 0),
        "loss": arrays["loss"],
    }
    data = written.data() | {"label": arrays["labels"]}
    if "label_weights" in arrays:
        data["weight"] = arrays["label_weights"]
    agree(written.text, meta["T"], meta["dtype"], data, written.weights(), results, None, written.expected())


class Xent(Written):
    def sequence_xent(self) -> None:
        if "ids" in self.arrays:
            self.lines += [f"embedding = Embedding({self.meta['V']}, {self.meta['D']})", "x = embedding(ids)"]
        self.unrolled(self.meta["cell"], "final", "x", "y")
        weighted = "label_weights" in self.arrays
        self.lines += [
            "input label: seq int",
            *(["input weight: seq"] if weighted else []),
            f"logits = Dense({self.meta['classes']})",
            "scores = logits(y)",
            "xent = cross_entropy(scores, label)",
            "output y, scores, xent, final",
            LOSSES["weighted" if weighted else self.meta["normalise"]],
        ]

    def weights(self) -> Arrays:
        return raw_weights(part(self.arrays, "w."))

    def expected(self) -> Arrays:
        plain = {k: v for k, v in self.arrays.items() if not k.startswith("d.w.")}
        self.arrays, kept = plain, self.arrays
        found = super().expected() | raw_weights(part(kept, "d.w."))
        self.arrays = kept
        return found
