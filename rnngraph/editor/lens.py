"""What is written above a model: the bytes that one row takes as steps are added, and the nodes of its graph."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from rnngraph.analysis.memory_formulas import Formula, Powers
from rnngraph.analysis.memory_growth import Growth
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.source import Source
from rnngraph.ir.text import counts
from rnngraph.model import Model
from rnngraph.run_options import run_options

STEPS = 100
"""The formula is checked at this number of steps."""


def model_cost(source: Source, name: str) -> str:
    """`1,024 B + 25,600 B per step; 79 nodes`, of a forward run of one row; nothing where the model is not sound."""
    try:
        model = Model.read(source, {}, name)
        options = run_options(model, unroll="dynamic", kernels="numpy", dtype=None, dtype_default="float32")
        growth = Growth(model, options.compiled, STEPS, 1)
        law = _sum(growth.in_steps().values())
    except UserError:
        return ""
    return f"{_text(law)}; {counts(growth.variant.graph)[0]} nodes"


def _sum(laws: Iterable[Formula]) -> Formula:
    terms: dict[Powers, Fraction] = {}
    exact = True
    for law in laws:
        exact = exact and law.exact
        for powers, number in law.terms:
            terms[powers] = terms.get(powers, Fraction()) + number
    return Formula(tuple(terms.items()), exact)


def _text(law: Formula) -> str:
    """The bytes that are there without steps, and those of each; as a formula where it is no straight line."""
    known = dict(law.terms)
    if known.keys() - {(0, 0, 0), (1, 0, 0)}:
        return f"{law} bytes in T steps"
    fixed, each = (round(known.get(powers, Fraction())) for powers in ((0, 0, 0), (1, 0, 0)))
    about = "" if law.exact else "about "
    return f"{about}{fixed:,} B" + (f" + {each:,} B per step" if each else "")
