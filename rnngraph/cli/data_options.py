"""The options by which verbs take data: files of arrays, tables and texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from rnngraph.cli.arguments import Input, Steps, Whole
from rnngraph.cli.options import given_once, option_group, refuse_together
from rnngraph.cli.terminal import warn
from rnngraph.diagnostics.errors import UserError

if TYPE_CHECKING:
    from rnngraph.data.dataset import Dataset
    from rnngraph.model import Model
    from rnngraph.training.config import FitConfig

TABLE = ("columns", "stride", "horizon", "by", "order", "standardise", "masks")
NAMES = (*TABLE, "steps", "text", "tokens")
"""The parameters that the options below give."""

DATA_OPTIONS = option_group(
    click.option(
        "--data", "paths", multiple=True, type=Input(),
        help="Arrays (.npz, .npy, .json, .jsonl) or a table (.csv, .tsv; others by pandas); repeatable.",
    ),
    click.option(
        "--columns", multiple=True, metavar="INPUT=COLUMN,...", help="The columns of a table that an input is made of."
    ),
    click.option("--steps", type=Steps(1), help="Steps of a window over a table or a text: one number, or by axis."),
    click.option("--stride", type=Whole(), help="Rows from one window to the next.  [default: 1; of a text its steps]"),
    click.option("--horizon", type=Whole(0), help="Rows from the last step to the target: 1 is the next row."),
    click.option("--by", metavar="COLUMN", help="The column that tells the sequences of a table apart."),
    click.option("--order", metavar="COLUMN", help="The column (numbers, dates) that rows are sorted by."),
    click.option(
        "--standardise/--no-standardise", default=None, help="Scale columns of floats to mean 0 and deviation 1."
    ),
    click.option(
        "--mask", "masks", multiple=True, metavar="INPUT=COLUMN,...",
        help="An input that says where these columns have values; 0 stands where they have none.",
    ),
    click.option("--text", type=Input(), help="A text in UTF-8, read sign by sign."),
    click.option("--tokens", metavar="char|byte|word", help="The signs of the text.  [default: char]"),
)  # fmt: skip


def read_data(
    model: Model,
    paths: Sequence[str],
    asked: Mapping[str, Any],
    like: Mapping[str, Any],
    only: Sequence[str] | None = None,
    rows: int | None = None,
) -> Dataset:
    """The data of files by the options; `like` tells how those were made that the weights were trained on.

    `only` names the inputs that a table has to give, `rows` in how many rows that follow each other it is laid out.
    """
    from rnngraph.data.read import load
    from rnngraph.data.table_files import TABLES
    from rnngraph.data.texts import text

    steps = asked["steps"]
    if asked["text"]:
        refuse_together(text=asked["text"], data=tuple(paths))
        _refuse_idle(asked, TABLE, "tables", but="stride")
        many = isinstance(steps, dict)
        if many:
            raise UserError("a text has one time axis: give --steps one number", "E621")
        return text(
            model, asked["text"], tokens=asked["tokens"], steps=steps, stride=asked["stride"], rows=rows, like=like,
            only=only,
        )  # fmt: skip
    _refuse_idle(asked, ("tokens",), "texts")
    if not any(str(path).lower().endswith(TABLES) for path in paths):
        _refuse_idle(asked, (*TABLE, "steps"), "tables")
        return load(paths, model)
    recipe = {name: asked[name] for name in ("stride", "horizon", "by", "order", "standardise")}
    named = {name: _named(name, asked[name]) for name in ("columns", "masks")}
    found = load(paths, model, **recipe, **named, steps=steps, like=like, only=only, rows=rows)
    if found.left_out:
        few = ", ".join(f"`{n}`" for n in found.left_out[:4]) + (", ..." if len(found.left_out) > 4 else "")
        warn(f"too short to have a row, and left out: {few}", "W603")
    return found


def rows_of(config: FitConfig, asked: Mapping[str, Any]) -> int | None:
    """In how many rows one long sequence is laid out for training by segments; None where its rows are told."""
    return config.batch if config.segment and not (asked["steps"] or asked["by"]) else None


def read_more(
    model: Model, paths: Sequence[str], asked: Mapping[str, Any], like: Mapping[str, Any], rows: int | None = None
) -> Dataset:
    """Further data, made as the first ones were: a text where those are one."""
    if not asked["text"]:
        return read_data(model, paths, asked, like, rows=rows)
    if len(paths) > 1:
        raise UserError("a text is one file", "E623", "give it once")
    return read_data(model, (), {**asked, "text": paths[0]}, like, rows=rows)


def _named(option: str, texts: Sequence[str]) -> dict[str, tuple[str, ...]] | None:
    """`x=temp,load` as an input and its columns."""
    pairs = []
    for text in texts:
        name, sign, columns = text.partition("=")
        if not sign or not name or not columns:
            flag = {"columns": "--columns x=temp,load", "masks": "--mask seen=temp,load"}[option]
            raise UserError(f"`{text}` is not an input with its columns", "E620", f"write it as {flag}")
        pairs.append((name.strip(), tuple(column.strip() for column in columns.split(","))))
    return given_once(pairs, "the input", "E620") or None


def _refuse_idle(asked: Mapping[str, Any], names: Sequence[str], what: str, but: str = "") -> None:
    """UserError for an option that nothing here would use."""
    for name in names:
        if asked[name] not in (None, ()) and name != but:
            flag = {"masks": "--mask"}.get(name, f"--{name}")
            raise UserError(f"{flag} is for {what}, and none is given", "E626", "leave it out")
