"""The screenshots of docs/explore.md: `PYTHONPATH=. python docs/pictures/explore.py`, with Playwright and Chromium."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from rnngraph.explore.page import page as page_of
from rnngraph.explore.session import Session
from rnngraph.language.syntax.parser import read_source

HERE = Path(__file__).parent


def main() -> None:
    path = Path(tempfile.mkdtemp()) / "page.html"
    path.write_text(page_of(Session(read_source("examples/lstm4.rnn")).page(print)), encoding="utf-8")
    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1360, "height": 850})
        page.goto(path.as_uri())
        page.wait_for_selector("svg.canvas[data-drawn]")
        for name, act in VIEWS.items():
            act(page)
            page.wait_for_timeout(1500)
            page.screenshot(path=HERE / f"explore-{name}.png")
        browser.close()


def _graph(page: Any) -> None:
    page.get_by_text("Unrolled", exact=True).click()
    page.get_by_label("Backward pass").check()


def _tab(name: str) -> Callable[[Any], None]:
    return lambda page: page.get_by_role("tab", name=name).click()


VIEWS: dict[str, Callable[[Any], None]] = {"graph": _graph, "cost": _tab("Cost"), "values": _tab("Values")}

if __name__ == "__main__":
    main()
