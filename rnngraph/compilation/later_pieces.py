"""What cannot go on in the middle of a sequence is not run there in silence."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from rnngraph.data.checks import Checked
from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.ir.types import root
from rnngraph.language.elaboration.elaborated import Elaborated, StateInput
from rnngraph.language.elaboration.streamable import of_a_later_piece


def refuse_later_piece(made: Elaborated, checked: Checked) -> None:
    """UserError where the data say that steps are over already, and the model cannot go on there."""
    for state in made.states:
        if state.begins and np.any(checked.states.get(state.name, 0)):
            _refuse_obstacles(made, state)
            _refuse_forgotten(made, state, checked)


def _refuse_obstacles(made: Elaborated, state: StateInput) -> None:
    """UserError where results would be others than those of the whole sequence, of which steps are over already."""
    found = of_a_later_piece(made, state)
    told = [replace(d, message=f"this run cannot continue from `{state.name}`: {d.message}") for d in found]
    if told:
        raise UserError(told)


def _refuse_forgotten(made: Elaborated, state: StateInput, checked: Checked) -> None:
    """UserError where a loop along the same axis would begin anew in the middle of a sequence."""
    there = set(made.graph.nodes())
    along = (s for s in made.states if root(s.axis) == root(state.axis) and not s.begins and s.final.node in there)
    missing = [s for s in along if s.name not in checked.states]
    if missing:
        names = " and no ".join(f"`{s.name}`" for s in missing)
        help = f"give the states of every loop that continues; `output {missing[0].record}` outputs them"
        told = f"the data has `{state.name}` but no {names}"
        raise UserError([Diagnostic("E511", told, missing[0].span, "declared here", help=help)])
