"""Requests per second that one replica of each layout carries inside the limits: the k_dc of the fleet program.

A replica may serve a set of classes. Its batch is then set for the longest context and the tightest limit of the set,
so every mix of the set is inside the limits; the price of that caution is in the bound (it is the model's bound).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.costs import memory, queueing
from planner.costs.network import pipeline_hop_s
from planner.costs.step import decode_terms, prefill_terms
from planner.costs.work import ACTIVATION_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from planner.costs.step import Machine
    from planner.instance.case import DemandClass

    Column = NDArray[np.float64]


@dataclass(frozen=True)
class Capacity:
    """What each layout can do for one set of classes.

    Attributes
    ----------
    requests_per_s
        [layout, class of the set]; 0 where the layout cannot meet the limits.
    batch
        [layout] sequences per attention rank and micro-batch (decode, both), 0 for prefill.
    prefill_requests
        [layout] prompts per attention rank and batch (prefill, both), 0 for decode.
    """

    requests_per_s: NDArray[np.float64]
    batch: NDArray[np.int64]
    prefill_requests: NDArray[np.int64]


def decode_capacity(machine: Machine, classes: Sequence[DemandClass], largest_batch: int) -> Capacity:
    """Capacity of decode replicas: the largest batch inside TPOT and memory, with square-root staffing."""
    context = max(demand.mean_context_tokens for demand in classes)
    limit = _tightest(demand.tpot_s for demand in classes)
    percentile = max(demand.percentile for demand in classes)
    places = batch_in_memory(machine, context)

    def meets(batch: Column) -> NDArray[np.bool_]:
        return (batch <= places) & (decode_period_s(machine, batch, context) <= limit)

    batch = largest_integer(meets, len(machine.layouts), largest_batch)
    concurrent = _concurrent(machine, batch, percentile)
    period = decode_period_s(machine, np.maximum(batch, 1.0), context)
    rates = [
        np.where(
            batch > 0, np.minimum(concurrent / (demand.output_tokens * period), _handed_over(machine, demand)), 0.0
        )
        for demand in classes
    ]
    return Capacity(np.stack(rates, axis=1), batch.astype(np.int64), np.zeros(len(batch), dtype=np.int64))


def prefill_capacity(machine: Machine, classes: Sequence[DemandClass], requests: int) -> Capacity:
    """Capacity of prefill replicas with ``requests`` prompts per attention rank and batch.

    One number of prompts a table: which is best depends on the mix, so that choice is the program's. Chosen here, a
    class could gain capacity as the imbalance grows, and the bound would fail.
    """
    rates = _prefill_capacity(machine, classes, requests)
    chosen = np.where(rates.any(axis=1), requests, 0)
    return Capacity(rates, np.zeros(len(chosen), dtype=np.int64), chosen.astype(np.int64))


def both_capacity(machine: Machine, classes: Sequence[DemandClass], largest_batch: int) -> Capacity:
    """Capacity of replicas that prefill and decode: each answer sits through the prompts of the others.

    Tokens/s are the least of what the places give and of what prefill has time for. The first grows with the batch and
    the second falls, so the best batch is one of the two beside their crossing.
    """
    mixed = _mixed(machine, classes)

    def meets(batch: Column) -> NDArray[np.bool_]:
        return np.asarray((batch <= mixed.places) & (mixed.period_s(batch) <= mixed.limit_s))

    def crossed(batch: Column) -> NDArray[np.bool_]:
        return meets(batch) & (mixed.tokens_of_places(batch) <= mixed.tokens_of_prefill(batch))

    below = largest_integer(crossed, len(machine.layouts), largest_batch)
    above = np.where((below < largest_batch) & meets(below + 1.0), below + 1.0, below)
    better = mixed.tokens_per_s(above) > mixed.tokens_per_s(below)
    tokens = np.where(better, mixed.tokens_per_s(above), mixed.tokens_per_s(below))
    batch = np.where(tokens > 0, np.where(better, above, below), 0.0)
    rates = [tokens / demand.output_tokens for demand in classes]
    return Capacity(np.stack(rates, axis=1), batch.astype(np.int64), (batch > 0).astype(np.int64))


@dataclass(frozen=True)
class _Mixed:
    """A replica for both phases at the longest context and tightest limits of its classes; one prompt a batch."""

    machine: Machine
    context_tokens: float
    limit_s: float
    percentile: float
    shortest_answer: int
    places: Column
    interval_s: Column
    budget_s: Column

    def period_s(self, batch: Column) -> Column:
        """Time [s] between two tokens of a sequence: a step, and the prompts of those who replace the finished."""
        prompts = batch * self.machine.layouts.pipeline_parallel / self.shortest_answer
        return np.asarray(decode_period_s(self.machine, batch, self.context_tokens) + prompts * self.interval_s)

    def tokens_of_places(self, batch: Column) -> Column:
        """Tokens/s of one replica whose places are staffed."""
        return _concurrent(self.machine, batch, self.percentile) / self.period_s(np.maximum(batch, 1.0))

    def tokens_of_prefill(self, batch: Column) -> Column:
        """Tokens/s at which prefill is as busy as TTFT allows; a prompt also waits for the running decode step."""
        stage = decode_terms(self.machine, batch, self.context_tokens).stage_s
        ceiling = self.machine.calibration.highest_utilisation
        busy = queueing.highest_utilisation(self.budget_s - stage, self.interval_s, self.percentile, ceiling)
        return np.asarray(busy * self.machine.layouts.data_parallel * self.shortest_answer / self.interval_s)

    def tokens_per_s(self, batch: Column) -> Column:
        """Tokens/s of one replica; 0 without a batch."""
        return np.minimum(self.tokens_of_places(batch), self.tokens_of_prefill(batch))


def _mixed(machine: Machine, classes: Sequence[DemandClass]) -> _Mixed:
    context = max(demand.mean_context_tokens for demand in classes)
    prompts = [_prefill_times(machine, np.ones(len(machine.layouts)), demand) for demand in classes]
    return _Mixed(
        machine=machine,
        context_tokens=context,
        limit_s=_tightest(demand.tpot_s for demand in classes),
        percentile=max(demand.percentile for demand in classes),
        shortest_answer=min(demand.output_tokens for demand in classes),
        places=batch_in_memory(machine, context),
        interval_s=np.max([times.interval_s for times in prompts], axis=0),
        budget_s=_waiting_budget(machine, classes, prompts),
    )


def decode_period_s(machine: Machine, batch: Column, context_tokens: float) -> Column:
    """Time [s] between two tokens of a sequence: every micro-batch passes every stage once."""
    stages = machine.layouts.pipeline_parallel
    hop = np.where(stages > 1, _hop_s(machine, batch), 0.0)
    return stages * (decode_terms(machine, batch, context_tokens).stage_s + hop)


def largest_integer(meets: Callable[[Column], NDArray[np.bool_]], length: int, largest: int) -> Column:
    """Largest integer in [0, largest] that ``meets`` accepts, by bisection; 0 where 1 is refused.

    Every limit grows with the batch, so what is refused once stays refused.
    """
    low, high = np.zeros(length), np.full(length, float(largest) + 1.0)
    while np.any(high - low > 1.0):
        middle = np.floor((low + high) / 2.0)
        accepted = meets(np.maximum(middle, 1.0)) & (middle >= 1.0)
        open_rows = high - low > 1.0
        low = np.where(open_rows & accepted, middle, low)
        high = np.where(open_rows & ~accepted, middle, high)
    return low


@dataclass(frozen=True)
class _PrefillTimes:
    """Seconds [layout]: between two batches, and of one batch from start to first token."""

    interval_s: Column
    latency_s: Column


def _prefill_times(machine: Machine, requests: Column, demand: DemandClass) -> _PrefillTimes:
    stages = machine.layouts.pipeline_parallel
    stage = prefill_terms(machine, requests, demand.input_tokens, demand.new_input_tokens).stage_s
    hop = np.where(stages > 1, _hop_s(machine, requests * demand.new_input_tokens), 0.0)
    return _PrefillTimes(interval_s=stage + hop, latency_s=stages * (stage + hop))


def _prefill_capacity(machine: Machine, classes: Sequence[DemandClass], requests: int) -> NDArray[np.float64]:
    column = np.full(len(machine.layouts), float(requests))
    times = [_prefill_times(machine, column, demand) for demand in classes]
    slowest = np.max([entry.interval_s for entry in times], axis=0)
    percentile = max(demand.percentile for demand in classes)
    budget = _waiting_budget(machine, classes, times)
    busy = queueing.highest_utilisation(budget, slowest / requests, percentile, machine.calibration.highest_utilisation)
    fits = _prefill_fits(machine, classes, requests)
    rates = []
    for demand, entry in zip(classes, times, strict=True):
        rate = busy * requests * machine.layouts.data_parallel / entry.interval_s
        rates.append(np.where(fits, np.minimum(rate, _handed_over(machine, demand)), 0.0))
    return np.stack(rates, axis=1)


def _handed_over(machine: Machine, demand: DemandClass) -> Column:
    """Requests/s whose prompt KV the replica's scale-out links can send to decode, or receive from prefill."""
    links = machine.calibration.network.scale_out * machine.accelerator.scale_out_bytes_per_s * machine.layouts.gpus
    return np.asarray(links / memory.kv_bytes_of_sequence(machine.model, demand.input_tokens))


def _waiting_budget(machine: Machine, classes: Sequence[DemandClass], times: Sequence[_PrefillTimes]) -> Column:
    """Time [s] that a prompt of any class may wait: TTFT less its own batch, the running batch and the first token.

    Ranks in lockstep all wait for the running batch, and it may hold the longest prompts of the set.
    """
    slowest = np.max([entry.interval_s for entry in times], axis=0)
    lockstep = np.where(machine.layouts.data_parallel > 1, slowest, 0.0)
    site = machine.calibration.ttft_chips.get(machine.accelerator.name, 1.0)
    budgets = [
        np.full(len(lockstep), np.inf)
        if demand.ttft_s is None
        else (demand.ttft_s - demand.prefix_fetch_s) / site - _first_token_s(machine) - entry.latency_s
        for demand, entry in zip(classes, times, strict=True)
    ]
    return np.asarray(np.min(budgets, axis=0) - lockstep)


def _first_token_s(machine: Machine) -> Column:
    """Time [s] [layout] before a first token besides prompts and steps: it grows with the layers, and by engine."""
    first, work = machine.calibration.first_token, machine.work
    if first is None:
        return np.full(len(work), machine.calibration.overheads.first_token_s)
    layers = work.stage_layers * (1.0 + work.special_attention_share) * machine.layouts.pipeline_parallel
    return np.asarray(first.base_s + first.per_layer_s * layers)


def _prefill_fits(machine: Machine, classes: Sequence[DemandClass], requests: int) -> NDArray[np.bool_]:
    longest = max(demand.input_tokens for demand in classes)
    return batch_in_memory(machine, float(longest)) >= requests


def batch_in_memory(machine: Machine, context_tokens: float) -> Column:
    """Sequences per attention rank and micro-batch whose KV fits beside the weights [layout]."""
    each = memory.kv_bytes_per_gpu(machine.model, 1.0, context_tokens, machine.layouts.tensor_parallel)
    return np.floor(np.maximum(room_bytes(machine), 0.0) / each)


def room_bytes(machine: Machine) -> Column:
    """Usable HBM of a GPU less its weights [layout]; negative where they do not fit."""
    layouts, limits = machine.layouts, machine.calibration.memory
    weights = memory.weight_bytes_per_gpu(
        machine.model,
        tensor_parallel=layouts.tensor_parallel,
        expert_shards=layouts.expert_shards,
        slots_per_gpu=layouts.slots_per_gpu,
        pipeline_parallel=layouts.pipeline_parallel,
    )
    usable = memory.usable_bytes(machine.accelerator.hbm_bytes, limits.usable_share, limits.reserve_bytes)
    return np.asarray(usable - weights)


def _concurrent(machine: Machine, batch: Column, percentile: float) -> Column:
    """Mean sequences in service of one replica [layout] when its places are free at ``percentile``."""
    places = batch * machine.layouts.data_parallel * machine.layouts.pipeline_parallel
    return np.asarray(queueing.staffed_sequences(places, percentile))


def _hop_s(machine: Machine, tokens: Column) -> Column:
    layouts, chip, links = machine.layouts, machine.accelerator, machine.calibration.network
    inside = layouts.gpus <= layouts.gpus_per_domain
    rate = np.where(inside, links.scale_up * chip.scale_up_bytes_per_s, links.scale_out * chip.scale_out_bytes_per_s)
    return np.asarray(
        pipeline_hop_s(
            tokens / layouts.tensor_parallel,
            machine.model.hidden_size * ACTIVATION_BYTES,
            bytes_per_s=rate,
            latency_s=links.pipeline_hop_s,
        )
    )


def _tightest(limits: object) -> float:
    present = [limit for limit in limits if limit is not None]  # type: ignore[attr-defined]
    return min(present, default=float("inf"))
