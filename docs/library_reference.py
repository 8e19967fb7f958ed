"""The reference of the library, a page of the site, from what its definitions say of themselves."""

from __future__ import annotations

import re

from rnngraph.language.library.catalogue import Entry, entries

HEAD = """\
# The library

What `rnngraph library NAME` shows: every cell and layer that comes along, as it is written in the language. The table
of their settings and weights is in [the reference](../grammar/README.md#the-standard-library).
"""


def page() -> str:
    return "\n".join([HEAD, *(_entry(one) for one in entries())])


def _entry(one: Entry) -> str:
    prose = "\n\n".join(_paragraph(part) for text in one.prose for part in text.split("\n\n"))
    return f"## {one.name}\n\n{prose}\n\n```rnn\n{one.text.rstrip()}\n```\n"


def _paragraph(text: str) -> str:
    """Lines stay lines; what is set in is equations, and stands as code."""
    lines = text.strip("\n").split("\n")
    if all(line.startswith("  ") for line in lines):
        return "\n".join(["```text", *lines, "```"])
    return "  \n".join(_escaped(line) for line in lines)


def _escaped(line: str) -> str:
    """Without the signs by which a page would set a product in italics; code in it stands as it is."""
    return "".join(part if i % 2 else re.sub(r"([*_<\[])", r"\\\1", part) for i, part in enumerate(_CODE.split(line)))


_CODE = re.compile(r"(`[^`]*`)")
