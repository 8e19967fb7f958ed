"""The page in a real browser: every view opened, every slider moved; from the disk without a network, and served."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rnngraph as rg
from rnngraph.diagnostics.source import Source
from rnngraph.explore.page import page as page_of
from rnngraph.explore.server import Server
from rnngraph.explore.session import Session
from rnngraph.language.syntax.parser import read_source
from tests.support.models import REPEATED

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser is installed")

EVIL = "<img src=x onerror=alert(1)>"
TEXT = f"""\
# {EVIL} </script><script>alert(2)</script> </style> <!--
model Evil {{
  input x: seq[3]
  y, final = unroll GRU(4) over x  # "</title><svg onload=alert(3)>"
  output y, final
}}
"""
VIEWS = ("Graph", "Cost", "Memory", "Values", "Source")
Page = Any


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a file whose name, and whose text, would be markup; of the ways to run it the two quickest."""
    folder = tmp_path_factory.mktemp("page")
    source = folder / f"{EVIL}.rnn"
    source.write_text(TEXT)
    session = Session(read_source(source))
    data = session.opened(served=False)
    for part in ("costs", "memory", "values"):
        data[part] = session.part(part, TEXT)[part]
    data["costs"]["ways"] = [session.part("way", TEXT, index)["way"] for index in (0, 2)]
    path = folder / "page.html"
    path.write_text(page_of(data), encoding="utf-8")
    return path


class Watched:
    """A page, and everything that went wrong in it."""

    def __init__(self, browser: Any, address: str, offline: bool) -> None:
        self.trouble: list[str] = []
        context = browser.new_context(viewport={"width": 1280, "height": 800}, offline=offline)
        self.page = context.new_page()
        self.page.set_default_timeout(20_000)
        self.page.on("console", lambda m: self.trouble.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.trouble.append(dialog.message), dialog.dismiss()))
        self.page.goto(address)
        self.page.wait_for_selector("svg.canvas[data-drawn]", state="attached")


@pytest.fixture(scope="module")
def opened(browser: Any, saved: Path) -> Watched:
    """The saved page from the disk, without a network."""
    return Watched(browser, saved.as_uri(), offline=True)


@pytest.fixture
def page(opened: Watched) -> Iterator[Page]:
    """That page as it is when it is opened; at the end no error was told, and nothing was run."""
    page = opened.page
    tab(page, "Graph")
    page.get_by_label("Backward pass").set_checked(False)
    page.evaluate("document.getElementById('stage').value = 0")
    drawn(page, lambda: page.evaluate("document.getElementById('stage').dispatchEvent(new Event('input'))"))
    if not page.get_by_label("Opened").is_checked():
        drawn(page, lambda: page.get_by_text("Opened", exact=True).click())
    yield page
    assert opened.trouble == []


def drawn(page: Page, act: Callable[[], object]) -> None:
    """Does something, and waits until the graph was drawn anew."""
    before = page.get_attribute("svg.canvas", "data-drawn")
    act()
    page.wait_for_function("before => document.querySelector('svg.canvas').dataset.drawn !== before", arg=before)


def boxes(page: Page) -> int:
    return page.locator(".canvas .box").count()


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def test_text_stays_text(page: Page, saved: Path) -> None:
    assert EVIL in page.locator("header.top .file").inner_text()
    assert "<script>alert(2)</script>" in page.locator(".cm-content").first.inner_text()
    for name in VIEWS:
        tab(page, name)
    assert page.locator("img, iframe, svg[onload]").count() == 0
    assert saved.stat().st_size < 2_500_000


def test_the_graph_closes_opens_and_unrolls(page: Page) -> None:
    opened_boxes = boxes(page)
    drawn(page, lambda: page.get_by_text("Closed", exact=True).click())
    assert boxes(page) == 4  # x, the loop, y, final
    drawn(page, lambda: page.locator(".box.loop").click())
    assert boxes(page) == opened_boxes
    drawn(page, lambda: page.locator(".canvas .head.loop").click())
    assert boxes(page) == 4
    drawn(page, lambda: page.get_by_text("Unrolled", exact=True).click())
    counts: dict[int, int] = {}
    for steps in (2, 7, 8, 1000, 10_000):
        field = page.locator(".graph").get_by_label("Steps, as a number")
        drawn(page, lambda field=field, steps=steps: (field.fill(str(steps)), field.press("Enter")))
        counts[steps] = boxes(page)
    assert counts[2] < counts[7] and counts[8] == counts[1000] == counts[10_000] <= counts[7] + 2
    assert "9,995 more" in page.locator(".canvas").text_content()
    drawn(page, lambda: page.get_by_label("Backward pass").check())
    assert page.locator(".box.back").count() > 0


def test_detail_grows(page: Page) -> None:
    found = []
    drawn(page, lambda: page.get_by_label("Backward pass").check())
    for name in ("Equations", "Operations", "Cells"):
        drawn(page, lambda name=name: page.get_by_text(name, exact=True).click())
        found.append(boxes(page))
    assert found[2] < found[0] < found[1]


def test_passes_are_stepped_through(page: Page) -> None:
    last = int(page.get_by_label("Compiler").get_attribute("max"))
    marks = set()
    for _ in range(last):
        drawn(page, lambda: page.get_by_label("The next pass").click())
        marks |= {m for m in ("new", "moved") if page.locator(f".box.mark-{m}").count()}
    assert marks == {"new", "moved"}
    assert page.get_by_label("Backward pass").is_checked()  # the gradient was met on the way
    drawn(page, lambda: page.get_by_label("The pass before").click())


def test_pointing_leads_to_the_source_and_back(page: Page) -> None:
    page.locator(".box.matmul").first.hover()
    words = page.locator("div.tip").inner_text()
    assert "library/gru.rnn:" in words and "bytes" in words and "time" in words
    page.locator(".box.matmul").first.click()
    assert "kernel" in page.locator(".cm-told").first.inner_text()
    page.get_by_role("button", name="back to").click()
    page.get_by_text("unroll", exact=True).first.click()
    page.locator(".cm-content").first.get_by_text("output", exact=True).click()
    page.get_by_label("Search in the graph").fill("gates")
    assert page.locator(".box.found").count() >= 2


def test_it_is_worked_by_keys(page: Page) -> None:
    page.locator(".canvas").focus()
    page.keyboard.press("ArrowDown")
    for _ in range(6):
        if page.locator(".box.selected").count():
            break
        page.keyboard.press("ArrowDown")
    assert page.locator(".box.selected").count() == 1
    before = page.locator(".canvas > g").get_attribute("transform")
    page.keyboard.press("+")
    assert page.locator(".canvas > g").get_attribute("transform") != before
    page.keyboard.press("Escape")
    assert page.locator(".box.selected").count() == 0
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "graph-search"
    tab(page, "Graph")
    for name in ("Cost", "Memory"):
        page.keyboard.press("ArrowRight")
        assert page.get_by_role("tab", name=name).get_attribute("aria-selected") == "true"


def test_every_slider_of_the_cost(page: Page) -> None:
    tab(page, "Cost")
    for name in ("Steps", "Batch", "Units"):
        before = page.locator(".cost .lead").inner_text() + page.locator(".bars").inner_text()
        field = page.locator(".cost").get_by_label(f"{name}, as a number")
        field.fill(str(2 * int(field.input_value())))
        field.press("Enter")
        assert page.locator(".cost .lead").inner_text() + page.locator(".bars").inner_text() != before
        page.locator(".cost").get_by_label(name, exact=True).press("ArrowRight")
    field = page.locator(".cost").get_by_label("Memory, MB, as a number")
    field.fill("1")
    field.press("Enter")
    assert "does not fit" in page.locator(".cost .wide table").inner_text()
    page.get_by_text("Forward", exact=True).click()
    assert "A forward run" in page.locator(".cost .lead").inner_text()
    assert page.locator(".cost canvas").count() == 3


def test_moments_and_steps(page: Page) -> None:
    tab(page, "Memory")
    told = set()
    for mode in ("dynamic", "static"):
        page.locator(".memory").get_by_text(mode, exact=True).click()
        page.get_by_label("Moment", exact=True).press("Home")
        told.add(page.locator(".memory .lead").inner_text())
        page.get_by_label("Moment", exact=True).press("End")
        told.add(page.locator(".memory .lead").inner_text())
        assert page.locator(".memory tbody tr").count() > 3
    assert len(told) == 4 and any(words.startswith("Backward") for words in told)
    tab(page, "Values")
    page.get_by_label("Step", exact=True).press("ArrowRight")
    assert page.locator("output").inner_text() == "t = 1"
    page.locator(".map canvas").first.click()
    page.get_by_text("row 1", exact=True).click()
    assert page.locator(".map canvas").count() >= 6 and page.locator(".values .chart canvas").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_passes_an_accessibility_checker(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    for name in VIEWS:
        tab(page, name)
        found = axe.Axe().run(page)
        assert found.violations_count == 0, f"{name}: {found.generate_report()[:1500]}"


def test_it_fits_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for name in VIEWS:
        tab(page, name)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
    page.set_viewport_size({"width": 1280, "height": 800})


def test_a_comparison_is_a_view(browser: Any, tmp_path: Path) -> None:
    found = rg.parse(TEXT).compare(steps=(2, 4), batch=2, repeats=1)
    path = tmp_path / "page.html"
    path.write_text(page_of(Session(Source("m.rnn", TEXT)).compared(found)), encoding="utf-8")
    watched = Watched(browser, path.as_uri(), offline=True)
    page = watched.page
    assert page.get_by_role("tab").all_inner_texts() == ["Compare", "Graph", "Memory", "Source"]
    assert "The modes give the same bits" in page.locator(".verdict.same").inner_text()
    assert page.locator(".compare .chart canvas").count() == 4
    assert page.locator(".compare tbody tr").count() >= 4 + 2 * 3
    assert axe.Axe().run(page).violations_count == 0
    tab(page, "Memory")
    tab(page, "Graph")
    assert boxes(page) > 5 and watched.trouble == []


def test_what_a_for_makes_has_its_counter_in_its_name(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page_of(Session(Source("twice.rnn", REPEATED)).opened(served=False)), encoding="utf-8")
    shown = Watched(browser, path.as_uri(), offline=True).page.locator(".canvas").text_content()
    assert all(name in shown for name in ("h.1", "h.2", "r.1", "r.2"))


def test_served_it_is_edited(browser: Any) -> None:
    with Server(Session(Source("m.rnn", TEXT))) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        watched = Watched(browser, server.address, offline=False)
        page = watched.page
        before = boxes(page)
        page.locator(".cm-content").first.click()
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(TEXT.replace("over x", "over z"))
        assert "there is no `z` here" in page.locator(".problems li").inner_text()
        assert boxes(page) == before  # what was drawn stays
        page.keyboard.press("Control+a")
        drawn(page, lambda: page.keyboard.insert_text("model New {\n  input x: [3]\n  output x * 2 as y\n}\n"))
        assert page.locator(".problems li").count() == 0 and page.locator("h1").inner_text() == "New"
        tab(page, "Values")
        tab(page, "Memory")
        page.wait_for_selector(".memory table")
        assert watched.trouble == []
        server.shutdown()
