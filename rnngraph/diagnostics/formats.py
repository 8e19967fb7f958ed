"""Diagnostics for the programs that run checks: annotations of GitHub, and SARIF."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rnngraph.diagnostics.diagnostic import Diagnostic, clipped
from rnngraph.diagnostics.source import Span

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def github(found: Diagnostic) -> str:
    """A line that GitHub shows beside the line of the text."""
    where = {"title": found.code}
    if found.span:
        line, column, end_line, end_column = _region(found.span)
        where |= {"file": found.span.source.name, "line": str(line), "endLine": str(end_line)}
        where |= {"col": str(column), "endColumn": str(end_column)} if line == end_line else {}
    told = ",".join(f"{name}={_escaped(value, True)}" for name, value in where.items())
    return f"::{found.severity} {told}::{_escaped(_said(found), False)}"


def _escaped(text: str, within: bool) -> str:
    """As the commands of a workflow need it; in a property commas and colons too."""
    for sign, code in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"), *([(":", "%3A"), (",", "%2C")] if within else [])):
        text = text.replace(sign, code)
    return text


def sarif(found: Sequence[Diagnostic], version: str) -> dict[str, Any]:
    """A log of one run, as SARIF 2.1.0."""
    rules = sorted({d.code for d in found})
    driver = {"name": "rnngraph", "version": version, "rules": [{"id": code} for code in rules]}
    results = [_result(d, rules.index(d.code)) for d in found]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(found: Diagnostic, rule: int) -> dict[str, Any]:
    told = {"ruleId": found.code, "ruleIndex": rule, "level": found.severity, "message": {"text": _said(found)}}
    if found.span is None:
        return told
    near = [{"id": at, **_place(label.span), "message": {"text": label.text}} for at, label in enumerate(found.labels)]
    return {**told, "locations": [_place(found.span)], **({"relatedLocations": near} if near else {})}


def _place(span: Span) -> dict[str, Any]:
    names = ("startLine", "startColumn", "endLine", "endColumn")
    region = dict(zip(names, _region(span), strict=True))
    return {"physicalLocation": {"artifactLocation": {"uri": _uri(span.source.name)}, "region": region}}


def _uri(name: str) -> str:
    """A path as an address; a relative one stays relative."""
    from urllib.parse import quote

    return quote(name.replace("\\", "/"))


def _region(span: Span) -> tuple[int, int, int, int]:
    return (*span.source.place(span.start), *span.source.place(span.end))


def _said(found: Diagnostic) -> str:
    parts: Iterable[str] = (found.message, found.note, found.help and f"help: {found.help}")
    return clipped("\n".join(part for part in parts if part))
