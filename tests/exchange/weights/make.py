"""Makes the files of this folder: `python tests/weights/make.py`, with TensorFlow, tf-keras, Keras 3 and h5py.

The tests only read what it made. Numbers are random, by fixed seeds; those of `tf1.ckpt` are of a golden case.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

os.environ |= {"CUDA_VISIBLE_DEVICES": "", "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}

import h5py
import keras
import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras.src.layers.rnn.cudnn_gru import CuDNNGRU
from tf_keras.src.layers.rnn.cudnn_lstm import CuDNNLSTM
from tf_keras.src.saving.legacy.hdf5_format import _convert_rnn_weights

HERE = Path(__file__).parent
IDS = np.random.default_rng(0).integers(0, 7, (3, 6)).astype("i4")


def filled(model):
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=w.shape).astype("f4") * 0.5 for w in model.get_weights()])
    return model


def keras_2():
    layers = tf_keras.layers
    start = tf_keras.Input((None,), dtype="int32")
    y = layers.Embedding(7, 3, name="words")(start)
    y = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(y)
    y = layers.GRU(5, return_sequences=True, reset_after=False, recurrent_activation="hard_sigmoid")(y)
    y = layers.LayerNormalization()(y)
    model = filled(tf_keras.Model(start, layers.Dense(2, "softmax")(y)))
    model.save(HERE / "keras2.h5")
    model.save_weights(str(HERE / "tf2.ckpt"))
    return np.asarray(model(IDS))


def keras_3():
    layers = keras.layers
    start = keras.Input((None,), dtype="int32")
    y = layers.Embedding(7, 3, name="words")(start)
    y = layers.SimpleRNN(3, return_sequences=True, activation="relu", use_bias=False)(y)
    y = layers.GRU(4, return_sequences=True, go_backwards=True, recurrent_activation="hard_sigmoid", name="middle")(y)
    y = layers.RNN([layers.LSTMCell(2), layers.LSTMCell(2)], return_sequences=True)(y)
    y = keras.Sequential([layers.Dense(3, use_bias=False), layers.LayerNormalization()], name="tail")(y)
    model = filled(keras.Model(start, layers.Dense(2)(y)))
    model.save(HERE / "keras3.keras")
    model.save_weights(HERE / "keras3.weights.h5")
    return np.asarray(model(IDS))


def tensorflow_1():
    """A golden case without a forget bias, beside what an optimiser keeps and a table in parts."""
    v1, golden = tf.compat.v1, np.load(HERE.parent / "golden" / "basic_lstm_forget_bias_0.npz")
    names = json.loads(str(golden["meta"]))["tf_variables"]
    table = np.random.default_rng(2).normal(size=(17, 3)).astype("f4")
    with v1.Graph().as_default(), v1.Session() as session:
        v1.disable_resource_variables()
        for local, name in names.items():
            v1.get_variable(name, initializer=golden[local])
            v1.get_variable(f"{name}/Adam", initializer=golden[local] * 9)
        v1.get_variable("global_step", initializer=np.int64(7))
        words = list(v1.get_variable("words", (17, 3), partitioner=v1.fixed_size_partitioner(4)))
        session.run(v1.global_variables_initializer())
        ends = np.cumsum([len(session.run(part)) for part in words])
        for part, rows in zip(words, np.split(table, ends[:-1]), strict=True):
            part.load(rows, session)
        v1.train.Saver().save(session, str(HERE / "tf1.ckpt"), write_meta_graph=False)
    (HERE / "checkpoint").unlink()
    return table


def cudnn():
    """Layers of Keras 2 that run on a GPU alone: arrays as they keep them, and what Keras's own conversion computes."""
    rng, found = np.random.default_rng(3), {}
    x = rng.normal(size=(2, 5, 3)).astype("f4")
    for kind, gates, made in (("LSTM", 4, CuDNNLSTM(4)), ("GRU", 3, CuDNNGRU(4))):
        word = f"cu_dnn{kind.lower()}"
        kernel, recurrent, bias = (
            rng.normal(size=s).astype("f4") for s in ((3, 4 * gates), (4, 4 * gates), (8 * gates,))
        )
        options = {"reset_after": True} if kind == "GRU" else {}
        layer = getattr(tf_keras.layers, kind)(4, return_sequences=True, **options)
        layer.build((None, None, 3))
        layer.set_weights(_convert_rnn_weights(layer, [kernel, recurrent, bias]))
        found[f"cudnn_{kind.lower()}"] = np.asarray(layer(x))
        node = {"class_name": f"CuDNN{kind}", "config": made.get_config()}
        with h5py.File(HERE / f"cudnn_{kind.lower()}.h5", "w") as file:
            file.attrs["keras_version"] = "2.2.4"
            file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": [node]})
            for local, array in (("kernel", kernel), ("recurrent_kernel", recurrent), ("bias", bias)):
                file[f"model_weights/{word}/{word}/{local}:0"] = array
    return {"cudnn_x": x, **found}


np.savez(HERE / "expected.npz", ids=IDS, keras2=keras_2(), keras3=keras_3(), words=tensorflow_1(), **cudnn())
(HERE / "checkpoint").unlink(missing_ok=True)
