"""All families of functions: whoever imports this has filled the registry."""

from __future__ import annotations

from rnngraph.language.builtins import (
    candidate_sampling,
    convolution,
    ctc,
    derivatives,
    dimensions,
    elementwise,
    gradient_flow,
    losses,
    masking,
    over_time,
    random,
    stacking,
    statistics,
    top_k,
)

FAMILIES = (
    candidate_sampling,
    over_time,
    random,
    ctc,
    derivatives,
    elementwise,
    gradient_flow,
    masking,
    dimensions,
    stacking,
    top_k,
    losses,
    statistics,
    convolution,
)
