"""The program `dot`, and what it makes of a text."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from rnngraph.diagnostics.errors import CannotDo

LONGEST_LAYOUT = 20.0
"""Seconds."""
_SMALLER = "draw less of it: `--level 1`, fewer columns with `--fold 4`, or without `--gradient` or `--detail`"


def run(source: str, options: list[str], edges: list[str]) -> bytes:
    """What `dot` makes of it, with the first kind of edges that it can route without taking far too long."""
    message = ""
    for form in edges:
        try:
            done = subprocess.run(
                [dot_binary(), *options, f"-Gsplines={form}"],
                input=source.encode(),
                capture_output=True,
                timeout=LONGEST_LAYOUT,
                check=False,
            )
        except FileNotFoundError as error:
            help = "pip install graphviz-pure"
            raise CannotDo("there is no `dot` program to lay out pictures", "E913", help) from error
        except subprocess.TimeoutExpired:
            message = f"it took longer than {LONGEST_LAYOUT:.0f} seconds"
            continue
        except OSError as error:
            raise CannotDo(f"`dot` could not lay out the picture: {error}", "E913", _SMALLER) from error
        if done.returncode == 0 and done.stdout:
            return done.stdout
        message = done.stderr.decode(errors="replace").strip()
    raise CannotDo(f"`dot` could not lay out the picture: {message[:300]}", "E913", _SMALLER)


@cache
def dot_binary() -> Path:
    """The program of the wheel `graphviz-pure`, which puts it among the environment's scripts; else a `dot`."""
    try:
        for file in distribution("graphviz-pure").files or ():
            if file.stem == "graphviz-pure" and os.access(file.locate(), os.X_OK):
                return Path(str(file.locate())).resolve()
    except PackageNotFoundError:
        pass
    return Path(shutil.which("graphviz-pure") or shutil.which("dot") or "dot")
