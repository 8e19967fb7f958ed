"""The models that Keras 3 has layers for, on TensorFlow, as its users write them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import tensorflow as tf
from keras import layers


def step_of(
    case: str, data: Mapping[str, Any], infer: bool, rate: float, norm: float, threads: int
) -> Callable[[], object]:
    """A training step, or the loss alone, of one of `MODELS`."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    keras.utils.set_random_seed(0)
    network, loss = MODELS[case]
    a, b = data["a"], data["b"]
    model = keras.Sequential([keras.Input(a.shape[1:], batch_size=len(a), dtype=a.dtype.name), *network()])
    model.compile(optimizer=keras.optimizers.Adam(rate, global_clipnorm=norm), loss=loss)
    if infer:
        return lambda: float(model.test_on_batch(a, b))
    return lambda: float(model.train_on_batch(a, b))


def language(words: int, embedded: int, units: int, count: int, rate: float) -> list[Any]:
    drop = [layers.Dropout(rate)] if rate else []
    deep = [layer for _ in range(count) for layer in (layers.LSTM(units, return_sequences=True), *drop)]
    return [layers.Embedding(words, embedded), *drop, *deep, layers.Dense(words)]


def both(units: int) -> Any:
    return layers.Bidirectional(layers.LSTM(units, return_sequences=True))


def labels() -> Any:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


MODELS: Mapping[str, tuple[Callable[[], list[Any]], Any]] = {
    "character LM": (lambda: language(74, 32, 128, 1, 0.0), labels()),
    "word LM": (lambda: language(10_000, 200, 200, 2, 0.0), labels()),
    "word LM dropout": (lambda: language(10_000, 200, 200, 2, 0.5), labels()),
    "tagger": (lambda: [layers.Embedding(5000, 100), both(128), layers.Dense(20)], labels()),
    # Its CTC keeps class 0 for the blank, and a label 0 for padding: another task of the same size.
    "CTC": (lambda: [both(128), layers.Dense(30)], keras.losses.CTC()),
    "GRU 1000 steps": (lambda: [layers.GRU(128, return_sequences=True), layers.Dense(1)], "mse"),
}
