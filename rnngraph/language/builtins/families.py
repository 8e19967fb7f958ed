"""All families of functions: whoever imports this has filled the registry."""

from __future__ import annotations

from rnngraph.language.builtins import (
    activations,
    candidate_sampling,
    convolution,
    cross_entropy,
    ctc,
    derivatives,
    dimensions,
    einsum,
    elementwise,
    gradient_flow,
    losses,
    masking,
    matrices,
    over_time,
    random,
    reductions,
    scans,
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
    activations,
    gradient_flow,
    masking,
    reductions,
    scans,
    dimensions,
    matrices,
    einsum,
    stacking,
    top_k,
    cross_entropy,
    losses,
    statistics,
    convolution,
)
