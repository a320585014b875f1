"""Traffic of a map against plain enumeration of every source GPU and every choice of copy."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from planner.errors import InstanceError
from planner.strategies.problem import Dispatch, PlacementRequest
from planner.strategies.routed_traffic import estimated_traffic, routed_traffic, traffic_report
from planner.strategies.routing import TokenRouting

EXPERTS, GPUS, SLOTS = 5, 6, 2


def layout(dispatch: Dispatch, slots: int | np.ndarray = SLOTS) -> PlacementRequest:
    """Six GPUs, two a node, two nodes a rack: the second rack is half full."""
    return PlacementRequest(np.ones((1, 1, EXPERTS)), GPUS, slots, gpus_per_node=2, nodes_per_rack=2, dispatch=dispatch)


def enumerated(row: list[int], tokens: list[list[int]], dispatch: Dispatch) -> dict[str, np.ndarray]:
    """Distinct units, sends from outside and assignments from outside per token, at levels GPU, node, rack."""
    divisors = (1, 2, 4)
    holders = [[slot // SLOTS for slot, held in enumerate(row) if held == expert] for expert in range(EXPERTS)]
    totals = {name: np.zeros(3) for name in ("distinct", "sends", "assignments")}
    for token, source in product(tokens, range(GPUS)):
        choices = []
        for expert in token:
            eligible = holders[expert]
            if dispatch == "nearest":
                rack = [gpu for gpu in eligible if gpu // 4 == source // 4]
                node = [gpu for gpu in eligible if gpu // 2 == source // 2]
                eligible = node or rack or eligible
            choices.append(eligible)
        chance = 1.0 / GPUS / len(tokens) / np.prod([len(eligible) for eligible in choices])
        for chosen in product(*choices):
            for level, size in enumerate(divisors):
                units = [gpu // size for gpu in chosen]
                totals["distinct"][level] += chance * len(set(units))
                totals["sends"][level] += chance * len(set(units) - {source // size})
                totals["assignments"][level] += chance * sum(unit != source // size for unit in units)
    return totals


@pytest.mark.parametrize("dispatch", ["even", "nearest"])
@pytest.mark.parametrize("seed", range(4))
def test_every_copy_choice_enumerated(dispatch: Dispatch, seed: int) -> None:
    """Distinct units, sends and assignments equal the enumeration, with and without copies, on a ragged layout."""
    draw = np.random.default_rng(seed)
    row = np.concatenate([draw.permutation(EXPERTS), draw.permutation(EXPERTS), draw.integers(0, EXPERTS, 2)])
    tokens = [draw.permutation(EXPERTS)[:3].tolist() for _ in range(7)]
    traffic = routed_traffic(layout(dispatch), row[None], TokenRouting((np.array(tokens),)))
    expected = enumerated(row.tolist(), tokens, dispatch)
    np.testing.assert_allclose(traffic.distinct[0], expected["distinct"])
    np.testing.assert_allclose(traffic.per_level(traffic.sends), expected["sends"])
    np.testing.assert_allclose(traffic.per_level(traffic.assignments), expected["assignments"])


def test_links_sum_to_their_level() -> None:
    """Sends into the nodes add up to the level's, and so do the sends from node to node; bytes follow."""
    draw = np.random.default_rng(5)
    row = np.concatenate([np.arange(EXPERTS), draw.permutation(EXPERTS), [0, 1]])
    tokens = np.stack([draw.permutation(EXPERTS)[:2] for _ in range(9)])
    for dispatch in ("even", "nearest"):
        traffic = routed_traffic(layout(dispatch), row[None], TokenRouting((tokens,)))
        report = traffic_report(traffic, bytes_per_layer=1000.0)
        node = [link for link in report["links"] if link["level"] == "node"]
        wanted = report["levels"]["node"]["remote_destinations_per_token"]
        assert sum(link["sends_per_token"] for link in node) == pytest.approx(wanted)
        assert np.sum(report["node_to_node_sends_per_token"]) == pytest.approx(wanted)
        assert sum(link["bytes_per_step"] for link in node) == pytest.approx(1000.0 * wanted)


def test_a_dead_gpu_starts_no_tokens() -> None:
    """Two nodes of one GPU, the second dead: everything stays at home."""
    request = PlacementRequest(np.ones((1, 1, 2)), 2, np.array([2, 0]), gpus_per_node=1)
    traffic = routed_traffic(request, np.array([[0, 1, -1, -1]]), TokenRouting((np.array([[0, 1]]),)))
    assert traffic.distinct[0].tolist() == [1.0, 1.0]
    assert traffic.per_level(traffic.sends).tolist() == [0.0, 0.0]


def test_the_estimate_is_the_mean_of_independent_draws() -> None:
    """One expert a GPU, equal loads, two draws: 4 (1 - (3/4)^2) = 1.75 GPUs; of 2 assignments 3/4 leave."""
    request = PlacementRequest(np.ones((1, 1, 4)), 4, 1)
    traffic = estimated_traffic(request, np.arange(4)[None], top_k=2)
    assert traffic.destinations_per_token == pytest.approx(1.75)
    assert traffic.per_level(traffic.assignments)[0] == pytest.approx(1.5)


def test_routing_layers_match_moe_layers() -> None:
    """Recorded layers fit all layers of a table or its MoE layers, and nothing else."""
    rows = np.array([[0, 1]])
    assert [layer is None for layer in TokenRouting.of_layers([rows], [True, False]).layers] == [True, False]
    assert TokenRouting.of_layers([rows, rows], [False, False]).load(3).tolist() == [[[1, 1, 0], [1, 1, 0]]]
    with pytest.raises(InstanceError, match="has 3 layers, the loads have 1"):
        TokenRouting.of_layers([rows] * 3, [True, False])


def test_drawn_tokens_follow_the_loads() -> None:
    """Tokens drawn one expert each have the loads' shares; an expert without load is never drawn."""
    load = np.array([[6.0, 3.0, 1.0, 0.0], [0.0] * 4])
    routing = TokenRouting.drawn(load, 1, 4000, seed=0)
    assert routing.layers[1] is None
    np.testing.assert_allclose(routing.load(4)[0, 0] / 4000, [0.6, 0.3, 0.1, 0.0], atol=0.03)
    distinct = TokenRouting.drawn(load, 3, 50, seed=0).layers[0]
    assert distinct is not None
    assert np.sort(distinct, axis=1).tolist() == [[0, 1, 2]] * 50
