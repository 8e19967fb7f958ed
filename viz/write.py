"""Pictures to files and notebooks: svg, png, pdf, dot, each written aside and moved into place."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, distribution
from io import BytesIO
from pathlib import Path
from typing import Any

from rnngraph.diagnostics.errors import CannotDo
from rnngraph.files.outputs import form_of, write_aside
from rnngraph.viz.dot import digraph
from rnngraph.viz.figure import undisturbed
from rnngraph.viz.palette import FONT, FONT_STACK
from rnngraph.viz.placement import places
from rnngraph.viz.scene import Scene

PNG_DOTS_PER_INCH = 144
_LARGEST_PNG = 12_000
"""Pixels along a side; a larger picture is drawn coarser, for viewers refuse more."""


LONGEST_LAYOUT = 20.0
"""Seconds."""
_MANY_EDGES = 600
"""Curves round boxes take long for more than these."""
_SMALLER = "draw less of it: loops `--closed`, fewer columns with `--fold 4`, or without `--gradient` or `--detail`"


@dataclass(frozen=True)
class Picture:
    """A scene with its title, which draws itself in a notebook."""

    scene: Scene
    title: str = ""

    @cached_property
    def source(self) -> str:
        """As DOT."""
        return str(digraph(self.scene, self.title).source)

    def _repr_mimebundle_(self, *_: Any, **__: Any) -> dict[str, str]:
        return {"image/svg+xml": svg(self)}


def write(picture: Picture, path: str | Path) -> None:
    """Writes the picture in the form that the ending of `path` names (.svg .png .pdf .dot).

    Raises UserError for another ending, CannotDo where nothing can be written or `dot` is not found.
    """
    write_aside(path, WRITERS[form_of(path, WRITERS, "a picture")](picture))


def svg(picture: Picture) -> str:
    """The picture as SVG text, with the page's own fonts."""
    text = _laid_out(picture, "svg").decode()
    return re.sub(f'font-family="{FONT}[^"]*"', f'font-family="{FONT_STACK}"', text)


def png(picture: Picture) -> bytes:
    head = _laid_out(picture, "plain").decode().split("\n", 1)[0].split()
    longest = max(float(head[2]), float(head[3]), 0.1)
    dots = max(18, min(PNG_DOTS_PER_INCH, int(_LARGEST_PNG / longest)))
    return _laid_out(picture, "png", f"-Gdpi={dots}")


def pdf(picture: Picture) -> bytes:
    """Vector graphics with real text. `graphviz-pure` writes no PDF, so it comes from the SVG."""
    from reportlab.graphics import renderPDF  # type: ignore[import-untyped,unused-ignore]
    from svglib.svglib import svg2rlg  # type: ignore[import-untyped,unused-ignore]

    with undisturbed():
        drawing = svg2rlg(BytesIO(_laid_out(picture, "svg")))
        return bytes(renderPDF.drawToString(drawing, invariant=1))


def dot(picture: Picture) -> bytes:
    return picture.source.encode()


WRITERS: dict[str, Callable[[Picture], bytes]] = {
    "svg": lambda picture: svg(picture).encode(),
    "png": png,
    "pdf": pdf,
    "dot": dot,
}


def _laid_out(picture: Picture, form: str, *options: str) -> bytes:
    """What `dot` makes of the picture, the columns of unrolled loops in their places."""
    source = picture.source
    if picture.scene.lanes:
        found = places(picture.scene, _run(source, ["-Tjson0"], ["none"]))
        source = str(digraph(picture.scene, picture.title, found).source)
        options = ("-Kneato", "-n", *options)
    many = len(picture.scene.edges) > _MANY_EDGES
    return _run(
        source, [f"-T{form}", *options], ["polyline", "line"] if many else ["spline", "polyline", "line"]
    )


def _run(source: str, options: list[str], edges: list[str]) -> bytes:
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
