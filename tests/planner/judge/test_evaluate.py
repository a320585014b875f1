"""The judge accepts a sound plan at the price worked out by hand, and names every limit that a spoilt one breaks."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from serving_helpers import tiny

from planner.judge.evaluate import evaluate
from planner.judge.placement import imbalance_of_map
from planner.plan import Deployment, DomainContent, DomainUse, Plan

if TYPE_CHECKING:
    from planner.instance.instance import Instance

EIGHT = tuple(range(8))


@functools.cache
def instance() -> Instance:
    """Read the tiny case with even loads and rates of 2 and 1 requests/s."""
    return tiny(demand__0__requests_per_s=2, expert_load__sigma=0)


def sound_plan() -> Plan:
    """Write a prefill replica of four GPUs and two decode replicas of two, in one island."""
    shared: dict[str, Any] = {"pool": "h100", "pipeline_parallel": 1, "data_parallel": 1}
    rates = {"chat": 2.0, "document": 1.0}
    prefill = Deployment(
        name="prefill",
        phase="prefill",
        replicas=1,
        tensor_parallel=4,
        expert_parallel=4,
        slots_per_gpu=2,
        decode_batch=0,
        prefill_requests=1,
        requests_per_s=rates,
        **shared,
    )
    decode = Deployment(
        name="decode",
        phase="decode",
        replicas=2,
        tensor_parallel=2,
        expert_parallel=2,
        slots_per_gpu=4,
        decode_batch=16,
        prefill_requests=0,
        requests_per_s=rates,
        **shared,
    )
    holds = tuple(
        DomainContent(deployment=name, gpus=gpus) for name, gpus in (("prefill", 4), ("decode", 2), ("decode", 2))
    )
    maps = {"4x2": (EIGHT,) * 32, "2x4": (EIGHT,) * 32}
    return Plan(
        case="tiny_mixtral_island",
        deployments=(prefill, decode),
        domains=(DomainUse(pool="h100", domains=1, holds=holds),),
        expert_maps=maps,
    )


def spoilt(which: int, **changes: object) -> Plan:
    """Change one deployment of the sound plan."""
    plan = sound_plan()
    deployments = list(plan.deployments)
    deployments[which] = deployments[which].model_copy(update=changes)
    return plan.model_copy(update={"deployments": tuple(deployments)})


def with_holds(*pieces: tuple[str, int], domains: int = 1, pool: str = "h100") -> Plan:
    """Change what the island holds."""
    holds = tuple(DomainContent(deployment=name, gpus=gpus) for name, gpus in pieces)
    return sound_plan().model_copy(update={"domains": (DomainUse(pool=pool, domains=domains, holds=holds),)})


def with_map(row: tuple[int, ...], layers: int = 32) -> Plan:
    """Change the decode map."""
    return sound_plan().model_copy(update={"expert_maps": {"4x2": (EIGHT,) * 32, "2x4": (row,) * layers}})


def test_sound_plan_passes_at_its_price() -> None:
    """Eight GPUs at 2 $ are 16 $ an hour: four prefill, four decode, none idle."""
    found = evaluate(instance(), sound_plan())
    assert found.violations == []
    assert found.cost_usd == pytest.approx(16.0)
    assert found.breakdown_usd == pytest.approx({"prefill": 8.0, "decode": 8.0, "idle": 0.0})
    assert found.gpus_used == {"h100": 8}


def test_idle_gpus_of_a_rented_domain_are_paid() -> None:
    """Six GPUs of an island rented whole cost sixteen dollars, four of them for idle GPUs."""
    plan = with_holds(("prefill", 4), ("decode", 2))
    lighter = spoilt(1, replicas=1, decode_batch=40).model_copy(update={"domains": plan.domains})
    rented = instance().replace(
        pools=tuple(type(pool)(**{**pool.__dict__, "pays_idle_gpus": True}) for pool in instance().pools)
    )
    found = evaluate(rented, lighter)
    assert found.violations == []
    assert found.cost_usd == pytest.approx(16.0)
    assert found.breakdown_usd["idle"] == pytest.approx(4.0)
    assert evaluate(instance(), lighter).cost_usd == pytest.approx(12.0)


SPOILT = {
    "unknown pool": (lambda: spoilt(0, pool="b200"), "no pool named b200"),
    "unknown class": (lambda: spoilt(0, requests_per_s={"mail": 1.0}), "serves a class that the case does not have"),
    "negative rate": (lambda: spoilt(0, requests_per_s={"chat": -1.0}), "a request rate is negative"),
    "heads do not divide": (lambda: spoilt(1, tensor_parallel=3), "tensor_parallel does not divide the heads"),
    "ranks do not divide": (lambda: spoilt(1, expert_parallel=4), "expert_parallel does not divide the stage"),
    "too many stages": (lambda: spoilt(1, pipeline_parallel=33), "more pipeline stages than layers"),
    "tensor group over islands": (
        lambda: spoilt(1, tensor_parallel=16, expert_parallel=16, slots_per_gpu=1),
        "a tensor group or a pipeline stage straddles a domain",
    ),
    "stage over islands": (
        lambda: spoilt(1, tensor_parallel=2, data_parallel=3, pipeline_parallel=2),
        "a tensor group or a pipeline stage straddles a domain",
    ),
    "no batch": (lambda: spoilt(1, decode_batch=0), "decodes without a batch"),
    "no prompts": (lambda: spoilt(0, prefill_requests=0), "prefills without a batch"),
    "no map": (lambda: spoilt(1, slots_per_gpu=5), "no expert map 2x5"),
    "no request": (lambda: spoilt(1, requests_per_s={}), "decode: serves no request"),
    "demand unserved": (
        lambda: spoilt(1, requests_per_s={"chat": 1.9, "document": 1.0}),
        "chat: decode serves 1.9 of 2 requests/s",
    ),
    "too many sequences": (lambda: spoilt(1, decode_batch=2), "decode: decode places"),
    "batch too slow": (lambda: spoilt(1, decode_batch=3000), "decode: TPOT of chat"),
    "batch too large": (lambda: spoilt(1, decode_batch=3000), "decode: HBM"),
    "prompts too slow": (lambda: spoilt(0, prefill_requests=64), "prefill: TTFT of chat"),
    "prefill too busy": (
        lambda: spoilt(0, requests_per_s={"chat": 30.0, "document": 30.0}),
        "prefill: prefill utilisation",
    ),
    "shared name": (lambda: spoilt(0, name="decode"), "decode: 2 deployments have this name"),
    "piece missing": (lambda: with_holds(("prefill", 4), ("decode", 2)), "decode: 1 of 2 pieces of 2 GPUs are placed"),
    "piece too large": (
        lambda: with_holds(("prefill", 4), ("decode", 2), ("decode", 2), ("prefill", 2)),
        "a domain of 8 GPUs holds 10",
    ),
    "too many domains": (
        lambda: with_holds(("prefill", 4), ("decode", 2), ("decode", 2), domains=3),
        "3 domains in use, there are 2",
    ),
    "domains of no pool": (lambda: with_holds(("prefill", 4), pool="b200"), "domains of an unknown pool b200"),
    "map misses an expert": (lambda: with_map((0, 1, 2, 3, 4, 5, 6, 6)), "experts without a slot: [7]"),
    "map of other experts": (lambda: with_map((0, 1, 2, 3, 4, 5, 6, 8)), "expert ids outside 0..7"),
    "map too narrow": (lambda: with_map((0, 1, 2, 3, 4, 5, 6)), "7 slots, expected 8"),
    "map of other layers": (lambda: with_map(EIGHT, layers=31), "31 layers, the model has 32 MoE layers"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_spoilt_plan_is_refused_with_the_reason(what: str) -> None:
    """Each broken limit is named."""
    make, reason = SPOILT[what]
    found = evaluate(instance(), make())
    assert not found.feasible
    assert any(reason in violation for violation in found.violations), found.violations


def test_every_problem_is_listed() -> None:
    """Two broken deployments and a lost piece are all reported."""
    plan = spoilt(0, prefill_requests=0)
    plan = plan.model_copy(update={"domains": with_holds(("prefill", 4)).domains})
    found = evaluate(instance(), plan).violations
    assert len(found) == 2
    assert {text.split(":")[0] for text in found} == {"prefill", "decode"}


def test_piece_in_a_cheaper_pool_does_not_count() -> None:
    """A deployment is not placed by domains of another pool."""
    pool = instance().pools[0]
    cheap = type(pool)(**{**pool.__dict__, "name": "cheap", "usd_per_gpu_hour": 0.1})
    two = instance().replace(pools=(pool, cheap))
    plan = with_holds(("prefill", 4), ("decode", 2), ("decode", 2), pool="cheap")
    assert any("0 of 1 pieces" in text for text in evaluate(two, plan).violations)


def test_ttft_at_full_load_is_refused() -> None:
    """With a ceiling of 1 and prefill always busy the wait grows without end."""
    plan = sound_plan()
    full = instance().replace(calibration=instance().calibration.model_copy(update={"highest_utilisation": 1.0}))
    report = evaluate(full, plan).deployments[0]
    factor = (1 + 5e-7) / report.utilisation
    rates = {name: rate * factor for name, rate in plan.deployments[0].requests_per_s.items()}
    found = evaluate(full, spoilt(0, requests_per_s=rates)).violations
    assert any("TTFT of chat" in text for text in found)


def test_latencies_are_those_of_the_mix() -> None:
    """A document waits no less than a chat, and both get tokens at the same pace."""
    prefill, decode = evaluate(instance(), sound_plan()).deployments
    assert prefill.ttft_s["document"] > prefill.ttft_s["chat"] > 0
    assert decode.tpot_s["document"] == decode.tpot_s["chat"] > 0
    assert decode.memory_bytes < decode.usable_bytes
    assert sum(decode.terms_s.values()) >= decode.tpot_s["chat"]


def test_imbalance_of_a_map_by_hand() -> None:
    """Loads 4, 2, 1, 1 on two GPUs of three slots, the first and last expert twice: 2+2+1 over a mean of 4."""
    load = np.array([[4.0, 2.0, 1.0, 1.0]]) / 8
    assert imbalance_of_map([(0, 1, 2, 0, 3, 3)], 3, load) == pytest.approx([5 / 4])
    assert imbalance_of_map([(0, 1, 2, 3)], 2, load) == pytest.approx([6 / 4])
    assert imbalance_of_map([(0, 2, 1, 0, 3, 2)], 3, load) == pytest.approx([(2 + 0.5 + 2) / 4])
