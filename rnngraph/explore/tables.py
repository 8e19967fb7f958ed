"""What many nodes share, each written once: texts of files, places in them, types, paths of instances."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from msgspec import Struct, field

from rnngraph.diagnostics.source import Source, Span
from rnngraph.ir.types import Type


class Tables(Struct):
    """Rows by what they are of; `of_span` and the others give the number of a row, -1 for none."""

    files: list[dict[str, Any]] = field(default_factory=list)
    spans: list[list[int]] = field(default_factory=list)
    types: list[dict[str, Any]] = field(default_factory=list)
    paths: list[list[str]] = field(default_factory=list)
    _rows: dict[Hashable, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"files": self.files, "spans": self.spans, "types": self.types, "paths": self.paths}

    def of_source(self, source: Source) -> int:
        return self._row(self.files, source, lambda: {"name": source.shown, "text": source.text})

    def of_span(self, span: Span | None) -> int:
        """File, first and last character, line."""
        if span is None:
            return -1
        file = self.of_source(span.source)
        place = [file, span.start, span.end, span.line]
        return self._row(self.spans, (span.source, span.start, span.end), lambda: place)

    def of_type(self, type: Type) -> int:
        return self._row(
            self.types, type, lambda: {"axes": list(type.axes), "shape": list(type.shape), "dtype": type.dtype}
        )

    def of_path(self, path: tuple[str, ...]) -> int:
        return self._row(self.paths, path, lambda: list(path))

    def _row(self, rows: list[Any], key: Hashable, make: Any) -> int:
        key = id(rows), key
        if key not in self._rows:
            self._rows[key] = len(rows)
            rows.append(make())
        return self._rows[key]
