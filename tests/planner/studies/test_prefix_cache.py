"""Where prefixes are kept, decided with the fleet: the shipped case, small ones against every choice, and faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from planner.documents import json_ready
from planner.errors import InstanceError
from planner.instance.instance import Instance
from planner.instance.loading_case import load_case
from planner.judge.evaluate import evaluate
from planner.plan import CacheChoice, Plan, read_plan
from planner.report.text import render_text
from planner.solver.options import SolveOptions
from planner.studies.payload import answer_payload
from planner.studies.serving import ServingAnswer, solve_serving

if TYPE_CHECKING:
    from pathlib import Path

CASE = "dsv3_prefix_cache"
SMALL = """
name = "small"
title = "small"
model = "mixtral-8x7b"
calibration = "hand_set"
[[pools]]
name = "h100"
hardware = "h100"
usd_per_gpu_hour = 2.0
price_source = "a round figure"
billing = "gpu"
[[demand]]
name = "chat"
requests_per_s = 20
input_tokens = 8192
output_tokens = 64
ttft_s = "4 s"
[[prefixes]]
name = "system"
demand = "chat"
tokens = 2048
live = 5
reuse_interval_s = "1 s"
[[prefixes]]
name = "turns"
demand = "chat"
tokens = 7168
live = 900
reuse_interval_s = "60 s"
hit_ceiling = 0.8
[cache]
allowed = ["hbm", "ddr", "flash"]
devices_per_host = {ddr = 2, flash = 4}
[search]
deployment_gpus = [2, 4]
tensor_parallel = [1, 2]
extra_slots_per_gpu = [0]
phases = ["prefill", "decode"]
"""


def solved(gap: float = 1e-3, **changes: object) -> ServingAnswer:
    """Solve the shipped case; ``__`` in a keyword stands for a dot of ``--set``."""
    instance = load_case(CASE, {key.replace("__", "."): value for key, value in changes.items()})
    assert isinstance(instance, Instance)
    return solve_serving(instance, SolveOptions(gap=gap, time_limit_s=30))


@pytest.fixture(scope="module")
def answer() -> ServingAnswer:
    """Plan of the shipped case."""
    return solved()


def small(tmp_path: Path, **changes: object) -> Instance:
    """Read the small case with changes."""
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    instance = load_case(path, {key.replace("__", "."): value for key, value in changes.items()})
    assert isinstance(instance, Instance)
    return instance


def test_the_shipped_case_falls_by_a_certified_amount(answer: ServingAnswer) -> None:
    """Computing all prefixes costs at least 2,896 $/h and HBM alone at least 1,740; with flash it is 1,153.60."""
    nothing = solved(cache__allowed=[])
    hbm = solved(gap=0.05, cache__allowed=["hbm"])
    assert nothing.bound_usd == pytest.approx(2896.0, rel=2e-3)
    assert 1740.0 < hbm.bound_usd <= hbm.cost_usd < 1905.0
    assert answer.cost_usd == pytest.approx(1153.6, rel=2e-3)
    assert answer.gap <= 1e-3
    assert answer.cost_usd < 0.67 * hbm.bound_usd < 0.67 * nothing.bound_usd
    for entry in (answer, nothing, hbm):
        assert entry.evaluator_relative_difference <= 1e-6


@pytest.mark.parametrize("tier", ["ddr", "flash"])
def test_one_tier_of_the_shipped_case_is_never_cheaper(answer: ServingAnswer, tier: str) -> None:
    """What one tier alone reaches is open to all together: the bound of the whole case lies below it."""
    assert answer.bound_usd <= solved(cache__allowed=[tier]).cost_usd * (1 + 1e-9)


def test_the_answer_says_where_prefixes_lie(answer: ServingAnswer) -> None:
    """The JSON names a tier for each prefix, parts of the cost sum up, and the text shows both tables."""
    payload: dict[str, Any] = json_ready(answer_payload(answer, [], {}))
    kept = payload["decisions"]["cache"]
    (history,) = (entry for entry in kept["prefixes"] if entry["prefix"] == "history")
    assert history["kept"][0]["tier"] == "flash"
    assert history["hit_share"] == pytest.approx(0.95)
    assert sum(payload["breakdown_usd"].values()) == pytest.approx(payload["cost_usd"])
    assert payload["breakdown_usd"]["cache"] > 0
    assert sum(entry["requests_per_s"] for entry in payload["demand"]) == pytest.approx(80.0)
    text = render_text(payload)
    assert "where their KV is kept" in text
    assert "Where prefixes lie" in text


def test_a_plan_survives_its_file_and_the_judge(answer: ServingAnswer, tmp_path: Path) -> None:
    """Written and read again it costs the same and breaks no limit."""
    path = tmp_path / "plan.json"
    answer.plan.write(path)
    found = evaluate(answer.instance, read_plan(path))
    assert found.feasible
    assert found.cost_usd == answer.cost_usd


def changed(plan: Plan, **changes: object) -> Plan:
    """Change what a plan keeps."""
    assert plan.cache is not None
    return plan.model_copy(update={"cache": plan.cache.model_copy(update=changes)})


def test_the_judge_notices_every_fault(answer: ServingAnswer) -> None:
    """Too few devices, too many for the hosts, a prefix too large for HBM, unknown names and no cache at all."""
    plan = answer.plan
    assert plan.cache is not None
    in_hbm = tuple(entry.model_copy(update={"tier": "hbm"}) for entry in plan.cache.holdings)
    twice = (*plan.cache.holdings, plan.cache.holdings[0])
    unknown = (plan.cache.holdings[0].model_copy(update={"prefix": "nobody's"}),)
    faults = {
        "of its bytes/s": changed(plan, devices={"flash": 7}),
        "places": changed(plan, devices={"flash": 10_000}),
        "hbm holds": changed(plan, holdings=in_hbm),
        "is kept in 2 ways": changed(plan, holdings=twice),
        "no prefix nobody's": changed(plan, holdings=unknown),
        "no tier tape": changed(plan, devices={"tape": 1}),
        "agent: prefill serves": plan.model_copy(update={"cache": CacheChoice()}),
    }
    for words, fault in faults.items():
        found = evaluate(answer.instance, fault).violations
        assert any(words in text for text in found), (words, found)


def test_same_optimum_as_plain_cases_written_by_hand(tmp_path: Path) -> None:
    """Kept in CPU memory, 12 of 20 requests/s compute an eighth: a plain case of two classes and two devices by hand.

    900 prefixes of 7,168 tokens at 131,072 B take 846 GB, two devices of 480 GB at 0.10 $.
    """
    head, tail = SMALL.split("[[prefixes]]", maxsplit=1)
    untimed = head.replace('ttft_s = "4 s"\n', "")
    search = "[search]" + tail.split("[search]")[1]
    hits = '[[demand]]\nname = "hits"\nrequests_per_s = 12\ninput_tokens = 8192\noutput_tokens = 64\n'
    hits += "cached_share = 0.875\n"
    turns = "[[prefixes]]" + tail.split("[[prefixes]]")[1].split("[cache]")[0]
    cache = '[cache]\nallowed = ["ddr"]\nwrite = "first_use"\ndevices_per_host = {ddr = 64}\n'
    texts = {
        "none": untimed + search,
        "hits": untimed.replace("requests_per_s = 20", "requests_per_s = 8") + hits + search,
        "cache": untimed + turns + cache + search,
    }
    costs = {}
    for name, text in texts.items():
        path = tmp_path / f"{name}.toml"
        path.write_text(text)
        instance = load_case(path)
        assert isinstance(instance, Instance)
        costs[name] = solve_serving(instance, SolveOptions(gap=1e-4, time_limit_s=15)).cost_usd
    assert costs["hits"] + 0.2 < costs["none"]
    assert costs["cache"] == pytest.approx(costs["hits"] + 0.2, rel=1e-9)


def test_more_tiers_never_cost_more(tmp_path: Path) -> None:
    """No tier, or one of three, is never cheaper than all three together; no tier is dearest."""
    choices: list[list[str]] = [[], ["hbm"], ["ddr"], ["flash"]]
    costs = [
        solve_serving(small(tmp_path, cache__allowed=some), SolveOptions(gap=1e-4, time_limit_s=15)).cost_usd
        for some in choices
    ]
    every = solve_serving(small(tmp_path), SolveOptions(gap=1e-4, time_limit_s=15)).cost_usd
    assert every <= min(costs) * (1 + 1e-9)
    assert costs[0] == max(costs)
    assert every < costs[0]


def test_second_use_and_spread_never_cost_more(tmp_path: Path) -> None:
    """More freedom, no higher cost: either write policy against first use alone, split kinds against whole ones."""
    first = solve_serving(small(tmp_path, cache__write="first_use"), SolveOptions(gap=1e-4, time_limit_s=15)).cost_usd
    either = solve_serving(small(tmp_path), SolveOptions(gap=1e-4, time_limit_s=15)).cost_usd
    split = solve_serving(small(tmp_path, cache__split=True), SolveOptions(gap=1e-4, time_limit_s=15)).cost_usd
    assert split <= either * (1 + 1e-9)
    assert either <= first * (1 + 1e-9)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prefixes.0.demand": "nobody"}, "no class nobody"),
        ({"prefixes.0.tokens": 8192}, "leave at least one token"),
        ({"prefixes.1.live": 9000}, "more than there are requests"),
        ({"demand.0.cached_share": 0.5}, "follows from the prefixes"),
        ({"cache.allowed": ["tape"]}, "no tier tape"),
        ({"cache.devices_per_host": {"hbm": 1}}, "no tier hbm"),
        ({"cache.tiers": "nothing"}, "no such file"),
        ({"cache.allowed": ["ddr", "ddr"]}, "tiers repeat"),
        ({"prefixes": []}, "there are none"),
        ({"prefixes.0.hit_ceiling": 0}, "greater than 0"),
    ],
)
def test_wrong_tables_are_named(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    """Each slip is told with file, key and remedy."""
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    with pytest.raises(InstanceError, match=words):
        load_case(path, changes)
