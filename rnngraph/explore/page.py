"""The one file: page, program, layout engine and data in it; it asks nothing of any network."""

from __future__ import annotations

import gzip
import hashlib
import json
from base64 import b64encode
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any


def page(data: dict[str, Any]) -> str:
    """The whole text. What the user named is in it only packed, and as an escaped title."""
    script, style = _file("main.js"), _file("style.css")
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(digest, data["served"])}">\n'
        f"<title>{escape(data['title'])} - rnngraph</title>\n<style>{style}</style>\n</head>\n<body>\n"
        "<noscript>This page needs JavaScript, which it brings along.</noscript>\n"
        f'<script type="application/octet-stream" id="layout-engine">{_engine()}</script>\n'
        f'<script type="application/octet-stream" id="page-data">{_packed(json.dumps(data))}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _policy(digest: str, served: bool) -> str:
    """Only this script runs, with the layout engine as its worker, and nobody is asked but the page's own server."""
    return (
        f"default-src 'none'; script-src 'sha256-{digest}' blob:; worker-src blob:; style-src 'unsafe-inline'; "
        f"img-src data:; connect-src {'&#39;self&#39;' if served else '&#39;none&#39;'}; base-uri 'none'; form-action 'none'"
    )


@cache
def _file(name: str) -> str:
    text = files("rnngraph.explore").joinpath("page", name).read_text(encoding="utf-8")
    assert "</script" not in text and "</style" not in text
    return text


@cache
def _engine() -> str:
    return _packed(_file("layout.js"))


def _packed(text: str) -> str:
    return b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()
