"""Rows that do not measure what they say, by rule. No rule looks at a cost model's answer.

Each rule takes all rows (some judge a whole benchmark run) and marks those it leaves out. The order decides which
reason a row is counted under. Evidence: serving prototype 2026-11-25, section 7, unless a rule says otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.costs.points import AGGREGATED, DISAGGREGATED
from planner.exchange.measured.plausible import active_weights, peak_flop_per_s
from planner.instance.quantities import PRECISION_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planner.exchange.measured.row import Measured, MeasuredRow, Shape
    from planner.instance.model import MoeModel

    Rule = Callable[[Sequence[MeasuredRow]], list[bool]]

QUEUE_SHARE = 0.5
WIDEST_TENSOR_PARALLEL = 8
REUSE_SHARE = 0.6
SAME_TPOT_S = 0.05e-3
STATED_CONCURRENCY = re.compile(r"_c(\d+)(?:_|$)")
EMPTY_CONCURRENCY = re.compile(r"\dx\d+_c_")
ANOTHER_DUMP = re.compile(r"_cfg\d+$")


@dataclass(frozen=True)
class Build:
    """A build of an engine that ran speculative decoding without saying so; None: any."""

    model: str
    engine: str
    version: str
    precision: str | None = None
    hardware: str | None = None
    date: str | None = None
    other_dumps_only: bool = False
    """The runs of the ``cfg`` dump are clean."""


SPECULATIVE_BUILDS = (
    Build("deepseek-v3", "trtllm", "1.2.0rc6.post3"),
    Build("deepseek-v3", "trtllm", "1.1.0rc2.post2", date="2026-01-14"),
    Build("deepseek-v3", "sglang", "0.5.9", precision="fp8", hardware="b200", other_dumps_only=True),
    Build("qwen3.5-397b-a17b", "sglang", "0.5.9", date="2026-03-20"),
    Build("qwen3.5-397b-a17b", "sglang", "0.5.9", date="2026-04-03"),
)
"""The same configuration on other builds is 1.25-2.3 times slower (IX02949 7.1 ms against IX00729 13.7 ms)."""


def queue_dominated(rows: Sequence[MeasuredRow]) -> list[bool]:
    """Mark rows whose first token takes more than half of the request: the queue is measured, not the engine.

    The same rows that the InferenceX-derived table marks SUSPECT (60 of 60).
    """
    return [row.ttft_s > QUEUE_SHARE * row.seconds_per_request for row in rows]


def disaggregated_as_aggregated(rows: Sequence[MeasuredRow]) -> list[bool]:
    """Mark a tensor width above 8 in one aggregated worker: GPUs of two pools summed up as one tensor group.

    55 rows of GB200 with widths 12, 20, 28, 36, 52, 72; one run's TPOT stays at 32.0 ms from concurrency 128 to 4,096
    while TTFT goes to 150 s, as only a separate decode pool does.
    """
    return [row.phase == AGGREGATED and row.shape.tensor > WIDEST_TENSOR_PARALLEL for row in rows]


def unknown_concurrency(rows: Sequence[MeasuredRow]) -> list[bool]:
    """Mark runs whose own name states another concurrency than the column, or an empty one: its scope is unknown.

    The name says c224, the column 56; TPOT is up to ten times that of the run read either way. All rows of a run in
    which names and columns differ are left out, since what is wrong is how the run was read.
    """
    differing = {row.run for row in rows if _states_another_concurrency(row)}
    return [row.phase == AGGREGATED and row.run in differing for row in rows]


def _states_another_concurrency(row: MeasuredRow) -> bool:
    stated = STATED_CONCURRENCY.search(row.source)
    if stated is None and EMPTY_CONCURRENCY.search(row.source):
        return row.phase == AGGREGATED
    return row.phase == AGGREGATED and stated is not None and float(stated.group(1)) != row.concurrency


def weights_do_not_fit(rows: Sequence[MeasuredRow]) -> list[bool]:
    """Mark weights larger than the memory of the GPUs named (Qwen3-235B fp8 on one H200): another shape ran."""
    return [
        row.phase in (AGGREGATED, DISAGGREGATED)
        and block_bytes(row.model) > row.accelerator.hbm_bytes * row.shape.tensor * row.shape.data * row.shape.pipeline
        for row in rows
    ]


def uneven_sharding(rows: Sequence[MeasuredRow]) -> list[bool]:
    """Mark workers whose GPUs differ from ranks times shards of the experts: one of the two figures is wrong."""
    return [any(_uneven(row, pool) for pool in {row.shape, row.prefill_shape}) for row in rows]


def _uneven(row: MeasuredRow, shape: Shape) -> bool:
    if row.model.moe_layers == 0 or shape.expert_tensor == 0:
        return False
    return shape.tensor * shape.data != shape.expert_tensor * shape.expert


def speculative_build(rows: Sequence[MeasuredRow]) -> list[bool]:
    """Mark aggregated rows of a build in :data:`SPECULATIVE_BUILDS`, by identity only."""
    return [row.phase == AGGREGATED and any(_is_build(row, build) for build in SPECULATIVE_BUILDS) for row in rows]


def _is_build(row: MeasuredRow, build: Build) -> bool:
    return (
        (row.model.name, row.engine, row.engine_version) == (build.model, build.engine, build.version)
        and build.precision in (None, row.precision)
        and build.hardware in (None, row.accelerator.name)
        and build.date in (None, row.date)
        and not (build.other_dumps_only and ANOTHER_DUMP.search(row.source))
    )


def prefix_reuse(rows: Sequence[MeasuredRow]) -> list[bool]:
    """Mark runs in which some row would need more than 60 % of the peak FLOP/s end to end: prompts came from a cache.

    Llama-8B on H200 with vLLM has 5 such rows. Prefill kernels reach 65 % by themselves, and a request also decodes.
    """
    reused = {row.run for row in rows if row.phase == AGGREGATED and peak_share(row) > REUSE_SHARE}
    return [row.phase == AGGREGATED and row.run in reused for row in rows]


def peak_share(row: MeasuredRow) -> float:
    """FLOP/s that a row implies, prompt and answer, over the peak of its GPUs."""
    tokens = row.input_tokens + row.output_tokens
    rate = row.concurrency * tokens / row.seconds_per_request / row.gpus
    return 2.0 * active_weights(row.model) * rate / peak_flop_per_s(row.model, row.accelerator)


def block_bytes(model: MoeModel) -> float:
    """Bytes of all weights but embeddings and head, a floor of what must fit."""
    formats, moe = model.weights, model.moe_layers
    parts = (
        (model.layers * model.attention_params, formats.attention),
        (model.dense_layers * model.dense_ffn_params + moe * model.shared_params, formats.dense_ffn),
        (moe * model.routed_experts * model.expert_params, formats.routed_experts),
    )
    return float(sum(params * PRECISION_BYTES[precision] for params, precision in parts))


def repeated(rows: Sequence[MeasuredRow]) -> list[bool]:
    """Mark further copies of one measurement: the same configuration, TPOT within 0.05 ms; the first stays.

    Judged before all other rules: a later dump repeats the rows of an earlier one and drops dates and builds.
    """
    marked = []
    seen: dict[tuple[object, ...], list[float]] = {}
    for row in rows:
        copies = seen.setdefault(_configuration(row), [])
        both = row.phase in (AGGREGATED, DISAGGREGATED)
        copy = both and any(abs(row.tpot_s - other) < SAME_TPOT_S for other in copies)
        copies.append(row.tpot_s)
        marked.append(copy)
    return marked


def _configuration(row: MeasuredRow) -> tuple[object, ...]:
    load = (row.concurrency, row.input_tokens, row.output_tokens)
    return (row.group, row.precision or "bf16", row.phase, row.gpus, row.shape, row.prefill_shape, *load)


RULES: tuple[tuple[str, Rule], ...] = (
    ("repeated across dumps", repeated),
    ("disaggregated run labelled aggregated", disaggregated_as_aggregated),
    ("queue dominated", queue_dominated),
    ("scope of concurrency unknown", unknown_concurrency),
    ("weights do not fit the GPUs", weights_do_not_fit),
    ("GPU count against expert sharding", uneven_sharding),
    ("speculative decoding by build", speculative_build),
    ("prefix reuse", prefix_reuse),
)
"""Reason that is counted -> rule, in the order in which a row is judged."""


def clean(measured: Measured) -> Measured:
    """Leave out what the rules mark, each row under the first rule that marks it."""
    reasons: list[str | None] = [None] * len(measured)
    for reason, rule in RULES:
        for place, marked in enumerate(rule(measured.rows)):
            if marked and reasons[place] is None:
                reasons[place] = reason
    return measured.without(reasons)
