"""Classes drawn by weight."""

from __future__ import annotations

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Value
from rnngraph.ir.types import BATCH, Type, union
from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.elaboration import sequences
from rnngraph.language.elaboration.mistakes import Mistake
from rnngraph.language.elaboration.values import Item, Numbers, Several


@define("draw", "weights count unique?", "int int")
def _(use: Use) -> Item:
    """So many classes, each drawn by its weight, all different unless told; and how many draws it took."""
    weights, count, unique = use.float("weights"), use.whole("count", 1), use.flag("unique", True)
    at = use.trace.users(use.at)
    if len(weights.type.shape) != 1:
        raise Mistake("E204", f"`draw` takes one weight for each class, but {use.has_shape('weights', weights)}", at)
    _check(use, weights.type.shape[0], count, unique, at)
    seed, moment = sequences.seed(use.trace), sequences.moment(use.trace, _axes(use, weights), at)
    if weights.type.axes:
        axes = union((weights.type, moment.type, Type((BATCH,), ())))
        weights = use.trace.call("spread", weights, at=at, axes=axes)
    key = sequences.key(use.trace)
    drawn = use.trace.call("draw", seed, moment, weights, at=at, count=count, unique=unique, key=key)
    # Copied, so that what looks up by them finds them side by side.
    classes = use.op("identity", use.op("slice", drawn, dim=-1, start=0, stop=count))
    tries = use.op("reshape", use.op("slice", drawn, dim=-1, start=count, stop=count + 1), shape=())
    return Several((classes, tries))


def _axes(use: Use, weights: Value) -> tuple[str, ...]:
    """Drawn anew at each step of the sequences that the body around is given, or that the weights run along."""
    own = tuple(a for a in weights.type.axes if a != BATCH)
    return tuple(dict.fromkeys((*use.scope.sequence_axes(), *own)))


def _check(use: Use, classes: int, count: int, unique: bool, at: Span) -> None:
    """Refuses what can never be drawn. What the weights hold is looked at when they are known."""
    if count < 1:
        raise Mistake("E203", f"at least one class is to be drawn, not {count}", at)
    item = use.given["weights"].item
    known = item.items if isinstance(item, Numbers) else ()
    if any(w < 0 for w in known):
        raise use.mistake("E203", f"a weight cannot be negative, as {min(known)} is", "weights")
    possible = sum(w > 0 for w in known) if known else classes
    if not possible:
        raise use.mistake("E203", "no class has a weight above 0, so none can be drawn", "weights")
    if unique and count > possible:
        raise Mistake(
            "E203",
            f"{count} different classes are to be drawn, but there are only {possible}",
            at,
            help=f"draw at most {possible}, or with `unique = false`",
        )
