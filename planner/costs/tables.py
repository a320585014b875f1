"""CostTables: every candidate deployment with its price and its capacity, ready for a formulation."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.costs.cache_tables import cache_tables, class_sets_with_held, served_classes, spare_hbm_bytes
from planner.costs.capacity import Capacity, both_capacity, decode_capacity, prefill_capacity
from planner.costs.layout import Layouts, enumerate_layouts
from planner.costs.step import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from planner.costs.cache_tables import CacheTables
    from planner.instance.case import DemandClass, Phase
    from planner.instance.instance import Instance, Pool

    ImbalanceOf = Callable[[int, int], NDArray[np.float64]]

PHASES: tuple[Phase, ...] = ("prefill", "decode", "both")
_MOST_CLASSES_FOR_ALL_SUBSETS = 3


@dataclass(frozen=True)
class Candidate:
    """One deployment that the fleet program may choose. ``classes`` are positions in the list of classes served.

    ``spare_hbm_bytes`` is what one replica has room for of prefixes that are kept.
    """

    pool: int
    phase: Phase
    classes: tuple[int, ...]
    tensor_parallel: int
    data_parallel: int
    pipeline_parallel: int
    expert_parallel: int
    slots_per_gpu: int
    batch: int
    prefill_requests: int
    gpus: int
    whole_domains: int
    fragment_gpus: int
    spare_hbm_bytes: float = 0.0


@dataclass(frozen=True)
class CostTables:
    """What the fleet program reads.

    Attributes
    ----------
    candidates
        [candidate].
    requests_per_s
        [candidate, class] most requests/s of a class that one replica carries alone; 0 for classes it does not serve.
    demand_requests_per_s
        [class].
    usd_per_gpu
        [pool] price of one GPU over the horizon.
    pays_idle_gpus
        [pool] whether idle GPUs of a domain in use are paid.
    gpus_per_domain
        [pool].
    domains
        [pool]; None where there are as many as wanted.
    decode_surcharge
        Extra price of GPUs that decode, as a share of their rental: rollouts generated on as many of them.
    raw_candidates
        Number of layouts, class sets and prefill batches looked at before pruning.
    cache
        Where prefixes may be kept; None where the case has none.
    """

    candidates: tuple[Candidate, ...]
    requests_per_s: NDArray[np.float64]
    demand_requests_per_s: NDArray[np.float64]
    usd_per_gpu: tuple[float, ...]
    pays_idle_gpus: tuple[bool, ...]
    gpus_per_domain: tuple[int, ...]
    domains: tuple[int | None, ...]
    class_names: tuple[str, ...]
    pool_names: tuple[str, ...]
    raw_candidates: int
    decode_surcharge: float = 0.0
    cache: CacheTables | None = None


def build_tables(instance: Instance, imbalance_of: ImbalanceOf) -> CostTables:
    """Tabulate every candidate of an instance.

    Parameters
    ----------
    instance
        The instance.
    imbalance_of
        (expert_parallel, slots_per_gpu) -> [moe_layer] busiest over mean GPU load.
    """
    candidates: list[Candidate] = []
    rates: list[NDArray[np.float64]] = []
    raw = 0
    served = served_classes(instance)
    kept = None if instance.cache is None else cache_tables(instance, instance.cache)
    for position, pool in enumerate(instance.pools):
        machine = machine_of(instance, pool, enumerate_layouts(instance.model, pool, instance.search), imbalance_of)
        if not len(machine.layouts):
            continue
        for phase in instance.search.phases:
            sets = class_sets(instance.demand)
            for classes in sets if kept is None else class_sets_with_held(instance, kept, sets, phase):
                together = [served[index] for index in classes]
                options = capacities_of(instance, machine, phase, together)
                raw += len(machine.layouts) * len(options)
                offered = np.concatenate([option.requests_per_s for option in options])
                spare = [spare_hbm_bytes(instance, machine, phase, together, option) for option in options]
                gpus = np.tile(machine.layouts.gpus, len(options))
                for entry in undominated(gpus, offered, np.concatenate(spare)):
                    option, row = divmod(int(entry), len(machine.layouts))
                    room = float(spare[option][row])
                    candidates.append(_candidate(position, phase, classes, machine.layouts, options[option], row, room))
                    full = np.zeros(len(served))
                    full[list(classes)] = offered[entry]
                    rates.append(full)
    return CostTables(
        candidates=tuple(candidates),
        requests_per_s=np.array(rates).reshape(-1, len(served)),
        demand_requests_per_s=np.array([demand.requests_per_s for demand in served]),
        usd_per_gpu=tuple(pool.usd_per_gpu_hour * instance.case.horizon_hours for pool in instance.pools),
        pays_idle_gpus=tuple(pool.pays_idle_gpus for pool in instance.pools),
        gpus_per_domain=tuple(pool.gpus_per_domain for pool in instance.pools),
        domains=tuple(pool.domains for pool in instance.pools),
        class_names=tuple(demand.name for demand in served),
        pool_names=tuple(pool.name for pool in instance.pools),
        raw_candidates=raw,
        decode_surcharge=instance.decode_surcharge,
        cache=kept,
    )


def machine_of(instance: Instance, pool: Pool, layouts: Layouts, imbalance_of: ImbalanceOf) -> Machine:
    """Bind layouts to a pool's chip and look up the imbalance of each."""
    pairs = zip(layouts.expert_parallel.tolist(), layouts.slots_per_gpu.tolist(), strict=True)
    layers = instance.model.moe_layers
    rows = [imbalance_of(ranks, slots) if layers else np.ones(0) for ranks, slots in pairs]
    return Machine(
        model=instance.model,
        accelerator=pool.accelerator,
        calibration=instance.calibration,
        overlap_share=instance.overlap_share,
        layouts=layouts,
        imbalance=np.array(rows).reshape(len(layouts), layers),
    )


def capacities_of(instance: Instance, machine: Machine, phase: Phase, classes: Sequence[DemandClass]) -> list[Capacity]:
    """Capacity of every layout for one phase and one set of classes: one entry for each size of prefill batch."""
    search = instance.search
    if phase == "decode":
        return [decode_capacity(machine, classes, search.largest_decode_batch)]
    if phase == "prefill":
        return [prefill_capacity(machine, classes, requests) for requests in search.prefill_requests_per_rank]
    return [both_capacity(machine, classes, search.largest_decode_batch)]


def class_sets(demand: Sequence[DemandClass]) -> list[tuple[int, ...]]:
    """Class sets that get candidates: every subset of few classes, else singles and the whole."""
    positions = [index for index, entry in enumerate(demand) if entry.requests_per_s > 0]
    if len(positions) <= _MOST_CLASSES_FOR_ALL_SUBSETS:
        sizes: Sequence[int] = range(1, len(positions) + 1)
    else:
        sizes = (1, len(positions))
    return [subset for size in sizes for subset in itertools.combinations(positions, size)]


def undominated(
    gpus: NDArray[np.int64], rates: NDArray[np.float64], spare: NDArray[np.float64] | None = None
) -> NDArray[np.intp]:
    """Rows worth keeping: useful, and within their size no other row carries as much of every class.

    Of equal rows the first is kept. Lossless, since a replica's cost depends on its size alone. ``spare`` [row] counts
    as one more thing that is carried, where prefixes are kept in HBM.
    """
    kept: list[int] = []
    useful = rates.min(axis=1) > 0
    if spare is not None and spare.any():
        rates = np.column_stack([rates, spare])
    for size in np.unique(gpus):
        rows = np.flatnonzero((gpus == size) & useful)
        order = rows[np.lexsort((rows, -rates[rows].sum(axis=1)))]
        front: list[int] = []
        for row in order:
            if not any(np.all(rates[other] >= rates[row]) for other in front):
                front.append(int(row))
        kept += front
    return np.array(kept, dtype=np.intp)


def _candidate(
    pool: int,
    phase: Phase,
    classes: tuple[int, ...],
    layouts: Layouts,
    capacity: Capacity,
    row: int,
    spare_hbm_bytes: float,
) -> Candidate:
    return Candidate(
        pool=pool,
        phase=phase,
        classes=classes,
        tensor_parallel=int(layouts.tensor_parallel[row]),
        data_parallel=int(layouts.data_parallel[row]),
        pipeline_parallel=int(layouts.pipeline_parallel[row]),
        expert_parallel=int(layouts.expert_parallel[row]),
        slots_per_gpu=int(layouts.slots_per_gpu[row]),
        batch=int(capacity.batch[row]),
        prefill_requests=int(capacity.prefill_requests[row]),
        gpus=int(layouts.gpus[row]),
        whole_domains=int(layouts.whole_domains[row]),
        fragment_gpus=int(layouts.fragment_gpus[row]),
        spare_hbm_bytes=spare_hbm_bytes,
    )
