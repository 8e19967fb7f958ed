"""Random programs: whatever can be written, all ways to run it agree (see `tests/support/machine.py`)."""

from __future__ import annotations

import pytest

from tests.support.machine import findings

SEEDS = 8


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_wrong_with_a_random_program(seed: int) -> None:
    assert findings(seed) == []


@pytest.mark.parametrize("seed", range(2))
def test_nor_with_random_loops_that_are_linear_in_their_states(seed: int) -> None:
    """A GPU does them in chunks of steps at once."""
    assert findings(seed, "linear") == []
