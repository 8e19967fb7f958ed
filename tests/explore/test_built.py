"""The built page is that of its sources, has no way from text to markup, and comes with its licences."""

from __future__ import annotations

import hashlib
import json
import re

from tests.support.paths import ROOT

WEB, BUILT = ROOT / "viz" / "web", ROOT / "rnngraph" / "explore" / "page"


def test_the_built_files_are_of_these_sources() -> None:
    """`npm ci && npm run build` in `viz/web` makes them anew."""
    names = ["package.json", "package-lock.json", "build.mjs", "tsconfig.json"]
    names += [f.relative_to(WEB).as_posix() for f in (WEB / "src").rglob("*") if f.is_file()]
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(f"{name}\0".encode() + (WEB / name).read_bytes() + b"\0")
    assert (BUILT / "sources.sha256").read_text().strip() == digest.hexdigest()


def test_no_text_becomes_markup() -> None:
    ways = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|ContextualFragment|DOMParser|\beval\(")
    for file in (WEB / "src").rglob("*.ts"):
        assert not ways.search(file.read_text(encoding="utf-8")), file.name


def test_every_library_comes_with_its_licence() -> None:
    told = (BUILT / "LICENSES.txt").read_text(encoding="utf-8")
    texts = [f.read_text(encoding="utf-8") for f in (WEB / "src").rglob("*.ts")]
    used = {m[1] for text in texts for m in re.finditer(r'from "((?:@[\w-]+/)?[\w-]+)', text)}
    assert {"elkjs", "uplot", "@codemirror/view"} <= used
    for name in used:
        version = json.loads((WEB / "package.json").read_text())["devDependencies"][name]
        assert f"{name} {version} (" in told


def test_the_lock_file_names_no_host() -> None:
    assert "://" not in re.sub(r'"funding": \{[^}]*\}|"url": "[^"]*"', "", (WEB / "package-lock.json").read_text())
