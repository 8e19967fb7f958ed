"""What compiled kernels do, and what is left to NumPy: odd operands, whole numbers, random numbers, nests of loops."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import rnngraph as rg
from rnngraph.analysis.synthetic_data import synthetic
from rnngraph.ir.graph import Graph
from rnngraph.ir.types import Type
from rnngraph.kernels.cpu.modules import target
from rnngraph.kernels.cpu.target import CpuTarget
from rnngraph.kernels.kernel import Product
from rnngraph.kernels.listing import listed
from rnngraph.kernels.products_into_loops import enough_rows
from rnngraph.model import Model
from rnngraph.ops.windows import places, same, valid
from rnngraph.planning.lowering import lower
from rnngraph.planning.plan import plan
from rnngraph.runtime.native import NativeBackend
from tests.ops.test_ops import CASES as CASES_OF_OPS
from tests.support.models import ALL, parsed
from tests.support.paths import ROOT
from tests.support.running import evaluate, op_graph

sys.path.append(str(ROOT / "benchmarks" / "whole"))
from models import CASES


def left_to_numpy(model: Model, **how: Any) -> set[str]:
    program = model.compile(dtype="float32", **how)
    code = program.main.program.code
    return {one.ops[0] for one in listed(code, target("float32")) if one.what == "NumPy"}


@pytest.mark.parametrize("name", CASES)
def test_a_training_step_of_a_usual_model_is_compiled(name: str) -> None:
    model = rg.parse(CASES[name].text, **CASES[name].settings)
    assert not left_to_numpy(model, **model.training_step)


REFUSES = {"draw"}
"""What tells the user of numbers that it refuses."""
DECODES = {"ctc_beam"}
"""What is computed for outputs alone, and once."""
EXAMPLES = sorted((ROOT / "examples").rglob("*.rnn"))


def all_left(model: Model) -> set[str]:
    ways: list[dict[str, bool]] = [{"gradient": False}, {"gradient": True}, {"gradient": True, "training": True}]
    return set[str]().union(*(left_to_numpy(model, **way) for way in ways))


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_left_to_numpy(name: str) -> None:
    """Of every cell of the library, and of every function."""
    assert all_left(parsed(name)) <= {"candidates": REFUSES, "speech": DECODES}.get(name, set())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_nothing_of_an_example_is_left_to_numpy(path: Path) -> None:
    assert not all_left(rg.load(path))


def test_ops_that_are_left_to_numpy() -> None:
    """Of all there are; `inside` stands in no program that is run."""
    left = set[str]()
    for name, attrs, types in CASES_OF_OPS:
        program = NativeBackend().adapted(lower(op_graph(name, attrs, types)[0]), "float64")
        left |= {one.ops[0] for one in listed(program.code, target("float64")) if one.what == "NumPy"}
    assert left == {"inside", "solve", *REFUSES, *DECODES}


def test_matrix_memories_and_attention_run_no_loop_from_python() -> None:
    for name in ("mlstm", "attention", "attention general", "self attention", "zoneout"):
        model = parsed(name)
        program = model.compile(dtype="float32", gradient=True).main.program
        inside = [one for one in listed(program.code, target("float32")) if one.depth and one.what == "NumPy"]
        assert not inside


def test_functions_of_papers_are_compiled() -> None:
    """In every step of a loop, forward and back."""
    each = ("erf", "gelu", "silu", "mish", "elu", "selu", "leaky_relu", "softsign", "hard_sigmoid", "round", "ceil",
            "argmin", "logsumexp", "prod")  # fmt: skip
    terms = [f"sum(float({name}(y)))" for name in each]
    terms += ["sum(atan2(y, m[0]))", "float(any(y > 0))", "float(all(y > 0))", "sum(max(m, axis = 0, keep = true))"]
    terms += ['sum(einsum("h i, i, h i -> h", m, y, m))']
    inputs = "  input y: [4]\n  input m: [2, 4]\n"
    cell = f"cell C {{\n{inputs}  state s: [] = 0\n  s' = {' + '.join(['s', *terms])}\n  output s'\n}}"
    use = "model M {\n  input y: seq[4]\n  input m: seq[2, 4]\n  loss unroll C() over y, m\n}"
    assert not left_to_numpy(rg.parse(f"{cell}\n{use}"), gradient=True)


# --- single ops against NumPy ------------------------------------------------------------------------------------


def both(graph: Graph, arrays: Mapping[str, Any], sizes: Mapping[str, int], dtype: str = "float64") -> list[Any]:
    """What NumPy and the compiled kernels give, which must be there for all of it."""
    backend = NativeBackend()
    program = backend.adapted(lower(graph), dtype)
    assert not [one.ops for one in listed(program.code, target(dtype)) if one.what == "NumPy"]
    made = backend.bound(program, plan(program, sizes, dtype))
    results = made.run({n: arrays[n] for n in program.inputs}, {})
    return [evaluate(graph, arrays, sizes)["y"], np.array(results["y"])]


def graph_of(name: str, types: Sequence[Type], **attrs: Any) -> Graph:
    return op_graph(name, attrs, tuple(types))[0]


WHOLE = [0, 1, -1, 2, -3, 7, -8, 2**31, -(2**40), 2**62, -(2**63), 2**63 - 1]


@pytest.mark.parametrize("op", ["mod", "floordiv", "maximum", "minimum", "neg", "abs", "sign"])
def test_whole_numbers(op: str) -> None:
    a, b = (x.ravel() for x in np.meshgrid(WHOLE, WHOLE))
    types = [Type(("batch",), (), "int")] * (1 if op in ("neg", "abs", "sign") else 2)
    with np.errstate(all="ignore"):
        expected, got = both(graph_of(op, types), {"x0": a, "x1": b}, {"batch": len(a)})
    assert np.array_equal(expected, got)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", ["mod", "floordiv"])
def test_remainders(op: str, dtype: str) -> None:
    numbers = np.array([0.0, -0.0, 1.0, -1.0, 0.3, -2.5, 7.25, 1e-3, -1e5, 3e8, np.inf, -np.inf, np.nan], dtype)
    a, b = (x.ravel() for x in np.meshgrid(numbers, numbers))
    graph = graph_of(op, [Type(("batch",), ())] * 2)
    with np.errstate(all="ignore"):
        _, got = both(graph, {"x0": a, "x1": b}, {"batch": len(a)}, dtype)
        expected = np.mod(a, b) if op == "mod" else np.floor_divide(a, b)
    assert np.array_equal(expected, got, equal_nan=True)


@pytest.mark.parametrize("classes", [1, 3, 8, 21])
def test_the_first_of_equal_largest_entries_and_of_those_that_are_no_numbers(classes: int) -> None:
    x = np.random.default_rng(0).integers(0, 3, (40, classes)).astype(float)
    x[5, classes // 2 :] = np.nan
    x[6] = -np.inf
    expected, got = both(graph_of("argmax", [Type(("batch",), (classes,))], dim=-1), {"x0": x}, {"batch": 40})
    assert np.array_equal(expected, got)


OUTSIDE = np.array([-5, -1, 0, 1, 2, 3, 100])


@pytest.mark.parametrize(
    ("name", "types", "attrs"),
    [
        ("take", [Type((), (3, 20)), Type(("batch",), (), "int")], {}),
        ("take", [Type((), (3, 2, 5)), Type(("batch",), (), "int")], {}),
        ("take", [Type((), (3,)), Type(("batch",), (), "int")], {}),
        ("pick", [Type(("batch",), (3,)), Type(("batch",), (), "int")], {}),
        ("place", [Type(("batch",), ()), Type(("batch",), (), "int")], {"size": 3}),
        ("one_hot", [Type(("batch",), (), "int")], {"depth": 3}),
        ("scatter_rows", [Type(("batch",), (20,)), Type(("batch",), (), "int")],
         {"rows": 3, "rank": 0, "reduce": ("batch",)}),
    ],
)  # fmt: skip
def test_an_int_outside_takes_the_nearest_inside(name: str, types: list[Type], attrs: dict[str, Any]) -> None:
    random, sizes = np.random.default_rng(0), {"batch": len(OUTSIDE)}
    arrays = {f"x{i}": random.normal(size=[sizes[a] for a in t.axes] + list(t.shape)) for i, t in enumerate(types)}
    expected, got = both(graph_of(name, types, **attrs), arrays | {f"x{len(types) - 1}": OUTSIDE}, sizes)
    assert np.allclose(expected, got, rtol=1e-15)


def test_of_a_single_class_each_int_chooses_it() -> None:
    """The dimension of the classes is of size 1: the place in it is not that in the dimension of the ints."""
    graph = graph_of("one_hot", [Type(("batch",), (3,), "int")], depth=1)
    expected, got = both(graph, {"x0": np.zeros((2, 3), int)}, {"batch": 2})
    assert np.array_equal(got, np.ones((2, 3, 1))) and np.array_equal(expected, got)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("axes", [(), ("time",)])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 9), (5, 1, 16)])
def test_random_numbers_have_the_bits_of_numpy(dtype: str, axes: tuple[str, ...], shape: tuple[int, ...]) -> None:
    graph = graph_of("uniform", [Type((), (), "int"), Type(axes, (), "int")], shape=shape, key="mask")
    sizes = {"time": 4, "batch": 3}
    arrays = {"x0": np.array(-(2**60) + 11), "x1": np.arange(4) * 2**40 if axes else np.array(5)}
    backend = NativeBackend()
    found = []
    for one in (rg_numpy(), backend):
        program = one.adapted(lower(graph), dtype)
        bound = one.bound(program, plan(program, sizes, dtype))
        found.append(np.array(bound.run({n: arrays[n] for n in program.inputs}, {})["y"]))
    assert np.array_equal(*found) and found[0].dtype == dtype and (found[0] < 1).all()


def rg_numpy() -> Any:
    from rnngraph.runtime.numpy import NumpyBackend

    return NumpyBackend()


# --- nests -------------------------------------------------------------------------------------------------------

T, B = ("time", "batch"), ("batch",)
STEPS: list[tuple[str, dict[str, Any], tuple[Type, ...]]] = [
    *(("shift", {"axis": "time", "by": by}, (Type(T, (9,)),)) for by in (1, -2, 7)),
    ("reverse", {"axis": "time"}, (Type(T, ()),)),
    *((name, {"axis": "time"}, (Type(T, (3,)), Type(B, (), "int"))) for name in ("reverse_within", "last_within")),
    ("last", {"axis": "time"}, (Type(T, (17,)),)),
    ("last", {"axis": "time"}, (Type(T, (), "int"),)),
    ("place_last", {"axis": "time"}, (Type(B, (3,)),)),
    ("place_last_within", {"axis": "time"}, (Type(B, (3,)), Type(B, (), "int"))),
    ("every", {"axis": "time", "by": 2}, (Type(T, (5,)),)),
    ("place_every", {"axis": "time", "by": 2}, (Type(("time/2", "batch"), (5,)),)),
]


@pytest.mark.parametrize("steps", [5, 4, 1, 0])
@pytest.mark.parametrize(("name", "attrs", "types"), STEPS)
def test_entries_of_other_steps(name: str, attrs: dict[str, Any], types: tuple[Type, ...], steps: int) -> None:
    sizes, random, arrays = {"time": steps, "batch": 3, "time/2": -(-steps // 2)}, np.random.default_rng(0), {}
    for i, type in enumerate(types):
        shape = [sizes[a] for a in type.axes] + list(type.shape)
        arrays[f"x{i}"] = random.integers(0, steps + 1, shape) if type.dtype == "int" else random.normal(size=shape)
    expected, got = both(graph_of(name, types, **attrs), arrays, sizes)
    assert np.array_equal(expected, got)


SUMS: list[tuple[str, list[Type], dict[str, Any]]] = [
    ("sum_axes", [Type(T, (3,))], {"axes": ("time",)}),
    ("sum_axes", [Type(T, ())], {"axes": ("time",)}),
    ("sum_axes", [Type(("source", *T), (2, 9))], {"axes": ("source", "batch")}),
    ("sum_axes", [Type(T, (), "int")], {"axes": ("time",)}),
    ("max_axes", [Type(T, (17,))], {"axes": ("time",)}),
    ("max_axes", [Type(T, ())], {"axes": ("time",)}),
    ("sum", [Type(B, (3, 5, 2))], {"dims": (0, 2)}),
    ("sum", [Type(B, (3, 5, 2))], {"dims": (1,), "keep": True}),
    ("max_over", [Type(B, (7, 3))], {"dim": 0}),
    ("transpose", [Type(B, (2, 3, 9))], {"perm": (2, 0, 1)}),
    ("contract", [Type(T, (5,)), Type(T, ())], {"left": "z", "right": "", "out": "z", "reduce": ("time",)}),
    ("contract", [Type(B, (300,)), Type(B, (300,))], {"left": "z", "right": "z", "out": "", "reduce": ()}),
    ("contract", [Type(B, (4, 9)), Type(B, (9,))], {"left": "az", "right": "z", "out": "a", "reduce": ()}),
    ("contract", [Type(B, (4, 9)), Type(B, (4,))], {"left": "az", "right": "a", "out": "z", "reduce": ()}),
    ("contract", [Type(B, (3,)), Type(T, (11,))], {"left": "a", "right": "z", "out": "az", "reduce": ()}),
    ("contract", [Type(B, (3, 2, 5)), Type((), (2, 5, 4))],
     {"left": "pic", "right": "ico", "out": "po", "reduce": ()}),
    ("contract", [Type(T, (3, 2, 5)), Type(T, (3, 4))],
     {"left": "pic", "right": "po", "out": "ico", "reduce": ("time", "batch")}),
    ("contract", [Type((), (4, 2, 5)), Type(T, (7, 2, 5))],
     {"left": "oic", "right": "pic", "out": "po", "reduce": ()}),
    ("contract", [Type((), (7, 10)), Type((), (10, 4))], {"left": "pi", "right": "io", "out": "po", "reduce": ()}),
    ("contract", [Type(B, (3, 7, 4)), Type(B, (3, 7, 10))],
     {"left": "pqo", "right": "pqi", "out": "io", "reduce": ("batch",)}),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "sizes",
    [dict(zip(("source", *T), n, strict=True)) for n in ((2, 4, 3), (3, 300, 1), (1, 0, 2))],
    ids=["small", "long", "no steps"],
)
@pytest.mark.parametrize(("name", "types", "attrs"), SUMS)
def test_nests(name: str, types: list[Type], attrs: dict[str, Any], sizes: dict[str, int], dtype: str) -> None:
    random = np.random.default_rng(1)
    arrays = {}
    for i, type in enumerate(types):
        shape = [sizes[a] for a in type.axes] + list(type.shape)
        whole = type.dtype == "int"
        arrays[f"x{i}"] = random.integers(-9, 9, shape) if whole else random.normal(size=shape).astype(dtype)
    graph = graph_of(name, types, **attrs)
    _, got = both(graph, arrays, sizes, dtype)
    wide = {n: a.astype("float64") if a.dtype.kind == "f" else a for n, a in arrays.items()}
    expected = evaluate(graph, wide, sizes)["y"]
    assert got.shape == expected.shape
    rtol, atol = (1e-4, 1e-5) if dtype == "float32" else (1e-12, 1e-13)
    assert np.allclose(got, expected, rtol=rtol, atol=atol)


# --- what moves entries, and walks along lines -------------------------------------------------------------------

MACHINES = [(64, 1), (32, 3), (16, 2)]
"""Bytes of a vector, and threads."""


def on_machine(bytes: int, threads: int) -> NativeBackend:

    def machine(dtype: str) -> CpuTarget:
        width = bytes // (4 if dtype == "float32" else 8)
        return replace(target(dtype), width=width, threads=threads, worth=0, worth_meeting=0)

    return NativeBackend(machine)


def same_as_numpy(graph: Graph, arrays: Mapping[str, Any], sizes: Mapping[str, int], dtype: str) -> None:
    """Each entry, on one thread and on several, in vectors of any width."""
    results = []
    for backend in (rg_numpy(), *(on_machine(*how) for how in MACHINES)):
        program = backend.adapted(lower(graph), dtype)
        bound = backend.bound(program, plan(program, sizes, dtype))
        with np.errstate(all="ignore"):
            results.append(np.array(bound.run({n: arrays[n] for n in program.inputs}, {})["y"]))
    for found in results[1:]:
        assert found.dtype == results[0].dtype
        assert np.array_equal(found, results[0], equal_nan=found.dtype.kind == "f")


LONE = {"window": (3,), "stride": (2,), "dilation": (2,), "before": (9,), "after": (4,)}
"""Windows that see nothing of the image, too."""
WINDOWS: list[tuple[dict[str, Any], tuple[int, ...], int]] = [
    (same((9, 11), (3, 3), (1, 1), (1, 1)), (9, 11), 1),
    (same((9, 11), (3, 2), (2, 3), (1, 1)), (9, 11), 3),
    (same((5, 4), (5, 3), (1, 2), (2, 1)), (5, 4), 21),
    (same((3, 4, 5), (2, 3, 2), (1, 2, 1), (1, 1, 2)), (3, 4, 5), 2),
    (valid((4, 4), (3, 3), (1, 1)), (10, 10), 8),
    (LONE, (7,), 5),
]
MOVED: list[tuple[str, dict[str, Any], Type]] = [
    *(("patches", attrs, Type(B, (*sizes, channels))) for attrs, sizes, channels in WINDOWS),
    *(("patches", {**attrs, "fill": -float("inf")}, Type(T, (*sizes, channels))) for attrs, sizes, channels in WINDOWS),
    *(("unpatch", {**attrs, "sizes": sizes}, Type(B, (*places(attrs, sizes), *attrs["window"], channels)))
      for attrs, sizes, channels in WINDOWS),
    ("pad", {"dim": -1, "before": 2, "after": 5}, Type(B, (4, 17))),
    ("pad", {"dim": 0, "before": 2, "after": 0}, Type(T, (3, 2), "int")),
    ("pad", {"dim": 1, "before": 20, "after": 1}, Type((), (2, 33, 5), "bool")),
    ("pad", {"dim": 0, "before": 1, "after": 1}, Type(B, (1,))),
    ("pad", {"dim": 0, "before": 1, "after": 1}, Type(B, (0,))),
    ("flip", {"dim": -1}, Type(B, (3, 19))),
    ("flip", {"dim": 0}, Type(B, (5, 4, 3), "bool")),
    ("repeat", {"dim": -1, "times": 3}, Type(T, (3, 5))),
    ("repeat", {"dim": 0, "times": 2}, Type(B, (4, 17), "int")),
    ("transpose", {"perm": (2, 0, 1)}, Type(B, (5, 17, 3), "bool")),
    ("rows", {"axis": "3@for"}, Type(T, (3, 5))),
    ("steps", {"axis": "3@for", "size": 3}, Type(("3@for", *B), (7,))),
]  # fmt: skip


def numbers(type: Type, sizes: Mapping[str, int], dtype: str, odd: bool = False) -> Any:
    """Made up; odd ones are few, so many are equal, and some are infinite, the lowest of all, or none."""
    random, shape = np.random.default_rng(0), [sizes[a] for a in type.axes] + list(type.shape)
    if type.dtype == "bool":
        return random.random(shape) < 0.6
    if type.dtype == "int":
        x = random.integers(-3, 3, shape)
        x[random.random(shape) < 0.1 * odd] = -(2**63)
        return x
    x = random.normal(size=shape).astype(dtype)
    if odd:
        x = np.round(x)
        for one in (np.nan, -np.inf, np.inf, -0.0, np.finfo(dtype).min):
            x[random.random(shape) < 0.1] = one
    return x


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "attrs", "type"), MOVED)
def test_what_only_moves_entries(name: str, attrs: dict[str, Any], type: Type, dtype: str) -> None:
    for steps, batch in ((3, 1), (2, 5), (0, 2)):
        sizes = {"time": steps, "batch": batch, "3@for": 3}
        x = numbers(type, sizes, dtype, odd=name != "unpatch")
        same_as_numpy(graph_of(name, [type], **attrs), {"x0": x}, sizes, dtype)


IDS, KEPT = Type(T, (4, 5), "int"), Type(T, (3,), "bool")
LINES: list[tuple[str, dict[str, Any], list[Type]]] = [
    *(("cumsum", {"dim": dim, "reverse": back}, [Type(T, (3, 17), kind)])
      for dim in (0, 1) for back in (False, True) for kind in ("float", "int")),
    *(("argmax", {"dim": dim}, [Type(B, (7, 19, 2), kind)]) for dim in (0, 1, 2) for kind in ("float", "int", "bool")),
    *(("first_max", {"dim": dim}, [Type(B, (7, 19, 2), kind)]) for dim in (0, 2) for kind in ("float", "int")),
    *(("top_k", {"k": k}, [Type(T, shape, kind)])
      for k, shape in ((1, (9,)), (4, (2, 33)), (5, (5,)), (3, (300,))) for kind in ("float", "int")),
    *(("argsort", {"falling": falling}, [Type(B, shape, kind)])
      for falling in (False, True) for shape in ((1,), (33,), (3, 2), (64,)) for kind in ("float", "int", "bool")),
    ("entries", {}, [Type(T, (4, 9)), IDS]),
    ("entries", {}, [Type(T, (4, 1), "bool"), Type(T, (4, 1), "int")]),
    ("put_entries", {"size": 9}, [Type(T, (4, 5)), IDS]),
    ("compact", {"axis": "time"}, [Type(T, (3,)), KEPT]),
    ("compact", {"axis": "time"}, [Type(T, (), "int"), Type(T, (), "bool")]),
    ("expand", {"axis": "time"}, [Type(T, (3,), "bool"), KEPT]),
    ("outside", {"size": 3}, [Type(T, (4,), "int")]),
    ("outside", {"size": 3}, [Type(T, (), "int"), Type(B, (), "bool")]),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "attrs", "types"), LINES)
def test_walks_along_lines(name: str, attrs: dict[str, Any], types: list[Type], dtype: str) -> None:
    """Of equal entries the first is first, and what is no number has its place: as NumPy has it."""
    for steps, batch in ((7, 1), (2, 20), (0, 2)):
        sizes = {"time": steps, "batch": batch}
        odd = name not in ("cumsum", "put_entries")
        arrays = {f"x{i}": numbers(type, sizes, dtype, odd) for i, type in enumerate(types)}
        if "entries" in name:
            arrays["x1"] %= attrs.get("size", types[0].shape[-1])
        same_as_numpy(graph_of(name, types, **attrs), arrays, sizes, dtype)


@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_along_any_dimension(name: str, dim: int) -> None:
    for shape in ((5, 3, 9), (17, 1, 2), (1, 20, 1)):
        x = numbers(Type(B, shape), {"batch": 3}, "float64")
        expected, got = both(graph_of(name, [Type(B, shape)], dim=dim), {"x0": x}, {"batch": 3})
        assert np.allclose(expected, got, rtol=1e-13, atol=1e-15)


ROWS = """
model M {
  input x: seq[6, 6, 2]
  param a: [3, 3, 2, 4] ~ glorot_uniform
  param b: [4, 5] ~ glorot_uniform
  y = unroll GRU(7) over reshape(tanh(conv2d(x, a)) @ b, [180])
  loss mean(y * y)
}
"""


@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (4, 3), (0, 2), (3, 40)])
def test_rows_of_an_image_are_rows_of_a_product(steps: int, batch: int) -> None:
    """Forward and back, in step or for all steps; with the same bits on any number of threads, and in both modes."""
    model = rg.parse(ROWS)
    data = {"x": numbers(Type(("batch", "time"), (6, 6, 2)), {"batch": batch, "time": steps}, "float32")}
    weights = model.init(0)
    program = model.compile(dtype="float64", gradient=True, kernels="numpy")
    expected = program.gradients(data, weights)
    found = [
        model.compile(*how, dtype="float64", gradient=True, backend=on_machine(32, threads)).gradients(data, weights)
        for how in (("dynamic",), ("static", steps)) for threads in (1, 3)
    ]  # fmt: skip
    titles = [one.what for one in listed(model.compile(gradient=True).main.program.code, target("float32"))]
    assert "product 18 to 4, 36 rows each" in titles and "product 4 to 5, 36 rows each" in titles
    for loss, gradients, *_ in found:
        assert np.allclose(loss, expected[0], rtol=1e-12)
        for name, array in gradients.items():
            assert np.allclose(array, expected[1][name], rtol=1e-9, atol=1e-12)
            assert np.array_equal(array, found[0][1][name])


# --- where products are made -------------------------------------------------------------------------------------


def product(terms: int, width: int) -> Product:
    return Product(("time", "batch"), terms, None, width, width, 1, terms, width)


def test_a_large_matrix_is_read_for_many_steps_at_once() -> None:
    machine = CpuTarget("float32", 16, 4, 2)
    assert enough_rows(product(128, 512), machine) == 16
    assert enough_rows(product(10_000, 200), machine) == 1250
    assert enough_rows(product(512, 2048), machine) == 64


@pytest.mark.parametrize("batch", [3, 20, 200])
def test_bits_of_a_row_do_not_depend_on_where_its_products_are_made(batch: int) -> None:
    model = rg.parse("""
    model M {
      input a: seq int
      input b: seq int
      y = unroll LSTM(8) over Embedding(1100, 300)(a)
      loss mean(sum(cross_entropy(Dense(1100)(y), b)))
    }""")
    random = np.random.default_rng(0)
    data = {name: random.integers(0, 1100, (batch, 5)) for name in "ab"}
    weights = model.init(0, "float32")
    programs = [model.compile(*how, dtype="float32", gradient=True) for how in (("dynamic",), ("static", 5))]
    found = [program.gradients(data, weights) for program in programs]
    assert found[0][0] == found[1][0]
    assert all(np.array_equal(found[0][1][name], found[1][1][name]) for name in weights)


# --- CTC ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", ["", "merge = false", "ignore_longer = true", "zero_infinity = true", "blank = 0"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ctc_agrees_with_numpy(more: str, dtype: str) -> None:
    model = rg.parse(f"""
    model M {{
      input x: seq@time[6]
      input y: seq@label int
      loss mean(ctc_loss(x, y{", " + more if more else ""}))
    }}""")
    for seed, (steps, labels, batch) in enumerate(((9, 3, 5), (12, 4, 1), (30, 7, 17), (1, 1, 2), (6, 0, 3))):
        random = np.random.default_rng(seed)
        data = {
            "x": 3 * random.normal(size=(batch, steps, 6)).astype(dtype),
            "y": random.integers(1, 5, (batch, labels)),
            "x.lengths": np.maximum(steps - random.integers(0, 3, batch), min(steps, 2 * labels)),
            "y.lengths": np.minimum(random.integers(0, labels + 1, batch), steps // 2),
        }
        found = [model.compile(dtype=dtype, gradient=True, kernels=k).gradients(data, {}) for k in ("numpy", "native")]
        close = {"rtol": 1e-5, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-10, "atol": 1e-12}
        assert np.allclose(found[0][0], found[1][0], **close)
        assert np.allclose(found[0][1]["x"], found[1][1]["x"], **close)


@pytest.mark.parametrize("labels", [3, 4, 9])
def test_ctc_of_probabilities_that_no_float_holds(labels: int) -> None:
    """Of the paths of these labels each has a probability below 1e-1000, and those at a step differ as much."""
    model = rg.parse("model M { input x: seq@time[5]\n input y: seq@label int\n loss mean(ctc_loss(x, y)) }")
    random = np.random.default_rng(labels)
    data = {"x": 300 * random.normal(size=(3, 40, 5)), "y": random.integers(0, 4, (3, labels))}
    found = [model.compile(gradient=True, kernels=k).gradients(data, {}) for k in ("numpy", "native")]
    assert found[0][0] > 2000 and np.isclose(found[0][0], found[1][0], rtol=1e-13)
    assert np.allclose(found[0][1]["x"], found[1][1]["x"], rtol=1e-9, atol=1e-11)


def test_ctc_of_scores_that_are_infinite() -> None:
    model = rg.parse("""
    model M {
      input x: seq@time[3]
      input y: seq@label int
      output ctc_loss(where(x > 2, 1, 0) * 0 + log(where(x > 2, 0, exp(x))), y) as each
    }""")
    x = np.array([[[0, 1, 5], [1, 0, 0.5]], [[0, 5, 1], [0.5, 5, 0]]])
    data = {"x": x, "y": np.array([[0], [1]])}
    found = [model.compile(kernels=k).run(data, {})["each"] for k in ("numpy", "native")]
    assert np.allclose(*found, rtol=1e-12) and np.isposinf(found[1][1])


def test_ctc_is_the_same_on_any_number_of_threads() -> None:
    model = parsed("speech")
    found = []
    for threads in (1, 2, 3):
        backend = NativeBackend(lambda d, n=threads: replace(target(d), threads=n, worth=0, worth_meeting=0))
        program = model.compile(backend=backend, dtype="float32", gradient=True)
        found.append(program.gradients(synthetic(model, 12, 11, 1), model.init(1, "float32")))
    for other in found[1:]:
        assert other[0] == found[0][0] and all(np.array_equal(other[1][n], found[0][1][n]) for n in found[0][1])


@pytest.mark.parametrize("keep", ["", ", keep = true"])
def test_the_divisor_of_a_row_stands_behind_its_sum(keep: str) -> None:
    """A hundred divisions, and as many signs, are one of each."""
    model = rg.parse(f"model M {{ input x: seq[100]\n y = sum(-x / (1 + sum(x)){keep})\n output y }}")
    code = model.compile(dtype="float32").main.program.code
    assert [one.what for one in listed(code, target("float32")) if "div" in one.ops] == ["chain over 1"]
    x = np.arange(300.0).reshape(1, 3, 100)
    found = model.compile(dtype="float64").run({"x": x}, {})["y"]
    total = x.sum(-1, keepdims=bool(keep))
    assert np.allclose(found, -total / (1 + total), rtol=1e-14)
