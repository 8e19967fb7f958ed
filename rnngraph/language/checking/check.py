"""`check`: everything that can be said of a file, also of cells that no model uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct, field

from rnngraph.diagnostics.diagnostic import Diagnostic, in_order
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.source import Span
from rnngraph.language.checking import names
from rnngraph.language.checking.cell_settings import is_cell
from rnngraph.language.checking.statement_count import look_ahead
from rnngraph.language.elaboration import calls, imports
from rnngraph.language.elaboration.elaborate import attempt
from rnngraph.language.elaboration.imports import Loaded
from rnngraph.language.elaboration.loop_levels import Level
from rnngraph.language.elaboration.mistakes import MOST_STATEMENTS, Echo, Mistake
from rnngraph.language.elaboration.one_step import Sizes, distinct_sizes, fitting_sizes, made_up, made_up_inputs
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.trace import Note, Trace
from rnngraph.language.elaboration.values import Instance
from rnngraph.language.syntax.ast import Definition, File
from rnngraph.language.syntax.traversal import statements

SIZES_OFF = ("E201", "E203", "E205", "E206", "E207")
"""Errors that may come from made-up sizes alone."""

MOST_TRIED = 5_000
"""A definition that no model uses and that runs more statements than this, and than it has, is not tried."""

Amounts = dict[bool, dict[Any, int]]
"""As `Trace.amounts`."""


def check(file: File) -> list[Diagnostic]:
    """All errors and warnings of a file, by place.

    Models are elaborated. A cell or layer that no model uses is tried with made-up settings and inputs, as a model is
    with made-up settings where these have no default: an error about sizes counts only if no sizes are found that fit.
    """
    try:
        loaded = imports.load(file)
    except UserError as error:
        return in_order(error.diagnostics)
    return check_loaded(loaded)


class Notes(Struct, frozen=True):
    """What the names and expressions of a file were found to be: `used` in its models, `tried` of definitions that no
    model uses, with made-up sizes."""

    used: list[Note] = field(default_factory=list)
    tried: list[Note] = field(default_factory=list)


def check_loaded(loaded: Loaded, notes: Notes | None = None) -> list[Diagnostic]:
    """All errors and warnings of a file whose imports are there."""
    trace = Trace()
    for diagnostic in names.check(loaded, trace.hints):
        trace.tell(diagnostic)
    if any(d.code == "E301" for d in trace.report.found):
        return in_order(trace.report.found)
    used: set[str] = set()
    for definition in loaded.own:
        if definition.kind == "model":
            used |= _model(trace, loaded, definition, notes.used if notes else None)
    for definition in loaded.own:
        if definition.kind != "model" and definition.name not in used:
            _alone(trace, loaded, definition, notes.tried if notes else None)
    return in_order(trace.report.found)


def _model(trace: Trace, loaded: Loaded, model: Definition, notes: list[Note] | None) -> set[str]:
    """Elaborates a model as for running, and as for training where that is another; the names of the definitions that
    it uses."""
    used: set[str] = set()
    open = [s.name for s in model.settings if s.default is None]
    for training in (False, True):

        def tried(sizes: Sizes, training: bool = training) -> Trace:
            own = _like(trace, loaded, notes)
            own.training = training
            attempt(own, loaded, model, dict(zip(open, sizes, strict=False)))
            return own

        best = _best(tried) if open else tried(distinct_sizes())
        _tell(trace, best, notes)
        used |= {i.definition.name for i in best.instances.values() if isinstance(i, Instance)}
        if not best.asks_training:
            break
    return used


def _alone(trace: Trace, loaded: Loaded, definition: Definition, notes: list[Note] | None) -> None:
    if any(is_cell(loaded.world, definition, s.name) for s in definition.settings if s.default is None):
        return
    best = _best(lambda sizes: _tried(_like(trace, loaded, notes), loaded, definition, sizes))
    if any(d.code == "E310" for d in trace.report.found):
        best.report.found = [d for d in best.report.found if d.code != "E310"]
    _tell(trace, best, notes)


def _like(trace: Trace, loaded: Loaded, notes: list[Note] | None) -> Trace:
    """A trace for one try, which takes notes where these are asked for."""
    return Trace(
        worlds=loaded.worlds, hints=trace.hints, amounts=trace.amounts, notes=None if notes is None else []
    )


def _tell(trace: Trace, tried: Trace, notes: list[Note] | None) -> None:
    for diagnostic in tried.report.found:
        trace.tell(diagnostic)
    if notes is not None:
        notes += tried.notes or ()


def _best(tried: Callable[[Sizes], Trace]) -> Trace:
    """What is found with the made-up sizes that leave the fewest errors, without those that any other sizes mend.

    Others are made up only while there is an error that may come from those before.
    """
    best = tried(distinct_sizes())
    stays = _off(best)
    for sizes in fitting_sizes():
        if not stays:
            break
        other = tried(sizes)
        stays &= _off(other)
        best = min(best, other, key=_errors)
    best.report.found = [d for d in best.report.found if d.code not in SIZES_OFF or (d.code, d.span) in stays]
    return best


def _off(trace: Trace) -> set[tuple[str, Span | None]]:
    """The errors that may come from made-up sizes, as code and place."""
    return {(d.code, d.span) for d in trace.report.found if d.code in SIZES_OFF}


def _errors(trace: Trace) -> int:
    return sum(d.severity == "error" for d in trace.report.found)


# --- trying a definition --------------------------------------------------------------------------


def _tried(trace: Trace, loaded: Loaded, definition: Definition, sizes: Sizes) -> Trace:
    """What is found by one use of a definition inside of a loop."""
    scope = Scope(trace, loaded.world, definition, None, (), (), definition.name_span)
    try:
        instance = made_up(scope, definition, sizes)
        amount = look_ahead(trace, definition, instance.settings)
        if MOST_STATEMENTS >= amount > max(MOST_TRIED, 4 * sum(1 for _ in statements(definition.body))):
            return trace
        level = Level(trace.root, "step")
        with trace.at(level), trace.calling(level.states):
            calls.use(scope, instance, made_up_inputs(scope, instance, sizes), definition.name_span, ())
    except Mistake as mistake:
        trace.tell(mistake.diagnostic)
    except Echo:
        pass
    except RecursionError:
        return Trace()
    return trace
