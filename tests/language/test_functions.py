"""Functions that papers use: values and gradients beside PyTorch and NumPy, poles and ties, padding, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.diagnostics.errors import UserError
from tests.support.running import same_bits

RNG = np.random.default_rng(5)
NAN = float("nan")


def run(text: str, data: dict[str, Any], kernels: str = "numpy", **how: Any) -> dict[str, Any]:
    model = rg.parse(text)
    with np.errstate(all="ignore"):
        return dict(model.compile(kernels=kernels, **how).run(data, model.init(0)))


def of(expressions: str, **data: Any) -> list[Any]:
    """What each of the expressions, by lines, gives for one row of data, which may hold what is no finite number."""
    lines = [line.strip() for line in expressions.strip().splitlines()]
    given, text = {}, "model M {\n"
    for name, array in data.items():
        kind = "int" if np.asarray(array).dtype.kind == "i" else ""
        finite = np.isfinite(array)
        signs = np.where(np.isnan(array), 0, np.sign(array))
        given[f"{name}0"] = np.where(finite, array, signs).astype(np.asarray(array).dtype)
        given[f"{name}1"] = finite.astype(float)
        text += f"  input {name}0: {list(np.shape(array))} {kind}\n  input {name}1: {list(np.shape(array))}\n"
        text += f"  {name} = {name}0{'' if kind else f' / {name}1'}\n"
    text += "".join(f"  output {line} as y{i}\n" for i, line in enumerate(lines))
    found = run(f"{text}}}", {n: a[None] for n, a in given.items()})
    return [found[f"y{i}"] if found[f"y{i}"].ndim == 0 else found[f"y{i}"][0] for i in range(len(lines))]


def refused(text: str) -> str:
    with pytest.raises(UserError) as error:
        rg.parse(text)
    (told,) = error.value.diagnostics
    return f"{told.code}: {told.message}"


# --- beside PyTorch -------------------------------------------------------------------------------------------------

ACTIVATIONS = {
    "erf(x)": "torch.erf(x)", "gelu(x)": "F.gelu(x)", "gelu(x, approximate = true)": "F.gelu(x, approximate='tanh')",
    "silu(x)": "F.silu(x)", "mish(x)": "F.mish(x)", "elu(x)": "F.elu(x)", "elu(x, 0.7)": "F.elu(x, 0.7)",
    "selu(x)": "F.selu(x)", "leaky_relu(x)": "F.leaky_relu(x)", "leaky_relu(x, slope = 0.3)": "F.leaky_relu(x, 0.3)",
    "softsign(x)": "F.softsign(x)", "hard_sigmoid(x)": "F.relu6(x + 3) / 6", "prod(m, axis = 0)": "m.prod(-2)",
    "cumprod(m, axis = 1)": "m.cumprod(-1)", "cummax(m, axis = 1)": "m.cummax(-1).values",
    "logsumexp(m, axis = [0, 1])": "m.logsumexp((-2, -1))", "logsumexp(m, axis = 0, keep = true)":
    "m.logsumexp(-2, keepdim=True)", "sort(m, axis = 0)": "m.sort(dim=-2, stable=True).values",
    "sort(m, descending = true)": "m.sort(dim=-1, descending=True, stable=True).values",
    "atan2(y, m[0])": "torch.atan2(y, m[..., 0, :])",
    "atan2(x, 0.5 * x)": "torch.atan2(x, 0.5 * x)",
    "max(m, axis = [0, 1])": "m.amax((-2, -1))", "min(m, axis = 1, keep = true)": "m.amin(-1, keepdim=True)",
    "mean(m, axis = 0, keep = true)": "m.mean(-2, keepdim=True)", "diag(y)": "torch.diag_embed(y)",
    "diag(m @ transpose(m))": "torch.diagonal(m @ m.mT, dim1=-2, dim2=-1)",
    "solve(m @ transpose(m) + eye(3), y[0:3])": "torch.linalg.solve(m @ m.mT + eye, y[..., :3])",
    "solve(eye(3) + tri(3), m)": "torch.linalg.solve(eye + (eye + 1 - eye).tril(), m)",
    'einsum("h i, h j, i -> j h", m, m, y)': "torch.einsum('bhi,bhj,bi->bjh', m, m, y)",
    'einsum("i i j -> j", reshape(outer(y, y), [2, 2, 4]))':
    "torch.einsum('biij->bj', (y[..., None] * y[..., None, :]).reshape(-1, 2, 2, 4))",
}  # fmt: skip
"""Ours, and PyTorch's."""
FAR = np.array([[-1e30, -40.0, -3.0, -1e-9, 0.0, 1e-9, 1.0, 1.0, 3.0, 40.0, 1e30], np.linspace(-4, 4, 11)])


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["numpy", "native"])
def test_values_and_gradients_are_those_of_pytorch(kernels: str) -> None:
    """Also far out, at the bends, and where entries are equal or 0: the gradient of a product divides by none. (That of
    PyTorch's `hardsigmoid` itself has a sixth in 24 bits.)"""
    torch = pytest.importorskip("torch")
    y, m = np.random.default_rng(1).normal(size=(2, 4)), np.random.default_rng(2).normal(size=(2, 3, 4))
    m[0, 1], m[0, 2, 2] = [2, 2, 0, 2], 0
    data = {"x": FAR, "y": y, "m": m}
    outputs = "".join(f"  output {ours} as r{i}\n" for i, ours in enumerate(ACTIVATIONS))
    model = rg.parse(f"model M {{\n  input x: [11]\n  input y: [4]\n  input m: [3, 4]\n{outputs}}}")
    program = model.compile(gradient=True, kernels=kernels)
    got = program.run(data, {})
    for i, (ours, theirs) in enumerate(ACTIVATIONS.items()):
        leaves = {n: torch.tensor(a, requires_grad=True) for n, a in data.items()}
        scope = {"torch": torch, "F": torch.nn.functional, "eye": torch.eye(3, dtype=torch.float64)}
        want = eval(theirs, scope, leaves)
        cots = {n: np.zeros_like(a) for n, a in got.items()} | {f"r{i}": RNG.normal(size=want.shape)}
        want.backward(torch.tensor(cots[f"r{i}"]))
        _, grads = program.gradients(data, {}, cots)
        np.testing.assert_allclose(got[f"r{i}"], want.detach(), rtol=1e-12, atol=1e-15, err_msg=ours)
        for name, leaf in leaves.items():
            slope = np.zeros_like(data[name]) if leaf.grad is None else leaf.grad.numpy()
            np.testing.assert_allclose(grads[name], slope, rtol=1e-9, atol=1e-12, err_msg=ours)


def test_gradients_agree_with_differences() -> None:
    """In a step of a cell, of all functions in one loss; away from bends."""
    rng = np.random.default_rng(3)
    lines = [ours for ours in ACTIVATIONS if "x" not in ours.replace("max", "").replace("axis", "").replace("ex", "")]
    lines += [ours.replace("(x", "(y") for ours in ACTIVATIONS if "(x" in ours and "0.5" not in ours]
    body = " + ".join(f"{w:.3f} * sum({line})" for w, line in zip(rng.normal(size=99), lines, strict=False))
    cell = f"cell C {{\n  input y: [4]\n  input m: [3, 4]\n  state s: [] = 0\n  s' = 0.3 * s + {body}\n  output s'\n}}"
    model = rg.parse(f"{cell}\nmodel M {{\n  input y: seq[4]\n  input m: seq[3, 4]\n  loss unroll C() over y, m\n}}")
    program = model.compile(gradient=True, kernels="numpy")
    data = {"y": rng.uniform(0.3, 0.9, (2, 3, 4)), "m": rng.uniform(0.3, 0.9, (2, 3, 3, 4))}
    _, grads = program.gradients(data, {})
    for name in data:
        way, step = rng.normal(size=data[name].shape), 1e-6
        ends = [program.run({**data, name: data[name] + sign * step * way}, {})["loss"] for sign in (1, -1)]
        assert np.sum(grads[name] * way) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)


# --- poles, ties, kinds ---------------------------------------------------------------------------------------------


def test_orders_of_equal_entries_and_of_what_is_no_number() -> None:
    x = [2.0, NAN, 1.0, 2.0, -np.inf, 1.0]
    up, down, places, back = of("sort(x)\nsort(x, descending = true)\nargsort(x)\nargsort(x, descending = true)", x=x)
    assert places.tolist() == [4, 2, 5, 0, 3, 1] and back.tolist() == [1, 0, 3, 2, 5, 4]
    assert np.array_equal(up, np.array(x)[places], equal_nan=True)
    assert np.array_equal(down, np.array(x)[back], equal_nan=True)
    large = [2**53 + 1, 2**53, -(2**63), 2**63 - 1]
    ints, least, most, smallest = of("sort(x)\nargmin(x)\nargmax(x)\nmin(x)", x=large)
    assert ints.tolist() == sorted(large) and (least, most, smallest) == (2, 3, -(2**63))
    model = "model M {\n  input x: seq int\n  output min(x, axis = time) as least, max(x, axis = time) as most\n}"
    ends = run(model, {"x": [[large[2], 0], [large[3], 0], [5, large[2]]], "x.lengths": [1, 1, 2]})
    assert ends["least"].tolist() == [-(2**63), 2**63 - 1, -(2**63)]
    assert ends["most"].tolist() == [-(2**63), 2**63 - 1, 5]


def test_poles_and_ends() -> None:
    inf = np.inf
    x = [[inf, 0], [-inf, -inf], [1e300, 1e300], [NAN, 1]]
    sums, products, largest = of("logsumexp(x, axis = 1)\nprod(x, axis = 1)\ncummax(x, axis = 1)", x=x)
    assert np.array_equal(sums, [inf, -inf, 1e300, NAN], equal_nan=True)
    assert np.array_equal(products, [NAN, inf, inf, NAN], equal_nan=True)
    assert np.array_equal(largest, np.maximum.accumulate(x, 1), equal_nan=True)
    halves = [-2.5, -0.5, 0.5, 1.5, 2.5, 0.49999999999999994]
    assert of("round(x)\nceil(x)", x=halves)[0].tolist() == np.round(halves).tolist()
    assert of("ceil(x)", x=halves)[0].tolist() == np.ceil(halves).tolist()
    y, z = np.array([0.0, -0.0, 0.0, -0.0, 1.0, inf]), np.array([1.0, 1.0, -1.0, -1.0, 0.0, inf])
    assert np.array_equal(of("atan2(y, z)", y=y, z=z)[0], np.arctan2(y, z))


def test_slopes_of_remainders_and_of_angles_at_infinity() -> None:
    """x % z is x - (x // z) z, of the exact quotient: 88 / 0.1 is rounded to 880, of which 879 are whole."""
    pairs = [(88.0, 0.1), (-3.0, -0.1), (7.0, 2.0), (-1e-30, 1e300), (5e-324, -2.0)]
    (slopes,) = of("gradient(sum(x % z), z)", x=[x for x, _ in pairs], z=[z for _, z in pairs])
    assert slopes.tolist() == [-(x // z) for x, z in pairs] and slopes.tolist()[:2] == [-879, -29]
    inf = np.inf
    y, z = [inf, -inf, inf, 2.0, 0.0, 1.0], [1.0, -inf, inf, -inf, inf, 2.0]
    up, across = of("gradient(sum(atan2(y, z)), y)\ngradient(sum(atan2(y, z)), z)", y=y, z=z)
    assert np.allclose(up, [0, 0, 0, 0, 0, 0.4], rtol=1e-15) and np.allclose(across, [0, 0, 0, 0, 0, -0.2], rtol=1e-15)


def test_a_matrix_without_an_inverse_spoils_no_other_row() -> None:
    a = np.stack([np.eye(2), np.ones((2, 2)), 2 * np.eye(2)])
    text = "model M {\n  input a: [2, 2]\n  input b: [2]\n  output solve(a, b) as x\n}"
    found = run(text, {"a": a, "b": np.ones((3, 2))})["x"]
    assert np.array_equal(found, [[1, 1], [NAN, NAN], [0.5, 0.5]], equal_nan=True)


def test_numbers_while_compiling_are_as_those_of_a_run() -> None:
    calls = ["erf(0.3)", "gelu(-1)", "gelu(1, approximate = true)", "silu(2)", "mish(-1)", "elu(-1, 2)", "selu(-2)",
             "leaky_relu(-3)", "softsign(2)", "hard_sigmoid(1)", "round(2.5)", "ceil(1.2)", "atan2(1, -2)",
             "clip(high = 1, low = 0, x = -5)", "gelu(approximate = true, x = 1)"]  # fmt: skip
    later = [call.replace("(", "(0 * s + ", 1) for call in calls[:-2]]
    later += ["clip(0 * s - 5, 0, 1)", "gelu(0 * s + 1, approximate = true)"]
    found = of("\n".join([*calls, *later]), s=1.0)
    assert np.allclose(found[: len(calls)], found[len(calls) :], rtol=1e-14)


# --- along time -----------------------------------------------------------------------------------------------------

ALONG = ("logsumexp(x, axis = time)", "any(x > 0, axis = time)", "all(x > 0, axis = time)", "norm(x, axis = time)")


@pytest.mark.parametrize("kernels", ["numpy", "native"])
def test_padding_and_rows_without_steps_do_not_matter(kernels: str) -> None:
    outputs = "".join(f"  output {text} as y{i}\n" for i, text in enumerate(ALONG))
    loss = f"  loss mean({ALONG[0]} * {ALONG[3]})\n"
    model, lengths = rg.parse(f"model M {{\n  input x: seq[2]\n{outputs}{loss}}}"), np.array([4, 2, 0])
    x = np.random.default_rng(7).normal(size=(3, 4, 2))
    x[1, 2:], x[2] = NAN, NAN
    program = model.compile(gradient=True, kernels=kernels)
    found = program.run({"x": x, "x.lengths": lengths}, {})
    _, grads = program.gradients({"x": x, "x.lengths": lengths}, {})
    for b, n in enumerate(lengths[:2]):
        assert np.allclose(found["y0"][b], np.log(np.exp(x[b, :n]).sum(0)))
        assert np.array_equal(found["y1"][b], (x[b, :n] > 0).any(0))
        assert np.array_equal(found["y2"][b], (x[b, :n] > 0).all(0))
    assert found["y0"][2].tolist() == [0, 0]
    assert (found["y1"][2].tolist(), found["y2"][2].tolist()) == ([False] * 2, [True] * 2)
    assert np.isfinite(grads["x"]).all() and not grads["x"][1, 2:].any() and grads["x"][0].all()


# --- cross-entropy --------------------------------------------------------------------------------------------------

LOSSES = """
model M {
  input x: seq[5]
  input m: seq[3, 5]
  input y: seq int
  input ys: seq[3] int
  input p: seq[5]
  frozen param w: [5] = [1, 2, 0.5, 0, 3]
  loss cross_entropy(x, y, weights = w, ignore = -1, smoothing = 0.1)
  loss 2 * cross_entropy(m, ys, ignore = -1, smoothing = 0.2)
  loss cross_entropy(m, where(ys < 0, 2, ys), weights = w, ignore = 2)
  loss mean(cross_entropy(m, where(ys < 0, 1, ys)))
  loss cross_entropy(x, p, weights = w, smoothing = 0.3)
  loss cross_entropy(x, where(y < 0, 1, y), mean = true)
  output cross_entropy(m, ys, weights = w, ignore = -1, smoothing = 0.1, mean = false) as each
  output cross_entropy(x, where(y < 2, -7, y), ignore = -7) as some
}
"""


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["numpy", "native"])
@pytest.mark.parametrize("padded", [False, True])
def test_cross_entropy_is_pytorchs(padded: bool, kernels: str) -> None:
    """Its mean is over all labels of all real steps and rows; in the padding stands what is no class."""
    torch = pytest.importorskip("torch")
    f, rng, model = torch.nn.functional.cross_entropy, np.random.default_rng(0), rg.parse(LOSSES)
    rows, steps = 4, 6
    all = (rows, steps)
    data = {
        "x": rng.normal(size=(*all, 5)), "m": rng.normal(size=(*all, 3, 5)), "p": rng.dirichlet([1] * 5, all),
        "y": rng.integers(-1, 5, all), "ys": rng.integers(-1, 5, (*all, 3)),
    }  # fmt: skip
    lengths = np.array([6, 3, 1, 0]) if padded else np.full(4, 6)
    real = np.arange(steps) < lengths[:, None]
    for name, array in data.items():
        array[~real] = 99 if name in ("y", "ys") else NAN
    given = data | ({f"{n}.lengths": lengths for n in data} if padded else {})
    program = model.compile(gradient=True, kernels=kernels)
    loss, grads = program.gradients(given, model.init(0))
    t = {n: torch.tensor(a[real], requires_grad=a.dtype.kind == "f") for n, a in data.items()}
    w, flat, ys = torch.tensor([1, 2, 0.5, 0, 3], dtype=torch.float64), t["m"].reshape(-1, 5), t["ys"].reshape(-1)
    want = f(t["x"], t["y"], weight=w, ignore_index=-1, label_smoothing=0.1)
    want = want + 2 * f(flat, ys, ignore_index=-1, label_smoothing=0.2)
    want = want + f(flat, torch.where(ys < 0, 2, ys), weight=w, ignore_index=2)
    want = want + f(flat, torch.where(ys < 0, 1, ys)) + f(t["x"], t["p"], weight=w, label_smoothing=0.3)
    want = want + f(t["x"], torch.where(t["y"] < 0, 1, t["y"]))
    want.backward()
    assert loss == pytest.approx(want.item(), rel=1e-12)
    for name in ("x", "m", "p"):
        np.testing.assert_allclose(grads[name][real], t[name].grad, rtol=1e-9, atol=1e-12)
        assert not grads[name][~real].any()
    found = program.run(given, model.init(0))
    each = f(flat, ys, weight=w, ignore_index=-1, label_smoothing=0.1, reduction="none")
    np.testing.assert_allclose(found["each"][real], each.detach().reshape(-1, 3), rtol=1e-12, atol=1e-15)


def test_labels_that_are_all_ignored_count_as_nothing() -> None:
    text = "model M {\n  input x: [3]\n  input y: int\n  loss cross_entropy(x, y, ignore = -1)\n}"
    program = rg.parse(text).compile(gradient=True)
    loss, grads = program.gradients({"x": np.ones((2, 3)), "y": np.array([-1, -1])}, {})
    assert loss == 0 and not grads["x"].any()


# --- cells ----------------------------------------------------------------------------------------------------------


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def hard(x: Any) -> Any:
    return np.clip(x / 6 + 0.5, 0, 1)


@pytest.mark.parametrize("options", ["", "peepholes = true", "coupled = true"])
def test_an_lstm_with_another_gate_and_a_clip(options: str) -> None:
    told = f"activation = silu, recurrent_activation = hard_sigmoid, gate_clip = 0.7{options and ', '}{options}"
    text = f"model M {{\n  input x: seq[3]\n  net = LSTM(4, {told})\n  y = unroll net over x\n  output y\n}}"
    model, x = rg.parse(text), 3 * np.random.default_rng(0).normal(size=(2, 5, 3))
    w = {n.removeprefix("net."): RNG.normal(size=a.shape) for n, a in model.init(0).items()}
    got = model.compile().run({"x": x}, {f"net.{n}": a for n, a in w.items()})["y"]
    c, h = np.zeros((2, 2, 4))
    for t in range(5):
        parts = np.split(np.concatenate([x[:, t], h], 1) @ w["kernel"] + w["bias"], 3 if "coupled" in options else 4, 1)
        i, j, o = parts[0] + w.get("w_i", 0) * c, parts[1], parts[-1]
        i, j = (np.clip(v, -0.7, 0.7) for v in (i, j))
        f = np.clip(parts[2] + w.get("w_f", 0) * c + 1, -0.7, 0.7)
        forget = 1 - hard(i) if "coupled" in options else hard(f)
        c = forget * c + hard(i) * j * sigmoid(j)
        h = hard(np.clip(o + w.get("w_o", 0) * c, -0.7, 0.7)) * c * sigmoid(c)
        np.testing.assert_allclose(got[:, t], h, rtol=1e-12)


@pytest.mark.parametrize("after", ["false", "true"])
def test_a_gru_with_another_gate_and_a_clip(after: str) -> None:
    told = f"activation = elu, reset_after = {after}, recurrent_activation = hard_sigmoid, gate_clip = 0.7"
    text = f"model M {{\n  input x: seq[3]\n  net = GRU(4, {told})\n  y = unroll net over x\n  output y\n}}"
    model, x = rg.parse(text), 3 * np.random.default_rng(0).normal(size=(2, 5, 3))
    w = {n.removeprefix("net."): RNG.normal(size=a.shape) for n, a in model.init(0).items()}
    got, h = model.compile().run({"x": x}, {f"net.{n}": a for n, a in w.items()})["y"], np.zeros((2, 4))
    for t in range(5):
        gates = np.concatenate([x[:, t], h], 1) @ w["gates_kernel"] + w["gates_bias"]
        r, u = np.split(hard(np.clip(gates, -0.7, 0.7)), 2, 1)
        inner = x[:, t] @ w["candidate_kernel"][:3] + w["candidate_bias"]
        if after == "true":
            inner = inner + r * (h @ w["candidate_kernel"][3:] + w["candidate_state_bias"])
        else:
            inner = inner + (r * h) @ w["candidate_kernel"][3:]
        new = np.clip(inner, -0.7, 0.7)
        h = u * h + (1 - u) * np.where(new > 0, new, np.expm1(new))
        np.testing.assert_allclose(got[:, t], h, rtol=1e-12)


# --- the same in any mode, and what is refused ----------------------------------------------------------------------


def test_both_modes_give_the_same_bits() -> None:
    lines = "\n".join(f"  r{i} = {ours}" for i, ours in enumerate(ACTIVATIONS))
    names = ", ".join(f"r{i}" for i in range(len(ACTIVATIONS)))
    inputs, sizes = ("x", "y", "m"), {"x": (11,), "y": (4,), "m": (3, 4)}
    declared = [[f"  input {n}: {kind}{list(sizes[n])}\n" for n in inputs] for kind in ("", "seq")]
    cell = f"cell C {{\n{''.join(declared[0])}{lines}\n  output {names}\n}}"
    use = f"  {names} = unroll C() over x, y, m\n  output {names}\n"
    model = rg.parse(f"{cell}\nmodel M {{\n{''.join(declared[1])}{use}}}")
    data = {n: np.random.default_rng(0).normal(size=(2, 3, *shape)) for n, shape in sizes.items()}
    for kernels in ("numpy", "native"):
        dynamic, static = model.compile(kernels=kernels), model.compile("static", 3, kernels=kernels)
        assert same_bits(dynamic.run(data, {}), static.run(data, {}))


REFUSED = {
    'einsum("i, j -> i j", a)': "E303: the text is of 2 values, but there are 1",
    'einsum("i j -> i", a)': "E204: `i j` names 2 dimensions, but `a` has 1",
    'einsum("i -> j", a)': "E101: no value has the dimension `j` of the result",
    'einsum("i, i -> i i", a, a)': "E103: the result has a dimension twice",
    'einsum("i, i ->", a, b)': "E201: `i` has the size 4 and the size 3",
    'einsum("i i ->", m)': "E201: `i` has the size 2 and the size 3",
    'einsum("i", a)': "E202: the text says behind `->` what the result is",
    'einsum("i+ -> i", a)': "E202: `i+` is no name of a dimension",
    "einsum(a, a)": 'E202: `einsum` begins with a text: `einsum("i j, j -> i", a, b)`',
    'sum("a")': "E202: a value is needed here, but `\"a\"` is a text",
    'a + "b"': "E202: a string has no meaning here",
    'zeros(["n"])': "E202: a string has no meaning here",
    "any(a)": "E202: `a` is float, but a condition is needed here",
    "sort(s)": "E204: `s` is a single number: it has no order",
    "prod(q, axis = time)": "E204: `prod` runs over dimensions: over time, multiply in a state",
    "cummax(q, axis = time)": "E204: `cummax` runs over a dimension: over time, it is a state of a cell",
    "sum(q, axis = time, keep = true)": "E204: a time axis that was reduced cannot be kept",
    "max(a, a, keep = true)": "E303: `max` of several values is that of each entry: it knows no `keep`",
    "solve(m, a)": "E204: `solve` takes a square matrix, but `m` has 2 x 3 values",
    "diag(reshape(m, [1, 2, 3]))": "E204: `diag` takes a vector or a matrix, but",
    "cross_entropy(a, k, weights = b)": "E201: there is one weight for each of 4 classes, but `b` has 3 values",
    "cross_entropy(a, k, smoothing = 2)": "E207: `smoothing` is a share from 0 to 1, not 2",
    "cross_entropy(a, a, ignore = 1)": "E202: a distribution over the classes has no label to ignore",
    "cross_entropy(m, k)": "E201: `cross_entropy` takes one score for each class and the number of the right class",
    "gelu(a, approximate = 2)": "E208: `approximate` of `gelu` is true or false, known while compiling",
}


@pytest.mark.parametrize("call", REFUSED)
def test_what_cannot_be_is_refused_in_words(call: str) -> None:
    inputs = "input a: [4]\n  input b: [3]\n  input m: [2, 3]\n  input s: []\n  input k: int\n  input q: seq[2]"
    assert refused(f"model M {{\n  {inputs}\n  y = {call}\n  output a, b, m, s, k, q, y\n}}").startswith(REFUSED[call])


def test_a_mean_over_all_labels_inside_a_step_is_refused() -> None:
    cell = "cell C {\n  input x: [3]\n  input y: int\n  output cross_entropy(x, y, ignore = 0)\n}"
    model = "model M {\n  input x: seq[3]\n  input y: seq int\n  output unroll C() over x, y as z\n}"
    assert refused(f"{cell}\n{model}") == "E314: a mean over the batch is not possible inside a step"
