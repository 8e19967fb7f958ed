"""The same models in PyTorch, as its users write them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional


class Language(nn.Module):
    """An embedding, layers of LSTM, a score for each word."""

    def __init__(self, words: int, embedded: int, units: int, layers: int, dropped: float = 0.0) -> None:
        super().__init__()
        self.embedding, self.scores = nn.Embedding(words, embedded), nn.Linear(units, words)
        self.layers = nn.LSTM(embedded, units, layers, batch_first=True, dropout=dropped)
        self.dropout = nn.Dropout(dropped) if dropped else nn.Identity()

    def forward(self, a: Any, b: Any) -> Any:
        y, _ = self.layers(self.dropout(self.embedding(a)))
        return functional.cross_entropy(self.scores(self.dropout(y)).flatten(0, 1), b.flatten())

    def generate(self, a: Any, count: int) -> Any:
        """The last of so many tokens after `a` (rows, 1), each the most likely one."""
        states = None
        for _ in range(count):
            y, states = self.layers(self.embedding(a), states)
            a = self.scores(y).argmax(2)
        return a


    def search(self, a: Any, count: int, width: int) -> Any:
        """The likeliest of `width` open texts of so many tokens after `a` (1, 1)."""
        states, totals = None, a.new_zeros(1, dtype=torch.float32)
        for _ in range(count):
            y, states = self.layers(self.embedding(a[:, -1:]), states)
            scores = totals[:, None] + functional.log_softmax(self.scores(y[:, -1]), -1)
            totals, places = scores.flatten().topk(width)
            rows = places // scores.shape[1]
            a = torch.cat([a[rows], (places % scores.shape[1])[:, None]], 1)
            states = tuple(state[:, rows] for state in states)
        return a[0, 1:]


class Zoneout(nn.Module):
    """An LSTM whose states stay as they were with a chance of a tenth: no layer has this, so it is a loop."""

    def __init__(self, words: int, embedded: int, units: int) -> None:
        super().__init__()
        self.embedding, self.scores = nn.Embedding(words, embedded), nn.Linear(units, words)
        self.cell, self.units = nn.LSTMCell(embedded, units), units

    def forward(self, a: Any, b: Any) -> Any:
        x = self.embedding(a)
        h = c = x.new_zeros(len(x), self.units)
        found = []
        for t in range(x.shape[1]):
            new_h, new_c = self.cell(x[:, t], (h, c))
            h = torch.where(torch.rand_like(h) < 0.1, h, new_h)
            c = torch.where(torch.rand_like(c) < 0.1, c, new_c)
            found.append(h)
        return functional.cross_entropy(self.scores(torch.stack(found, 1)).flatten(0, 1), b.flatten())


class Tagger(nn.Module):
    def __init__(self, words: int, embedded: int, units: int, tags: int) -> None:
        super().__init__()
        self.embedding, self.scores = nn.Embedding(words, embedded), nn.Linear(2 * units, tags)
        self.layer = nn.LSTM(embedded, units, batch_first=True, bidirectional=True)

    def forward(self, a: Any, b: Any) -> Any:
        y, _ = self.layer(self.embedding(a))
        return functional.cross_entropy(self.scores(y).flatten(0, 1), b.flatten())


class Attention(nn.Module):
    """A decoder that looks at what it reads by additive attention."""

    def __init__(self, words: int, embedded: int, units: int, classes: int) -> None:
        super().__init__()
        self.embedding, self.written = nn.Embedding(words, embedded), nn.Embedding(classes, 16)
        self.reader = nn.GRU(embedded, units, batch_first=True, bidirectional=True)
        self.cell, self.units = nn.GRUCell(16 + 2 * units, units), units
        self.keys, self.query = nn.Linear(2 * units, units, bias=False), nn.Linear(units, units)
        self.score, self.scores = nn.Linear(units, 1, bias=False), nn.Linear(3 * units, classes)

    def forward(self, a: Any, b: Any) -> Any:
        memory, _ = self.reader(self.embedding(a))
        keys = self.keys(memory)
        h, context = memory.new_zeros(len(a), self.units), memory.new_zeros(len(a), 2 * self.units)
        x = self.written(torch.cat([torch.zeros_like(b[:, :1]), b[:, :-1]], 1))
        found = []
        for t in range(b.shape[1]):
            h = self.cell(torch.cat([x[:, t], context], 1), h)
            weight = torch.softmax(self.score(torch.tanh(keys + self.query(h)[:, None])).squeeze(2), 1)
            context = (weight[:, :, None] * memory).sum(1)
            found.append(torch.cat([h, context], 1))
        return functional.cross_entropy(self.scores(torch.stack(found, 1)).flatten(0, 1), b.flatten())


class Speech(nn.Module):
    def __init__(self, features: int, units: int, classes: int) -> None:
        super().__init__()
        self.layer = nn.LSTM(features, units, batch_first=True, bidirectional=True)
        self.scores, self.blank = nn.Linear(2 * units, classes), classes - 1

    def forward(self, a: Any, b: Any) -> Any:
        y, _ = self.layer(a)
        log = torch.log_softmax(self.scores(y), 2).transpose(0, 1)
        lengths = [torch.full((len(x),), x.shape[1]) for x in (a, b)]
        return functional.ctc_loss(log, b, *lengths, blank=self.blank)


class Regression(nn.Module):
    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.layer, self.value = nn.GRU(features, units, batch_first=True), nn.Linear(units, 1)

    def forward(self, a: Any, b: Any) -> Any:
        return ((self.value(self.layer(a)[0]) - b) ** 2).mean()
