"""Texts of pictures are as wide as the layout took them to be, whatever font draws them."""

from __future__ import annotations

import json
import re
import shutil
from html import escape
from pathlib import Path
from typing import Any

import pytest

import rnngraph as rg
from rnngraph.viz.dot_program import run
from rnngraph.viz.text_width import fitted, text_width
from rnngraph.viz.write import svg

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.parametrize("bold", [False, True], ids=["regular", "bold"])
def test_texts_are_as_wide_as_the_layout_takes_them_to_be(bold: bool) -> None:
    texts = [*map(chr, range(33, 127)), "a b", "θ lstm", "größe", "→", "c'"]
    labels = [escape(text).replace(" ", "&#32;") for text in texts]
    nodes = "".join(f"{i} [label=<{'<B>' * bold}{said}{'</B>' * bold}>]" for i, said in enumerate(labels))
    source = f"digraph {{ node [fontname=Helvetica fontsize=100] {nodes} }}"
    (found,) = [json.loads(run(source, ["-Tjson"], ["none"]))["objects"]]
    widths = {o["name"]: sum(d["width"] for d in o["_ldraw_"] if d["op"] == "T") for o in found}
    assert {t: widths[str(i)] for i, t in enumerate(texts)} == pytest.approx(
        {t: text_width(t, 100, bold) for t in texts}, abs=0.3
    )


def test_spaces_around_a_text_become_part_of_its_place() -> None:
    def text(anchor: str, said: str) -> str:
        return f'<text xml:space="preserve" text-anchor="{anchor}" x="10" y="1" font-size="10.00">{said}</text>'

    assert fitted(text("start", " ")) == ""
    found = [fitted(text(anchor, "  a&lt;b ")) for anchor in ("start", "middle")]
    assert [re.findall(r' x="([^"]*)".* textLength="([^"]*)".*>(.*)</text>', one) for one in found] == [
        [("15.56", "16.96", "a&lt;b")], [("11.39", "16.96", "a&lt;b")],
    ]  # fmt: skip


@pytest.mark.skipif(BROWSER is None, reason="no browser is installed")
def test_no_text_leaves_its_box_where_only_a_wide_font_is_there(tmp_path: Path) -> None:
    """Each text in its box, measured by a browser; of a picture that says no widths many are outside."""
    playwright = pytest.importorskip("playwright.sync_api")
    drawn = svg(rg.load("examples/dates.rnn").render())
    wide = re.sub(r'font-family="[^"]*"', 'font-family="DejaVu Sans,Verdana,monospace"', drawn)
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page()
        counts = [_outside(page, tmp_path, text) for text in (wide, re.sub(' textLength="[^"]*"', "", wide))]
        browser.close()
    assert counts[0] == 0
    assert counts[1] > 10


def _outside(page: Any, folder: Path, picture: str) -> int:
    (folder / "picture.svg").write_text(picture, encoding="utf-8")
    page.goto((folder / "picture.svg").as_uri())
    return int(page.evaluate("""() => {
      let count = 0;
      for (const part of document.querySelectorAll(".node, .cluster")) {
        const shapes = [...part.querySelectorAll("path, polygon")].map((shape) => shape.getBBox());
        if (!shapes.length) continue;
        const left = Math.min(...shapes.map((s) => s.x)), right = Math.max(...shapes.map((s) => s.x + s.width));
        for (const text of part.querySelectorAll("text")) {
          const { x, width } = text.getBBox();
          count += x < left || x + width > right;
        }
      }
      return count;
    }"""))
