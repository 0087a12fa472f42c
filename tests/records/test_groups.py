"""What is small is taken together, what is large stays alone, and nothing changes its place."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from batch.records.arrays import neighbours


@given(st.lists(st.integers(0, 12)), st.integers(1, 10))
def test_neighbours_fill_what_there_is_room_for(sizes: list[int], most: int) -> None:
    """No list is too large unless its only item is, and none could take the next item too."""
    found = list(neighbours(sizes, size=int, most=most))
    assert [size for group in found for size in group] == sizes
    assert all(group for group in found)
    assert all(sum(group) <= most or len(group) == 1 for group in found)
    assert all(sum(group) + after[0] > most for group, after in pairwise(found))
