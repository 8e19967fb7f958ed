"""The site: it is built without a network, every page is there, and what the code says of itself is whole."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT

pytest.importorskip("material", reason="the site is an extra: pip install '.[docs]'")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--config-file", ROOT / ".ci/mkdocs.yml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "http_proxy": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"}
    done = subprocess.run([*command, "--site-dir", folder], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_document_is_a_page(site: Path) -> None:
    pages = {page.relative_to(site).with_suffix("").as_posix() for page in site.rglob("*.html")}
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} | {"language", "examples", "errors", "library"} <= pages


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    """Links may lead anywhere; what a page needs to be shown lies beside it."""
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        needed = re.findall(r"<(?:script|img|iframe)[^>]* src=\"([^\"]+)\"|<link[^>]* href=\"([^\"]+)\"", text)
        assert not [one for pair in needed for one in pair if "//" in one], page


def test_links_out_of_the_documents_lead_to_the_text_of_the_file(site: Path) -> None:
    text = (site / "language.html").read_text(encoding="utf-8")
    assert 'href="files/rnngraph/language/library/zoneout.rnn.html"' in text
    listing = unescape(re.sub(r"<[^>]+>", "", (site / "files/rnngraph/language/library/zoneout.rnn.html").read_text()))
    assert (ROOT / "rnngraph/language/library/zoneout.rnn").read_text(encoding="utf-8").strip() in listing


def test_what_is_searched_for_is_found(site: Path) -> None:
    found = json.loads((site / "search/search_index.json").read_text(encoding="utf-8"))["docs"]
    asked = {"swap_memory": "from_tensorflow1.html", "E511": "errors.html", "PhasedLSTM": "library.html"}
    for words, place in asked.items():
        assert any(words in one["title"] + one["text"] and one["location"].startswith(place) for one in found), words


# --- errors and warnings ---


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    found: dict[str, Any] = runpy.run_path(str(ROOT / "docs/error_codes.py"))
    return found


def test_every_code_has_a_meaning_and_a_cure(told: dict[str, Any]) -> None:
    found = told["told"]()
    files = [path for top in ("rnngraph", "viz") for path in (ROOT / top).rglob("*.py")]
    codes = {code for path in files for code in re.findall(r"\"([EW]\d{3})\"", path.read_text(encoding="utf-8"))}
    assert set(found) == codes
    assert {code for code, one in found.items() if not one.messages} == set(), "write one into MESSAGES"
    assert {code for code, one in found.items() if not one.cures} == set(), "write one into CURES, or a hint"


def test_no_code_is_told_that_is_not_there(told: dict[str, Any]) -> None:
    assert told["CURES"].keys() | told["MESSAGES"].keys() <= told["told"]().keys()


def test_a_message_stands_there_with_its_hint(told: dict[str, Any]) -> None:
    assert "- this `unroll` does not say over which sequence → _write `over` and a sequence" in told["page"]()
