"""What help says of each verb beside its options: its line in the list of verbs, and two examples.

The examples run in a folder that `rnngraph examples --copy` made; a test runs them all.
"""

from __future__ import annotations

from collections.abc import Iterator

import click
from msgspec import Struct


class Told(Struct, frozen=True):
    """One line of at most 60 columns, and commands without `rnngraph`; a longer one goes on after a backslash."""

    line: str
    examples: tuple[str, ...] = ()


VERBS = {
    "new": Told("Start here: a folder with a model, data and a README.", ("new first", "check first/model.rnn")),
    "examples": Told(
        "List the models that come along, or copy them.", ("examples", "examples --copy demo textbook sunspots")
    ),
    "library": Told("List the cells and layers that come along, or show one.", ("library", "library LSTM")),
    "doctor": Told("Tell what is installed here, and what is missing.", ("doctor", "doctor --json")),
    "check": Told("Report every error and warning.", ("check sunspots.rnn", "check lstm4.rnn stack.rnn --json")),
    "fmt": Told("Rewrite files in canonical form.", ("fmt sunspots.rnn", "fmt --check lstm4.rnn stack.rnn")),
    "lsp": Told("Serve an editor: errors while typing, shapes on hover.", ("lsp", "lsp --stdio")),
    "summary": Told(
        "List a model's parts, states and weights.", ("summary digits.rnn", "summary digits.rnn --set units=64")
    ),
    "show": Told(
        "Print the graph after a stage of compilation, or the kernels.",
        ("show textbook.rnn --after hoist", "show invented.rnn --kernels --gradient"),
    ),
    "run": Told(
        "Run a model on data.",
        (
            "run lstm4.rnn --data data/lstm4.npz --seed 0",
            "run stack.rnn --data data/stack.npz \\\n    --weights data/stack.safetensors --out results.npz",
        ),
    ),
    "train": Told(
        "Train a model's weights on data.",
        (
            "train ponder.rnn --data data/ponder-train.npz --epochs 2",
            "train forecast.rnn --data data/economy.csv --order quarter \\\n"
            "    --columns known=unemployment,inflation,bill_rate \\\n"
            "    --columns next=unemployment --steps 12 --horizon 1 \\\n"
            "    --standardise --out forecast.safetensors",
        ),
    ),
    "sweep": Told(
        "Train a model for several settings and seeds.",
        (
            "sweep ponder.rnn --data data/ponder-train.npz \\\n"
            "    --vary epochs=2 --vary rate=0.01,0.003 --out sweep.csv",
            "sweep ponder.rnn --data data/ponder-train.npz \\\n    --vary epochs=1 --seeds 2 --picture sweep.svg",
        ),
    ),
    "evaluate": Told(
        "Print the loss and metrics of a trained model.",
        (
            "evaluate forecast.rnn --weights forecast.safetensors \\\n    --data data/economy.csv",
            "evaluate forecast.rnn --weights forecast.safetensors \\\n    --data data/economy.csv --json",
        ),
    ),
    "predict": Told(
        "Give a trained model's outputs for new data.",
        (
            "predict forecast.rnn --weights forecast.safetensors \\\n    --data data/economy.csv",
            "predict forecast.rnn --weights forecast.safetensors \\\n"
            "    --data data/economy.csv --out predictions.csv",
        ),
    ),
    "render": Told(
        "Draw a model as a picture.",
        (
            "render stack.rnn --out stack.svg",
            "render lstm4.rnn --gradient --steps 4 --out lstm4.pdf",
        ),
    ),
    "explore": Told(
        "Open a page to explore a model: graph, cost, memory, values.",
        (
            "explore textbook.rnn --out textbook.html",
            "explore lstm4.rnn --data data/lstm4.npz \\\n    --weights data/lstm4.safetensors --out lstm4.html",
        ),
    ),
    "compare": Told(
        "Run a model static and as a loop; report what each costs.",
        (
            "compare textbook.rnn --steps 10,100",
            "compare lstm4.rnn --steps 20 --page report.html",
        ),
    ),
    "bench": Told(
        "Measure a model's speed, by step and by source line.",
        ("bench digits.rnn --steps 8 --seconds 0.2", "bench lstm4.rnn --seconds 0.2 --picture times.svg"),
    ),
    "cost": Told(
        "Predict the bytes of a run, without running it.",
        ("cost digits.rnn --gradient", "cost digits.rnn --steps 500 --gradient --memory-limit 20MB"),
    ),
    "generate": Told(
        "Write text with a trained model.",
        (
            "generate chars.rnn --weights chars.safetensors \\\n    --prompt 'It is' --length 80",
            "generate chars.rnn --weights chars.safetensors \\\n    --prompt 'It is' --length 20 --beam 4",
        ),
    ),
    "weights": Told("Show weight files; convert from and to other tools."),
    "weights show": Told(
        "Print name, shape, type, bytes and range of every array.",
        ("weights show data/lstm4.safetensors", "weights show data/stack.safetensors --json"),
    ),
    "weights convert": Told(
        "Write weights in the layout of another tool.",
        (
            "weights convert data/lstm4.safetensors --model lstm4.rnn \\\n    --to torch --out torch.safetensors",
            "weights convert data/lstm4.safetensors --model lstm4.rnn \\\n    --to keras --out keras.safetensors",
        ),
    ),
    "import": Told(
        "Write a model of Keras or ONNX as a .rnn file.",
        (
            "export lstm4.rnn --weights data/lstm4.safetensors \\\n    --out lstm4.onnx --operators",
            "import lstm4.onnx --out again.rnn --weights again.safetensors",
        ),
    ),
    "export": Told(
        "Write a model as an ONNX file, or as Python for NumPy.",
        (
            "export textbook.rnn \\\n    --weights data/textbook.safetensors --out textbook.py",
            "export lstm4.rnn \\\n    --weights data/lstm4.safetensors --out lstm4.onnx",
        ),
    ),
}
"""By the verb as it is typed."""


def verbs(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every verb by its whole name, those of the groups in a group too."""
    for name, verb in group.commands.items():
        if isinstance(verb, click.Group):
            yield from verbs(verb, f"{before}{name} ")
        else:
            yield before + name, verb


def explain(group: click.Group, before: str = "") -> None:
    """Gives each verb of the group its line and its examples."""
    for name, verb in group.commands.items():
        told = VERBS[before + name]
        verb.short_help = told.line
        if isinstance(verb, click.Group):
            explain(verb, f"{before}{name} ")
        else:
            lines = "\n".join(f"  rnngraph {example}" for example in told.examples)
            verb.epilog = f"\b\nExamples, in a folder made by `rnngraph examples --copy FOLDER`:\n{lines}"
