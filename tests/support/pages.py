"""A page of the documents, run as its reader would: in order, in one folder.

Commands stand in blocks that are set in, Python and whole files in fences. A fence with a title is a file, which is
written; `rnn` is checked; `text` is what the block before it prints, or some lines of that. Where a framework is
missing that a block imports, the rest is skipped.
"""

from __future__ import annotations

import contextlib
import glob
import io
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rnngraph.check import check
from rnngraph.cli.main import exit_code

_BLOCK = re.compile(
    r"^```(?P<kind>\w+)(?: title=\"(?P<title>.+?)\")?\n(?P<text>.*?)^```$|^    (?:\.ci/)?rnngraph (?P<command>[^\n]+)$",
    re.MULTILINE | re.DOTALL,
)
_REMARK = re.compile(r" +#.*$")


@dataclass(frozen=True)
class Block:
    """`kind` is that of the fence, or `command`; `title` the file that it is, if it is one."""

    kind: str
    text: str
    title: str = ""


def blocks(page: str) -> Iterator[Block]:
    for found in _BLOCK.finditer(page):
        if found["command"]:
            yield Block("command", _REMARK.sub("", found["command"]))
        else:
            yield Block(found["kind"], found["text"], found["title"] or "")


def run_page(page: str, quick: Mapping[str, Sequence[str]] | None = None) -> dict[str, Any]:
    """Runs all of it in the folder where we are; `quick` has options for commands that would take long. What Python's
    blocks define is given."""
    scope: dict[str, Any] = {}
    printed = ""
    for block in blocks(page):
        if block.title or block.kind == "rnn":
            path = Path(block.title or "block.rnn")
            path.write_text(block.text, encoding="utf-8")
        if block.kind == "command":
            printed = _command(block.text, quick or {})
        elif block.kind == "python":
            printed = _python(block.text, scope)
        elif block.kind == "rnn":
            _check(path)
        elif block.kind == "text":
            _compare(block.text, printed)
    return scope


def _command(text: str, quick: Mapping[str, Sequence[str]]) -> str:
    parts = shlex.split(text)
    arguments = [path for part in parts for path in sorted(glob.glob(part)) or [part]]
    added = [] if "--epochs" in arguments else quick.get(arguments[0], [])
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = exit_code([*arguments, *added])
    assert code == 0, text
    return said.getvalue()


def _python(text: str, scope: dict[str, Any]) -> str:
    for package in re.findall(r"^import (torch|jax)$", text, re.MULTILINE):
        pytest.importorskip(package)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(compile(text, "a block of the page", "exec"), scope)
    return said.getvalue()


def _check(path: Path) -> None:
    found = check(str(path))
    assert not found, found


def _compare(shown: str, printed: str) -> None:
    """Every line that is shown is printed, in this order; `...` stands for lines that are left out."""
    lines = iter(printed.splitlines())
    for line in shown.splitlines():
        if line.strip() != "...":
            assert any(other.rstrip() == line.rstrip() for other in lines), f"not printed:\n{line}\n\nin:\n{printed}"
