"""Every construct of the language goes through both exports, as a loop and step by step.

`tests/support/constructs.py` has the constructs; that nothing of the grammar, of the functions, of the library and of
the table of ops is missing there is a test too. Expected is what `run` gives, of the same shapes and types.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import pytest
from lark import Lark
from msgspec.structs import replace

import rnngraph as rg
from rnngraph.analysis.synthetic_data import synthetic
from rnngraph.data.lengths import as_given
from rnngraph.diagnostics.errors import UserError
from rnngraph.exchange.export.numpy.export import to_numpy
from rnngraph.exchange.export.numpy.statements import identifier
from rnngraph.exchange.export.request import Wanted
from rnngraph.ir.graph import Graph, ShapeError, Value
from rnngraph.ir.types import DType, Type
from rnngraph.language.builtins import application
from rnngraph.language.builtins.registry import TABLE as FUNCTIONS
from rnngraph.language.elaboration.elaborated import Block
from rnngraph.language.elaboration.imports import library
from rnngraph.language.syntax import error_recovery, grammar, parser
from rnngraph.language.syntax.tree_builder import Rules
from rnngraph.model import Model
from rnngraph.ops import TABLE
from tests.exchange.test_export import UNSAID_IN_NUMPY, UNSAID_IN_ONNX, outside, said_in_numpy, session
from tests.support import constructs, models
from tests.support.running import SIZES, evaluate, op_graph

EVERYWHERE, ALONG = constructs.EVERYWHERE, constructs.ALONG
TEXTS = {
    "example": constructs.example(EVERYWHERE),
    "sequence": constructs.sequence(EVERYWHERE),
    "along time": constructs.sequence(ALONG),
    "step": constructs.step(EVERYWHERE),
    **constructs.MODELS,
}
CHANCE = {
    "chance": constructs.example(constructs.CHANCE),
    "chance in a step": constructs.step(constructs.CHANCE),
    **{name: text for name, text in constructs.MODELS.items() if "chance" in name},
}
"""What NumPy can say, and ONNX cannot."""
SAID = {name: text for name, text in TEXTS.items() if name not in CHANCE}


def data_of(model: Model, steps: int, rows: int, padded: bool) -> dict[str, Any]:
    """Random data; with lengths, of full, shorter and empty rows."""
    data = synthetic(model, steps, rows, 0)
    if padded:
        lengths = np.array([steps, max(0, steps - 2), 0, 1])[:rows]
        over = dict.fromkeys((axis for i in model.inputs for axis in i.axes), lengths)
        data |= {f"{i.name}.lengths": as_given(i.axes, over) for i in model.inputs if i.axes}
    return data


def expected(model: Model, data: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    return model.compile(dtype=dtype, kernels="numpy").run(data, model.init(1))


def agree(got: Mapping[str, Any], want: Mapping[str, Any], dtype: str, lines: list[str]) -> None:
    """All outputs that are asked for, of the shapes and types of `run`; what is told is the expression."""
    assert got
    for name, array in got.items():
        told = next((line for line in lines if f"{name} " in line or f"{name}," in line), name)
        assert (np.shape(array), np.asarray(array).dtype) == (want[name].shape, want[name].dtype), told
        scale = max(1.0, float(np.abs(want[name]).max(initial=0, where=np.isfinite(want[name]))))
        close = {"rtol": 0, "atol": scale * (1e-11 if dtype == "float64" else 3e-5)}
        np.testing.assert_allclose(np.asarray(array), want[name], **close, err_msg=told)


def in_numpy(model: Model, wanted: Wanted, data: Mapping[str, Any], weights: Any = None) -> dict[str, Any]:
    """What the exported file gives, in a namespace of its own."""
    written = to_numpy(model, weights or model.init(1), wanted)
    scope: dict[str, Any] = {"__name__": "exported", "BESIDE": written.arrays}
    exec(written.text.replace('dict(np.load(Path(__file__).with_suffix(".weights.npz")))', "BESIDE"), scope)
    parameters = inspect.signature(scope["run"]).parameters
    given: dict[str, Any] = {}
    for name, array in data.items():
        short = identifier(outside(name, model))
        known = (short, f"{short}_2", *(["lengths"] if name.endswith(".lengths") else []))
        found = next((n for n in known if n in parameters and n not in given), None)
        given |= {found: array} if found else {}
    results: dict[str, Any] = scope["run"](**given)
    return results


def in_onnx(model: Model, wanted: Wanted, data: Mapping[str, Any], weights: Any = None) -> dict[str, Any]:
    """What onnxruntime makes of the exported file; inputs that have a default are left out where they are not given."""
    pytest.importorskip("onnx")
    from rnngraph.exchange.export.onnx.export import to_onnx

    made = session(to_onnx(model, weights or model.init(1), wanted))
    given = {outside(name, model): np.asarray(array) for name, array in data.items()}
    optional = [i.name for i in made.get_overridable_initializers() if i.name in given]
    feed = {name: given[name] for name in [*(i.name for i in made.get_inputs()), *optional]}
    feed = {name: a.astype(wanted.dtype) if a.dtype.kind == "f" else a for name, a in feed.items()}
    return dict(zip([o.name for o in made.get_outputs()], made.run(None, feed), strict=True))


def results_of(results: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("metric."): array for name, array in results.items()}


VARIANTS = {
    "padded": (Wanted(lengths=True, states=False, dtype="float32"), 4, 3),
    "static": (Wanted("static", 3, dtype="float64"), 3, 1),
    "no steps": (Wanted(states=False, dtype="float64"), 0, 2),
}
"""What is wanted, the number of steps, the number of rows. Where states are wanted they are given."""


@cache
def model_of(name: str) -> Model:
    return rg.parse(TEXTS.get(name) or CHANCE[name])


@cache
def case(name: str, variant: str) -> tuple[Model, Wanted, dict[str, Any], dict[str, Any]]:
    model, (wanted, steps, rows) = model_of(name), VARIANTS[variant]
    data = data_of(model, steps, rows, wanted.lengths)
    if wanted.states:
        rng, kinds = np.random.default_rng(1), {"float": float, "int": int, "bool": bool}
        for s in model.states:
            first = (2 * rng.random((rows, *s.type.shape))).astype(kinds[s.type.dtype])
            data[s.name] = 0 * first if s.begins else first
    goals = any(n == "loss" or n.startswith("metric.") for n in model.graph.outputs)
    with np.errstate(all="ignore"):
        want = expected(model, data, wanted.dtype)
    return model, replace(wanted, loss=goals), data, results_of(want)


def lines_of(name: str) -> list[str]:
    return (TEXTS.get(name) or CHANCE[name]).splitlines()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", {**SAID, **CHANCE})
def test_numpy_says_it(name: str, variant: str) -> None:
    model, wanted, data, want = case(name, variant)
    with np.errstate(all="ignore"):
        agree(in_numpy(model, wanted, data), want, wanted.dtype, lines_of(name))


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", SAID)
def test_onnx_says_it(name: str, variant: str) -> None:
    model, wanted, data, want = case(name, variant)
    if variant == "no steps" and any(n.op.kind == "loop" for n in model.graph.all_nodes()):
        return  # a `Scan` of onnxruntime takes one step or more
    agree(in_onnx(model, wanted, data), want, wanted.dtype, lines_of(name))


# --- ops by type -----------------------------------------------------------------------------------------------------

GRADIENT = {"place", "put_entries", "scatter_rows", "place_last", "place_last_within", "place_every", "expand", "pad"}
"""Ops that stand in gradients alone, of floats; `tests/exchange/test_export.py` has them."""
ALONE = {"contract": "bool", "sum_axes": "bool", "compact": "bool", "div": "int"}
"""What an op is never given: the language makes floats of these first."""
KINDS: tuple[DType, ...] = ("float", "int", "bool")


def typed_ops() -> Iterator[tuple[str, Graph, Value]]:
    """Every op with its examples' floats as floats, ints and truth values, as far as it takes them."""
    for name, op in TABLE.items():
        for number, (attrs, types) in enumerate(op.examples):
            for kind in KINDS:
                given = tuple(Type(t.axes, t.shape, kind) if t.dtype == "float" else t for t in types)
                if name in UNSAID_IN_ONNX | GRADIENT or ALONE.get(name) == kind or (kind != "float" and given == types):
                    continue
                with suppress(ShapeError):
                    graph, _, y = op_graph(name, attrs, given)
                    yield f"{name}.{number}.{kind}", graph, y


def op_arrays(graph: Graph, sizes: Mapping[str, int]) -> dict[str, Any]:
    """Random floats from 0.3 to 0.9, ids and lengths of 0 and 1 (0 where there are no steps), and truth values."""
    rng, arrays = np.random.default_rng(3), {}
    for name, value in graph.inputs.items():
        shape = [*(sizes[a] for a in value.type.axes), *value.type.shape]
        numbers = np.asarray(rng.uniform(0.3, 0.9, shape))
        whole = np.asarray(rng.integers(0, 1 + (sizes["time"] > 0), shape))
        arrays[name] = {"float": numbers, "int": whole, "bool": np.asarray(numbers < 0.6)}[value.type.dtype]
    return arrays


FIXED = {axis: size for axis, size in SIZES.items() if axis.endswith("@for")}


@pytest.mark.slow
@pytest.mark.parametrize(
    "sizes",
    [SIZES, dict.fromkeys(SIZES, 1) | FIXED, {axis: 2 * (axis == "batch") for axis in SIZES} | FIXED],
)
def test_every_op_of_every_type(sizes: Mapping[str, int]) -> None:
    """In one graph for all: the values and types of the runtime's own kernels."""
    pytest.importorskip("onnx")
    from onnx import helper

    from rnngraph.exchange.export.onnx.export import rules
    from rnngraph.exchange.export.onnx.scope import Scope, Whole, model_of

    top, infos, ends, feed, want = Scope(Whole("float64", rules())), [], [], {}, {}
    top.whole.sizes = {axis: top.ints(size) for axis, size in sizes.items()}
    for name, graph, y in typed_ops():
        arrays = op_arrays(graph, sizes)
        if y.op.name == "row" and not sizes["time"]:
            continue  # there is no such row
        with np.errstate(all="ignore"):
            want[name] = evaluate(graph, arrays, sizes)["y"]
        for key, value in graph.inputs.items():
            top.names[value] = f"{name}.{key}"
            infos.append(top.info(f"{name}.{key}", value.type))
            feed[f"{name}.{key}"] = arrays[key]
        top.convert(graph.nodes())
        top.nodes.append(helper.make_node("Identity", [top.names[y]], [name]))
        ends.append(top.info(name, y.type))
        with np.errstate(all="ignore"):
            same(said_in_numpy(graph, y, arrays, sizes), want[name], name)
    content = model_of(helper.make_graph(top.nodes, "ops", infos, ends, initializer=top.whole.tensors), "", {})
    for name, array in zip(want, session(content.SerializeToString()).run(list(want), feed), strict=True):
        same(array, want[name], name)


def same(got: Any, want: Any, name: str) -> None:
    assert (np.shape(got), np.asarray(got).dtype) == (want.shape, want.dtype), name
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12, err_msg=name)


# --- nothing is missing ----------------------------------------------------------------------------------------------

OUTSIDE = {"imported"}
"""The rule of the grammar that says where a definition stands, not what it computes."""
ASIDE = {"unpatch", "ctc_gradient", "outside"}
"""Ops that only a gradient is made of, or a run that looks at indices; no export has one."""


class Recording:
    """The rules of the grammar, noting each that is used."""

    def __init__(self) -> None:
        self.used: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        rule = getattr(Rules, name)

        def noted(parts: Any) -> Any:
            self.used.add(name)
            return rule(parts)

        return noted


def definitions(block: Block) -> Iterator[str]:
    yield block.definition
    for child in block.children:
        yield from definitions(child)


def test_no_construct_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rule of the grammar, every argument of every function, every cell and layer of the library."""
    recording, own, bind = Recording(), parser.grammar(), application._bind
    arguments, used = set[tuple[str, str]](), set[str]()
    text = resources.files("rnngraph.grammar").joinpath("rnn.lark").read_text("utf-8")
    options: dict[str, Any] = {"parser": "lalr", "lexer": grammar._NoLexer, "keep_all_tokens": True}
    lark = Lark(text, maybe_placeholders=True, transformer=recording, **options)

    def bound(function: Any, given: Any, at: Any) -> Any:
        found = bind(function, given, at)
        arguments.update((function.name, name) for name in found)
        return found

    monkeypatch.setattr(application, "_bind", bound)
    for file in (parser, error_recovery):
        monkeypatch.setattr(file, "grammar", lambda: replace(own, lark=lark))
    for one in (*TEXTS.values(), *CHANCE.values(), *(text for _, text in constructs.UNSAID), *models.ALL.values()):
        used |= set(definitions(rg.parse(one).made.block))
    assert {name for name in vars(Rules) if name[0] != "_"} - recording.used == OUTSIDE
    parameters = {(f.name, p.rstrip("?*")) for f in FUNCTIONS.values() for p in f.parameters}
    assert sorted(parameters - arguments) == []
    assert not set(library()) - used


SAID_AS = {
    "uniform": "random numbers", "unpatch": "the gradient of windows", "ctc_gradient": "the gradient of `ctc_loss`",
}  # fmt: skip
"""Operations that the language has no name for."""


def test_what_cannot_be_said_is_known() -> None:
    assert {op for op, _ in constructs.UNSAID} == UNSAID_IN_ONNX - ASIDE


@pytest.mark.parametrize("target", ["numpy", "onnx"])
@pytest.mark.parametrize(("op", "text"), constructs.UNSAID)
def test_what_cannot_be_said_is_refused_at_its_line(op: str, text: str, target: str) -> None:
    model, by_both = rg.parse(text), op in UNSAID_IN_NUMPY
    if target == "numpy" and not by_both:
        assert in_numpy(model, Wanted(), data_of(model, 3, 2, False))
        return
    called = SAID_AS.get(op, f"`{op}`")
    with pytest.raises(UserError, match=f"cannot be exported: .* no operation for {called}") as error:
        in_numpy(model, Wanted(), {}) if target == "numpy" else in_onnx(model, Wanted(), {})
    (told,) = error.value.diagnostics
    assert told.span is not None and told.span.source.line(told.span.line) in text.splitlines()
    assert ("NumPy" in told.help) != by_both
