"""From the program's solution to a plan: every fragment gets its place, and no domain holds too much."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from planner.studies.assemble import _filled, _first_fit


@given(
    capacity=st.integers(2, 12),
    needed=st.dictionaries(st.integers(1, 12), st.one_of(st.integers(0, 9), st.just(10**9)), max_size=4),
)
def test_first_fit_places_every_fragment(capacity: int, needed: dict[int, int]) -> None:
    """As many fragments of each size as are needed, in domains that hold them; equal domains are counted."""
    needed = {size: count for size, count in needed.items() if size <= capacity and count}
    packed = _first_fit(capacity, needed)
    placed: Counter[int] = Counter()
    for pattern, domains in packed.items():
        assert 0 < sum(pattern) <= capacity
        placed.update({size: count * domains for size, count in Counter(pattern).items()})
    assert placed == needed


def test_domains_of_one_pattern_are_filled_in_order() -> None:
    """Three domains of 3+3 for four replicas of a and one of b: two hold a and a, the third b alone."""
    waiting = {3: {"a": 4, "b": 1}}
    kinds = _filled((3, 3), 3, waiting)
    assert {tuple(entry.deployment for entry in held): n for held, n in kinds.items()} == {("a", "a"): 2, ("b",): 1}
    assert waiting == {3: {"a": 0, "b": 0}}
