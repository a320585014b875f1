"""What the report draws beside a plan, against the judge and against plain counting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from planner.judge.placement import imbalance_of_map
from planner.judge.timing import Bench, decode_terms, hop_s, stage_s
from planner.solver.options import SolveOptions
from planner.strategies.problem import PlacementRequest
from planner.strategies.result import assess
from planner.studies.api import open_serving_case
from planner.studies.curves import mean_context
from planner.studies.drawings import placement_views
from planner.studies.serving import solve_serving
from planner.studies.views import serving_views, views_text

if TYPE_CHECKING:
    from typing import Any

    from planner.strategies.result import PlacementResult
    from planner.studies.serving import ServingAnswer


@pytest.fixture(scope="module")
def answer() -> ServingAnswer:
    """Plan of the small case, solved."""
    return solve_serving(open_serving_case("tiny_mixtral_island"), SolveOptions(gap=1e-3))


@pytest.fixture(scope="module")
def views(answer: ServingAnswer) -> dict[str, Any]:
    """Its views."""
    return serving_views(answer)


def test_the_operating_point_is_the_judges(answer: ServingAnswer, views: dict[str, Any]) -> None:
    """The judge composes the same step layer by layer on its own: both agree to 1e-9."""
    by_name = {entry.name: entry for entry in answer.plan.deployments}
    assert views["curves"]
    for curve in views["curves"]:
        deployment = by_name[curve["deployment"]]
        pool = next(pool for pool in answer.instance.pools if pool.name == deployment.pool)
        rows = answer.plan.expert_maps[deployment.map_key]
        imbalance = imbalance_of_map(rows, deployment.slots_per_gpu, answer.instance.expert_load)
        bench = Bench(answer.instance, pool, deployment, imbalance)
        context = mean_context(answer.instance, deployment.requests_per_s)
        step = stage_s(bench, decode_terms(bench, context)) + hop_s(bench, float(deployment.decode_batch))
        assert curve["operating"]["step_s"] == pytest.approx(deployment.pipeline_parallel * step, rel=1e-9)


def test_cost_falls_and_time_grows_with_the_batch(views: dict[str, Any]) -> None:
    """More sequences share the weights: cost per token falls, the step gets longer, and never beats free arithmetic."""
    for curve in views["curves"]:
        assert all(np.diff(curve["step_s"]) >= 0)
        assert all(np.diff(curve["usd_per_million_tokens"]) <= 0)
        assert all(np.array(curve["step_s"]) >= 0.9999 * np.array(curve["read_s"]))


def test_nothing_chosen_lies_below_the_front(views: dict[str, Any]) -> None:
    """The front is of the best experts that are proven possible: no deployment is both as quick and cheaper."""
    assert views["fronts"]
    for front in views["fronts"]:
        quick = np.array(front["tpot_s"]) <= front["chosen"]["tpot_s"] * (1 + 1e-4)
        cheapest = np.array(front["usd_per_million_tokens"])[quick].min()
        assert front["chosen"]["usd_per_million_tokens"] >= cheapest * (1 - 1e-4)
        assert all(np.diff(front["tpot_s"]) > 0)
        assert all(np.diff(front["usd_per_million_tokens"]) < 0)


def test_drawn_loads_are_the_judges_imbalance(answer: ServingAnswer, views: dict[str, Any]) -> None:
    """In each layer loads average 1, and the largest is the judge's imbalance of the map."""
    assert views["drawings"]
    for drawing in views["drawings"]:
        rows = answer.plan.expert_maps[drawing["map"]]
        wanted = imbalance_of_map(rows, drawing["slots"], answer.instance.expert_load)
        load = np.array(drawing["load"])
        assert load.mean(axis=1) == pytest.approx(1.0, abs=1e-4)
        assert load.max(axis=1) == pytest.approx(wanted, abs=1e-4)


def test_views_are_plain_json(views: dict[str, Any]) -> None:
    """One line, no NaN, small."""
    text = views_text(views)
    assert text.count("\n") == 1
    assert len(text) < 50_000


def test_a_placement_counts_what_arrives() -> None:
    """Four experts of loads 4, 2, 1, 1 on four GPUs in two nodes: half, a quarter and twice an eighth land on each.

    Of an assignment that starts anywhere evenly, 3/4 of what lands on a GPU comes from another one, and 1/2 of what
    lands in a node from the other.
    """
    views = placement_views(*_placed(gpus=4), {"layers": []}, None)
    drawing = views["drawings"][0]
    assert drawing["load"] == [[2.0, 1.0, 0.5, 0.5]]
    assert drawing["port"] == [pytest.approx([0.375, 0.1875, 0.0938, 0.0938])]
    assert drawing["uplink"] == [pytest.approx([0.375, 0.125])]
    assert views["expert_load"] == [[2.0, 1.0, 0.5, 0.5]]


def test_a_huge_placement_is_not_drawn() -> None:
    """Beyond 2,048 GPUs only the numbers are kept."""
    views = placement_views(*_placed(gpus=2049), {"layers": []}, None)
    assert views["drawings"] == []
    assert views["summary"]["gpus"] == 2049


def _placed(gpus: int) -> tuple[PlacementRequest, PlacementResult]:
    load = np.array([[[4.0, 2.0, 1.0, 1.0]]])
    request = PlacementRequest(load=load, gpus=gpus, slots_per_gpu=1, gpus_per_node=2)
    return request, assess(request, np.arange(gpus)[None] % 4, 0.0, "by hand")
