"""Pictures to files and notebooks: svg, png, pdf, dot, each written aside and moved into place."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

from msgspec import Struct

from rnngraph.diagnostics.optional import needed
from rnngraph.files.atomic_writes import form_of, write_aside
from rnngraph.viz.dot import placed
from rnngraph.viz.dot_program import run
from rnngraph.viz.figure import undisturbed
from rnngraph.viz.geometry import Places
from rnngraph.viz.layout import laid_out
from rnngraph.viz.palette import FONT, FONT_STACK, Look
from rnngraph.viz.scene import Scene
from rnngraph.viz.text_width import fitted

PNG_DOTS_PER_INCH = 144
_LARGEST_PNG = 12_000
"""Pixels along a side; a larger picture is drawn coarser, for viewers refuse more."""

class Picture(Struct, frozen=True, dict=True):
    """A scene and how it is dressed; draws itself in a notebook."""

    scene: Scene
    look: Look = Look()

    @cached_property
    def laid_out(self) -> tuple[Scene, Places]:
        """What is drawn, and where."""
        return laid_out(self.scene, self.look)

    @cached_property
    def source(self) -> str:
        """As DOT, everything at its place."""
        return placed(*self.laid_out, self.look)

    def _repr_mimebundle_(self, *_: Any, **__: Any) -> dict[str, str]:
        return {"image/svg+xml": svg(self)}


def write(picture: Picture, path: str | Path) -> None:
    """Writes the picture in the form that the ending of `path` names (.svg .png .pdf .dot).

    Raises UserError for another ending, CannotDo where nothing can be written or `dot` is not found.
    """
    write_aside(path, WRITERS[form_of(path, WRITERS, "a picture")](picture))


def svg(picture: Picture) -> str:
    """The picture as SVG text; each text of it fits into its box, whatever fonts there are."""
    text = fitted(_drawn(picture, "svg").decode())
    return re.sub(f'font-family="{FONT}[^"]*"', f'font-family="{FONT_STACK}"', text)


def png(picture: Picture) -> bytes:
    head = _drawn(picture, "plain").decode().split("\n", 1)[0].split()
    longest = max(float(head[2]), float(head[3]), 0.1)
    dots = max(18, min(PNG_DOTS_PER_INCH, int(_LARGEST_PNG / longest)))
    return _drawn(picture, "png", f"-Gdpi={dots}")


def pdf(picture: Picture) -> bytes:
    """Vector graphics with real text. `graphviz-pure` writes no PDF, so it comes from the SVG."""
    with needed("svglib"):
        from reportlab.graphics import renderPDF  # type: ignore[import-untyped,unused-ignore]
        from svglib.svglib import svg2rlg  # type: ignore[import-untyped,unused-ignore]

    with undisturbed():
        drawing = svg2rlg(BytesIO(_drawn(picture, "svg")))
        return bytes(renderPDF.drawToString(drawing, invariant=1))


def dot(picture: Picture) -> bytes:
    return picture.source.encode()


WRITERS: dict[str, Callable[[Picture], bytes]] = {
    "svg": lambda picture: svg(picture).encode(),
    "png": png,
    "pdf": pdf,
    "dot": dot,
}


def _drawn(picture: Picture, form: str, *options: str) -> bytes:
    return run(picture.source, [f"-T{form}", "-Kneato", "-n2", *options], ["spline"])
