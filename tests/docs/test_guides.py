"""The pages do what they say: every command, every block of Python, every file, every line that is printed."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

from tests.support.pages import run_page
from tests.support.paths import ROOT

QUICK = {"train": ["--epochs", "1"], "bench": ["--seconds", "0"], "compare": ["--steps", "3", "--repeats", "1"]}
IN_THE_REPOSITORY = ["README.md", "docs/data.md", "docs/tutorial.md", "docs/frameworks.md"]
ANYWHERE = ["index", "lecture", "training", "speed", "from_tensorflow1", "from_keras", "from_pytorch", "from_jax"]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", IN_THE_REPOSITORY)
def test_a_page_works_where_the_examples_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("examples").symlink_to(ROOT / "examples")
    run_page(text(name), QUICK)


@pytest.mark.parametrize("name", ANYWHERE)
def test_a_page_works_in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(text(f"docs/{name}.md"), QUICK)


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="Python prints signatures otherwise")
def test_the_reference_of_the_package_is_that_of_its_docstrings() -> None:
    """`python docs/python_reference.py` writes it anew."""
    page = runpy.run_path(str(ROOT / "docs" / "python_reference.py"))["page"]
    assert page() == (ROOT / "docs" / "python.md").read_text(encoding="utf-8")


def test_the_files_that_the_readme_points_to_are_there() -> None:
    """Those of docs/ are checked when the site is built."""
    places = re.findall(r"\]\(([^)#:]+)\)", text("README.md"))
    assert places and all((ROOT / place).exists() for place in places)
