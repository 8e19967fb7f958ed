"""Agreement with TensorFlow 1: outputs, final states and gradients of every case, statically and dynamically.

`tests/tensorflow/golden/README.md` says what each array means.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.diagnostics.errors import UserError
from tests.support.running import same_bits

GOLDEN = Path(__file__).parent / "golden"
KINDS = ("rnn", "bidirectional", "stack_bidirectional", "reversed_rnn", "embedding_rnn", "raw_rnn_reader")
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}
STRAIGHT_THROUGH = ("lstm_block_clip", "lstm_block_peephole_clip_lengths")
"""Block kernels pass gradients through a clip: their `d.*` are not the derivatives of the values."""


@cache
def case(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = dict(file)
    return json.loads(str(arrays.pop("meta"))), arrays


NAMES = [p.stem for p in sorted(GOLDEN.glob("*.npz")) if case(p.stem)[0]["kind"] in KINDS]

# --- TensorFlow's description of a cell, as text -------------------------------------------------------------------


def number(value: float) -> str:
    return repr(float(value)) if not isinstance(value, int) else str(value)


def cell_text(cell: Mapping[str, Any]) -> str:
    units = cell["num_units"]
    extra = [f"activation = {cell['activation']}"] if "activation" in cell else []
    if cell["type"] == "BasicRNNCell":
        return f"RNN({', '.join([str(units), *extra])})"
    if cell["type"].startswith("GRU"):
        return f"GRU({', '.join([str(units), *extra])})"
    options = {
        "forget_bias": "forget_bias",
        "cell_clip": "cell_clip",
        "num_proj": "projection",
        "proj_clip": "projection_clip",
    }
    extra += [f"{ours} = {number(cell[theirs])}" for theirs, ours in options.items() if theirs in cell]
    if cell.get("use_peepholes") or cell.get("use_peephole"):
        extra.append("peepholes = true")
    return f"LSTM({', '.join([str(units), *extra])})"


def cells_of(cell: Mapping[str, Any], key: str = "") -> list[tuple[str, Mapping[str, Any], int]]:
    """TensorFlow's name of each plain cell inside, the cell, and how many Residual wrappers are directly around it."""
    if cell["type"] == "ResidualWrapper":
        inner = cells_of(cell["cell"], key)
        return [(name, c, wraps + (len(inner) == 1)) for name, c, wraps in inner]
    if cell["type"] == "MultiRNNCell":
        return [x for i, c in enumerate(cell["cells"]) for x in cells_of(c, f"{key}cell_{i}.")]
    return [(key, cell, 0)]


LOCAL = {"gates.kernel": "gates_kernel", "gates.bias": "gates_bias", "candidate.kernel": "candidate_kernel",
         "candidate.bias": "candidate_bias", "w_i_diag": "w_i", "w_f_diag": "w_f", "w_o_diag": "w_o",
         "projection.kernel": "project"}  # fmt: skip


def weight_name(theirs: str) -> str:
    """`cell_0.gates.kernel` is our `cell_0.gates_kernel`; a cell of its own is named `net`."""
    for tail, ours in LOCAL.items():
        if theirs.endswith(tail):
            return (theirs[: -len(tail)].replace(".", "_") or "net_")[:-1] + "." + ours
    owner, _, tail = theirs.rpartition(".")
    return f"{owner.replace('.', '_') or 'net'}.{tail}"


def states_of(cell: Mapping[str, Any]) -> list[str]:
    return ["c", "h"] if "LSTM" in cell["type"] else ["h"]


class Written:
    """A model as text, with the names of TensorFlow's arrays in it."""

    def __init__(self, name: str) -> None:
        self.meta, self.arrays = case(name)
        self.lines: list[str] = []
        self.states: dict[str, str] = {}
        """Ours by TensorFlow's: `cell_0.c` -> `final.0.c`."""
        self.kind = self.meta["kind"]
        getattr(self, self.kind)()

    @property
    def text(self) -> str:
        source = "input ids: seq int" if "ids" in self.arrays else f"input x: seq[{self.meta['D']}]"
        return "model Golden {\n  " + "\n  ".join([source, *self.lines]) + "\n}\n"

    def unrolled(self, cell: Mapping[str, Any], record: str, over: str, output: str, prefix: str = "") -> str:
        """Lines that run a cell; returns nothing new, fills states. `prefix` is TensorFlow's name of the place."""
        plain = cells_of(cell, prefix)
        shared = cell.get("share", False)
        texts = []
        for i, (key, inner, wraps) in enumerate(plain):
            name = key.rstrip(".").replace(".", "_") or "net"
            if shared and i:
                name = texts[0]
            else:
                self.lines.append(f"{name} = {cell_text(inner)}")
            texts.append(name if not wraps else f"Residual({name})")
            path = f"{i}." if len(plain) > 1 else ""
            path += "inner." * wraps
            if cell["type"] == "ResidualWrapper" and len(plain) > 1:
                path = "inner." + path
            for state in states_of(inner):
                self.states[f"{key}{state}"] = f"{record}.{path}{state}"
        whole = " >> ".join(texts)
        if cell["type"] == "ResidualWrapper" and len(plain) > 1:
            self.lines.append(f"stack = {whole}")
            whole = "Residual(stack)"
        self.lines.append(f"{output}, {record} = unroll {whole} over {over}")
        return whole

    def rnn(self) -> None:
        self.unrolled(self.meta["cell"], "final", "x", "y")
        self.lines.append("output y, final")

    raw_rnn_reader = rnn

    def reversed_rnn(self) -> None:
        self.unrolled(self.meta["cell"], "final", "x reversed", "y")
        self.lines.append("output y, final")

    def embedding_rnn(self) -> None:
        self.lines += [f"embedding = Embedding({self.meta['V']}, {self.meta['D']})", "x = embedding(ids)"]
        self.rnn()

    def bidirectional(self) -> None:
        self.unrolled(self.meta["cell_fw"], "fwd", "x", "fw", "fw.")
        self.unrolled(self.meta["cell_bw"], "bwd", "x reversed", "bw", "bw.")
        self.lines.append("output fw, bw, fwd, bwd")

    def stack_bidirectional(self) -> None:
        below = "x"
        pairs = zip(self.meta["cells_fw"], self.meta["cells_bw"], strict=True)
        records = []
        for i, (fw, bw) in enumerate(pairs):
            self.unrolled(fw, f"f{i}", below, f"a{i}", f"layer_{i}.fw.")
            self.unrolled(bw, f"b{i}", f"{below} reversed", f"z{i}", f"layer_{i}.bw.")
            self.lines.append(f"y{i} = [a{i}, z{i}]")
            below = f"y{i}"
            records += [f"f{i}", f"b{i}"]
        self.lines.append(f"output {below} as y, {', '.join(records)}")

    # --- arrays ---

    def split_states(self, prefix: str) -> dict[str, Any]:
        """The arrays `prefix.*` under our names; side-by-side states are cut apart."""
        found = {k[len(prefix) :]: v for k, v in self.arrays.items() if k.startswith(prefix)}
        if set(found) == {"ch"}:
            c, h = np.split(found["ch"], 2, axis=1)
            found = {"c": c, "h": h}
        if set(found) == {"state"}:
            cuts = np.cumsum([c["num_units"] for _, c, _ in cells_of(self.meta["cell"])])[:-1]
            parts = np.split(found["state"], cuts, axis=1)
            found = {f"cell_{i}.h": part for i, part in enumerate(parts)}
        return {self.states[k]: v for k, v in found.items()}

    def outputs(self, prefix: str) -> dict[str, Any]:
        return {k[len(prefix) :]: self.time(v) for k, v in self.arrays.items() if k.startswith(prefix)}

    def time(self, array: Any) -> Any:
        return np.swapaxes(array, 0, 1) if self.meta["time_major"] else array

    def data(self, states: bool = True) -> dict[str, Any]:
        """The arrays of a run. TensorFlow takes a length beyond the last step for all steps; here it is a mistake."""
        name = "ids" if "ids" in self.arrays else "x"
        data = {name: self.time(self.arrays[name]) if name == "x" else self.arrays[name]}
        if "lengths" in self.arrays:
            data[f"{name}.lengths"] = np.minimum(self.arrays["lengths"], self.meta["T"])
        return data | (self.split_states("s0.") if states else {})

    def weights(self) -> dict[str, Any]:
        return {weight_name(k[2:]): v for k, v in self.arrays.items() if k.startswith("w.")}

    def expected(self) -> dict[str, Any]:
        grads = {weight_name(k[4:]): v for k, v in self.arrays.items() if k.startswith("d.w.")}
        grads |= self.split_states("d.s0.")
        if "d.x" in self.arrays:
            grads["x"] = self.time(self.arrays["d.x"])
        return grads


def close(got: Any, expected: Any, tolerance: float) -> None:
    """As far apart as the tolerance says of the largest entry, however small that is."""
    assert got.shape == expected.shape
    assert float(np.abs(got - expected).max(initial=0)) <= tolerance * float(np.abs(expected).max(initial=0))


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_tensorflow_in_both_modes(name: str) -> None:
    written = Written(name)
    model = rg.parse(written.text)
    meta, tolerance = written.meta, TOLERANCE[written.meta["dtype"]]
    cotangents = written.outputs("cot.out.") | written.split_states("cot.sT.")
    modes = []
    for schedule in ({"unroll": "static", "steps": meta["T"]}, {"unroll": "dynamic"}, {"unroll": 3}):
        program = model.compile(dtype=meta["dtype"], gradient=True, **schedule)
        results = program.run(written.data(), written.weights())
        loss, grads = program.gradients(written.data(), written.weights(), cotangents)
        modes.append((results, grads))
        for key, value in (written.outputs("out.") | written.split_states("sT.")).items():
            close(results[key], value, tolerance)
        assert loss == pytest.approx(float(written.arrays["loss"]), rel=tolerance * 10, abs=tolerance * 10)
        for key, value in written.expected().items():
            if name not in STRAIGHT_THROUGH:
                close(grads[key], value, tolerance * 3 if meta["dtype"] == "float32" else tolerance)
    (results, grads), *others = modes
    if not any(array.any() for array in written.split_states("s0.").values()):  # what is not given begins so too
        alone = written.data(states=False)
        weights_alone = program.gradients(alone, written.weights(), cotangents)[1]
        assert same_bits(program.run(alone, written.weights()), results)
        assert same_bits(weights_alone, {name: grads[name] for name in weights_alone})
    for other_results, other_grads in others:
        assert same_bits(other_results, results)
        assert same_bits(other_grads, grads)


BEYOND = [n for n in NAMES if "lengths" in case(n)[1] and case(n)[1]["lengths"].max() > case(n)[0]["T"]]


@pytest.mark.parametrize("name", BEYOND)
def test_a_length_beyond_the_last_step_is_refused(name: str) -> None:
    written = Written(name)
    data = written.data() | {f"{x}.lengths": written.arrays["lengths"] for x in ("x", "ids") if x in written.arrays}
    with pytest.raises(UserError, match=r"lengths"):
        rg.parse(written.text).compile(dtype=written.meta["dtype"]).run(data, written.weights())


def test_the_tutorials_print_these_numbers() -> None:
    for name in NAMES:
        for key, told in case(name)[0].get("printed_in_tutorial", {}).items():
            if key == "out.y" and case(name)[0]["kind"] == "rnn":
                written = Written(name)
                model = rg.parse(written.text)
                y = model.compile(dtype="float32").run(written.data(), written.weights())["y"]
                assert np.abs(y - np.array(told["values"])).max() <= max(told["within"], 2e-5)
