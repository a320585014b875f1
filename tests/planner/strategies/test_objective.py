"""Seconds and dollars of a map against closed forms on data-sheet peaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from routing_cases import clustered_routing

from planner.errors import InstanceError
from planner.instance.loading import load_accelerator, load_model
from planner.instance.prices import GpuPrice
from planner.instance.resolve import load_calibration
from planner.strategies.coactivation import CoActivation
from planner.strategies.local_search import LocalSearch
from planner.strategies.objective import StepModel, cost_report, step_seconds
from planner.strategies.problem import PlacementRequest
from planner.strategies.routed_traffic import routed_traffic
from planner.strategies.routing import TokenRouting
from planner.strategies.traffic_aim import TrafficAim

PARAMS = 3 * 4096 * 14336
"""Weights of a Mixtral-8x7B expert, bf16."""


def step(tokens_per_gpu: float) -> StepModel:
    """Mixtral-8x7B on H100 at data-sheet peaks: 3 bytes a number there and back, no latency of collectives."""
    return StepModel(load_model("mixtral-8x7b"), load_accelerator("h100"), load_calibration("ideal"), tokens_per_gpu)


def pairs(count: int = 8) -> TokenRouting:
    """Tokens that choose experts (0, 1), (2, 3), ...: each expert a quarter of the tokens."""
    return TokenRouting((np.arange(8).reshape(4, 2)[np.arange(count) % 4],))


def request_of(routing: TokenRouting, gpus: int = 8, slots: int = 1, **options: int) -> PlacementRequest:
    """Mixtral's eight experts."""
    return PlacementRequest(routing.load(8), gpus, slots, **options)  # type: ignore[arg-type]


def seconds(request: PlacementRequest, routing: TokenRouting, model: StepModel, row: list[int]) -> tuple[float, float]:
    """Expert and link seconds of one map row."""
    found = step_seconds(request, np.array([row]), model, routed_traffic(request, np.array([row]), routing))
    return float(found.expert[0]), float(found.link[0])


def test_small_steps_read_the_experts_touched() -> None:
    """One token a GPU: 2 of 8 tokens choose an expert; it is read with the chance 1 - (3/4)^8."""
    chip = load_accelerator("h100")
    expert, _ = seconds(request_of(pairs()), pairs(), step(1.0), list(range(8)))
    assert expert == pytest.approx((1 - 0.75**8) * PARAMS * 2 / chip.hbm_bytes_per_s)


def test_large_steps_compute_the_tokens() -> None:
    """A hundred thousand tokens a GPU: each expert computes a quarter of all, two FLOP a weight."""
    chip = load_accelerator("h100")
    expert, _ = seconds(request_of(pairs()), pairs(), step(1e5), list(range(8)))
    assert expert == pytest.approx(2 * PARAMS * (8e5 / 4) / chip.flop_per_s["bf16"])


def test_links_carry_a_token_once_or_once_an_expert() -> None:
    """Pairs on one GPU of four: 1/4 of the tokens go there, 3/4 of them from elsewhere; else twice."""
    chip, routing = load_accelerator("h100"), pairs()
    request, model = request_of(routing, 4, 2), step(1e5)
    _, once = seconds(request, routing, model, list(range(8)))
    latency = 2 * chip.scale_up_latency_s
    assert once - latency == pytest.approx(4e5 * 0.25 * 0.75 * 4096 * 3 / chip.scale_up_bytes_per_s)
    _, twice = seconds(request, routing, replace(model, deduplicate=False), list(range(8)))
    assert twice - latency == pytest.approx(2 * (once - latency))


def test_nodes_are_priced_by_the_scale_out_links() -> None:
    """Two nodes of eight: half of the tokens go to each node's experts and half of those come from the other."""
    chip, routing = load_accelerator("h100"), pairs()
    request = request_of(routing, 16, 1, gpus_per_node=8)
    row = [*range(8), 4, 5, 6, 7, 0, 1, 2, 3]
    _, link = seconds(request, routing, step(1e5), row)
    # each expert has a copy on both nodes: even dispatch sends half of the choices to each, so 3/4 of the tokens
    expected = 16e5 * 0.75 * 0.5 * 4096 * 3 / (8 * chip.scale_out_bytes_per_s)
    assert link - 2 * chip.scale_out_latency_s == pytest.approx(expected)


def test_racks_above_the_domain_pay_the_oversubscription() -> None:
    """Racks of one node each: the rack's port carries what the node's does, at a quarter of the rate."""
    chip, routing = load_accelerator("h100"), pairs()
    row = [*range(8), 4, 5, 6, 7, 0, 1, 2, 3]
    flat = seconds(request_of(routing, 16, 1, gpus_per_node=8), routing, step(1e5), row)[1]
    racked = request_of(routing, 16, 1, gpus_per_node=8, nodes_per_rack=1)
    slow = seconds(racked, routing, replace(step(1e5), oversubscription=4.0), row)[1]
    latency = 2 * chip.scale_out_latency_s
    assert slow - latency == pytest.approx(4 * (flat - latency))


def test_domains_must_be_told() -> None:
    """Sixteen H100 fill two scale-up domains of eight: without nodes there is no price for what crosses."""
    with pytest.raises(InstanceError, match="several scale-up domains of 8"):
        seconds(request_of(pairs(), 16, 1), pairs(), step(1.0), [*range(8), *range(8)])


def test_dollars_of_an_hour_and_of_replicas() -> None:
    """Eight spare copies of 352 MB on 8 GPUs at 2 USD: the shares of an hour add up to 16 USD, memory comes on top."""
    routing = pairs()
    request = request_of(routing, 8, 2)
    model = replace(step(100.0), price=GpuPrice(2.0, "mine", "2026-01", "a test"))
    rows = np.array([[*range(8), *range(8)]])
    report = cost_report(request, step_seconds(request, rows, model, routed_traffic(request, rows, routing)), model)
    hour = report["usd"]["per_hour"]
    assert report["replica_memory_bytes"] == 8 * PARAMS * 2
    assert hour["replica_memory"] == pytest.approx(2.0 * 8 * PARAMS * 2 / model.accelerator.hbm_bytes)
    assert hour["expert"] + hour["imbalance"] + hour["link"] == pytest.approx(16.0)
    assert hour["total"] == pytest.approx(16.0 + hour["replica_memory"])
    assert report["usd"]["per_million_tokens"] == pytest.approx(
        hour["total"] / 3600 * report["step_seconds"]["total"] / 800 * 1e6
    )


def test_the_search_minimises_seconds() -> None:
    """Blocks on four nodes of two GPUs with slow links between: fewer seconds than the balanced placement's."""
    routing = clustered_routing(512, 3, experts=128, racks=1)
    chip = load_accelerator("h100").model_copy(update={"scale_up_domain_gpus": 2})
    model = StepModel(load_model("qwen3-30b-a3b"), chip, load_calibration("hand_set"), 2048.0)
    request = PlacementRequest(routing.load(128), 8, 16, gpus_per_node=2, traffic=TrafficAim(routing, step=model))
    totals = []
    for strategy in (LocalSearch(), CoActivation()):
        rows = strategy.place(request).physical_to_logical_map
        traffic = routed_traffic(request, rows, routing)
        totals.append(step_seconds(request, rows, model, traffic).total)
    assert traffic.distinct[0, 1] < 1.6
    assert totals[1] < 0.75 * totals[0]
