from __future__ import annotations

import pytest

from planner.errors import InstanceError
from planner.strategies.redundancy import lowest_redundant, nearest_redundant, slots_per_gpu


@pytest.mark.parametrize(
    ("experts", "gpus", "lowest"),
    [
        (256, 3, 2),
        (256, 5, 4),
        (256, 7, 3),
        (256, 24, 8),
        (256, 32, 0),
        (384, 7, 1),
        (160, 3, 2),
        (128, 6, 4),
        (60, 8, 4),
        (8, 3, 1),
    ],
)
def test_the_lowest_valid_count(experts: int, gpus: int, lowest: int) -> None:
    """The rows of vllm issue 30075 (case BR01)."""
    assert lowest_redundant(experts, gpus) == lowest


def test_valid_counts_are_a_step_apart() -> None:
    """256 experts on 3 ranks: 2, 5, 8; 2 redundant give 86 slots a rank (case BR01)."""
    assert slots_per_gpu(256, 3, 2) == 86
    assert nearest_redundant(256, 3, 5) == (5, 5)
    assert nearest_redundant(256, 3, 6) == (5, 8)
    assert nearest_redundant(256, 3, 1) == (None, 2)


def test_a_count_that_does_not_fit_names_its_neighbours() -> None:
    """256 + 4 on EP 8 (TP 4 x DP 2) is invalid; nearest 0 or 8 (case BR03)."""
    with pytest.raises(InstanceError, match="nearest valid: 0 or 8"):
        slots_per_gpu(256, 8, 4)


def test_below_the_lowest_there_is_only_a_higher_one() -> None:
    """256 + 0 on 3 ranks: the nearest valid count is 2."""
    with pytest.raises(InstanceError, match="nearest valid: 2;"):
        slots_per_gpu(256, 3, 0)
