"""Keras 3 on TensorFlow: its LSTM, GRU and SimpleRNN under `tf.function`. Batch-major, as it wants it."""

from __future__ import annotations

import os
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"
import keras
import numpy as np
import tensorflow as tf

from contest.problem import Absent, Arrays, Prepared, Problem, reordered

LAYERS = {
    "lstm": keras.layers.LSTM,
    "lstm_stack": keras.layers.LSTM,
    "gru": keras.layers.GRU,
    "rnn": keras.layers.SimpleRNN,
}
GATES = {"lstm": (0, 2, 1, 3), "lstm_stack": (0, 2, 1, 3), "gru": (1, 0, 2), "rnn": (0,)}
"""Where the gates of its layers stand in ours; each order is its own inverse."""


def layer(p: Problem, task: str, cell: str) -> Prepared:
    if cell not in LAYERS:
        raise Absent("Keras has no such layer")
    threads = int(os.environ["OMP_NUM_THREADS"])
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    order, units = GATES[cell], p.size.units
    layers = [LAYERS[cell](units, return_sequences=True) for _ in range(p.cell.layers)]
    network = keras.Sequential([keras.Input(p.x.shape[1:], batch_size=p.size.batch), *layers])
    for made, leaves in zip(layers, p.leaves(), strict=True):
        kernels = [reordered(leaves[name], order) for name in ("kernel_x", "kernel_h")]
        bias = reordered(leaves["bias"], order)
        if cell == "gru":
            second = np.zeros_like(bias)
            second[2 * units :] = leaves["candidate_state_bias"]
            bias = np.stack([bias, second])
        made.set_weights([*kernels, bias])
    x, cotangent = tf.Variable(p.x), tf.constant(p.cotangent)
    if task == "infer":
        forward = tf.function(lambda: network(x))
        return lambda: forward().numpy(), lambda y: {"y": y}
    wanted = [x, *(v.value for v in network.trainable_variables)]

    @tf.function  # type: ignore[untyped-decorator]
    def train() -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(network(x, training=True) * cotangent)
        return tape.gradient(loss, wanted)

    def named(w: Any, u: Any, b: Any) -> Arrays:
        found = {"kernel_x": w, "kernel_h": u, "bias": b[0] if cell == "gru" else b}
        found = {name: reordered(a, order) for name, a in found.items()}
        return found | ({"candidate_state_bias": b[1, 2 * units :]} if cell == "gru" else {})

    def read(found: Any) -> Arrays:
        rest = [a.numpy() for a in found[1:]]
        return p.gradients(found[0].numpy(), [named(*rest[k : k + 3]) for k in range(0, len(rest), 3)])

    return lambda: [tf.convert_to_tensor(a) for a in train()], read
