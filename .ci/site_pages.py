"""Pages of the site beside those of docs/: the reference of the language, others of the repository, and what the code
says of itself. Links that lead out of docs/ lead to these pages, or to the text of the file, with its lines."""

from __future__ import annotations

import posixpath
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).resolve().parents[1]
MOVED = {
    "grammar/README.md": "language.md",
    "examples/README.md": "examples.md",
    "examples/data/README.md": "examples_data.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
    "README.md": "index.md",
}
"""Pages of the repository by their place in the site, which has a first page of its own instead of the README."""
MADE = {
    "commands.md": "docs/command_reference.py",
    "library.md": "docs/library_reference.py",
    "errors.md": "docs/error_codes.py",
}
"""Pages that are made when the site is built, and the script that has their text."""
BESIDE = InclusionLevel.NOT_IN_NAV
LANGUAGES = {".rnn": "rnn", ".py": "python", ".lark": "text", ".toml": "toml"}
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```|^ {4}.*?$|`[^`\n]+`", re.DOTALL | re.MULTILINE)


def on_config(config: Any) -> Any:
    """Documents that no line of the navigation names stand under More."""
    named = set(_names(config.nav))
    others = sorted(page.name for page in (ROOT / "docs").glob("*.md") if page.name not in named)
    config.nav += [{"More": others}] if others else []
    return config


def _names(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from _names(part)


def on_files(files: Files, config: Any) -> Files:
    for place, name in MOVED.items():
        if files.get_file_from_path(name) is None:
            files.append(File.generated(config, name, content=(ROOT / place).read_text(encoding="utf-8")))
    for name, script in MADE.items():
        files.append(File.generated(config, name, content=runpy.run_path(str(ROOT / script))["page"]()))
    for place in sorted(_linked(files)):
        listing = File.generated(config, _source_page(place), content=_listing(place), inclusion=BESIDE)
        files.append(listing)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    here = _place(page.file.src_uri)
    return _outside_code(markdown, lambda text: LINK.sub(lambda found: _link(found, here, page.file.src_uri), text))


def _linked(files: Files) -> set[str]:
    """The files outside of docs/ that a page leads to."""
    found = set[str]()
    for file in files.documentation_pages():
        here = _place(file.src_uri)
        for _, target in LINK.findall(file.content_string):
            place = _target(target, here)
            if place and (ROOT / place).is_file() and not place.startswith("docs/") and place not in MOVED:
                found.add(place)
    return found


def _place(name: str) -> str:
    """Where in the repository a page of the site lies."""
    return next((place for place, new in MOVED.items() if new == name and place != "README.md"), f"docs/{name}")


def _target(link: str, here: str) -> str:
    """Where in the repository a link leads; empty for another address, and within the page."""
    path = link.partition("#")[0]
    if not path or ":" in path:
        return ""
    return posixpath.normpath(posixpath.join(posixpath.dirname(here), path))


def _link(found: re.Match[str], here: str, name: str) -> str:
    text, link = found.groups()
    place = _target(link, here)
    if not place:
        return found.group()
    anchor = link.partition("#")[2]
    page = _page(place)
    if not page:
        return text
    if text in (link, place) and place.endswith(".md"):
        text = _title(place)
    leads = posixpath.relpath(page, posixpath.dirname(name) or ".")
    return f"[{text}]({leads}{'#' * bool(anchor)}{anchor})"


def _title(place: str) -> str:
    """Instead of the name of a page, where that is all that a link says."""
    return (ROOT / place).read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def _page(place: str) -> str:
    """The page of the site for a place in the repository; empty for a folder, which has none."""
    if place in MOVED:
        return MOVED[place]
    if place.startswith("docs/"):
        return place.removeprefix("docs/")
    return _source_page(place) if (ROOT / place).is_file() else ""


def _source_page(place: str) -> str:
    return f"files/{place}.md"


def _listing(place: str) -> str:
    path = ROOT / place
    head = f"---\nhide: [toc]\nsearch: {{exclude: true}}\n---\n\n# {place}\n\n"
    return f"{head}````{LANGUAGES.get(path.suffix, 'text')}\n{path.read_text(encoding='utf-8')}\n````\n"


def _outside_code(text: str, change: Any) -> str:
    """The text with a change everywhere but in code."""
    pieces, at = [], 0
    for code in FENCED.finditer(text):
        pieces += [change(text[at : code.start()]), code.group()]
        at = code.end()
    return "".join([*pieces, change(text[at:])])
