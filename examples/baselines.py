"""What a model of the examples has to beat: `python examples/baselines.py` prints the figures.

Persistence and a linear autoregression for the sunspots; a smoothed trigram model for the characters. All are
fitted on the training rows alone, and what is free in them is chosen on the last part of those.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
FOLDER = Path(__file__).parent / "data"
CHOOSING_YEARS = 40
"""Training rows on which the order of the autoregression is chosen."""


def read(name: str) -> dict[str, Array]:
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as arrays:
        return dict(arrays)


# --- sunspots: the squared error of next year's number, in hundreds squared ------------------------------


def persistence(rows: dict[str, Array]) -> float:
    """Next year is like this year."""
    return float(np.mean((rows["x"][:, -1, 0] - rows["following"][:, -1, 0]) ** 2))


def autoregression(train: dict[str, Array], test: dict[str, Array]) -> tuple[float, int]:
    """Least squares on the last k years and a constant, and the k that did best on training rows."""
    fitting = {name: a[:-CHOOSING_YEARS] for name, a in train.items()}
    choosing = {name: a[-CHOOSING_YEARS:] for name, a in train.items()}
    order = min(range(1, train["x"].shape[1]), key=lambda k: _autoregressed(fitting, choosing, k))
    return _autoregressed(train, test, order), order


def _autoregressed(train: dict[str, Array], test: dict[str, Array], order: int) -> float:
    coefficients, *_ = np.linalg.lstsq(_regressors(train, order), _next_year(train), rcond=None)
    return float(np.mean((_regressors(test, order) @ coefficients - _next_year(test)) ** 2))


def _regressors(rows: dict[str, Array], order: int) -> Array:
    years = rows["x"][:, -order:, 0].astype(float)
    return np.hstack([years, np.ones((len(years), 1))])


def _next_year(rows: dict[str, Array]) -> Array:
    return rows["following"][:, -1, 0].astype(float)


# --- characters: the cross entropy of the next one, in nats ----------------------------------------------


@dataclass(frozen=True)
class Smoothing:
    """How a trigram model is smoothed: what is taken off every count of three, two and one characters.

    With `continuation`, the lower orders count in how many contexts a character was seen (Kneser, Ney, ICASSP
    1995); without, how often it was (absolute discounting: Ney, Essen, Kneser, Computer Speech and Language
    1994). Both are interpolated (Chen, Goodman: An empirical study of smoothing techniques, 1998).
    """

    discounts: tuple[float, float, float]
    continuation: bool


def trigram(train: Array, test: Array, contexts: Array, size: int, smoothing: Smoothing) -> float:
    """The mean cross entropy of `test`, each after its two characters of `contexts` (len(test), 2)."""
    model = trigram_model(train, size, smoothing)
    return float(-np.mean(np.log(model[contexts[:, 0], contexts[:, 1], test])))


def trigram_model(train: Array, size: int, smoothing: Smoothing) -> Array:
    """Probabilities (size, size, size) of the third character after the first two."""
    three = np.zeros((size, size, size))
    np.add.at(three, (train[:-2], train[1:-1], train[2:]), 1)
    two = (three > 0).sum(0).astype(float) if smoothing.continuation else three.sum(0)
    one = (two > 0).sum(0).astype(float) if smoothing.continuation else two.sum(0)
    high, middle, low = smoothing.discounts
    return _discounted(three, high, _discounted(two, middle, _discounted(one, low, np.full(size, 1 / size))))


def _discounted(counts: Array, discount: float, lower: Array) -> Array:
    """Counts less a discount; what that frees is spread as the lower order says."""
    total = counts.sum(-1, keepdims=True)
    freed = np.minimum(counts, discount).sum(-1, keepdims=True)
    share = np.divide(np.maximum(counts - discount, 0), total, out=np.zeros_like(counts), where=total > 0)
    return share + np.divide(freed, total, out=np.ones_like(total), where=total > 0) * lower


def best_trigram(train: dict[str, Array], test: dict[str, Array], size: int) -> tuple[float, Smoothing]:
    """The held-back cross entropy of the smoothing that did best on the last tenth of the training rows."""
    cut = len(train["text"]) * 9 // 10
    known, choosing = running(train, 0, cut), running(train, cut, None)
    steps = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0)
    choices = [Smoothing((a, b, 0.5), c) for a, b, c in product(steps, steps, (True, False))]
    best = min(choices, key=lambda s: trigram(known, *scored(choosing), size, s))
    return trigram(running(train, 0, None), *scored(running(test, 0, None)), size, best), best


def running(rows: dict[str, Array], start: int, stop: int | None) -> Array:
    """The rows as one running text."""
    part = rows["text"][start:stop]
    return np.append(part.reshape(-1), rows["following"][start:stop][-1, -1]).astype(int)


def scored(text: Array) -> tuple[Array, Array]:
    """Each character but the first two, and the two before it."""
    return text[2:], np.stack([text[:-2], text[1:-1]], axis=1)


def main() -> None:
    train, test = read("sunspots-train"), read("sunspots-test")
    error, order = autoregression(train, test)
    print(f"sunspots: persistence {persistence(test):.4f}, autoregression of order {order} {error:.4f}")
    train, test = read("chars-train"), read("chars-test")
    size = 1 + max(int(rows[name].max()) for rows in (train, test) for name in ("text", "following"))
    entropy, smoothing = best_trigram(train, test, size)
    kind = "Kneser-Ney" if smoothing.continuation else "absolute discounting"
    bits = entropy / np.log(2)
    print(f"characters: trigram {entropy:.4f} nats ({bits:.3f} bits), {kind} {smoothing.discounts}")


if __name__ == "__main__":
    main()
