"""`examples`: the models that come along, and cells of papers."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

import click

from rnngraph.cli.arguments import Folder, Verb
from rnngraph.cli.terminal import cell, say, show_all, table
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.suggestions import did_you_mean

DATA = {
    "by_hand": ("by_hand.npz", "by_hand.safetensors"),
    "digits": ("digits-train.npz", "digits-test.npz"),
    "forecast": ("economy.csv",),
    "invented": ("digits-train.npz", "digits-test.npz"),
    "lstm4": ("lstm4.npz", "lstm4.safetensors"),
    "ponder": ("ponder-train.npz", "ponder-test.npz"),
    "stack": ("stack.npz", "stack.safetensors"),
    "sunspots": ("sunspots-train.npz", "sunspots-test.npz"),
    "textbook": ("textbook.npz", "textbook.safetensors"),
}
"""The data that come along, by example: those of the others are large, and are in the repository."""


@click.command(cls=Verb)
@click.argument("names", nargs=-1)
@click.option("--copy", "folder", type=Folder(), help="Copy them, or those named, with their data into a new folder.")
def examples(names: tuple[str, ...], folder: str | None) -> None:
    """List the models that come along, all or those NAMED, or copy them into a folder."""
    from rnngraph.files.new_folder import fill

    known = {path.rpartition("/")[2].removesuffix(".rnn"): (path, entry) for path, entry in _models()}
    for name in names:
        if name not in known:
            help = did_you_mean(name, known) or f"there are {', '.join(known)}"
            raise UserError(f"there is no example `{name}`", "E771", help)
    chosen = {name: known[name] for name in names or known}
    if folder is None:
        rows = [_listed(name, *entry) for name, entry in chosen.items()]
        show_all(table(("name", "what it is", "data"), rows, ("name", "what it is")))
        show_all("", "`rnngraph examples --copy FOLDER` copies them, with the data that are here.")
        return
    fill(folder, {path: entry.read_bytes() for name, model in chosen.items() for path, entry in (model, *_data(name))})
    say(f"wrote {folder}: {', '.join(path for path, _ in chosen.values())}")


def _top() -> Traversable:
    return files("rnngraph") / "examples"


def _models() -> list[tuple[str, Traversable]]:
    """By their paths below the folder of examples: those with data, then cells of papers."""
    folders = ("", _top()), ("papers/", _top() / "papers")
    return [(f"{at}{name}", folder / name) for at, folder in folders for name in _names(folder)]


def _names(folder: Traversable) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".rnn"))


def _data(name: str) -> Iterator[tuple[str, Traversable]]:
    for file in DATA.get(name, ()):
        yield f"data/{file}", _top() / "data" / file


def _listed(name: str, path: str, entry: Traversable) -> tuple[str, str, str]:
    from rnngraph.language.library.catalogue import first_sentence

    size = sum(len(data.read_bytes()) for _, data in _data(name))
    data = "a recipe" if "/" in path else f"{size / 1e3:,.0f} kB" if size else "in the repository"
    return name, cell(first_sentence(entry.read_text(encoding="utf-8"))), data
