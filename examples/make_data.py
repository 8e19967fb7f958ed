"""Cut the data of the examples anew: `python examples/make_data.py` (needs scikit-learn and statsmodels).

The results lie in `examples/data` already; README.md there names their sources and licences. The text is a
file of its own there; the digits, the sunspots and the economy come with the two libraries. Running this again
gives the same arrays.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "data"

HISTORY = 30
"""Years that a sunspot forecast looks back on."""
HELD_BACK_YEARS = 60
TRAINING_CHARACTERS, TEST_CHARACTERS = 64, 512
"""Characters in one row of the training and of the test text."""


def textbook() -> None:
    """The batch of the textbook: 4 rows of 2 steps of 3 values; and the inputs of the two LSTM examples."""
    x = np.array(
        [[[0, 1, 2], [9, 8, 7]], [[3, 4, 5], [0, 0, 0]], [[6, 7, 8], [6, 5, 4]], [[9, 0, 1], [3, 2, 1]]]
    )
    np.savez_compressed(FOLDER / "textbook.npz", x=x.astype("float32"))
    np.savez_compressed(FOLDER / "by_hand.npz", x0=x[:, 0].astype("float32"), x1=x[:, 1].astype("float32"))
    np.savez_compressed(FOLDER / "lstm4.npz", x=np.array([[[3, 2, 2, 3, 2, 2]]], "float32"))
    first = [[1, 2, 3, 4, 3, 2], [1, 2, 1, 1, 1, 2], [1, 2, 2, 2, 2, 2]]
    second = [[1, 2, 3, 4, 3, 2], [3, 2, 2, 1, 1, 2], [0, 0, 0, 0, 3, 2]]
    np.savez_compressed(FOLDER / "stack.npz", x=np.array([first, second], "float32"))


def sunspots() -> None:
    """Rows of 30 years and, at each, the year after, in hundreds; the last 60 rows are held back."""
    from statsmodels.datasets import sunspots as source

    numbers = source.load_pandas().data["SUNACTIVITY"].to_numpy("float32") / 100
    windows = np.lib.stride_tricks.sliding_window_view(numbers, HISTORY + 1)[..., None]
    for name, rows in (("train", windows[:-HELD_BACK_YEARS]), ("test", windows[-HELD_BACK_YEARS:])):
        np.savez_compressed(FOLDER / f"sunspots-{name}.npz", x=rows[:, :-1], following=rows[:, 1:])


def digits() -> None:
    """Images of 8 rows (the steps) of 8 pixels from 0 to 1; a fifth, drawn by a fixed seed, is held back."""
    from sklearn.datasets import load_digits

    source = load_digits()
    order = np.random.default_rng(0).permutation(len(source.target))
    cut = len(order) * 4 // 5
    for name, rows in (("train", order[:cut]), ("test", order[cut:])):
        image = (source.images[rows] / 16).astype("float32")
        np.savez_compressed(
            FOLDER / f"digits-{name}.npz", image=image, digit=source.target[rows].astype("uint8")
        )


def economy() -> None:
    """A table as people have them: a date in each line, and columns of numbers."""
    from statsmodels.datasets import macrodata

    columns = {"real_gdp": "realgdp", "inflation": "infl", "bill_rate": "tbilrate", "unemployment": "unemp"}
    source = macrodata.load_pandas().data
    with (FOLDER / "economy.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["quarter", *columns])
        for _, row in source.iterrows():
            day = f"{row.year:.0f}-{3 * row.quarter - 2:02.0f}-01"
            table.writerow([day, *(row[name] for name in columns.values())])


def characters() -> None:
    """The text as ids of its characters, and each one's follower; the last tenth is held back."""
    text = (FOLDER / "pride_and_prejudice.txt").read_text(encoding="utf-8")
    ids = np.searchsorted(np.array(alphabet(text)), np.array(list(text))).astype("uint8")
    cut = len(ids) * 9 // 10
    for name, part, size in (("train", ids[:cut], TRAINING_CHARACTERS), ("test", ids[cut:], TEST_CHARACTERS)):
        rows = (len(part) - 1) // size
        np.savez_compressed(
            FOLDER / f"chars-{name}.npz",
            text=part[: rows * size].reshape(rows, size),
            following=part[1 : rows * size + 1].reshape(rows, size),
            alphabet=np.array(alphabet(text)),
        )


def alphabet(text: str) -> list[str]:
    """The characters of a text, sorted; a character's id is its place here."""
    return sorted(set(text))


if __name__ == "__main__":
    textbook()
    sunspots()
    digits()
    economy()
    characters()
