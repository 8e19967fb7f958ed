"""A model made into a graph with loops, by running through its statements once."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from rnngraph.diagnostics.diagnostic import Diagnostic, in_order
from rnngraph.diagnostics.errors import UserError, told_of
from rnngraph.diagnostics.source import Span
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.ir.graph import Graph, Value
from rnngraph.ir.order import orders_of
from rnngraph.ir.types import BATCH, Type
from rnngraph.language.builtins.registry import is_function
from rnngraph.language.builtins.registry import names as function_names
from rnngraph.language.checking import names
from rnngraph.language.checking.statement_count import look_ahead
from rnngraph.language.elaboration import (
    expressions,
    forms,  # noqa: F401 fills the registries
    imports,
    instance_tree,
    instantiation,
    model_outputs,
    statements,
    step_offset,
    train_block,
    unreached_weights,
)
from rnngraph.language.elaboration.arithmetic import LARGEST_NUMBER
from rnngraph.language.elaboration.elaborated import DataInput, Elaborated, StateInput
from rnngraph.language.elaboration.imports import Loaded
from rnngraph.language.elaboration.mistakes import Echo, Mistake
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.trace import Trace
from rnngraph.language.elaboration.values import POISON, Builtin, Class, Item, Number, free, is_number
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Definition, File


def elaborate(
    file: File,
    settings: Mapping[str, object] = {},
    *,
    model: str | None = None,
    padded: bool = False,
    fed: Collection[StateInput] = (),
    watch: tuple[str, ...] = (),
    training: bool = False,
    truncate: int | None = None,
) -> Elaborated:
    """The graph of a file's model (of the one named, where there are several).

    `settings` replace those of the model; `padded` says that rows have lengths of their own; `fed` are those of its
    states that are given with the data; `watch` names values to record at every step; `truncate` is the number of steps
    after which gradients through states end. Raises UserError with
    every error that can be found.
    """
    loaded = imports.load(file)
    trace = Trace(padded, training, {state.name: state for state in fed}, watch, loaded.worlds, truncate)
    for diagnostic in names.check(loaded, trace.hints):
        trace.tell(diagnostic)
    if any(d.code == "E301" for d in trace.report.errors):
        trace.report.stop_on_errors()
    try:
        chosen = choose(loaded, model)
    except UserError as error:
        raise UserError([*in_order(trace.report.errors), *error.diagnostics]) from None
    found = attempt(trace, loaded, chosen, settings)
    trace.report.stop_on_errors()
    assert found is not None
    return found


def attempt(trace: Trace, loaded: Loaded, model: Definition, settings: Mapping[str, object]) -> Elaborated | None:
    """The model's graph, or None where the trace's report says why there is none."""
    try:
        scope = _run(trace, loaded, model, settings)
        return _finished(trace, scope, loaded)
    except Mistake as mistake:
        trace.tell(mistake.diagnostic)
    except Echo:
        pass
    except RecursionError:
        trace.tell(Diagnostic("E310", f"`{model.name}` is nested too deeply", model.name_span))
    return None


def choose(loaded: Loaded, name: str | None) -> Definition:
    """The model asked for, or the last one of the file."""
    models = [d for d in loaded.own if d.kind == "model"]
    if name is not None:
        for candidate in models:
            if candidate.name == name:
                return candidate
        raise UserError(f"there is no model `{name}`", "E315", did_you_mean(name, [m.name for m in models]))
    if not models:
        raise UserError(
            f"there is no model in `{loaded.file.source.name}`",
            "E315",
            "a model begins with `model NAME {`",
        )
    if len(models) > 1:
        listed = ", ".join(f"`{m.name}`" for m in models)
        raise UserError(
            f"there are several models here: {listed}", "E315", f"choose one with `--model {models[0].name}`"
        )
    return models[0]


def _run(trace: Trace, loaded: Loaded, model: Definition, settings: Mapping[str, object]) -> Scope:
    scope = Scope(trace, loaded.world, model, None, (), (), model.name_span)
    trace.stops = loaded.stops
    _bind_settings(scope, settings)
    look_ahead(trace, model, {s.name: scope.names[s.name].item for s in model.settings})
    for s in model.body:
        if isinstance(s, ast.Input):
            _bind_input(scope, s)
    statements.run(scope, model.body)
    told = any(d.severity == "error" for d in trace.report.found)
    if not scope.outputs and not scope.goals and not told:
        raise Mistake("E307", f"the model `{model.name}` has no output", model.name_span, help="write `output ...`")
    return scope


def _bind_settings(scope: Scope, settings: Mapping[str, object]) -> None:
    """Those given from outside, then the defaults."""
    model = scope.definition
    known = [s.name for s in model.settings]
    for name in settings:
        if name not in known:
            listed = ", ".join(f"`{n}`" for n in known) or "none"
            raise UserError(
                f"the model `{model.name}` has no setting `{name}`",
                "E102",
                did_you_mean(name, known) or f"it has {listed}",
            )
    for setting in model.settings:
        if setting.name in settings:
            item = _from_outside(scope, setting.name, settings[setting.name])
        elif setting.default is None:
            raise Mistake(
                "E303",
                f"the model `{model.name}` needs its setting `{setting.name}`",
                setting.span,
                help=f"give it: `--set {setting.name}=...`, or write a default here",
            )
        else:
            item = expressions.one(scope, setting.default)
        scope.bind(setting.name, instantiation.held(scope, item, setting.span), "setting", setting.span)


def _from_outside(scope: Scope, name: str, given: object) -> Item:
    """A number or bool, or the name of a function, cell or layer."""
    number = _as_number(given)
    if number is not None and _can_be_held(number):
        return number
    if isinstance(given, str) and given in scope.world:
        return Class(scope.world[given])
    if isinstance(given, str) and is_function(given):
        return Builtin(given)
    hint = did_you_mean(given, {*function_names(), *scope.world}) if isinstance(given, str) else ""
    if isinstance(number, int):
        hint = f"a whole number is {LARGEST_NUMBER:,} at most"
    raise UserError(f"the setting `{name}` cannot be {told_of(given)}", "E102", hint or _SETTINGS_ARE)


_SETTINGS_ARE = "it is a number, true or false, or the name of a function, cell or layer"


def _as_number(given: object) -> Number | None:
    """A number or truth value of Python's, or one of NumPy's and others' that is a single one."""
    if getattr(given, "shape", None) == () and hasattr(given, "item"):
        given = given.item()
    return given if isinstance(given, (bool, int, float)) else None


def _can_be_held(number: Number) -> bool:
    return math.isfinite(number) if isinstance(number, float) else abs(number) <= LARGEST_NUMBER


def _bind_input(scope: Scope, s: ast.Input) -> None:
    try:
        scope.bind(s.name, _data(scope, s), "input", s.name_span, s.type)
    except Mistake as mistake:
        scope.trace.tell(mistake.diagnostic)
        scope.bind(s.name, POISON, "input", s.name_span, s.type)
    except Echo:
        scope.bind(s.name, POISON, "input", s.name_span, s.type)


def _data(scope: Scope, s: ast.Input) -> Value:
    """An array of the user's, with zeros in its padding."""
    trace = scope.trace
    if BATCH in s.type.over:
        raise Mistake("E103", f"`{BATCH}` is the axis of the rows", s.type.span, help="give this one another name")
    shape = tuple(expressions.size(scope, e) for e in s.type.sizes)
    type = Type((BATCH,), shape, s.type.dtype).with_axes((BATCH, *s.type.over))
    default = None if s.default is None else _default(scope, s, s.default)
    trace.name = s.name
    value = trace.input(s.name, "data", type, s.name_span)
    trace.data.append(DataInput(s.name, type, s.type.over, s.name_span, default))
    return trace.clean(value, s.name_span) if s.type.axes else value


def _default(scope: Scope, s: ast.Input, e: ast.Expr) -> float:
    """The number that stands for an input that is not given; a Mistake where it is of another kind."""
    number = expressions.number(scope, e, f"`{s.name}`")
    scope.trace.lift(number, e.span, s.type.dtype)
    return float(number)


# --- the result -----------------------------------------------------------------------------------


def _finished(trace: Trace, scope: Scope, loaded: Loaded) -> Elaborated:
    step_offset.finish(trace, [item for _, item, _ in scope.outputs])
    outputs, spans = model_outputs.outputs(scope)
    own, own_steps = tuple(outputs), model_outputs.own_steps(trace, outputs, spans)
    outputs |= model_outputs.losses(scope) | model_outputs.metrics(scope)
    graph = Graph(dict(trace.inputs), outputs)
    if not trace.report.errors:
        outputs |= _watched(trace)
        for diagnostic in unreached_weights.flat(graph, trace.weights.values()) if "loss" in outputs else ():
            trace.tell(diagnostic)
    states = tuple(s for handed in trace.handed for s in handed.states)
    handed_out = outputs | {s.name: s.final for s in states}
    options = train_block.read(scope, loaded.options)
    bound = {s.name: scope.names[s.name].item for s in scope.definition.settings}
    return Elaborated(
        graph,
        instance_tree.tree(trace, scope.definition),
        tuple(trace.data),
        tuple(trace.weights.values()),
        states,
        own,
        options["train"],
        options["schedule"],
        tuple(in_order(trace.report.warnings)),
        {n: i for n, i in bound.items() if is_number(i)},
        spans,
        loaded.files,
        tuple(loaded.known),
        tuple(sorted(trace.watchable)),
        orders_of(graph.with_outputs(handed_out), {i.name: i.axes for i in trace.data}),
        own_steps,
    )


def _watched(trace: Trace) -> dict[str, Value]:
    """What was asked to be recorded: under the name asked for where it is one value, else full names."""
    found: dict[str, Value] = {}
    for name in trace.watch:
        if trace.watch.count(name) > 1:
            raise UserError(f"`{name}` is named twice in what to watch", "E103", "name it once")
        matches = [w for w in trace.root.watched if w.name == name or w.name.endswith("." + name)]
        if not matches:
            raise UserError(f"there is no value `{name}` in this model", "E101", did_you_mean(name, _tails(trace)))
        alone = len({w.name for w in matches}) == 1
        for w in matches:
            key = free(f"{model_outputs.WATCH}.{name if alone else w.name}", found)
            found[key] = model_outputs.handed_out(trace, w.value, _span_of(w.value))
    return found


def _tails(trace: Trace) -> set[str]:
    return {w for full in trace.watchable for w in (full, full.rpartition(".")[2])}


def _span_of(value: Value) -> Span:
    span = value.node.origin.span
    assert span is not None
    return span
