"""Compiled kernels: what NumPy computes up to rounding, the same bits however work is shared out, and their files."""

from __future__ import annotations

import ctypes
import math
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import rnngraph as rg
from rnngraph.analysis.cost import cost
from rnngraph.analysis.equality import everything
from rnngraph.analysis.synthetic_data import cotangents_for, synthetic
from rnngraph.compilation.variant import Signature
from rnngraph.files import cache as kept_on_disk
from rnngraph.ir.graph import Graph
from rnngraph.ir.types import Type
from rnngraph.kernels import fusion
from rnngraph.kernels.cpu import machine_code, packing, threads
from rnngraph.kernels.cpu.modules import target
from rnngraph.kernels.cpu.target import CpuTarget
from rnngraph.kernels.kernel import Product, Sums
from rnngraph.language.syntax import parser
from rnngraph.model import Model
from rnngraph.planning.lowering import lower
from rnngraph.planning.plan import plan
from rnngraph.planning.program import groups_of
from rnngraph.runtime import native_execution
from rnngraph.runtime.native import NativeBackend
from tests.ops.test_ops import CASES, ident
from tests.support.cores import on_all
from tests.support.models import ALL, parsed
from tests.support.running import SIZES, array_of, evaluate, op_graph
from tests.support.threads import one_by_one

VECTORS = [(64, 4), (32, 2), (16, 4)]
"""Bytes of a vector and vectors across a tile: AVX-512, AVX2, NEON."""


def machine(bytes: int = 0, across: int = 0, **more: Any) -> Callable[[str], CpuTarget]:
    """This machine, with vectors of so many bytes where they are told."""

    def found(dtype: str) -> CpuTarget:
        given = {"width": bytes // (4 if dtype == "float32" else 8), "across": across} if bytes else {}
        return replace(target(dtype), **given, **more)

    return found


def natively(graph: Graph, arrays: Any, sizes: Any, dtype: str, backend: NativeBackend) -> dict[str, Any]:
    program = backend.adapted(lower(graph), dtype)
    bound = backend.bound(program, plan(program, sizes, dtype))
    return {n: np.array(a) for n, a in bound.run({n: arrays[n] for n in program.inputs}, {}).items()}


# --- every op ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=ident)
@pytest.mark.parametrize("vectors", VECTORS, ids=str)
def test_ops_give_what_numpy_gives(case: Any, vectors: tuple[int, int]) -> None:
    name, attrs, types = case
    graph, _, _ = op_graph(name, attrs, types)
    rng = np.random.default_rng(3)
    arrays = {f"x{i}": array_of(t, rng) for i, t in enumerate(types)}
    expected = evaluate(graph, arrays)["y"]
    got = natively(graph, arrays, SIZES, "float64", NativeBackend(machine(*vectors)))["y"]
    assert got.dtype == expected.dtype and got.shape == expected.shape
    assert np.allclose(got, expected, rtol=1e-13, atol=1e-14)


# --- fast functions ----------------------------------------------------------------------------------------------

EXACT = {
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "exp": np.exp,
    "log": lambda x: np.log(np.abs(x)),
    "softplus": lambda x: np.where(x > 0, x, 0) + np.log1p(np.exp(-np.abs(x))),
    "erf": lambda x: np.vectorize(math.erf, [np.longdouble])(x),
}
ULPS = {"tanh": 5.0, "sigmoid": 3.0, "exp": 2.0, "log": 2.0, "softplus": 4.0, "erf": 2.0}
"""Units in the last place that a function may be off; docs/native.md has what was seen."""


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fast_functions_are_right_to_a_few_units_in_the_last_place(name: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=20000) * s for s in (1e-3, 0.3, 2.0, 8.0)]).astype(dtype).reshape(-1, 10)
    x = np.abs(x) if name == "log" else x
    graph, _, _ = op_graph(name, {}, (Type(("batch",), (10,)),))
    got = natively(graph, {"x0": x}, {"batch": len(x)}, dtype, NativeBackend())["y"]
    exact = EXACT[name](x.astype(np.longdouble))
    off = np.abs(got - exact) / np.spacing(np.abs(exact).astype(dtype))
    assert float(off.max()) <= ULPS[name]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fast_functions_far_out(dtype: str) -> None:
    far = np.array([[-np.inf, -1e4, -100.0, 0.0, 100.0, 1e4, np.inf, np.nan]], dtype)
    for name in ("tanh", "sigmoid", "exp", "softplus", "erf"):
        graph, _, _ = op_graph(name, {}, (Type(("batch",), (8,)),))
        got = natively(graph, {"x0": far}, {"batch": 1}, dtype, NativeBackend())["y"][0]
        with np.errstate(all="ignore"):
            exact = EXACT[name](far[0].astype(np.longdouble)).astype(dtype)
        assert np.isnan(got[-1])
        assert np.allclose(got[:-1], exact[:-1], rtol=1e-5, atol=np.finfo(dtype).tiny)
        assert got[1] == exact[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_have_the_same_bits_in_vectors_of_any_width(dtype: str) -> None:
    rng = np.random.default_rng(1)
    x, y = (rng.normal(size=(50, 7)) * 3 for _ in range(2))
    for name in ("erf", "round", "atan2", "tanh"):
        types = (Type(("batch",), (7,)),) * (2 if name == "atan2" else 1)
        given, (graph, _, _) = {"x0": x, "x1": y}, op_graph(name, {}, types)
        found = [natively(graph, given, {"batch": 50}, dtype, NativeBackend(machine(*v)))["y"] for v in VECTORS]
        assert all(np.array_equal(found[0], other) for other in found[1:]), name


# --- whole models ------------------------------------------------------------------------------------------------


def results(
    model: Model,
    backend: Any,
    steps: int,
    batch: int,
    dtype: str,
    unroll: str | int = "dynamic",
    padded: bool = False,
    **more: Any,
) -> dict[str, Any]:
    length = steps if unroll == "static" else None
    program = model.compile(unroll, length, backend=backend, dtype=dtype, gradient=True, **more)
    return given(model, program, steps, batch, padded)


def given(model: Model, program: Any, steps: int, batch: int, padded: bool) -> dict[str, Any]:
    """All that the program gives on made-up data."""
    cotangents = cotangents_for(model, steps, batch) or None
    weights = model.init(1, program.schedule.dtype)
    return everything(program, synthetic(model, steps, batch, 1, padded), weights, cotangents)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("padded", [False, True], ids=["full", "padded"])
def test_models_give_what_numpy_gives(name: str, padded: bool) -> None:
    model = parsed(name)
    backends = (rg_numpy(), NativeBackend())
    expected, got = (results(model, backend, 5, 3, "float64", padded=padded) for backend in backends)
    for key, array in expected.items():
        assert np.allclose(got[key], array, rtol=1e-8, atol=1e-9), key


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("padded", [False, True], ids=["full", "padded"])
def test_forward_programs_give_what_numpy_gives(name: str, padded: bool) -> None:
    """Alone they keep no states for a backward pass, and may leave loops early; in vectors of AVX-512."""
    model = parsed(name)
    data, weights = synthetic(model, 5, 17, 1, padded), model.init(1)
    threads = (NativeBackend(machine(*VECTORS[0], threads=n, worth=0, worth_meeting=0)) for n in (1, 2))
    expected, *found = (model.compile(backend=backend).run(data, weights) for backend in (rg_numpy(), *threads))
    for got in found:
        assert all(np.allclose(got[key], array, rtol=1e-8, atol=1e-9) for key, array in expected.items())


def rg_numpy() -> Any:
    from rnngraph.runtime.numpy import NumpyBackend

    return NumpyBackend()


@pytest.mark.parametrize("name", ALL)
def test_bits_do_not_depend_on_the_number_of_threads(name: str) -> None:
    """Threads share rows of a larger batch, and columns of a single row; or take kernels and loops as they come."""
    bits_do_not_depend_on_the_number_of_threads(name)


@pytest.mark.parametrize("name", ["stack", "attention", "tagger", "loop in a step"])
def test_nor_where_each_thread_has_a_core(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_pools", {})
    with on_all():
        bits_do_not_depend_on_the_number_of_threads(name)


def bits_do_not_depend_on_the_number_of_threads(name: str) -> None:
    model = parsed(name)
    shared = [{"threads": n, "worth": 0, "worth_meeting": 0} for n in (1, 2, 3)]
    backends = [NativeBackend(machine(**how)) for how in (*shared, {**shared[1], "worth": math.inf})]
    programs = [model.compile(backend=backend, dtype="float32", gradient=True) for backend in backends]
    for batch, padded in ((1, False), (5, False), (1, True), (5, True)):
        alone, *others = (given(model, program, 5, batch, padded) for program in programs)
        for other in others:
            assert all(np.array_equal(alone[key], other[key], equal_nan=True) for key in alone)


@pytest.mark.parametrize("order", [list, lambda threads: list(threads)[::-1]], ids=["forth", "back"])
@pytest.mark.parametrize("name", ["layer norm lstm", "stop", "attention", "tagger", "loop in a step"])
def test_between_two_meetings_it_does_not_matter_who_is_first(
    name: str, order: Callable[[Sequence[int]], Sequence[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three threads one after another, each up to the next meeting, or a kernel of each task in turn: where one reads
    what another has still to write, or writes what another has still to read, one of the two orders shows it."""
    model = parsed(name)
    given_to = [(1, 0.0), (3, 0.0), (3, math.inf)]
    backends = [NativeBackend(machine(threads=n, worth=worth, worth_meeting=0)) for n, worth in given_to]
    alone, *others = (model.compile(backend=backend, dtype="float32", gradient=True) for backend in backends)
    cases = [(1, False), (7, True)]
    expected = [given(model, alone, 5, *case) for case in cases]
    monkeypatch.setattr(native_execution, "_share_out", one_by_one(order))
    for (case, right), together in product(zip(cases, expected, strict=True), others):
        found = given(model, together, 5, *case)
        assert all(np.array_equal(right[key], found[key], equal_nan=True) for key in right)


@pytest.mark.parametrize("order", [list, lambda threads: list(threads)[::-1]], ids=["forth", "back"])
@pytest.mark.parametrize("name", ["tagger", "attention", "bidirectional", "stack"])
def test_weights_that_one_product_reads_are_packed_as_it_goes(
    name: str, order: Callable[[Sequence[int]], Sequence[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By threads that have columns of it and rows of all else, with the bits of panels that are packed before."""
    model = parsed(name)
    programs = [
        model.compile(backend=NativeBackend(machine(**how)), dtype="float32", gradient=True)
        for how in ({"threads": 1}, {"threads": 1}, {"threads": 3, "worth": 0, "worth_meeting": 0})
    ]
    monkeypatch.setattr(native_execution, "_share_out", one_by_one(order))
    for case in ((1, False), (1, True), (7, False), (7, True)):
        monkeypatch.setattr(packing, "WIDE", math.inf)
        before = given(model, programs[0], 9, *case)
        monkeypatch.setattr(packing, "WIDE", 1)
        for program in programs[1:]:
            found = given(model, program, 9, *case)
            assert all(np.array_equal(before[key], found[key], equal_nan=True) for key in before)


FORTH_AND_BACK = {"forth": list, "back": lambda threads: list(threads)[::-1], "as they come": None}


@pytest.mark.parametrize("order", FORTH_AND_BACK.values(), ids=FORTH_AND_BACK)
@pytest.mark.parametrize("name", ["bidirectional", "single steps", "norms", "masked and reset"])
def test_of_loops_at_once_it_does_not_matter_which_is_ahead(
    name: str, order: Callable[[Sequence[int]], Sequence[int]] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a few rows, without gradients; as threads do it, and a kernel of each loop in turn."""
    model, weights = parsed(name), parsed(name).init(1, "float32")
    backends = [NativeBackend(machine(threads=n, worth=math.inf, worth_meeting=0)) for n in (1, 3)]
    alone, together = (model.compile(backend=backend, dtype="float32") for backend in backends)
    for rows, padded in ((1, False), (3, True)):
        data = synthetic(model, 9, rows, 1, padded)
        expected = {key: np.array(array) for key, array in alone.run(data, weights).items()}
        with monkeypatch.context() as patch:
            if order is not None:
                patch.setattr(native_execution, "_share_out", one_by_one(order))
            found = together.run(data, weights)
        assert all(np.array_equal(array, found[key], equal_nan=True) for key, array in expected.items())


@pytest.mark.parametrize("padded", [False, True])
def test_threads_share_what_is_large_around_the_loops_of_a_single_row(padded: bool) -> None:
    """To meet at each step of a loop would take longer than the step: so a loop is one thread's."""
    model = rg.parse("""
        model Words(units, vocab) {
          input a: seq int
          y = Bidirectional(LSTM(units), LSTM(units))(Embedding(vocab, units)(a))
          scores = LayerNorm()(Dense(vocab)(y))
          output scores
          loss cross_entropy(scores, shift(a, 1))
        }""", units=4, vocab=150)  # fmt: skip
    backends = [NativeBackend(machine(threads=n, worth=0, worth_meeting=9000)) for n in (1, 2, 3)]
    programs = [model.compile(backend=backend, dtype="float32", gradient=True) for backend in backends]
    alone, *others = (given(model, program, 40, 1, padded) for program in programs)
    for other in others:
        assert all(np.array_equal(alone[key], other[key], equal_nan=True) for key in alone)


@pytest.mark.parametrize("b", ["[4]", "[1, 4]", "[2, 4]"])
@pytest.mark.parametrize("out", ["a + b @ w", "b @ w + a"])
def test_a_product_is_spread_over_the_rows_that_it_is_added_to(b: str, out: str) -> None:
    """It had been added to the first of them alone, and the others were what memory held."""
    model = rg.parse(f"model M {{ input a: [2, 3]  input b: {b}  param w: [4, 3] ~ normal  output {out} as y }}")
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(5, 1 if b != "[2, 4]" else 2, 4))
    data, weights = {"a": draw.normal(size=(5, 2, 3)), "b": rows[:, 0] if b == "[4]" else rows}, model.init(1)
    expected = data["a"] + np.einsum("nri,ij->nrj", rows, weights["w"])
    found = model.compile(kernels="native").run(data, weights)["y"]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_a_row_is_added_up_in_the_chain_that_makes_it() -> None:
    """Of any shape, several at once, where the next chain uses them, and where entries lie in no usable order."""
    model = rg.parse("""
        layer Sums() {
          input x: [3, 5]
          param g: [5]
          param w: [5, 3]
          u = x * transpose(w)
          s = sum(u)
          v = exp(x * g)
          output sum(u / s) + s, sum(v) * v, sum(square(u)) + sum(v)
        }
        model M { input x: seq[3, 5]
          a, b, c = Sums()(x)
          output a, b, c
        }""")
    random = np.random.default_rng(3)
    weights = {name: random.normal(size=array.shape) for name, array in model.init(0, "float64").items()}
    g, w = (next(v for n, v in weights.items() if n.endswith(f".{end}")) for end in "gw")
    x = random.normal(size=(4, 7, 3, 5))
    u, v = x * w.T, np.exp(x * g)
    s, t = u.sum((2, 3)), v.sum((2, 3))
    found = model.compile(dtype="float64", kernels="native").run({"x": x}, weights)
    expected = {"a": 1 + s, "b": t[..., None, None] * v, "c": (u**2).sum((2, 3)) + t}
    for name, array in expected.items():
        assert np.allclose(found[name], array, rtol=1e-12), name


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 33])
def test_rows_of_any_length_are_added_up(size: int) -> None:
    """A row of one entry, of less than a vector, of a vector, and of more."""
    model = rg.parse("""
        model Regression(n) {
          input x: seq[n]
          input target: seq[n]
          output sum(exp(x)) as total
          loss squared_error(tanh(x), target)
        }""", n=size)
    random = np.random.default_rng(size)
    data = {name: random.normal(size=(3, 5, size)) for name in ("x", "target")}
    program = model.compile(dtype="float64", kernels="native", gradient=True)
    loss, gradients = program.gradients(data, {})
    apart = np.tanh(data["x"]) - data["target"]
    assert loss == pytest.approx((apart**2).mean(), rel=1e-12)
    assert np.allclose(gradients["x"], 2 * apart * (1 - np.tanh(data["x"]) ** 2) / apart.size, rtol=1e-10)
    assert np.allclose(program.run(data, {})["total"], np.exp(data["x"]).sum(-1), rtol=1e-12)


@pytest.mark.parametrize("name", ["stack", "lstm", "layer norm lstm", "bidirectional"])
@pytest.mark.parametrize("batch", [5, 20])
def test_static_programs_have_the_same_bits_on_two_threads(name: str, batch: int) -> None:
    """Of a large batch a loop makes the products with its sequence step by step, a static program all at once."""
    model = parsed(name)
    backend = NativeBackend(machine(threads=2, worth=0, worth_meeting=0))
    ways: list[str | int] = ["dynamic", "static", 4]
    dynamic, *others = (results(model, backend, 9, batch, "float32", way) for way in ways)
    for other in others:
        assert all(np.array_equal(dynamic[key], other[key]) for key in dynamic)


PLAIN = """
model M(inputs = 3, units = 5) {
  input x: seq[inputs]
  y, _ = unroll LSTM(units) over x
  output y
}
"""


@pytest.mark.parametrize(("units", "inputs"), [(1, 1), (16, 3), (17, 64), (70, 7), (130, 410)])
@pytest.mark.parametrize("vectors", VECTORS, ids=str)
def test_odd_sizes(units: int, inputs: int, vectors: tuple[int, int]) -> None:
    model = rg.parse(PLAIN, units=units, inputs=inputs)
    for steps, batch in ((3, 1), (2, 7), (40, 33)):
        expected = results(model, rg_numpy(), steps, batch, "float64")
        got = results(model, NativeBackend(machine(*vectors)), steps, batch, "float64")
        for key, array in expected.items():
            assert np.allclose(got[key], array, rtol=1e-9, atol=1e-10), key


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("units", "inputs"), [(1, 1), (16, 3), (17, 64), (70, 9), (300, 530)])
@pytest.mark.parametrize("vectors", VECTORS, ids=str)
def test_few_rows_have_the_bits_of_many(units: int, inputs: int, vectors: tuple[int, int], dtype: str) -> None:
    """Few rows are multiplied with the weights as they lie, some with panels that are packed one by one."""
    model = rg.parse(PLAIN, units=units, inputs=inputs)
    backend = NativeBackend(machine(*vectors, threads=1))
    program, weights = model.compile(backend=backend, dtype=dtype), model.init(0, dtype)
    x = np.random.default_rng(0).normal(size=(70, 3, inputs)).astype(dtype)
    expected = program.run({"x": x}, weights)["y"]
    for rows in (1, 3, 5, 6, 40):
        assert (program.run({"x": x[:rows]}, weights)["y"] == expected[:rows]).all()
    lengths = {"x": x[:5], "x.lengths": [3, 0, 1, 2, 3]}
    got = program.run(lengths, weights)["y"]
    assert all((got[i, :n] == expected[i, :n]).all() for i, n in enumerate(lengths["x.lengths"]))
    program = model.compile(backend=backend, dtype=dtype, gradient=True)
    some, every = (
        program.gradients({"x": x[:rows]}, weights, {"y": np.ones((rows, 3, units), dtype)})[1]["x"] for rows in (6, 70)
    )
    assert (some == every[:6]).all()


def test_a_large_batch_needs_no_room_for_its_products_with_all_steps() -> None:
    model = rg.parse(PLAIN)

    def workspace(steps: int, batch: int) -> int:
        made = cost(model, lambda m, steps: m.compile(backend=NativeBackend(machine())), steps, batch)
        return made.bytes["workspace"]

    assert workspace(50, 32) == workspace(500, 32)
    assert workspace(50, 4) < workspace(500, 4)


def test_errors_are_no_larger_than_those_of_numpys_own_products() -> None:
    """Against float64, over many steps and rows."""
    model = rg.parse(PLAIN, units=128, inputs=64)
    exact = results(model, rg_numpy(), 200, 32, "float64")
    off = {}
    for kernels, backend in (("numpy", rg_numpy()), ("native", NativeBackend())):
        found = results(model, backend, 200, 32, "float32")
        off[kernels] = {k: np.abs(found[k] - exact[k]).max() / np.abs(exact[k]).max() for k in exact}
    assert max(off["native"].values()) <= 2 * max(off["numpy"].values())


def test_new_weights_and_weights_changed_in_place_are_seen() -> None:
    model = rg.parse(PLAIN)
    program, data, weights = model.compile(), synthetic(model, 4, 2, 0), model.init(0)
    first = program.run(data, weights)["y"]
    other = {name: 2 * array for name, array in weights.items()}
    second = program.run(data, other)["y"]
    for array in weights.values():
        array *= 2
    assert np.array_equal(second, program.run(data, weights)["y"])
    assert not np.array_equal(first, second)


def test_an_interrupt_while_kernels_compile_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes while LLVM calls back to have its code kept."""
    import signal

    def kept(self: Any, code: bytes) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(kept_on_disk.Kept, "read", lambda self: None)
    monkeypatch.setattr(kept_on_disk.Kept, "write", kept)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            machine_code.Module("define i64 @one() {\n  ret i64 1\n}")
    finally:
        signal.signal(signal.SIGINT, before)
    monkeypatch.setattr(kept_on_disk.Kept, "write", lambda self, code: None)
    assert machine_code.Module("define i64 @one() {\n  ret i64 1\n}").function("one", returns=ctypes.c_int64)() == 1


DROPPED = """
model M {
  input x: seq[4]
  y, _ = unroll DropoutAround(LSTM(6), states = 0.5) over solve(eye(4) * 2, x)
  output y
  loss mean(y * y)
}
"""


def test_what_no_kernel_takes_numpy_does() -> None:
    model = rg.parse(DROPPED)
    numbers = [results(model, b, 6, 3, "float64", training=True) for b in (rg_numpy(), NativeBackend())]
    assert all(np.allclose(numbers[0][key], numbers[1][key], rtol=1e-9, atol=1e-10) for key in numbers[0])
    ops = [step.node.op.name for step in unclaimed(model)]
    assert set(ops) == {"solve"}


def unclaimed(model: Model) -> list[Any]:
    from rnngraph.planning.program import Step, moments_of

    program = model.compile(gradient=True, training=True).main.program
    return [moment for moment in moments_of(program.code) if isinstance(moment, Step)]


# --- more than one caller ----------------------------------------------------------------------------------------


def shared_program() -> tuple[Any, Any, Any]:
    model = rg.parse(PLAIN)
    backend = NativeBackend(machine(threads=2, worth=0, worth_meeting=0))
    return model, model.compile(backend=backend, dtype="float32"), model.init(0, "float32")


def test_threads_that_share_a_program_take_turns() -> None:
    model, program, weights = shared_program()
    data = [synthetic(model, 40, 6, seed) for seed in range(8)]
    alone = [program.run(one, weights)["y"] for one in data]
    with ThreadPoolExecutor(4) as callers:
        for _ in range(10):
            found = list(callers.map(lambda one: program.run(one, weights)["y"], data))
            assert all(np.array_equal(a, b) for a, b in zip(alone, found, strict=True))


THREADS = """
import threading
import numpy as np
import rnngraph as rg

x = np.random.default_rng(0).normal(size=(3, 5, 2))
model = rg.parse("model M { input x: seq[2] h, _ = unroll LSTM(3) over x output h loss sum(last(h) ** 2) }")
weights, found = model.init(0), []

def work():
    program = model.anew().compile(gradient=True)
    for _ in range(20):
        found.append((program.run({"x": x}, weights)["h"], program.gradients({"x": x}, weights)[1]["lstm.kernel"]))

callers = [threading.Thread(target=work) for _ in range(6)]
for caller in callers:
    caller.start()
for caller in callers:
    caller.join()
assert len(found) == 120 and all(np.array_equal(a, b) for one in found for a, b in zip(one, found[0]))
"""


def test_threads_that_compile_the_same_kernels_for_the_first_time_share_them() -> None:
    """Of two modules of one text one was thrown away, and its kernels were run: the process crashed."""
    fresh = {**os.environ, "RNNGRAPH_CACHE": ""}
    done = subprocess.run([sys.executable, "-c", THREADS], env=fresh, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a thread cannot be kept from a core here")
def test_a_helping_thread_is_woken_on_another_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """And may run on all of its cores when it is awake, even if it is rung for again before it has come so far."""
    told: list[tuple[int, set[int]]] = []
    monkeypatch.setattr(threads, "allow", lambda thread, cores: told.append((thread, cores)))
    monkeypatch.setattr(threads, "allowed", lambda thread: told[-1][1] if told else {0, 1, 2})
    monkeypatch.setattr(threads, "core_here", lambda: 1)
    pool = threads.Pool(1)  # without a helper that would answer
    pool.wake(0)
    pool.wake(0)
    assert [cores for _, cores in told] == [{0, 2}, {0, 2}] and pool.cores[0] == {0, 1, 2}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_of_a_fork_has_threads_of_its_own() -> None:
    model, program, weights = shared_program()
    data = synthetic(model, 40, 6, 0)
    expected = program.run(data, weights)["y"]
    context = multiprocessing.get_context("fork")
    told = context.Queue()
    child = context.Process(target=lambda: told.put(program.run(data, weights)["y"]), daemon=True)
    child.start()
    assert np.array_equal(told.get(timeout=60), expected)
    child.join()


# --- ragged batches ----------------------------------------------------------------------------------------------


class Spoilt(NativeBackend):
    """Arrays begin full of NaN."""

    def empty(self, size: int) -> Any:
        array = super().empty(size)
        array.fill(255)
        return array


@pytest.mark.parametrize("name", ALL)
def test_rows_that_are_left_out_change_no_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against kernels that run over the padding as well, in arrays that begin full of NaN."""
    model = parsed(name)

    def compiled(unroll: str, steps: int | None) -> Any:
        return model.compile(unroll, steps, backend=Spoilt(), dtype="float32", gradient=True)

    runs = [(loop := compiled("dynamic", None), 9, 7), (loop, 9, 17), (compiled("static", 5), 5, 7)]
    left_out = [given(model, *run, True) for run in runs]
    monkeypatch.setattr(fusion, "without_padding", lambda program, target: program)
    loop_over_all = compiled("dynamic", None)
    for some, (_, *sizes) in zip(left_out, runs, strict=True):
        every = given(model, loop_over_all, *sizes, True)
        assert all(some[key].tobytes() == every[key].tobytes() for key in every)
        assert not any(np.isnan(some[key]).any() for key in every)


@pytest.mark.parametrize("name", ["lstm", "gru", "stack", "bidirectional", "layer norm lstm"])
def test_all_large_kernels_leave_out_rows_that_have_ended(name: str) -> None:
    model = parsed(name)
    outputs = tuple(n for n, v in model.made.graph.outputs.items() if v.type.dtype == "float")
    program = model.compile(gradient=True).variant(Signature(True, cotangents=outputs)).program
    found = [g for g in groups_of(program.code) if isinstance(g.kernel, Product | Sums) and len(g.kernel.axes) > 0]
    assert found and all(group.part == "live" for group in found)


OWN_MASKS = {
    "mask of a step": """
cell Gated {
  input x: [n]
  state h: [n] = 0
  h' = tanh(x + h * 0.5)
  output where(h[0] > 0, h', 0)
}
cell Mean {
  input y: [n]
  state s: [n] = 0
  s' = 0.5 * s + y
  output s'
}
model M {
  input x: seq[4]
  y, _ = unroll Gated() over x
  z, _ = unroll Mean() over y
  output z
}
""",
    "mask of a row": """
cell Switched {
  input x: [n]
  input flag: [1]
  state h: [n] = 0
  param W: [n, n] ~ glorot_uniform
  h' = where(flag[0] > 0, tanh(x @ W + h), h)
  output h'
}
model M {
  input x: seq[4]
  input flag: [1]
  y, _ = unroll Switched over x with flag = flag
  output y
}
""",
}
"""Models that choose by masks of their own, which do not speak of all steps at once."""


@pytest.mark.parametrize("name", OWN_MASKS)
@pytest.mark.parametrize("batch", [3, 17])
def test_masks_hold_for_their_own_step_and_for_all_rows(name: str, batch: int) -> None:
    model = rg.parse(OWN_MASKS[name])
    data, weights = synthetic(model, 9, batch, 1), model.init(1)
    expected, got = (model.compile(backend=b).run(data, weights) for b in (rg_numpy(), Spoilt()))
    assert all(np.allclose(got[key], array, rtol=1e-9, atol=1e-10) for key, array in expected.items())


STOPS_BY_ITSELF = """
cell Half {
  input x: [n]
  state h: [n] = 0
  h' = tanh(0.5 * h + x)
  output h'
}
cell Outer {
  input x: [n]
  state h: [n] = 0
  y = unroll Half() with x = h for 3
  h' = tanh(0.5 * h - last(y))
  output last(y) - x
  stop t + argmax(h') >= 1
}
model M {
  input x: seq[3]
  y = unroll Outer() over x
  p = mean(y, axis = time)
  loss mean(y * y) + mean(p * p)
}
"""
"""Whether a row has ended follows from a state, which is known before the first step."""


@pytest.mark.parametrize("descending", (False, True))
def test_what_is_sorted_behind_the_end_of_a_row_is_zero(descending: bool) -> None:
    order = "descending = true" if descending else "descending = false"
    model = rg.parse(f"model M {{ input x: seq[3]  output sort(x, {order}) @ x as y }}")
    x = np.array([[[3.0, 1, 2], [5, 5, 5]], [[1, 0, 2], [0, 1, 4]]])
    got = model.compile(kernels="native").run({"x": x, "x.lengths": [1, 2]}, {})
    # (1 2 3) @ (3 1 2), (0 1 2) @ (1 0 2) and (0 1 4) @ (0 1 4), or from the largest on
    expected = [[13, 0], [2, 1]] if descending else [[11, 0], [4, 17]]
    assert np.array_equal(got["y"], expected)


def test_rows_that_end_by_themselves_are_not_those_past_their_lengths() -> None:
    model = rg.parse(STOPS_BY_ITSELF)
    data = synthetic(model, 4, 2, 0, padded=True) | {"x.lengths": np.array([4, 4])}
    ways = (("dynamic", None), ("static", 4))
    loop, static = (model.compile(unroll, n, gradient=True, kernels="native").gradients(data, {}) for unroll, n in ways)
    assert loop[1]["x"].tobytes() == static[1]["x"].tobytes()


INNER_LOOP = """
cell Slow(u) {
  state s: [u] = 0
  s' = tanh(0.5 * s + 0.1)
  output s'
}
cell Outer {
  input x: [n]
  state h: [n] = 0
  _, inner = unroll Slow(n) for 4 from h
  h' = tanh(x + inner.s)
  output h'
}
model M {
  input x: seq[4]
  y, _ = unroll Outer over x
  output y
}
"""


def test_threads_that_meet_in_a_loop_leave_it_at_the_same_step() -> None:
    """The inner loop ends with a meeting; the outer one ends with the longest row."""
    model = rg.parse(INNER_LOOP)
    lengths = np.random.default_rng(0).integers(0, 25, size=24)
    data, weights = synthetic(model, 40, 24, 1) | {"x.lengths": lengths}, model.init(1)
    expected = model.compile(backend=rg_numpy()).run(data, weights)["y"]
    for several in (1, 2, 3):
        program = model.compile(backend=NativeBackend(machine(threads=several, worth=0, worth_meeting=0)))
        first, *others = (program.run(data, weights)["y"] for _ in range(20))
        assert np.allclose(first, expected, rtol=1e-9, atol=1e-10)
        assert all(np.array_equal(first, other) for other in others)


OVERWRITTEN = {
    "one after another": """model M {
        input x: seq[3]
        param w: [3, 3]
        param v: [3]
        a = tanh(w)
        p = v @ a
        b = tanh(a)
        output p, x @ b as q
    }""",
    "behind a loop": """cell Walk {
        input x: [n]
        input m: [n, n]
        state h: [n] = 0
        h' = tanh(x + h @ m)
        output h'
    }
    model M {
        input x: seq[3]
        param w: [3, 3]
        a = tanh(w)
        p = unroll Walk over x with m = a
        b = tanh(a)
        output p, unroll Walk over p with m = b as q
    }""",
}


@pytest.mark.parametrize("text", OVERWRITTEN.values(), ids=OVERWRITTEN)
@pytest.mark.parametrize("unroll", ["dynamic", "static"])
def test_panels_are_of_a_matrix_as_it_is_now(text: str, unroll: str) -> None:
    """An op may write its result over its operand, of which there are panels already."""
    model = rg.parse(text)
    data, weights = {"x": np.random.default_rng(0).normal(size=(2, 3, 3))}, model.init(1)
    found, wanted = (
        model.compile(unroll, 3 if unroll == "static" else None, kernels=kernels).run(data, weights)["q"]
        for kernels in ("native", "numpy")
    )
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)


# --- kernels kept on disk ----------------------------------------------------------------------------------------

TINY = "define void @nothing() {\nentry:\n  ret void\n}\n"


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.kernels"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("RNNGRAPH_CACHE", str(tmp_path / "kept"))
    kept_on_disk.folder.cache_clear()
    yield tmp_path / "kept"
    kept_on_disk.folder.cache_clear()


def test_kernels_are_kept_and_read_again(cache: Path) -> None:
    assert machine_code.Module(TINY).address("nothing")
    [file] = kept(cache)
    before = file.stat().st_mtime_ns
    assert machine_code.Module(TINY).address("nothing")
    assert file.stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", [b"", b"nonsense", None], ids=["empty", "foreign", "one byte"])
def test_a_damaged_file_is_made_anew(cache: Path, damage: bytes | None) -> None:
    machine_code.Module(TINY)
    [file] = kept(cache)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if damage is None else damage)
    assert machine_code.Module(TINY).address("nothing")
    assert file.read_bytes() == whole


def test_kernels_of_another_program_are_not_taken(cache: Path) -> None:
    machine_code.Module(TINY)
    [file] = kept(cache)
    other = TINY.replace("nothing", "other")
    machine_code.Module(other)
    [second] = [f for f in kept(cache) if f != file]
    second.write_bytes(file.read_bytes())
    assert machine_code.Module(other).address("other")


def test_only_so_many_are_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_on_disk, "FILES", 3)
    monkeypatch.setattr(kept_on_disk, "SELDOM", 1)
    for i in range(5):
        machine_code.Module(TINY.replace("nothing", f"nothing{i}"))
    assert len(kept(cache)) == 3
    assert machine_code.Module(TINY.replace("nothing", "nothing0")).address("nothing0")


def test_the_tables_of_the_grammar_are_kept_and_made_anew_where_they_are_damaged(cache: Path) -> None:
    def texts() -> list[str]:
        parser.grammar.cache_clear()
        with pytest.raises(rg.UserError) as told:
            rg.parse("model M { input x: seq[2]\n output relu(x as y }")
        return [str(told.value), repr(rg.parse("model M { input x: seq[2]\n output relu(x) as y }"))]

    made = texts()
    [file] = cache.glob("*.grammar")
    whole = file.read_bytes()
    assert texts() == made and file.read_bytes() == whole
    file.write_bytes(whole[: len(whole) // 2])
    assert texts() == made and file.stat().st_size > len(whole) // 2


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="rights are kept in another way")
def test_a_folder_that_others_can_write_is_not_used(cache: Path) -> None:
    cache.mkdir(mode=0o700)
    cache.chmod(0o777)
    assert machine_code.Module(TINY).address("nothing")
    assert not kept(cache)


def test_a_run_without_a_place_for_kernels(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    env = {**os.environ, "RNNGRAPH_CACHE": str(tmp_path / "file" / "below")}
    code = "import rnngraph as rg; m = rg.parse('model M { input x: seq[2]\\n output relu(x) as y }'); m.compile()"
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == 0


def test_what_kernels_cannot_be() -> None:
    model = rg.parse(PLAIN)
    with pytest.raises(rg.UserError, match="no kernels `fast`"):
        model.compile(kernels="fast")
    assert model.compile(kernels="numpy").backend.kernels == "numpy"
    assert model.compile(kernels="native").backend.kernels == "native"


def test_show_names_kernels_and_what_is_left_to_numpy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from rnngraph.cli.main import exit_code

    file = tmp_path / "m.rnn"
    file.write_text(DROPPED.replace("solve(eye(4) * 2, x)", "x"))
    assert exit_code(["show", str(file), "--kernels", "--gradient"]) == 0
    told = capsys.readouterr().out
    assert "loop over time, backwards" in told and "product 6 to 24" in told
    assert "nothing is left to NumPy" in told
