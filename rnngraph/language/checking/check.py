"""`check`: everything that can be said of a file, also of cells that no model uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct, field

from rnngraph.diagnostics.diagnostic import Diagnostic, in_order
from rnngraph.diagnostics.errors import UserError
from rnngraph.language.checking import names
from rnngraph.language.checking.cell_settings import is_cell
from rnngraph.language.checking.statement_count import look_ahead
from rnngraph.language.elaboration import calls, imports
from rnngraph.language.elaboration.elaborate import attempt
from rnngraph.language.elaboration.imports import Loaded
from rnngraph.language.elaboration.loop_levels import Level
from rnngraph.language.elaboration.mistakes import MOST_STATEMENTS, Echo, Mistake
from rnngraph.language.elaboration.one_step import distinct_sizes, equal_sizes, made_up, made_up_inputs
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

    Models are elaborated. A cell or layer that no model uses is tried with made-up settings and inputs, all
    sizes different; an error about sizes counts only if it stays when all sizes are the same.
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
    for training in (False, True):
        own = Trace(training=training, worlds=loaded.worlds, hints=trace.hints, amounts=trace.amounts)
        own.notes = notes
        numbers = distinct_sizes()
        attempt(own, loaded, model, {s.name: next(numbers) for s in model.settings if s.default is None})
        for diagnostic in own.report.found:
            trace.tell(diagnostic)
        used |= {i.definition.name for i in own.instances.values() if isinstance(i, Instance)}
        if not own.asks_training:
            break
    return used


def _alone(trace: Trace, loaded: Loaded, definition: Definition, notes: list[Note] | None) -> None:
    if any(is_cell(loaded.world, definition, s.name) for s in definition.settings if s.default is None):
        return
    different = _tried(loaded, definition, distinct_sizes(), trace.amounts, notes)
    same = _tried(loaded, definition, equal_sizes(), trace.amounts)
    kept = {(d.code, d.span) for d in same}
    for diagnostic in different:
        too_much_again = diagnostic.code == "E310" and any(d.code == "E310" for d in trace.report.found)
        if not too_much_again and (diagnostic.code not in SIZES_OFF or (diagnostic.code, diagnostic.span) in kept):
            trace.tell(diagnostic)


# --- trying a definition --------------------------------------------------------------------------


def _tried(
    loaded: Loaded, definition: Definition, sizes: Iterator[int], amounts: Amounts, notes: list[Note] | None = None
) -> list[Diagnostic]:
    """The diagnostics of one use of a definition inside of a loop."""
    trace = Trace(worlds=loaded.worlds, amounts=amounts, notes=notes)
    scope = Scope(trace, loaded.world, definition, None, (), (), definition.name_span)
    try:
        instance = made_up(scope, definition, sizes)
        amount = look_ahead(trace, definition, instance.settings)
        if MOST_STATEMENTS >= amount > max(MOST_TRIED, 4 * sum(1 for _ in statements(definition.body))):
            return []
        level = Level(trace.root, "step")
        with trace.at(level), trace.calling(level.states):
            calls.use(scope, instance, made_up_inputs(scope, instance, sizes), definition.name_span, ())
    except Mistake as mistake:
        trace.tell(mistake.diagnostic)
    except Echo:
        pass
    except RecursionError:
        return []
    return trace.report.found
