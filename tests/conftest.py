"""What several files of tests stand on."""

from __future__ import annotations

import gc
import io
import warnings
from pathlib import Path

import pytest

from tests.support.cores import keep_to_share

gc.set_threshold(200_000, 50, 50)
TESTS = 0
"""How many this process has begun."""


def pytest_configure() -> None:
    keep_to_share()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What stays (models that all tests share, compiled kernels) becomes old now and then, and is looked at no more.
    Nothing is frozen, for whoever asks whether something is takes a look at all of it."""
    global TESTS
    TESTS += 1
    if TESTS % 50 == 0:
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):  # not this test's, whosever it is
            gc.collect(1)


def pytest_unconfigure() -> None:
    """pytest looks for garbage five times when all is done, to tell of errors in destructors: once through all that
    stays is enough."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one model follow each other, and so are one process's: what it has compiled the next ones find."""
    from tests.support.models import ALL

    places = {name: place for place, name in enumerate(ALL)}

    def place(item: pytest.Item) -> int:
        given = item.callspec.params.values() if hasattr(item, "callspec") else ()
        return next((places[value] for value in given if isinstance(value, str) and value in places), len(places))

    items.sort(key=place)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with the files that the table of verbs names; some files of tests furnish their own."""
    from tests.support.verbs import furnish

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RNNGRAPH_TRACEBACK", raising=False)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    furnish(tmp_path)
    return tmp_path
