"""Tables for pandas, where it is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rnngraph.diagnostics.errors import CannotDo


def frame(rows: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> Any:
    """A DataFrame of rows, or of columns by name. CannotDo where pandas is missing."""
    try:
        import pandas
    except ImportError:
        raise CannotDo("a DataFrame needs pandas, which is not installed", "E556", "`pip install pandas`") from None
    return pandas.DataFrame(rows)
