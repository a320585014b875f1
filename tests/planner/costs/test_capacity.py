"""Capacities against exhaustive search, and the monotonicity on which the bound rests."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_helpers import machine, one_layout, tiny

from planner.costs.capacity import both_capacity, decode_capacity, largest_integer, prefill_capacity
from planner.costs.layout import enumerate_layouts
from planner.costs.tables import capacities_of, class_sets, undominated
from planner.instance.instance import Instance
from planner.instance.loading_case import load_case
from planner.judge.serving import report_deployment
from planner.judge.timing import Bench
from planner.plan import Deployment

if TYPE_CHECKING:
    from planner.instance.case import Phase

LAYOUT = (2, 1, 1, 2, 4)  # TP2, experts over both GPUs
WIDE = (1, 4, 1, 4, 2)  # attention copied over four ranks in lockstep


def rack() -> Instance:
    """Read the case of two racks."""
    instance = load_case("dsv3_2xnvl72")
    assert isinstance(instance, Instance)
    return instance


def judged(instance: Instance, layout: tuple[int, ...], phase: Phase, batch: int, prompts: int, rate: float) -> bool:
    """Ask the judge whether one balanced replica carries ``rate`` of the first class at this batch."""
    tensor, data, pipeline, experts, slots = layout
    deployment = Deployment(
        name="one",
        pool=instance.pools[0].name,
        phase=phase,
        replicas=1,
        tensor_parallel=tensor,
        data_parallel=data,
        pipeline_parallel=pipeline,
        expert_parallel=experts,
        slots_per_gpu=slots,
        decode_batch=batch,
        prefill_requests=prompts,
        requests_per_s={instance.demand[0].name: rate},
    )
    bench = Bench(instance, instance.pools[0], deployment, [1.0] * instance.model.moe_layers)
    return not report_deployment(bench).violations


def highest_rate(instance: Instance, layout: tuple[int, ...], phase: Phase, batch: int, prompts: int) -> float:
    """Bisect for the highest rate that the judge accepts at one batch, to 1e-6."""
    low, high = 0.0, 1e4
    while high - low > 1e-7 * high and high > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if judged(instance, layout, phase, batch, prompts, middle) else (low, middle)
    return low


@pytest.mark.parametrize("layout", [LAYOUT, WIDE])
def test_decode_capacity_is_the_best_batch_of_all(layout: tuple[int, ...]) -> None:
    """Of forty batches and those beside the tabulated one, the judge accepts no higher rate than the tabulated."""
    instance = tiny(demand__0__tpot_s=0.028)
    found = decode_capacity(machine(instance, one_layout(instance.pools[0], *layout)), instance.demand[:1], 4096)
    batch = int(found.batch[0])
    tried = {*range(1, batch + 3, -(-batch // 40)), batch - 1, batch, batch + 1}
    best = max(highest_rate(instance, layout, "decode", size, 0) for size in tried)
    assert found.requests_per_s[0, 0] == pytest.approx(best, rel=2e-6)


@pytest.mark.parametrize("layout", [LAYOUT, WIDE])
@pytest.mark.parametrize(("prompts", "ttft_s"), [(1, 0.6), (4, 1.5)])
def test_prefill_capacity_is_what_the_judge_accepts(layout: tuple[int, ...], prompts: int, ttft_s: float) -> None:
    """The tabulated rate is the highest one at which TTFT and utilisation hold."""
    instance = tiny(demand__0__ttft_s=ttft_s)
    found = prefill_capacity(machine(instance, one_layout(instance.pools[0], *layout)), instance.demand[:1], prompts)
    best = highest_rate(instance, layout, "prefill", 0, prompts)
    assert found.requests_per_s[0, 0] == pytest.approx(best, rel=5e-6)
    assert best > 0


@pytest.mark.parametrize(("tpot_s", "ttft_s"), [(0.05, 1.0), (0.05, 0.35), (0.2, 0.3), (0.3, 0.25)])
def test_mixed_capacity_is_close_to_the_best_batch(tpot_s: float, ttft_s: float) -> None:
    """The judge accepts the tabulated rate; at the best of all batches it accepts at most 20 % more.

    The table lengthens the step by the prompts of a full batch, the judge by those that really come, so it is the more
    generous one; the difference is the price of one table for every mix.
    """
    instance = tiny(demand__0__tpot_s=tpot_s, demand__0__ttft_s=ttft_s)
    found = both_capacity(machine(instance, one_layout(instance.pools[0], *LAYOUT)), instance.demand[:1], 4096)
    rate, batch = found.requests_per_s[0, 0], int(found.batch[0])
    assert judged(instance, LAYOUT, "both", batch, 1, rate)
    steps = sorted({1, 2, 4, 8, 16, 32, 64, 128, batch})
    best = max(highest_rate(instance, LAYOUT, "both", tried, 1) for tried in steps)
    assert rate <= best * (1 + 1e-6) <= 1.2 * rate


def test_mixed_replica_runs_where_one_place_is_already_too_many() -> None:
    """Where prefill cannot keep up with even one busy place, a replica carries what prefill allows."""
    instance = tiny(demand__0__output_tokens=1, demand__0__tpot_s=1.0, demand__0__ttft_s=0.3)
    found = both_capacity(machine(instance, one_layout(instance.pools[0], *LAYOUT)), instance.demand[:1], 4096)
    assert found.requests_per_s[0, 0] > 0
    assert judged(instance, LAYOUT, "both", int(found.batch[0]), 1, found.requests_per_s[0, 0])


def test_short_prompts_wait_for_the_long_batch() -> None:
    """Ranks in lockstep: a short TTFT that one long batch exceeds leaves a mixed prefill replica no capacity."""
    instance = tiny(demand__1__input_tokens=16384, demand__0__ttft_s=0.7)
    table = prefill_capacity(machine(instance, one_layout(instance.pools[0], *WIDE)), instance.demand, 1)
    alone = prefill_capacity(machine(instance, one_layout(instance.pools[0], *WIDE)), instance.demand[:1], 1)
    assert alone.requests_per_s[0, 0] > 0
    assert table.requests_per_s.max() == 0


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6))
@pytest.mark.parametrize("case", ["rack", "tiny", "short answers"])
def test_capacity_never_grows_with_imbalance(case: str, seed: int) -> None:
    """No capacity of any layout, phase and class set grows with the imbalance: else the bound would be none."""
    instance = {"rack": rack, "tiny": tiny, "short answers": lambda: tiny(demand__0__output_tokens=4)}[case]()
    layouts = enumerate_layouts(instance.model, instance.pools[0], instance.search)
    draw = np.random.default_rng(seed)
    shape = (len(layouts), instance.model.moe_layers)
    low = 1 + draw.random() * draw.exponential(0.3, shape)
    high = low + draw.random() * draw.exponential(0.3, shape)
    for phase in instance.search.phases:
        for positions in class_sets(instance.demand):
            classes = [instance.demand[index] for index in positions]
            before, after = (
                capacities_of(instance, machine(instance, layouts, imbalance), phase, classes)
                for imbalance in (low, high)
            )
            for one, other in zip(before, after, strict=True):
                assert np.all(other.requests_per_s <= one.requests_per_s * (1 + 1e-12))


@given(limits=st.lists(st.integers(-3, 200), min_size=1, max_size=20), largest=st.integers(0, 150))
def test_largest_integer_bisects(limits: list[int], largest: int) -> None:
    """The answer is the limit itself, within 0 and the largest."""
    column = np.array(limits, dtype=float)
    found = largest_integer(lambda batch: batch <= column, len(limits), largest)
    assert found.tolist() == np.clip(column, 0, largest).tolist()


@given(rows=st.lists(st.tuples(st.sampled_from([2, 4]), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12))
def test_undominated_keeps_a_better_row_of_the_same_size(rows: list[tuple[int, int, int]]) -> None:
    """A useful row that is dropped has a kept one of its size that carries as much of each class; no kept one has."""
    gpus = np.array([row[0] for row in rows])
    rates = np.array([row[1:] for row in rows], dtype=float)
    kept = undominated(gpus, rates).tolist()
    useful = [row for row in range(len(rows)) if rates[row].min() > 0]
    for row in useful:
        assert any(gpus[other] == gpus[row] and np.all(rates[other] >= rates[row]) for other in kept)
    for row in kept:
        rivals = [other for other in kept if other != row and gpus[other] == gpus[row]]
        assert not any(np.all(rates[other] >= rates[row]) for other in rivals)


def test_faster_parts_and_shorter_latencies_keep_the_shape() -> None:
    """Doubling every rate and halving every latency and overhead halves every step, at the same batch."""
    instance = tiny()
    pool = instance.pools[0]
    chip = pool.accelerator
    rates = {
        key: 2 * getattr(chip, key) for key in ("hbm_bytes_per_s", "scale_up_bytes_per_s", "scale_out_bytes_per_s")
    }
    latencies = {key: getattr(chip, key) / 2 for key in ("scale_up_latency_s", "scale_out_latency_s")}
    flop = {precision: 2 * rate for precision, rate in chip.flop_per_s.items()}
    profile = instance.calibration
    faster = instance.replace(
        pools=(
            dataclasses.replace(pool, accelerator=chip.model_copy(update={**rates, **latencies, "flop_per_s": flop})),
        ),
        calibration=profile.model_copy(
            update={
                "overheads": profile.overheads.model_copy(
                    update={key: value / 2 for key, value in profile.overheads.model_dump().items()}
                ),
                "network": profile.network.model_copy(
                    update={
                        key: getattr(profile.network, key) / 2
                        for key in ("all_reduce_latency_s", "all_to_all_latency_s", "pipeline_hop_s")
                    }
                ),
            }
        ),
        demand=tuple(
            entry.model_copy(update={"ttft_s": (entry.ttft_s or 0) / 2, "tpot_s": (entry.tpot_s or 0) / 2})
            for entry in instance.demand
        ),
    )
    layouts = enumerate_layouts(instance.model, pool, instance.search)
    for phase in instance.search.phases:
        slow, fast = (capacities_of(one, machine(one, layouts), phase, one.demand) for one in (instance, faster))
        for before, after in zip(slow, fast, strict=True):
            assert after.requests_per_s == pytest.approx(2 * before.requests_per_s, rel=1e-9)
            assert after.batch.tolist() == before.batch.tolist()
