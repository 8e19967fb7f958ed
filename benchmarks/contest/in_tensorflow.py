"""TensorFlow through its version-1 interface: graphs and sessions, `static_rnn` and `dynamic_rnn`. Time-major."""

from __future__ import annotations

import os
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"
import numpy as np
import tensorflow.compat.v1 as tf

from contest.problem import Absent, Prepared, Problem

tf.disable_v2_behavior()
tf.logging.set_verbosity(tf.logging.ERROR)

LONGEST = 200
"""Steps up to which a static graph is built in a time that one cares to wait."""


class Ops:
    sigmoid = staticmethod(tf.sigmoid)
    tanh = staticmethod(tf.tanh)
    relu = staticmethod(tf.nn.relu)
    sqrt = staticmethod(tf.sqrt)

    @staticmethod
    def mean(a: Any) -> Any:
        return tf.reduce_mean(a, -1, keepdims=True)

    @staticmethod
    def split(a: Any, parts: int) -> Any:
        return tf.split(a, parts, -1)


class Cell(tf.nn.rnn_cell.RNNCell):  # type: ignore[misc]
    """A cell of the contest as TensorFlow takes one."""

    def __init__(self, p: Problem, weights: Any) -> None:
        super().__init__()
        self.problem, self.leaves = p, weights
        self.built = True

    @property
    def state_size(self) -> Any:
        return (self.problem.size.units,) * self.problem.cell.states

    @property
    def output_size(self) -> int:
        return self.problem.size.units

    def call(self, x: Any, states: Any) -> Any:
        cell = self.problem.cell
        states = cell.step(Ops, cell.inputs(x, self.leaves), tuple(states), self.leaves)
        return states[-1], states


def session(p: Problem, task: str, cell: str, static: bool) -> Prepared:
    if static and p.size.steps > LONGEST:
        raise Absent(f"more than {LONGEST} steps take minutes to build")
    tf.reset_default_graph()
    threads = int(os.environ["OMP_NUM_THREADS"])
    config = tf.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads)
    x, cotangent = (tf.Variable(np.swapaxes(a, 0, 1)) for a in (p.x, p.cotangent))
    layers = [{name: tf.Variable(a) for name, a in leaves.items()} for leaves in p.leaves()]
    cells = [Cell(p, weights) for weights in layers]
    stack = cells[0] if len(cells) == 1 else tf.nn.rnn_cell.MultiRNNCell(cells)
    if static:
        y = tf.stack(tf.nn.static_rnn(stack, tf.unstack(x), dtype=tf.float32)[0])
    else:
        y = tf.nn.dynamic_rnn(stack, x, dtype=tf.float32, time_major=True)[0]
    live = tf.Session(config=config)
    if task == "infer":
        live.run(tf.global_variables_initializer())
        return live.make_callable(y), lambda found: {"y": np.swapaxes(found, 0, 1)}
    wanted = [x, *(v for weights in layers for v in weights.values())]
    gradients = tf.gradients(tf.reduce_sum(y * cotangent), wanted)
    live.run(tf.global_variables_initializer())

    def read(found: Any) -> Any:
        rest = iter(found[1:])
        return p.gradients(np.swapaxes(found[0], 0, 1), [{name: next(rest) for name in weights} for weights in layers])

    return live.make_callable(gradients), read
