"""How the next token is chosen of its scores.

Temperature; top-k (Fan, Lewis, Dauphin 2018, "Hierarchical neural story generation"); top-p (Holtzman and others 2020,
"The curious case of neural text degeneration").
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct

from rnngraph.diagnostics.errors import UserError
from rnngraph.generation.beam_search import largest


class Style(Struct, frozen=True):
    """How the next token is chosen: drawn, or, with a `beam` of 1 or more, searched for (`generation.beam_search`)."""

    length: int = 400
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    beam: int = 0
    length_penalty: float | None = None
    end: int | None = None

    def __post_init__(self) -> None:
        for fine, text in (
            (self.length >= 0, f"a length of {self.length}: must be 0 or more"),
            (self.temperature >= 0, f"a temperature of {self.temperature}: must be 0 or more"),
            (self.top_k >= 0, f"top-k {self.top_k}: must be 0 (all) or more"),
            (0 < self.top_p <= 1, f"top-p {self.top_p}: must be above 0 and at most 1"),
            (self.beam >= 0, f"a beam of {self.beam}: must be 0 (none) or more"),
            (self.length_penalty is None or self.beam, "a length penalty: it needs a beam"),
            (
                self.length_penalty is None or 0 <= self.length_penalty <= 10,
                f"a length penalty of {self.length_penalty}: must be 0 to 10",
            ),
            (
                not self.beam or (self.temperature, self.top_k, self.top_p) == (1, 0, 1),
                "a beam search does not sample: leave out temperature, top-k and top-p",
            ),
        ):
            if not fine:
                raise UserError(text, "E630")


def log_softmax(scores: Any) -> Any:
    shifted = scores.astype(np.float64) - scores.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def chosen(log_probabilities: Any, style: Style, rng: np.random.Generator) -> int:
    """One token, drawn from what temperature, top-k and top-p leave; temperature 0 takes the likeliest."""
    if style.temperature == 0:
        return int(np.argmax(log_probabilities))
    behind = log_probabilities.astype(np.float64) - log_probabilities.max()
    with np.errstate(over="ignore"):  # a small temperature leaves the likeliest alone
        scaled = log_softmax(np.where(behind == 0, 0.0, behind / style.temperature))
    order = largest(scaled, style.top_k or len(scaled))
    left = np.exp(scaled[order])
    if style.top_p < 1:  # of what top-k leaves, as where one filter follows the other
        order = order[np.cumsum(left) - left < style.top_p * left.sum()]
        left = left[: len(order)]
    return int(
        order[np.searchsorted(np.cumsum(left), rng.random() * left.sum(), side="right").clip(max=len(order) - 1)]
    )
