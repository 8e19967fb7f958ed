"""Random programs: whatever can be written, all ways to run it agree (see `tests/machine.py`)."""

from __future__ import annotations

import pytest

from tests.machine import findings

SEEDS = 8


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_wrong_with_a_random_program(seed: int) -> None:
    assert findings(seed) == []
