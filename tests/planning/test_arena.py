"""Placing pieces by their lifetimes: never over one another, and near the bound."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from rnngraph.planning.arena import Piece, bound, placed

PIECES = st.lists(
    st.builds(
        lambda first, length, size: Piece(first, first + length, 64 * size),
        st.integers(0, 30), st.integers(0, 12), st.integers(1, 9),
    ),
    max_size=40,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(PIECES)
def test_pieces_alive_together_lie_apart(pieces: list[Piece]) -> None:
    found = placed(pieces)
    rooms = [(p, start, start + p.size) for p, start in zip(pieces, found.starts, strict=True)]
    for (a, low, high), (b, start, end) in combinations(rooms, 2):
        together = a.first <= b.last and b.first <= a.last
        assert not together or high <= start or end <= low
    assert all(low >= 0 and high <= found.height for _, low, high in rooms)
    assert found.height >= bound(pieces)


def test_the_bound_is_the_most_alive_at_once() -> None:
    assert bound([]) == 0
    assert bound([Piece(0, 3, 5), Piece(3, 4, 7), Piece(4, 9, 6)]) == 13


def test_room_is_used_again() -> None:
    """Long-lived pieces between short ones, as the steps of an unrolled program leave them."""
    pieces = [p for t in range(200) for p in (Piece(2 * t, 2 * t + 1, 640), Piece(2 * t + 1, 900 - t, 64))]
    assert placed(pieces).height <= 1.02 * bound(pieces)


def test_the_same_pieces_are_placed_the_same() -> None:
    pieces = [Piece(t % 17, t % 17 + t % 5, 64 * (1 + t % 7)) for t in range(120)]
    assert placed(pieces) == placed(pieces)
