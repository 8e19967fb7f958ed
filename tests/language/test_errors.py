"""The cases in tests/language/cases: a file in, what `check` (and elaboration) say of it out.

`python -m tests.language.test_errors` writes what is said now into the cases; read the difference before you keep it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.excerpt import render
from rnngraph.diagnostics.source import Source
from rnngraph.language.checking.check import check
from rnngraph.language.elaboration.elaborate import elaborate
from rnngraph.language.syntax.parser import parse

FOLDER = Path(__file__).parent / "cases"
CASE = re.compile(r"## (?P<title>[^\n]+)\n\n```rnn\n(?P<text>.*?)```\n\n```text\n(?P<said>.*?)```\n", re.DOTALL)


@dataclass(frozen=True)
class Case:
    file: Path
    title: str
    text: str
    said: str

    def __str__(self) -> str:
        return f"{self.file.stem}: {self.title}"


def cases() -> list[Case]:
    return [
        Case(file, m["title"], m["text"], m["said"])
        for file in sorted(FOLDER.glob("*.md"))
        for m in CASE.finditer(file.read_text(encoding="utf-8"))
    ]


def said_of(text: str) -> str:
    return "\n\n".join(render(d) for d in check(parse(Source("case.rnn", text)))) + "\n"


def test_there_are_cases() -> None:
    assert len(cases()) > 35


@pytest.mark.parametrize("case", cases(), ids=str)
def test_what_is_said(case: Case) -> None:
    assert said_of(case.text).strip() == case.said.strip()


@pytest.mark.parametrize("case", [c for c in cases() if "\nmodel " in "\n" + c.text], ids=str)
def test_a_model_is_refused_for_every_error_that_is_told(case: Case) -> None:
    """Elaboration stops at errors that `check` knows, and at no others."""
    errors = {(d.code, d.message) for d in check(parse(Source("case.rnn", case.text))) if d.severity == "error"}
    if errors:
        assert errors >= {d for d in told(case.text) if d[0] != "E315"} != set()
    else:
        elaborate(parse(Source("case.rnn", case.text)))


def told(text: str) -> set[tuple[str, str]]:
    with pytest.raises(UserError) as refused:
        elaborate(parse(Source("case.rnn", text)), model=None)
    return {(d.code, d.message) for d in refused.value.diagnostics}


@pytest.mark.parametrize("case", cases(), ids=str)
def test_every_message_has_a_code_and_a_place(case: Case) -> None:
    for diagnostic in check(parse(Source("case.rnn", case.text))):
        assert re.fullmatch(r"[EW]\d{3}", diagnostic.code)
        assert diagnostic.span is not None
        assert_within(diagnostic, case.text)


def assert_within(diagnostic: Diagnostic, text: str) -> None:
    spans = [diagnostic.span, *(label.span for label in diagnostic.labels)]
    for span in spans:
        assert span is not None and 0 <= span.start <= span.end <= len(span.source.text)


def accept() -> None:
    """Writes what is said now into the cases."""
    for file in FOLDER.glob("*.md"):
        old = file.read_text(encoding="utf-8")
        new = CASE.sub(
            lambda m: f"## {m['title']}\n\n```rnn\n{m['text']}```\n\n```text\n{said_of(m['text'])}```\n", old
        )
        file.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    accept()
