"""Agreement with TensorFlow 1 of lookups, convolutions, poolings, statistics and norms: values and gradients.

`golden_nn/README.md` says what each array means, `docs/tf1_functions_b.md` what is written for which function.
Every case runs twice: once as a function of an example, once in every step of a cell, statically and dynamically.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from tests.support.running import same_bits

GOLDEN = Path(__file__).parent / "golden_nn"
STEPS = 3


@cache
def case(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = dict(file)
    return json.loads(str(arrays.pop("meta"))), arrays


@dataclass
class Written:
    """What is written for a case: inputs and weights with their arrays, the text, and the names of the results.

    `inputs` are batch-major; an input that TensorFlow sees whole, batch and all, is one example here.
    """

    body: str
    outputs: tuple[str, ...]
    inputs: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, Any] = field(default_factory=dict)
    whole: bool = True

    def batch(self, array: Any) -> Any:
        return array[None] if self.whole else array


def spec(array: Any, sequence: bool = False) -> str:
    """The type of an array as it is declared."""
    sizes = f"[{', '.join(map(str, array.shape))}]" if array.shape or not sequence else ""
    kind = " int" if array.dtype.kind == "i" else ""
    return f"{'seq' if sequence else ''}{sizes}{kind}"


def options(meta: dict[str, Any]) -> str:
    """`axes` and `keep_dims` as arguments."""
    axes = meta["options"]["axes"]
    text = "" if axes is None else f", axis = [{', '.join(map(str, axes))}]"
    return text + (", keep = true" if meta["options"].get("keep_dims") else "")


# --- one builder for each function of TensorFlow ---------------------------------------------------------------------


def bias_add(meta: dict[str, Any], a: dict[str, Any]) -> Written:
    bias = "bias"
    if meta["options"]["data_format"] == "NCHW":
        bias = f"reshape(bias, [{len(a['in_bias'])}, 1, 1])"
    return Written(f"y = value + {bias}", ("y",), {"value": a["in_value"]}, {"bias": a["in_bias"]}, whole=False)


def clip_by_norm(meta: dict[str, Any], a: dict[str, Any]) -> Written:
    return Written(f"y = clip_by_norm(t, {meta['options']['clip_norm']}{options(meta)})", ("y",), {"t": a["in_t"]})


def clip_by_global_norm(meta: dict[str, Any], a: dict[str, Any]) -> Written:
    body = f"t_0, t_1, global_norm = clip_by_global_norm(t_0, t_1, limit = {meta['options']['clip_norm']})"
    return Written(body, ("t_0", "t_1", "global_norm"), {"t_0": a["in_t_0"], "t_1": a["in_t_1"]})


def dilation2d(meta: dict[str, Any], a: dict[str, Any]) -> Written:
    o = meta["options"]
    arguments = f"stride = {o['strides'][1:3]}, dilation = {o['rates'][1:3]}, padding = {said(o)}"
    body = f"y = {meta['function'].rpartition('.')[2]}(image, filter, {arguments})"
    return Written(body, ("y",), {"image": a["in_input"]}, {"filter": a["in_filter"]}, whole=False)


def said(o: dict[str, Any]) -> str:
    return "true" if o["padding"] == "SAME" else "false"


def with_space_to_batch(meta: dict[str, Any], a: dict[str, Any]) -> Written:
    o = meta["options"]
    op = o["op"].partition(",")[0]
    rest = f"stride = 1, dilation = {o['dilation_rate']}, padding = {said(o)}"
    if op == "avg_pool":
        rest += ", count_padding = true"
    second = "filter" if "in_filter" in a else str(o["filter_shape"])
    weights = {"filter": a["in_filter"]} if "in_filter" in a else {}
    return Written(f"y = {op}(image, {second}, {rest})", ("y",), {"image": a["in_input"]}, weights, whole=False)


def lrn(meta: dict[str, Any], a: dict[str, Any]) -> Written:
    o = meta["options"]
    body = f"y = lrn(image, {o['depth_radius']}, bias = {o['bias']}, alpha = {o['alpha']}, beta = {o['beta']})"
    return Written(body, ("y",), {"image": a["in_input"]}, whole=False)


def moments(meta: dict[str, Any], a: dict[str, Any]) -> Written:
    return Written(f"mean, variance = moments(x{options(meta)})", ("mean", "variance"), {"x": a["in_x"]})


def weighted_moments(meta: dict[str, Any], a: dict[str, Any]) -> Written:
    body = f"mean, variance = weighted_moments(x, frequency_weights{options(meta)})"
    inputs = {"x": a["in_x"], "frequency_weights": a["in_frequency_weights"]}
    return Written(body, ("mean", "variance"), inputs)


def sufficient_statistics(meta: dict[str, Any], a: dict[str, Any]) -> Written:
    shift = meta["options"]["shift"]
    given = "" if shift is None else f", shift = {shift}"
    body = f"count, mean_ss, variance_ss = sufficient_statistics(x{given}{options(meta)})\n  count = count + 0 * sum(x)"
    return Written(body, ("count", "mean_ss", "variance_ss"), {"x": a["in_x"]})


def normalize_moments(meta: dict[str, Any], a: dict[str, Any]) -> Written:
    inputs = {k.removeprefix("in_"): v for k, v in a.items() if k.startswith("in_")}
    shift = ", shift" if "shift" in inputs else ""
    return Written(
        f"mean, variance = normalize_moments(counts, mean_ss, variance_ss{shift})", ("mean", "variance"), inputs
    )


def zero_fraction(meta: dict[str, Any], a: dict[str, Any]) -> Written:
    return Written("fraction = zero_fraction(value)", ("fraction",), {"value": a["in_value"]})


def table(a: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """One table, or the parts of one laid end to end."""
    parts = {k.removeprefix("in_"): v for k, v in a.items() if k.startswith("in_params")}
    return ("params" if "params" in parts else f"concat({', '.join(parts)}, axis = 0)"), parts


def place(meta: dict[str, Any], parts: dict[str, Any]) -> str:
    """Where an id stands when the parts lie end to end; `mod` deals the ids out in turn."""
    if meta["options"].get("partition_strategy") != "mod":
        return "ids"
    count, vocab = len(parts), sum(map(len, parts.values()))
    return f"(ids % {count}) * {vocab // count} + min(ids % {count}, {vocab % count}) + ids // {count}"


def embedding_lookup(meta: dict[str, Any], a: dict[str, Any]) -> Written:
    most, (whole, parts) = meta["options"].get("max_norm"), table(a)
    body = f"table = {whole}\n  y = table[{place(meta, parts)}]"
    if most is not None:
        row = list(range(-(next(iter(parts.values())).ndim - 1), 0))
        body += f"\n  y = clip_by_norm(y, {most}, axis = {row})"
    return Written(body, ("y",), {"ids": a["in_ids"].astype(np.int64)}, parts)


COMBINED = {
    "sum": "y = weights @ rows",
    "mean": "total = sum(weights)\n  y = where(total == 0, 0, weights @ rows / where(total == 0, 1, total))",
    "sqrtn": "total = norm(weights)\n  y = where(total == 0, 0, weights @ rows / where(total == 0, 1, total))",
}


def bags(a: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
    """Ids and weights as rows filled up with 0, the lengths of the rows, and where each entry went."""
    rows = a["in_ids_indices"][:, 0]
    lengths = np.bincount(rows, minlength=a["in_ids_shape"][0])
    columns = np.concatenate([np.arange(n) for n in lengths])
    ids, weights = np.zeros((len(lengths), lengths.max()), np.int64), np.zeros((len(lengths), lengths.max()))
    ids[rows, columns] = a["in_ids_values"]
    weights[rows, columns] = a.get("in_weights_values", 1.0)
    return ids, weights, lengths, (rows, columns)


def embedding_lookup_sparse(meta: dict[str, Any], a: dict[str, Any]) -> Written:
    """Rows of fixed width, where the weight 0 means that there is nothing."""
    ids, weights, _, _ = bags(a)
    most, (whole, parts) = meta["options"]["max_norm"], table(a)
    body = f"table = {whole}\n  rows = table[{place(meta, parts)}]\n  "
    if most is not None:
        body += f"rows = clip_by_norm(rows, {most}, axis = -1)\n  "
    return Written(
        body + COMBINED[meta["options"]["combiner"]], ("y",), {"ids": ids, "weights": weights}, parts, whole=False
    )


def safe_embedding_lookup_sparse(meta: dict[str, Any], a: dict[str, Any]) -> Written:
    """Ids below 0 are left out, and for a mean weights below 0 too; a row with nothing left is 0 or that of an id."""
    ids, weights, _, _ = bags(a)
    combiner, default = meta["options"]["combiner"], meta["options"]["default_id"]
    body = f"""keep = ids >= 0 and weights {"!=" if combiner == "sum" else ">"} 0
  weights = where(keep, weights, 0)
  rows = params[max(ids, 0)]
  """
    body += COMBINED[combiner]
    if default is not None:
        body += f"\n  y = where(sum(keep) == 0, params[{default}], y)"
    return Written(body, ("y",), {"ids": ids, "weights": weights}, {"params": a["in_params"]}, whole=False)


BUILDERS: dict[str, Callable[[dict[str, Any], dict[str, Any]], Written]] = {
    f.__name__: f
    for f in (bias_add, clip_by_norm, clip_by_global_norm, dilation2d, with_space_to_batch, lrn, moments, zero_fraction,
              weighted_moments, sufficient_statistics, normalize_moments, embedding_lookup, embedding_lookup_sparse,
              safe_embedding_lookup_sparse)
} | {"erosion2d": dilation2d}  # fmt: skip
NAMES = [p.stem for p in sorted(GOLDEN.glob("*.npz")) if p.stem.partition("__")[0] in BUILDERS]


# --- as a function, and in every step ---------------------------------------------------------------------------------


def once(w: Written) -> str:
    inputs = [f"input in_{k}: {spec(w.batch(v)[0])}" for k, v in w.inputs.items()]
    params = [f"param {k}: {spec(v)}" for k, v in w.weights.items()]
    names = [f"{k} = in_{k}" for k in w.inputs]
    return "\n  ".join(["model Golden {", *inputs, *params, *names, w.body, f"output {', '.join(w.outputs)}"]) + "\n}\n"


def stepwise(w: Written) -> str:
    """The same in a cell: a state that stays 0 keeps the work inside of the loop."""
    names = ", ".join(f"in_{k}" for k in w.inputs)
    inputs = [f"input in_{k}: {spec(w.batch(v)[0])}" for k, v in w.inputs.items()]
    params = [f"param {k}: {spec(v)}" for k, v in w.weights.items()]
    zeros = {"f": "zero", "i": "int(zero)"}
    inside = [f"{k} = in_{k} + {zeros[v.dtype.kind]}" for k, v in w.inputs.items()]
    cell = ["cell Step {", *inputs, "state zero: [] = 0", *params, "zero' = zero", *inside, w.body]
    model = [f"input in_{k}: {spec(w.batch(v)[0], True)}" for k, v in w.inputs.items()]
    outputs = ", ".join(w.outputs)
    return (
        "\n  ".join([*cell, f"output {outputs}"])
        + "\n}\n"
        + "\n  ".join(["model Golden {", *model, f"{outputs}, _ = unroll Step() over {names}", f"output {outputs}"])
        + "\n}\n"
    )


def assert_agrees(name: str, w: Written, text: str, prefix: str = "", steps: int | None = None) -> None:
    meta, arrays = case(name)
    dtype = "float32" if any(v.dtype == np.float32 for v in w.inputs.values()) else "float64"
    model = rg.parse(text)

    def repeated(array: Any) -> Any:
        array = w.batch(array)
        return array if steps is None else np.repeat(array[:, None], steps, axis=1)

    data = {f"in_{k}": repeated(v) for k, v in w.inputs.items()}
    weights = {prefix + k: v for k, v in w.weights.items()}
    cotangents = {k: repeated(arrays[f"cot_{k}"]) for k in w.outputs if f"cot_{k}" in arrays}
    found = []
    for unroll, n in (("static", steps or 1), ("dynamic", None), (2, None)):
        program = model.compile(unroll, n, dtype=dtype, gradient=bool(cotangents))
        results = program.run(data, weights)
        grads = program.gradients(data, weights, cotangents)[1] if cotangents else {}
        found.append({**{f"out {k}": v for k, v in results.items()}, **{f"grad {k}": v for k, v in grads.items()}})
    got = found[0]
    for other in found[1:]:
        assert same_bits(got, other)
    tolerance = {"rtol": meta["rtol"], "atol": meta["atol"]}
    for key in w.outputs:
        expected = repeated(arrays[f"out_{key}"])
        rows = len(expected) if "sparse" in name else None
        np.testing.assert_allclose(got[f"out {key}"][:rows], expected, **tolerance)
        assert not got[f"out {key}"][len(expected) :].any()
    for key in meta["gradients"]:
        expected, ours = arrays[f"grad_{key}"], {"input": "image", "weights_values": "weights"}.get(key, key)
        if ours in w.weights:
            np.testing.assert_allclose(got[f"grad {prefix}{ours}"], expected * (steps or 1), **tolerance)
        elif key == "weights_values":
            for t in range(steps or 1):
                step = got["grad in_weights"] if steps is None else got["grad in_weights"][:, t]
                np.testing.assert_allclose(step[bags(arrays)[3]], expected, **tolerance)
        else:
            np.testing.assert_allclose(got[f"grad in_{ours}"], repeated(expected), **tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_tensorflow(name: str) -> None:
    w = BUILDERS[name.partition("__")[0]](*case(name))
    assert_agrees(name, w, once(w))


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_tensorflow_in_every_step(name: str) -> None:
    w = BUILDERS[name.partition("__")[0]](*case(name))
    assert_agrees(name, w, stepwise(w), "step.", STEPS)


# --- bags as sequences of their own length ---------------------------------------------------------------------------

BAGS = [n for n in NAMES if n.startswith("embedding_lookup_sparse") and "partition" not in n]
LAYER = {"sum": "BagSum", "mean": "BagMean", "sqrtn": "BagRootN"}


@pytest.mark.parametrize("name", BAGS)
def test_bags_of_any_length(name: str) -> None:
    """The rows of a sparse tensor as sequences on their own axis; what stands in the padding does not matter."""
    meta, arrays = case(name)
    ids, weights, lengths, where = bags(arrays)
    o = meta["options"]
    most = "" if o["max_norm"] is None else f", max_norm = {o['max_norm']}"
    model = rg.parse(f"""
model Golden {{
  input ids: seq@bag int
  input weights: seq@bag
  bag = {LAYER[o["combiner"]]}(13, 3{most})
  output bag(ids, weights) as y
}}
""")
    weights[np.arange(weights.shape[1]) >= lengths[:, None]] = np.nan
    data = {"ids": ids, "weights": weights, "ids.lengths": lengths, "weights.lengths": lengths}
    given = {"bag.table": arrays["in_params"]}
    tolerance = {"rtol": meta["rtol"], "atol": meta["atol"]}
    found = []
    for unroll, steps in (("static", ids.shape[1]), ("dynamic", None)):
        program = model.compile(unroll, steps, gradient=True)
        found.append(program.run(data, given)["y"])
        np.testing.assert_allclose(found[-1][: len(arrays["out_y"])], arrays["out_y"], **tolerance)
        assert not found[-1][len(arrays["out_y"]) :].any()
        if meta["gradients"]:
            _, grads = program.gradients(data, given, {"y": arrays["cot_y"]})
            np.testing.assert_allclose(grads["bag.table"], arrays["grad_params"], **tolerance)
            if "grad_weights_values" in arrays:
                np.testing.assert_allclose(grads["weights"][where], arrays["grad_weights_values"], **tolerance)
    assert found[0].tobytes() == found[1].tobytes()


SAFE_MEAN = """
  keep = ids >= 0 and weights > 0
  w = where(keep, weights, 0)
  total = sum(w, axis = bag)
  y = where(total == 0, 0, sum(w * table[max(ids, 0)], axis = bag) / where(total == 0, 1, total))"""
SAFE_SUM = """
  keep = ids >= 0
  w = where(keep, weights, 0)
  y = where(sum(keep, axis = bag) == 0, table[2], sum(w * table[max(ids, 0)], axis = bag))"""


@pytest.mark.parametrize(("name", "body"), [("mean_zeros", SAFE_MEAN), ("sum_default", SAFE_SUM)])
def test_safe_bags_of_any_length(name: str, body: str) -> None:
    meta, arrays = case(f"safe_embedding_lookup_sparse__{name}")
    ids, weights, lengths, where = bags(arrays)
    model = rg.parse(f"""
model Golden {{
  input ids: seq@bag int
  input weights: seq@bag
  param table: [13, 3]
  {body}
  output y
}}
""")
    data = {"ids": ids, "weights": weights, "ids.lengths": lengths, "weights.lengths": lengths}
    tolerance = {"rtol": meta["rtol"], "atol": meta["atol"]}
    for unroll, steps in (("static", ids.shape[1]), ("dynamic", None)):
        program = model.compile(unroll, steps, gradient=True)
        given = {"table": arrays["in_params"]}
        np.testing.assert_allclose(program.run(data, given)["y"], arrays["out_y"], **tolerance)
        _, grads = program.gradients(data, given, {"y": arrays["cot_y"]})
        np.testing.assert_allclose(grads["table"], arrays["grad_params"], **tolerance)
        np.testing.assert_allclose(grads["weights"][where], arrays["grad_weights_values"], **tolerance)
