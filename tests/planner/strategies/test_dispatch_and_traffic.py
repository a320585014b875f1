from __future__ import annotations

import numpy as np
import pytest

from planner.strategies.problem import PlacementRequest
from planner.strategies.result import gpu_load, imbalance
from planner.strategies.traffic import destinations_per_token, remote_share

LOAD = np.array([[[8.0, 4.0, 4.0]]])
MAP = np.array([[0, 1, 0, 2]])
"""GPU 0: experts 0 and 1; GPU 1: experts 0 and 2."""


def test_even_dispatch_splits_over_copies() -> None:
    """8/2 + 4 on both GPUs."""
    assert gpu_load(MAP, LOAD, 2).tolist() == [[[8.0, 8.0]]]


def test_two_copies_on_a_gpu_count_as_two() -> None:
    """Copies of expert 0 on GPU 0, GPU 0 and GPU 1: two thirds of 9 and one third."""
    assert gpu_load(np.array([[0, 0, 0, 1]]), np.array([[9.0, 1.0]]), 2).tolist() == [[[6.0, 4.0]]]


def test_nearest_dispatch_keeps_tokens_in_the_node() -> None:
    """Three one-GPU nodes, copies of expert 0 on nodes 0 and 1: each its own third and half of node 2's third."""
    request = PlacementRequest(np.array([[[6.0, 3.0]]]), 3, 1, gpus_per_node=1, dispatch="nearest")
    assert gpu_load(np.array([[0, 0, 1]]), request.load, 3, request).tolist() == [[[3.0, 3.0, 3.0]]]
    uneven = PlacementRequest(np.array([[[6.0, 3.0]]]), 3, 2, gpus_per_node=2, dispatch="nearest")
    # node 0 (GPUs 0 and 1) has two copies of each and 2/3 of the sources, node 1 one copy of each and 1/3
    assert gpu_load(np.array([[0, 1, 1, 0, 0, 1]]), uneven.load, 3, uneven)[0, 0].tolist() == pytest.approx([3.0] * 3)


def test_nearest_dispatch_prefers_its_rack() -> None:
    """Four one-GPU nodes in racks of two: copies on nodes 0 and 2 serve a rack each."""
    load = np.array([[[8.0, 0.0]]])
    request = PlacementRequest(load, 4, 1, gpus_per_node=1, nodes_per_rack=2, dispatch="nearest")
    assert gpu_load(np.array([[0, 1, 0, 1]]), load, 4, request).tolist() == [[[4.0, 0.0, 4.0, 0.0]]]
    assert gpu_load(np.array([[0, 1, 1, 0]]), load, 4, request).tolist() == [[[4.0, 0.0, 0.0, 4.0]]]
    three = np.array([[0, 0, 0, 1]])
    # node 3 has no copy but shares a rack with node 2
    assert gpu_load(three, load, 4, request).tolist() == [[[2.0, 2.0, 4.0, 0.0]]]


def test_all_tokens_are_carried_under_any_dispatch() -> None:
    """Loads over GPUs sum to the tokens, partly filled node and rack included."""
    draw = np.random.default_rng(0)
    load = draw.random((2, 3, 10))
    placed = np.stack([np.concatenate([draw.permutation(10), draw.permutation(10)[:4]]) for _ in range(3)])
    for dispatch in ("even", "nearest"):
        request = PlacementRequest(load, 7, 2, gpus_per_node=2, nodes_per_rack=2, dispatch=dispatch)
        np.testing.assert_allclose(gpu_load(placed, load, 7, request).sum(axis=2), load.sum(axis=2))


def test_imbalance_is_over_speed() -> None:
    """Loads 2 and 4 on speeds 1 and 2 are level; equal speeds give 4 / 3; no load gives NaN."""
    load = np.array([[2.0, 4.0], [0.0, 0.0]])
    assert imbalance(load, np.array([1.0, 2.0]))[0] == pytest.approx(1.0)
    assert imbalance(load)[0] == pytest.approx(4 / 3)
    assert np.isnan(imbalance(load)[1])


@pytest.mark.parametrize("nodes", [2, 4])
def test_one_copy_leaves_the_node_with_share_r_minus_one_over_r(nodes: int) -> None:
    """Uniform sources, one copy an expert: (R - 1) / R of the assignments leave, whatever the placement."""
    draw = np.random.default_rng(nodes)
    load = draw.random((1, 2, 8))
    placed = np.stack([draw.permutation(8) for _ in range(2)])
    request = PlacementRequest(load, 8, 1, gpus_per_node=8 // nodes)
    assert remote_share(request, placed) == pytest.approx((nodes - 1) / nodes)


def test_a_copy_in_every_node_keeps_nearest_traffic_home() -> None:
    """Two nodes, every expert in both: nothing leaves under nearest dispatch, half does under even."""
    load = np.array([[[3.0, 1.0]]])
    placed = np.array([[0, 1, 0, 1]])
    near = PlacementRequest(load, 4, 1, gpus_per_node=2, dispatch="nearest")
    assert remote_share(near, placed) == pytest.approx(0.0)
    assert remote_share(PlacementRequest(load, 4, 1, gpus_per_node=2), placed) == pytest.approx(0.5)
    assert remote_share(PlacementRequest(load, 4, 1), placed) is None


def test_destinations_of_independent_draws() -> None:
    """Two level GPUs, two draws: 2 (1 - 1/4) = 1.5 distinct GPUs; one draw: 1."""
    request = PlacementRequest(LOAD, 2, 2)
    assert destinations_per_token(request, MAP, 2)[0, 0] == pytest.approx(1.5)
    assert destinations_per_token(request, MAP, 1)[0, 0] == pytest.approx(1.0)
