"""Deployment layouts: how one replica of the model is cut over GPUs, as a table of columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.costs.shards import tensor_parallel_problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from planner.instance.case import SearchSpec
    from planner.instance.instance import Pool
    from planner.instance.model import MoeModel


@dataclass(frozen=True)
class Layouts:
    """Columns [layout] of integers, all of one pool.

    ``gpus = tensor_parallel * data_parallel * pipeline_parallel``. Attention is cut ``tensor_parallel`` ways and copied
    over ``data_parallel`` ranks; experts spread over ``expert_parallel`` ranks of a stage, each expert cut
    ``expert_shards`` ways; every GPU offers ``slots_per_gpu`` expert slots a layer. A dense model has
    ``expert_parallel = 1`` and no slots.
    """

    tensor_parallel: NDArray[np.int64]
    data_parallel: NDArray[np.int64]
    pipeline_parallel: NDArray[np.int64]
    expert_parallel: NDArray[np.int64]
    slots_per_gpu: NDArray[np.int64]
    gpus_per_domain: int

    @property
    def gpus(self) -> NDArray[np.int64]:
        """GPUs of one replica [layout]."""
        return self.tensor_parallel * self.data_parallel * self.pipeline_parallel

    @property
    def stage_gpus(self) -> NDArray[np.int64]:
        """GPUs of one pipeline stage [layout]."""
        return self.tensor_parallel * self.data_parallel

    @property
    def expert_shards(self) -> NDArray[np.int64]:
        """GPUs that share one expert [layout]."""
        return self.stage_gpus // self.expert_parallel

    @property
    def stage_domains(self) -> NDArray[np.int64]:
        """Scale-up domains that one stage spans [layout]."""
        return -(-self.stage_gpus // self.gpus_per_domain)

    @property
    def whole_domains(self) -> NDArray[np.int64]:
        """Domains that one replica takes whole [layout]."""
        return self.gpus // self.gpus_per_domain

    @property
    def fragment_gpus(self) -> NDArray[np.int64]:
        """GPUs of the last, partly used domain of one replica [layout]."""
        return self.gpus % self.gpus_per_domain

    def __len__(self) -> int:
        return len(self.tensor_parallel)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Layouts:
        """Keep some rows."""
        return Layouts(
            self.tensor_parallel[rows],
            self.data_parallel[rows],
            self.pipeline_parallel[rows],
            self.expert_parallel[rows],
            self.slots_per_gpu[rows],
            self.gpus_per_domain,
        )


def enumerate_layouts(model: MoeModel, pool: Pool, search: SearchSpec) -> Layouts:
    """Every layout the search allows that divides as engines need; memory is not looked at here."""
    rows = [
        row
        for gpus in search.deployment_gpus
        if gpus <= pool.gpus
        for row in _layouts_of_size(model, pool.gpus_per_domain, search, gpus)
    ]
    table = np.array(sorted(set(rows)), dtype=np.int64).reshape(-1, 5)
    tensor, data, pipeline, experts, slots = table.T
    return Layouts(tensor, data, pipeline, experts, slots, pool.gpus_per_domain)


def _layouts_of_size(
    model: MoeModel, gpus_per_domain: int, search: SearchSpec, gpus: int
) -> Iterator[tuple[int, int, int, int, int]]:
    for pipeline in search.pipeline_parallel:
        for tensor in search.tensor_parallel:
            if gpus % (pipeline * tensor) or pipeline > model.layers or tensor_parallel_problem(model, tensor):
                continue
            stage = gpus // pipeline
            if tensor > gpus_per_domain or (gpus > gpus_per_domain and gpus_per_domain % tensor):
                continue
            if pipeline > 1 and not _stages_align(stage, gpus_per_domain):
                continue
            for experts, slots in _expert_layouts(model, search, stage, tensor):
                yield tensor, stage // tensor, pipeline, experts, slots


def _stages_align(stage: int, gpus_per_domain: int) -> bool:
    return gpus_per_domain % stage == 0 or stage % gpus_per_domain == 0


def _expert_layouts(model: MoeModel, search: SearchSpec, stage: int, tensor: int) -> Iterator[tuple[int, int]]:
    if model.moe_layers == 0:
        if stage == tensor:
            yield 1, 0
        return
    for ranks in {stage, stage // tensor}:
        if tensor_parallel_problem(model, tensor, stage // ranks):
            continue
        fewest = -(-model.routed_experts // ranks)
        for extra in search.extra_slots_per_gpu:
            if fewest + extra <= model.routed_experts:
                yield ranks, fewest + extra
