"""Ours, as a user calls it: arrays in, new arrays out, weights that may change between two calls."""

from __future__ import annotations

from typing import Any

from contest.problem import Prepared, Problem, model


def compiled(p: Problem, task: str, lengths: Any = None, **schedule: Any) -> Prepared:
    """`lengths` (batch,) are those of the rows, where they have any."""
    schedule = {"dtype": "float32", **schedule}
    steps = p.size.steps if schedule.get("unroll") == "static" else None
    program = model(p.cell, p.size).compile(steps=steps, gradient=task == "train", **schedule)
    data, cotangents = {"x": p.x}, {"y": p.cotangent}
    if lengths is not None:
        data["x.lengths"] = lengths
    if task == "infer":
        return lambda: program.run(data, p.weights), lambda found: {"y": found["y"]}
    return lambda: program.gradients(data, p.weights, cotangents)[1], dict
