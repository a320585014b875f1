from __future__ import annotations

import itertools

import numpy as np
import pytest

from planner.strategies.migration import Links, Migration, Verdict, in_rounds, plan_migration
from planner.strategies.moves import Move, in_place, interchangeable, list_moves, moved_slots, relabel
from planner.strategies.problem import PlacementRequest
from planner.strategies.rounds import colour_edges, largest_degree


def random_edges(seed: int) -> list[tuple[int, int]]:
    """Draw a bipartite multigraph of up to 9 + 9 ends and 60 edges."""
    draw = np.random.default_rng(seed)
    return [(int(a), int(b)) for a, b in draw.integers(0, draw.integers(1, 10), (int(draw.integers(1, 60)), 2))]


@pytest.mark.parametrize("seed", range(60))
def test_rounds_are_as_many_as_the_largest_degree(seed: int) -> None:
    """Koenig's theorem: matchings, all edges, and exactly the largest number of edges at one end."""
    edges = random_edges(seed)
    colour = colour_edges(edges)
    degrees = np.bincount([a for a, _ in edges]).max(), np.bincount([b for _, b in edges]).max()
    assert sorted(set(colour)) == list(range(max(degrees)))
    assert largest_degree(edges) == max(degrees)
    for number in set(colour):
        own = [edge for edge, given in zip(edges, colour, strict=True) if given == number]
        assert len({a for a, _ in own}) == len({b for _, b in own}) == len(own)


def random_maps(seed: int, gpus: int = 6, slots: int = 4, experts: int = 18) -> tuple[np.ndarray, np.ndarray]:
    """Two maps of one layer, every expert placed, none twice on a GPU; shape [1, slots_total]."""
    draw = np.random.default_rng(seed)
    maps = []
    while len(maps) < 2:
        row = draw.permutation(np.concatenate([np.arange(experts), draw.integers(0, experts, gpus * slots - experts)]))
        if all(len(set(block)) == slots for block in row.reshape(gpus, slots).tolist()):
            maps.append(row[None])
    return maps[0], maps[1]


def apply(running: np.ndarray, migration: Migration, gpus: int) -> np.ndarray:
    """Carry the rounds out, a layer's arrivals held aside until its last round; shape [layer, gpu, slot]."""
    before = running.reshape(len(running), gpus, -1)
    after = before.copy()
    for layer, rounds in migration.rounds.items():
        for entry in rounds:
            sent = [move.source for move in entry if move.source is not None]
            assert len(set(sent)) == len(sent)
            assert len({move.target for move in entry}) == len(entry)
            for move in entry:
                assert move.source is None or move.expert in before[layer, move.source]
                after[layer, move.target, move.slot] = move.expert
    return after


@pytest.mark.parametrize("seed", range(20))
def test_the_rounds_turn_the_old_map_into_the_new(seed: int) -> None:
    """Slot by slot, once kept experts keep their slots; as many moves as moved slots."""
    running, planned = random_maps(seed)
    planned = in_place(running.reshape(6, 4), planned.reshape(6, 4)).reshape(1, -1)
    request = PlacementRequest(np.ones((1, 1, 18)), 6, 4)
    migration = plan_migration(request, running, planned)
    assert np.array_equal(apply(running, migration, 6).reshape(1, -1), planned)
    assert len(migration.moves) == moved_slots(running, planned, 6)[0]
    edges = [(move.source or 0, move.target) for move in migration.moves]
    assert len(migration.rounds.get(0, [])) == largest_degree(edges)


@pytest.mark.parametrize("seed", range(10))
def test_relabelling_is_the_best_of_all_permutations(seed: int) -> None:
    """Fewest moved slots over all 120 permutations of 5 GPUs."""
    running, planned = (entry.reshape(5, 4) for entry in random_maps(seed, gpus=5, experts=16))
    fewest = min(
        int(moved_slots(running.reshape(1, -1), planned[list(order)].reshape(1, -1), 5)[0])
        for order in itertools.permutations(range(5))
    )
    placed = relabel(running, planned, np.zeros(5, dtype=np.int64))
    assert int(moved_slots(running.reshape(1, -1), placed.reshape(1, -1), 5)[0]) == fewest
    assert sorted(map(sorted, placed.tolist())) == sorted(map(sorted, planned.tolist()))


def test_blocks_trade_places_only_among_equal_gpus() -> None:
    """GPU 0 is faster and GPU 3 in another node: only GPUs 1 and 2 form a class."""
    request = PlacementRequest(np.ones((1, 1, 4)), 4, 2, gpus_per_node=3, speed=np.array([2.0, 1, 1, 1]))
    classes = interchangeable(request).tolist()
    assert classes[1] == classes[2]
    assert len(set(classes)) == 3


def test_a_copy_comes_over_the_faster_link() -> None:
    """Expert 0 sits on GPU 1 (same node) and GPU 2: GPU 1 sends to GPU 0; expert 9 is nowhere: storage."""
    running = np.array([[5, 6], [0, 1], [0, 2], [3, 4]])
    planned = np.array([[0, 9], [0, 1], [0, 2], [3, 4]])
    moves = list_moves(running, planned, np.ones(4, dtype=np.bool_), np.array([0, 0, 1, 1]), 7)
    assert moves == [Move(7, 0, 1, 0, 0), Move(7, 9, None, 0, 1)]


def test_dead_gpus_send_nothing() -> None:
    """With GPU 1 dead the copy comes from the other node."""
    running = np.array([[5, 6], [0, 1], [0, 2], [3, 4]])
    planned = np.array([[0, 6], [-1, -1], [0, 2], [3, 4]])
    alive = np.array([True, False, True, True])
    assert list_moves(running, planned, alive, np.array([0, 0, 1, 1]), 0) == [Move(0, 0, 2, 0, 0)]


def test_a_round_takes_as_long_as_its_slowest_move() -> None:
    """44 MB: 0.1 s over scale-up at 440 MB/s, 1 s over scale-out at 44 MB/s; two rounds, one of each kind mixed."""
    links = Links(44e6, 440e6, 0.0, 44e6, 0.0, domain_gpus=2)
    near, far, also_near = Move(0, 1, 0, 1, 0), Move(0, 2, 3, 0, 0), Move(0, 3, 0, 1, 1)
    rounds = in_rounds([near, far, also_near])
    assert len(rounds) == 2
    assert Migration({0: rounds}, links).seconds == pytest.approx(1.0 + 0.1)
    assert Migration({0: rounds}, links).aside == 2


def test_break_even_of_the_published_slowdown() -> None:
    """Case BR08: 1003.39 s for 24 rearrangements, max over mean 1.069 before, 1.008 after: 733 s to break even."""
    verdict = Verdict(1.069, 1.008, 1003.39 / 24, remaining_s=463.11)
    assert verdict.migration_s == pytest.approx(41.81, rel=0.01)
    assert verdict.gain_fraction == pytest.approx(0.0571, rel=0.01)
    assert verdict.break_even_s == pytest.approx(733.0, rel=0.01)
    assert not verdict.pays
    assert Verdict(1.069, 1.008, 1003.39 / 24, remaining_s=740.0).pays
    assert Verdict(1.0, 1.1, 5.0, remaining_s=1e9).break_even_s is None
