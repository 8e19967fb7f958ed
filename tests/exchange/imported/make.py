"""Makes the files of this folder: `python tests/exchange/imported/make.py`, with Keras 3, PyTorch and onnx.

The tests only read what it made. `.keras` files are packed anew, more tightly; what is in them is as Keras wrote it.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch
from keras import layers as k
from torch import nn

HERE = Path(__file__).parent
RNG = np.random.default_rng(0)
IDS = RNG.integers(1, 7, (2, 5))
X, TARGET = (RNG.normal(size=(2, 5, n)).astype("f4") for n in (3, 2))


def sentiment():
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32", name="tokens"),
            k.Embedding(7, 3, name="words"),
            k.Dropout(0.2),
            k.Bidirectional(k.LSTM(3, return_sequences=True), name="encoder"),
            k.Bidirectional(k.SimpleRNN(2), merge_mode="ave", name="reader"),
            k.Dense(2, activation="softmax", name="scores"),
        ]
    )


def stacked():
    return keras.Sequential(
        [
            keras.Input((None, 3), name="x"),
            k.SimpleRNN(3, return_sequences=True, activation="relu", use_bias=False),
            k.GRU(2, return_sequences=True, reset_after=False, go_backwards=True),
            k.LSTM(2, return_sequences=True, recurrent_activation="hard_sigmoid", dropout=0.1),
            k.LayerNormalization(),
            k.TimeDistributed(k.Dense(2, activation="elu")),
        ]
    )


def seq2seq():
    source, target = keras.Input((None, 3), name="source"), keras.Input((None, 2), name="target")
    _, h, c = k.LSTM(2, return_state=True, name="encoder")(source)
    y = k.LSTM(2, return_sequences=True, name="decoder")(target, initial_state=[h, c])
    return keras.Model([source, target], [k.Dense(2, name="scores")(y), h])


def merge():
    x = keras.Input((5, 3), name="x")
    a = k.Bidirectional(k.GRU(2, return_sequences=True), merge_mode="sum", name="both")(k.Masking(name="mask")(x))
    b, d = k.RNN([k.GRUCell(2), k.LSTMCell(2)], name="cells")(a), k.GlobalAveragePooling1D(name="mean")(x)
    d = k.Dense(2, use_bias=False, name="plain")(d)
    z = k.Concatenate(name="side")([k.Multiply(name="times")([b, d]), k.Average(name="half")([b, d])])
    return keras.Model(x, k.Activation("tanh", name="out")(k.Add(name="twice")([z, z])))


def flat():
    x = keras.Input((5,), dtype="int32", name="bag")
    return keras.Model(x, k.Dense(2, name="out")(k.Flatten(name="flat")(k.Embedding(7, 2, name="table")(x))))


def unsayable():
    x = keras.Input((5, 3), name="x")
    y = k.Lambda(lambda v: 2 * v, name="own_code")(k.Conv1D(2, 3, name="conv1d_3")(x))
    return keras.Model(x, y)


KERAS = {
    "sentiment.keras": (sentiment, {"tokens": IDS}),
    "stacked.keras": (stacked, {"x": X}),
    "seq2seq.keras": (seq2seq, {"source": X, "target": TARGET}),
    "merge.keras": (merge, {"x": X}),
    "flat.h5": (flat, {"bag": IDS}),
    "unsayable.keras": (unsayable, {}),
}


def packed(path: Path) -> None:
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new:
        for name, content in parts.items():
            new.writestr(name, content)


def of_keras(name, made, data):
    model, rng = made(), np.random.default_rng(1)
    model.set_weights([rng.normal(size=w.shape).astype("f4") * 0.5 for w in model.get_weights()])
    model.save(HERE / name)
    if name.endswith(".keras"):
        packed(HERE / name)
    results = model(list(data.values())) if len(data) > 1 else model(*data.values()) if data else []
    return [keras.ops.convert_to_numpy(y) for y in (results if isinstance(results, list) else [results])]


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.rnn = nn.Embedding(7, 3), nn.LSTM(3, 2, num_layers=2, batch_first=True, bidirectional=True)
        self.norm, self.out = nn.LayerNorm(4), nn.Linear(4, 2)

    def forward(self, tokens):
        return self.out(torch.relu(self.norm(self.rnn(self.embed(tokens))[0])))


class States(nn.Module):
    """Time first, as PyTorch has it by default, and of fixed sizes."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 2)

    def forward(self, x, h0):
        return self.gru(x, h0)


class Pooled(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.RNN(3, 2, nonlinearity="relu", batch_first=True, bidirectional=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        y, h = self.encoder(x)
        return torch.log_softmax(self.head(torch.cat([h[-2], h[-1]], -1)), -1), y.mean(1), y[:, -1]


BOTH = {0: "batch", 1: "time"}
TORCH = {
    "tagger.onnx": (Tagger, {"tokens": IDS}, ["scores"], {"tokens": BOTH}),
    "states.onnx": (States, {"x": X.swapaxes(0, 1), "h0": X[:, 0, :2][None]}, ["y", "h"], {}),
    "pooled.onnx": (Pooled, {"x": X}, ["scores", "mean", "end"], {"x": BOTH}),
}


def of_torch(name, made, data, outputs, free):
    torch.manual_seed(0)
    model, given = made().eval(), tuple(torch.tensor(np.ascontiguousarray(a)) for a in data.values())
    torch.onnx.export(
        model, given, HERE / name, dynamo=False, input_names=list(data), output_names=outputs, dynamic_axes=free
    )
    results = model(*given)
    return [y.detach().numpy() for y in (results if isinstance(results, tuple) else [results])]


if __name__ == "__main__":
    expected = {}
    for table, make in ((KERAS, of_keras), (TORCH, of_torch)):
        for name, told in table.items():
            expected |= {f"{name} {i}": y for i, y in enumerate(make(name, *told))}
            expected |= {f"{name} {given}": a for given, a in told[1].items()}
    np.savez_compressed(HERE / "expected.npz", **expected)
