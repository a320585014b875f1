"""Answers of the cost model for operating points of many models, chips and engines at once.

The step formulas are those of the tables (:mod:`planner.costs.step`); this file adds what a benchmark sees: requests in
flight that are partly in prefill (Little's law), prompts that hold up the others' tokens, the wait for the first token,
and two pools that feed each other.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.costs import memory
from planner.costs.layout import Layouts
from planner.costs.points import DECODE, DISAGGREGATED, ENGINES, PREFILL, Predictions
from planner.costs.step import StepTerms, decode_terms, prefill_terms
from planner.costs.work import Work, concatenate, work_of
from planner.instance.calibration import FirstToken

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.costs.points import ServingPoints, Workers
    from planner.instance.calibration import Calibration

    Column = NDArray[np.float64]

ROUNDS = 3
"""Rounds of Little's law between requests in prefill and in decode: the share in prefill is small, so few suffice."""
POOL_ROUNDS = 40
DAMPING = 0.4
LEAST_KV_SHARE = 0.02
"""A deployment that ran had some room for KV, whatever the sum of its weights says: at least this share of HBM."""
UNSTATED_IMBALANCE = 1.12
"""Busiest GPU over the mean where a wide deployment says nothing: TensorRT-LLM measures 1.115 with 32 redundant experts
on 36 GPUs (its wide-EP design note)."""
HAND_FIRST_TOKEN = FirstToken(
    base_s=0.05,
    per_layer_s=0.0,
    queue_share=0.08,
    queue_rank_exponent=0.5,
    interference=1.0,
    interference_rank_exponent=0.5,
)
"""Hand values of the serving prototype (2026-11-25): 30 + 20 ms, kap .08, exponents .5, interference 1."""


@dataclass(frozen=True, eq=False)
class Pool:
    """Workers of points as a table for the step formulas, under one profile."""

    work: Work
    calibration: Calibration
    overlap_share: Column
    imbalance: Column
    """[point, 1]."""


@functools.lru_cache(maxsize=64)
def _work(points: ServingPoints, *, prefill: bool) -> tuple[Work, Column, Column]:
    """Work of one pool's workers, their weight bytes and the KV bytes of one request on one GPU [point]."""
    workers = points.prefill_workers if prefill else points.workers
    parts, order, weights, kept = [], [], np.empty(len(points)), np.empty(len(points))
    pairs = np.stack([points.model, points.accelerator], axis=1)
    for model_place, chip_place in np.unique(pairs, axis=0):
        rows = np.flatnonzero((points.model == model_place) & (points.accelerator == chip_place))
        model, chip = points.models[model_place], points.accelerators[chip_place]
        layouts = _layouts(workers, points.redundant_experts, rows, model.routed_experts, chip.scale_up_domain_gpus)
        parts.append(work_of(model, chip, layouts))
        order.append(rows)
        shards = workers.expert_shards[rows]
        weights[rows] = memory.weight_bytes_per_gpu(
            model,
            tensor_parallel=layouts.tensor_parallel,
            expert_shards=np.maximum(shards, 1.0),
            slots_per_gpu=layouts.slots_per_gpu,
            pipeline_parallel=layouts.pipeline_parallel,
        )
        longest = points.input_tokens[rows] + points.output_tokens[rows] / 2
        kept[rows] = memory.kv_bytes_of_sequence(model, longest, layouts.tensor_parallel.astype(np.float64))
    return concatenate(parts, np.argsort(np.concatenate(order))), weights, kept


def _layouts(
    workers: Workers, redundant: NDArray[np.int64], rows: NDArray[np.intp], experts: int, domain: int
) -> Layouts:
    """Layouts of some points of one model on one chip; slots are whole, as engines load them."""
    ranks = workers.expert_parallel[rows]
    slots = -(-(experts + redundant[rows]) // ranks) if experts else np.zeros(len(rows), np.int64)
    return Layouts(
        workers.tensor_parallel[rows],
        workers.data_parallel[rows],
        workers.pipeline_parallel[rows],
        ranks,
        slots,
        domain,
    )


def _pool(points: ServingPoints, calibration: Calibration, *, prefill: bool) -> Pool:
    work, _, _ = _work(points, prefill=prefill)
    across = work.expert_parallel > 8
    stated = np.where(np.isnan(points.imbalance), np.where(across, UNSTATED_IMBALANCE, 1.0), points.imbalance)
    share = np.where(points.overlapped, calibration.two_batch_overlap_share, 0.0)
    return Pool(work, calibration, share, stated[:, None])


def predict(points: ServingPoints, calibration: Calibration) -> Predictions:
    """Answer points under a profile.

    Parameters
    ----------
    points
        Operating points with finitely many requests in flight.
    calibration
        The profile; without ``first_token`` the prototype's hand values hold.

    Returns
    -------
    Predictions
        Columns [point]; NaN where a phase has no such figure.
    """
    answer = _Answer(points, calibration)
    alone = points.phase == PREFILL
    first = np.where(alone | (points.phase == DECODE), np.nan, answer.ttft_s)
    steps = np.where(alone, np.nan, answer.tpot_s)
    terms = {name: np.where(alone, np.nan, column) for name, column in answer.terms.items()}
    return Predictions(
        ttft_s=first,
        tpot_s=steps,
        tok_s_per_gpu=np.where(alone, np.nan, answer.tokens_per_s / points.gpus),
        input_tok_s_per_gpu=answer.input_tokens_per_s / points.gpus,
        terms=terms,
        ttft_terms={name: np.where(np.isnan(first), np.nan, column) for name, column in answer.first_terms.items()},
        weight_bytes_per_gpu=answer.weights,
        kv_bytes_per_gpu=answer.kept * answer.sequences / np.maximum(answer.ranks, 1.0),
        fits=answer.room >= answer.kept,
    )


class _Answer:
    """All figures of all points; each phase takes what it has."""

    def __init__(self, points: ServingPoints, calibration: Calibration) -> None:
        self.points, self.calibration = points, calibration
        self.first = calibration.first_token or HAND_FIRST_TOKEN
        self.decode = _pool(points, calibration, prefill=False)
        self.prefill = _pool(points, calibration, prefill=True)
        _, self.weights, self.kept = _work(points, prefill=False)
        limits = calibration.memory
        memory_bytes = np.array([chip.hbm_bytes for chip in points.accelerators])[points.accelerator]
        self.room = limits.usable_share * memory_bytes - float(limits.reserve_bytes) - self.weights
        self.ranks = points.workers.data_parallel * points.workers.pipeline_parallel.astype(np.float64)
        room = np.maximum(self.room, LEAST_KV_SHARE * memory_bytes)
        self.places = np.maximum(room / np.maximum(self.kept, 1.0), 1.0) * self.ranks
        self.prompt_s = self._prompt_s(points.new_input_tokens)
        self.answer_tokens = np.maximum(points.output_tokens, 1.0)
        self._solve()

    def _prompt_s(self, new_tokens: Column) -> Column:
        """Time [s] of one prompt of a worker whose other ranks have none: their GPUs share its experts."""
        points, one = self.points, np.ones(len(self.points))
        whole = prefill_terms(self.prefill, one, points.input_tokens, new_tokens)
        shared = prefill_terms(self.prefill, one / self.prefill.work.data_parallel, points.input_tokens, new_tokens)
        stages = points.prefill_workers.pipeline_parallel
        alone = StepTerms(
            whole.attention,
            whole.dense,
            shared.experts,
            whole.all_reduce,
            whole.all_to_all,
            whole.overhead,
            whole.overlap_share,
        )
        return np.asarray(alone.stage_s * stages)

    def _step(self, sequences: Column) -> tuple[Column, dict[str, Column]]:
        """Time [s] between two steps of a sequence with ``sequences`` [point] in a worker, and its parts."""
        batch = np.maximum(sequences / self.ranks, 1.0 / self.ranks)
        guessed = np.ceil(self.points.tokens_per_step)
        terms = decode_terms(self.decode, batch, self.points.context_tokens, guessed)
        stages = self.points.workers.pipeline_parallel
        parts = {
            "attention": terms.attention,
            "dense": terms.dense,
            "experts": terms.experts,
            "all_reduce": terms.all_reduce,
            "all_to_all": terms.all_to_all,
            "overhead": terms.overhead,
        }
        parts = {name: stages * column for name, column in parts.items()}
        whole = np.asarray(stages * terms.stage_s)
        return whole, parts | {"overlap": whole - sum(parts.values())}

    def _solve(self) -> None:
        points = self.points
        load = points.sequences_per_worker
        together = np.minimum(load, self.places)
        self._aggregated(load, together)
        pools, alone = points.phase == DISAGGREGATED, points.phase == DECODE
        self.tokens_per_s = (
            self.points.concurrency
            * points.output_tokens
            / np.maximum(self.ttft_s + self.tpot_s * np.maximum(points.output_tokens - 1.0, 0.0), 1e-12)
        )
        if pools.any():
            self._disaggregated(pools)
        if alone.any():
            self._alone(alone, load)
        prompts = self.points.concurrency / self.points.workers.count
        self.input_tokens_per_s = self._prefill_rate(prompts)

    def _aggregated(self, load: Column, together: Column) -> None:
        """Settle TPOT and TTFT together: the requests of a worker that decode are those not in prefill."""
        points, first = self.points, self.first
        ranks = self.ranks
        decoding = together
        for _ in range(ROUNDS):
            step, parts = self._step(decoding)
            others = np.maximum(decoding - 1.0, 0.0) / ranks**first.interference_rank_exponent
            step, parts = step / points.tokens_per_step, {k: v / points.tokens_per_step for k, v in parts.items()}
            held_up = first.interference * others * self.prompt_s / self.answer_tokens
            tpot = step + held_up
            waits = self._first_terms(step * points.tokens_per_step, together)
            service = sum(waits.values())
            decode_s = self.answer_tokens * tpot
            decoding = np.maximum(together * decode_s / (decode_s + service), np.minimum(together, 1.0))
        queue = (load - together) / together * (decode_s + service)
        self.terms = parts | {"prefill_of_others": held_up}
        self.first_terms = waits | {"wait_for_a_place": queue}
        self.tpot_s, self.ttft_s, self.sequences = tpot, service + queue, together

    def _first_terms(self, step: Column, together: Column) -> dict[str, Column]:
        """Seconds before the first token: engine, running step, own prompt (or the weights' read), others' prompts."""
        first, work = self.first, self.decode.work
        factors = np.array([getattr(first, name, 1.0) for name in ENGINES])[self.points.engine]
        layers = work.stage_layers * (1.0 + work.special_attention_share) * self.points.workers.pipeline_parallel
        read = self.weights / (self.calibration.decode.weight_bandwidth * work.hbm_bytes_per_s)
        behind = first.queue_share * np.maximum(together - 1.0, 0.0) / self.ranks**first.queue_rank_exponent
        return {
            "engine": factors * (first.base_s + first.per_layer_s * layers),
            "running_step": step,
            "own_prompt": np.maximum(self.prompt_s, read),
            "prompts_ahead": behind * self.prompt_s,
        }

    def _disaggregated(self, chosen: NDArray[np.bool_]) -> None:
        """Two pools in a closed loop: throughput is the least of the load's, the prefill pool's and the places'."""
        points, first = self.points, self.first
        feeders = points.prefill_workers.count * self.prefill.work.data_parallel**first.interference_rank_exponent
        count, load = points.workers.count, points.concurrency
        places = self.places * count
        running = np.minimum(load, places)
        queues = points.prefill_workers.count * self.prefill.work.data_parallel**first.queue_rank_exponent
        ahead = first.queue_share * np.maximum(load - 1.0, 0.0) / queues * self.prompt_s
        start = self.prompt_s + self.first_terms["engine"] + ahead
        for _ in range(POOL_ROUNDS):
            step, parts = self._step(np.maximum(running / count, 1.0))
            tpot = step / points.tokens_per_step
            decode_s = self.answer_tokens * tpot
            rate = np.minimum(np.minimum(load / (start + decode_s), feeders / self.prompt_s), places / decode_s)
            running = (1.0 - DAMPING) * running + DAMPING * np.maximum(rate * decode_s, 1.0)
        parts = {name: column / points.tokens_per_step for name, column in parts.items()}
        wait = np.maximum(load / rate - decode_s - start, 0.0)
        self._put(chosen, tpot, start + wait, rate * points.output_tokens, running / count, parts)
        self.first_terms = {
            "engine": self.first_terms["engine"],
            **{
                name: np.where(chosen, own, column)
                for (name, column), own in zip(
                    [(name, self.first_terms[name]) for name in self.first_terms if name != "engine"],
                    (np.zeros_like(tpot), self.prompt_s, ahead, wait),
                    strict=True,
                )
            },
        }

    def _alone(self, chosen: NDArray[np.bool_], load: Column) -> None:
        """Price a decode pool by itself: a step of the load it is given, no prompts."""
        step, parts = self._step(load)
        taken = self.points.tokens_per_step
        parts = {name: column / taken for name, column in parts.items()}
        self._put(chosen, step / taken, self.ttft_s, self.points.concurrency * taken / step, load, parts)

    def _put(
        self,
        chosen: NDArray[np.bool_],
        tpot: Column,
        ttft: Column,
        tokens_per_s: Column,
        sequences: Column,
        parts: dict[str, Column],
    ) -> None:
        self.tpot_s, self.ttft_s = np.where(chosen, tpot, self.tpot_s), np.where(chosen, ttft, self.ttft_s)
        self.tokens_per_s = np.where(chosen, tokens_per_s, self.tokens_per_s)
        self.sequences = np.where(chosen, sequences, self.sequences)
        self.terms = {
            name: np.where(chosen, parts.get(name, np.zeros_like(tpot)), column) for name, column in self.terms.items()
        }

    def _prefill_rate(self, prompts: Column) -> Column:
        """Prompt tokens a second of a pool that prefills ``prompts`` [point] of each worker as one batch.

        For aggregated and disaggregated points: what enters per second at the throughput they have.
        """
        points = self.points
        requests = np.maximum(prompts / self.prefill.work.data_parallel, 1.0 / self.prefill.work.data_parallel)
        whole = prefill_terms(self.prefill, requests, points.input_tokens, points.new_input_tokens)
        together = points.concurrency * points.input_tokens / (whole.stage_s * points.workers.pipeline_parallel)
        entering = self.tokens_per_s / self.answer_tokens * points.input_tokens
        return np.where(points.phase == PREFILL, together, np.where(points.phase == DECODE, np.nan, entering))
