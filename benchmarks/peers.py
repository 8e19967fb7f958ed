"""The time of an LSTM layer here and elsewhere: NumPy by hand, and PyTorch, JAX and onnxruntime where installed.

    python benchmarks/peers.py [--sizes 32,50,64,128] [--threads 2] [--json]

All compute the same float32 layer from the same numbers, which is checked before anything is timed. `infer` is all
outputs; `train` is the gradients of every weight and of the input, for the loss sum(outputs * cotangent). The
contestants take turns, and the median over the rounds counts, so that other work on the machine meets all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SIZES = ((4, 2, 3, 5), (1, 100, 64, 64), (32, 50, 64, 128), (32, 200, 128, 256))
"""Batch, steps, inputs, units."""
SECONDS = 3.0
"""For which a contest of one size goes on."""

Answer = tuple[Any, ...]
"""Outputs (batch, steps, units); in training the gradients of input, kernel and bias."""


@dataclass(frozen=True)
class Problem:
    """The numbers of one layer, in our layout: columns i, j, f, o of the kernel, rows of input then state."""

    x: Any
    kernel: Any
    bias: Any
    cotangent: Any

    @property
    def units(self) -> int:
        return int(self.bias.shape[0]) // 4

    @property
    def inputs(self) -> int:
        return int(self.x.shape[2])


class Absent(Exception):
    """A contestant that is not installed, or does not do this task."""


Contestant = Callable[[Problem, str], Callable[[], Answer]]


def problem(batch: int, steps: int, inputs: int, units: int) -> Problem:
    import numpy as np

    rng = np.random.default_rng(0)
    scale = units**-0.5
    shapes = (batch, steps, inputs), (inputs + units, 4 * units), (4 * units,), (batch, steps, units)
    x, kernel, bias, cotangent = (
        rng.normal(0, s, shape).astype("float32") for s, shape in zip((1, scale, 0.1, 1), shapes, strict=True)
    )
    return Problem(x, kernel, bias, cotangent)


# --- ours --------------------------------------------------------------------------------------------------------


def ours(mode: str) -> Contestant:
    def prepare(p: Problem, task: str) -> Callable[[], Answer]:
        import rnngraph as rg

        text = f"model M {{\n  input x: seq[{p.inputs}]\n  y, _ = unroll LSTM({p.units}) over x\n  output y\n}}\n"
        program = rg.parse(text).compile(mode, p.x.shape[1], dtype="float32", gradient=task == "train")
        weights = {"lstm.kernel": p.kernel, "lstm.bias": p.bias}
        if task == "infer":
            return lambda: (program.run({"x": p.x}, weights)["y"],)

        def train() -> Answer:
            _, found = program.gradients({"x": p.x}, weights, {"y": p.cotangent})
            return found["x"], found["lstm.kernel"], found["lstm.bias"]

        return train

    return prepare


# --- NumPy by hand -----------------------------------------------------------------------------------------------


def by_hand(p: Problem, task: str) -> Callable[[], Answer]:
    """As one would write it with care: one product for all inputs, one for all weight gradients."""
    import numpy as np

    u, w = p.kernel[p.inputs :], p.kernel[: p.inputs]
    units, (batch, steps, _) = p.units, p.x.shape

    def sigmoid(z: Any) -> Any:
        return 0.5 * np.tanh(0.5 * z) + 0.5

    def forward() -> tuple[Any, list[Answer]]:
        zs = np.swapaxes(p.x, 0, 1) @ w + p.bias
        h = c = np.zeros((batch, units), "float32")
        y, kept = np.empty((steps, batch, units), "float32"), []
        for t in range(steps):
            z = zs[t] + h @ u
            i, j = sigmoid(z[:, :units]), np.tanh(z[:, units : 2 * units])
            f, o = sigmoid(z[:, 2 * units : 3 * units] + 1), sigmoid(z[:, 3 * units :])
            before, c = (c, h), f * c + i * j
            shown = np.tanh(c)
            y[t] = h = o * shown
            kept.append((i, j, f, o, shown, *before))
        return y, kept

    def train() -> Answer:
        _, kept = forward()
        dz, before = np.empty((steps, batch, 4 * units), "float32"), np.empty((steps, batch, units), "float32")
        dh = dc = np.zeros((batch, units), "float32")
        for t in reversed(range(steps)):
            i, j, f, o, shown, c, before[t] = kept[t]
            dh = dh + p.cotangent[:, t]
            dc = dc + dh * o * (1 - shown * shown)
            dz[t, :, :units] = dc * j * i * (1 - i)
            dz[t, :, units : 2 * units] = dc * i * (1 - j * j)
            dz[t, :, 2 * units : 3 * units] = dc * c * f * (1 - f)
            dz[t, :, 3 * units :] = dh * shown * o * (1 - o)
            dh, dc = dz[t] @ u.T, dc * f
        rows = dz.reshape(-1, 4 * units)
        x = np.swapaxes(p.x, 0, 1).reshape(-1, p.inputs)
        kernel = np.concatenate([x.T @ rows, before.reshape(-1, units).T @ rows])
        return np.swapaxes(dz @ w.T, 0, 1), kernel, rows.sum(0)

    return train if task == "train" else lambda: (np.swapaxes(forward()[0], 0, 1),)


# --- others ------------------------------------------------------------------------------------------------------


def reordered(p: Problem, order: str) -> tuple[Any, Any]:
    """Kernel and bias with their columns in another order of the gates, the forget bias of 1 added."""
    import numpy as np

    blocks = {gate: slice(k * p.units, (k + 1) * p.units) for k, gate in enumerate("ijfo")}
    bias = p.bias.copy()
    bias[blocks["f"]] += 1
    return (
        np.concatenate([p.kernel[:, blocks[g]] for g in order], axis=1),
        np.concatenate([bias[blocks[g]] for g in order]),
    )


def restored(array: Any, order: str) -> Any:
    """Columns in another order of the gates back in ours."""
    import numpy as np

    parts = dict(zip(order, np.split(array, 4, axis=-1), strict=True))
    return np.concatenate([parts[gate] for gate in "ijfo"], axis=-1)


def torch_layer(p: Problem, task: str) -> Callable[[], Answer]:
    import numpy as np

    try:
        import torch
    except ImportError as error:
        raise Absent from error
    torch.set_num_threads(int(os.environ["OPENBLAS_NUM_THREADS"]))
    kernel, bias = reordered(p, "ifjo")
    layer = torch.nn.LSTM(p.inputs, p.units, batch_first=True)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.from_numpy(kernel[: p.inputs].T.copy()))
        layer.weight_hh_l0.copy_(torch.from_numpy(kernel[p.inputs :].T.copy()))
        layer.bias_ih_l0.copy_(torch.from_numpy(bias))
        layer.bias_hh_l0.zero_()
    x, cotangent = torch.from_numpy(p.x), torch.from_numpy(p.cotangent)

    def infer() -> Answer:
        with torch.inference_mode():
            return (layer(x)[0].numpy(),)

    def train() -> Answer:
        leaf = x.clone().requires_grad_(True)
        layer.zero_grad()
        (layer(leaf)[0] * cotangent).sum().backward()
        found = np.concatenate([layer.weight_ih_l0.grad.numpy(), layer.weight_hh_l0.grad.numpy()], axis=1).T
        return leaf.grad.numpy(), restored(found, "ifjo"), restored(layer.bias_ih_l0.grad.numpy(), "ifjo")

    return train if task == "train" else infer


def jax_scan(p: Problem, task: str) -> Callable[[], Answer]:
    try:
        import jax
        import jax.numpy as jnp
    except ImportError as error:
        raise Absent from error
    zero = jnp.zeros((p.x.shape[0], p.units))

    def layer(x: Any, kernel: Any, bias: Any) -> Any:
        def step(state: Any, z: Any) -> Any:
            c, h = state
            i, j, f, o = jnp.split(z + h @ kernel[p.inputs :], 4, axis=1)
            c = jax.nn.sigmoid(f + 1) * c + jax.nn.sigmoid(i) * jnp.tanh(j)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (c, h), h

        zs = jnp.swapaxes(x, 0, 1) @ kernel[: p.inputs] + bias
        return jnp.swapaxes(jax.lax.scan(step, (zero, zero), zs)[1], 0, 1)

    cotangent = jnp.asarray(p.cotangent)
    gradients = jax.grad(lambda *given: (layer(*given) * cotangent).sum(), argnums=(0, 1, 2))
    function = jax.jit(gradients if task == "train" else lambda *given: (layer(*given),))
    given = tuple(map(jnp.asarray, (p.x, p.kernel, p.bias)))
    return lambda: tuple(map(jax.block_until_ready, function(*given)))


def onnx_operator(p: Problem, task: str) -> Callable[[], Answer]:
    import numpy as np

    try:
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as error:
        raise Absent from error
    if task == "train":
        raise Absent
    kernel, bias = reordered(p, "iofj")
    zero = np.zeros_like(bias)
    named = {"W": kernel[: p.inputs].T[None], "R": kernel[p.inputs :].T[None], "B": np.concatenate([bias, zero])[None]}
    node = helper.make_node("LSTM", ["x", "W", "R", "B"], ["y"], hidden_size=p.units)
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    held = [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in named.items()]
    made = helper.make_graph([node], "layer", info[:1], info[1:], held)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["OPENBLAS_NUM_THREADS"])
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    x = np.ascontiguousarray(np.swapaxes(p.x, 0, 1))
    return lambda: (np.swapaxes(session.run(None, {"x": x})[0][:, 0], 0, 1),)


CONTESTANTS: Mapping[str, Contestant] = {
    "rnngraph static": ours("static"), "rnngraph dynamic": ours("dynamic"), "NumPy by hand": by_hand,
    "PyTorch nn.LSTM": torch_layer, "JAX scan": jax_scan, "onnxruntime LSTM": onnx_operator,
}  # fmt: skip


# --- the contest -------------------------------------------------------------------------------------------------


def ready(p: Problem, task: str) -> dict[str, Callable[[], Answer]]:
    """The contestants that are installed, each warmed up and found to give the right numbers."""
    import numpy as np

    found: dict[str, Callable[[], Answer]] = {}
    right: Answer = ()
    for name, prepare in CONTESTANTS.items():
        try:
            run = prepare(p, task)
        except Absent:
            continue
        answer = tuple(np.asarray(array) for array in run())
        right = right or answer
        for a, b in zip(answer, right, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=2e-4 * float(np.abs(b).max()), err_msg=name)
        found[name] = run
    return found


def contest(runs: Mapping[str, Callable[[], Answer]], seconds: float) -> dict[str, float]:
    """Median milliseconds of each. They take turns, in batches that last about as long for each."""
    once = {name: min(timed(run, 1) for _ in range(3)) for name, run in runs.items()}
    counts = {name: max(1, min(200, round(0.02 / t))) for name, t in once.items()}
    found: dict[str, list[float]] = {name: [] for name in runs}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(found.values()))) < 5:
        for name, run in runs.items():
            found[name].append(1e3 * timed(run, counts[name]))
    return {name: statistics.median(times) for name, times in found.items()}


def timed(run: Callable[[], Answer], count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        run()
    return (time.perf_counter() - began) / count


def contests(sizes: Sequence[tuple[int, ...]], seconds: float) -> Iterator[dict[str, Any]]:
    for task in ("infer", "train"):
        for size in sizes:
            yield {"task": task, "size": size, "ms": contest(ready(problem(*size), task), seconds)}


def table(rows: Sequence[Mapping[str, Any]], task: str) -> str:
    """Milliseconds as Markdown; in brackets, how many times ours that is."""
    rows = [row for row in rows if row["task"] == task]
    names = [name for name in CONTESTANTS if any(name in row["ms"] for row in rows)]
    lines = [f"| {task}: batch, steps, inputs, units | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for row in rows:
        own = row["ms"]["rnngraph dynamic"]
        cells = [f"{row['ms'][n]:.3g} ({row['ms'][n] / own:.2f})" if n in row["ms"] else "" for n in names]
        lines.append(f"| {', '.join(map(str, row['size']))} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="The time of an LSTM layer here and elsewhere.")
    parser.add_argument("--sizes", nargs="*", help="batch,steps,inputs,units; several are allowed")
    parser.add_argument("--threads", default="2", help="threads for everyone")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each contest")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = arguments.threads  # read once, when NumPy is imported
    sys.path.insert(0, str(ROOT))
    sizes = [tuple(map(int, s.split(","))) for s in arguments.sizes] if arguments.sizes else SIZES
    rows = list(contests(sizes, arguments.seconds))
    if arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        print(f"milliseconds, {arguments.threads} threads; in brackets the ratio to rnngraph dynamic\n")
        print(table(rows, "infer"), table(rows, "train"), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
