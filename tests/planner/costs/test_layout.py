"""Which layouts are offered."""

from __future__ import annotations

import pytest
from serving_helpers import one_layout, tiny

from planner.costs.layout import enumerate_layouts
from planner.instance.loading_case import load_case


@pytest.mark.parametrize("case", ["tiny_mixtral_island", "dsv3_2xnvl72", "dsv3_h800_day"])
def test_every_layout_divides_as_engines_need(case: str) -> None:
    """GPUs, heads, experts and their shards come out whole; every expert has a slot; TP stays inside a domain."""
    instance = load_case(case)
    model, pool = instance.model, instance.pools[0]
    layouts = enumerate_layouts(model, pool, instance.search)
    sizes = layouts.tensor_parallel * layouts.data_parallel * layouts.pipeline_parallel
    assert set(sizes.tolist()) <= set(instance.search.deployment_gpus)
    assert (model.attention.heads % layouts.tensor_parallel == 0).all()
    assert (layouts.stage_gpus % layouts.expert_parallel == 0).all()
    assert (model.expert_intermediate_size % layouts.expert_shards == 0).all()
    assert (layouts.expert_parallel * layouts.slots_per_gpu >= model.routed_experts).all()
    assert (layouts.tensor_parallel <= pool.gpus_per_domain).all()
    assert (layouts.whole_domains * pool.gpus_per_domain + layouts.fragment_gpus == sizes).all()
    rows = list(zip(*(column.tolist() for column in vars(layouts).values() if hasattr(column, "tolist")), strict=True))
    assert len(set(rows)) == len(rows)


def test_sizes_that_are_no_powers_of_two() -> None:
    """Ten GPUs with one slot more than needed are offered: 256 experts over 10 ranks take 26 slots, or 27."""
    instance = load_case("dsv3_2xnvl72")
    layouts = enumerate_layouts(instance.model, instance.pools[0], instance.search)
    ten = layouts.take((layouts.gpus == 10) & (layouts.tensor_parallel == 1))
    assert set(ten.slots_per_gpu.tolist()) >= {26, 27, 28}


def test_dense_model_takes_no_slots_and_no_data_parallel_ranks() -> None:
    """Llama-3.1-70B: copies of a dense model are replicas, so a replica has one rank a stage."""
    instance = load_case("tiny_mixtral_island", {"model": "llama-3.1-70b", "expert_load": None})
    layouts = enumerate_layouts(instance.model, instance.pools[0], instance.search)
    assert (layouts.slots_per_gpu == 0).all()
    assert (layouts.data_parallel == 1).all()
    assert len(layouts) == 3


def test_what_a_replica_takes_of_its_domains() -> None:
    """Twenty GPUs on islands of eight take two whole islands and four GPUs of another."""
    layouts = one_layout(tiny().pools[0], 1, 20, 1, 20, 1)
    assert layouts.whole_domains.tolist() == [2]
    assert layouts.fragment_gpus.tolist() == [4]
    assert layouts.stage_domains.tolist() == [3]
