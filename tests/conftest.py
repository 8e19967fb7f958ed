"""What several files of tests stand on."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

gc.set_threshold(50_000, 50, 50)  # a sixth of the time went into looking through models that all tests share


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with the files that the table of verbs names; some files of tests furnish their own."""
    from tests.support.verbs import furnish

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RNNGRAPH_TRACEBACK", raising=False)
    furnish(tmp_path)
    return tmp_path
