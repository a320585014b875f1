"""One point of the serving cost model: latencies, throughput and memory, every term, and how far to trust them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.costs import memory
from planner.costs.points import AGGREGATED
from planner.errors import InstanceError, Problem
from planner.exchange.measured.parse import engine_of
from planner.exchange.measured.row import MeasuredRow, Shape, points_of
from planner.instance.aliases import hardware_of_name, model_of_name
from planner.instance.loading import load_accelerator, load_model
from planner.instance.resolve import load_calibration
from planner.instance.weights import with_weights
from planner.studies.estimate_question import EstimateQuestion, number_problems, shape_problems
from planner.studies.validation.bands import profile_factors
from planner.studies.validation.predictor import predict

if TYPE_CHECKING:
    from planner.instance.calibration import Calibration, SiteCorrection
    from planner.instance.hardware import Accelerator
    from planner.instance.model import MoeModel


def estimate(question: EstimateQuestion) -> dict[str, Any]:
    """Answer one point.

    Returns
    -------
    dict
        The document of `planner estimate --format json`: ``ttft_s, tpot_s, tok_s_per_gpu, terms`` (seconds per output
        token by cause; they add up to ``tpot_s``), ``bands``, ``memory``, and what was assumed.

    Raises
    ------
    InstanceError
        With everything that is wrong with the question.
    """
    row, profile = _row(question)
    answer = predict(points_of([row]), profile)
    correction = site_correction(profile, row)
    tpot_factor, ttft_factor = (correction.tpot_factor, correction.ttft_factor) if correction else (1.0, 1.0)
    tpot_s, ttft_s = float(answer.tpot_s[0]) * tpot_factor, float(answer.ttft_s[0]) * ttft_factor
    whole_s = ttft_s + tpot_s * max(row.output_tokens - 1, 0)
    before_s = float(answer.ttft_s[0]) + float(answer.tpot_s[0]) * max(row.output_tokens - 1, 0)
    rate = float(answer.tok_s_per_gpu[0]) * before_s / whole_s
    return {
        "model": row.model.name,
        "hardware": row.accelerator.name,
        "engine": row.engine,
        "precision": row.precision,
        "profile": profile.name,
        "gpus": row.gpus,
        "tensor_parallel": row.shape.tensor,
        "data_parallel": row.shape.data,
        "expert_parallel": row.shape.expert,
        "pipeline_parallel": row.shape.pipeline,
        "concurrency": row.concurrency,
        "ttft_s": ttft_s,
        "tpot_s": tpot_s,
        "tok_s_per_gpu": rate,
        "terms": {name: float(column[0]) * tpot_factor for name, column in answer.terms.items()},
        "ttft_terms": {name: float(column[0]) * ttft_factor for name, column in answer.ttft_terms.items()},
        "bands": _bands(profile, row, {"tpot": tpot_s, "ttft": ttft_s, "throughput": rate}),
        "site": correction.model_dump() if correction else None,
        "memory": _memory(row, profile),
    }


def site_correction(profile: Calibration, row: MeasuredRow) -> SiteCorrection | None:
    """Correction of the row's model, accelerator, engine and precision, if the profile holds one."""
    wanted = (row.model.name, row.accelerator.name, row.engine)
    for entry in profile.site:
        if (entry.model, entry.hardware, entry.engine) == wanted and entry.precision in ("", row.precision):
            return entry
    return None


def _row(question: EstimateQuestion) -> tuple[MeasuredRow, Calibration]:
    problems: list[Problem] = number_problems(question)
    model = _collected(problems, lambda: model_named(question.model, question.precision))
    accelerator = _collected(problems, lambda: accelerator_named(question.hardware))
    profile = _collected(problems, lambda: load_calibration(question.profile))
    if model is not None:
        problems += shape_problems(question, model)
    if problems or model is None or accelerator is None or profile is None:
        raise InstanceError(problems)
    stage = question.tensor_parallel * question.data_parallel
    expert = question.expert_parallel or (stage if question.data_parallel > 1 else 1)
    shape = Shape(
        1,
        question.tensor_parallel,
        question.data_parallel,
        question.pipeline_parallel,
        expert if model.moe_layers else 1,
    )
    load = question.concurrency if question.concurrency is not None else (question.batch or 1) * question.data_parallel
    row = MeasuredRow(
        identity="estimate",
        model=model,
        accelerator=accelerator,
        engine=engine_of(question.engine),
        phase=AGGREGATED,
        shape=shape,
        prefill_shape=shape,
        gpus=shape.gpus,
        concurrency=float(load),
        input_tokens=float(question.input_tokens),
        output_tokens=float(question.output_tokens),
        cached_share=question.cached_share,
        tokens_per_step=question.tokens_per_step,
        precision=question.precision or "",
    )
    return row, profile


def _collected(problems: list[Problem], of: Any) -> Any:  # noqa: ANN401 - whatever the call returns
    try:
        return of()
    except InstanceError as error:
        problems.extend(error.problems)
        return None


def model_named(name: str, precision: str | None) -> MoeModel:
    """Load a model by file, shipped name or hub name, in a precision other than its own if one is given."""
    try:
        model = load_model(name)
    except InstanceError:
        named = model_of_name(name)
        if named is None:
            raise
        model = named
    return model if precision is None else with_weights(model, precision)


def accelerator_named(name: str) -> Accelerator:
    """Load an accelerator by file, shipped name or the name that a driver prints."""
    try:
        return load_accelerator(name)
    except InstanceError:
        named = hardware_of_name(name)
        if named is None:
            raise
        return named


def _bands(profile: Calibration, row: MeasuredRow, centre: dict[str, float]) -> dict[str, Any] | None:
    bands = profile.bands
    if bands is None:
        return None
    names = {"tpot": "tpot_s", "ttft": "ttft_s", "throughput": "tok_s_per_gpu"}
    ranges: dict[str, Any] = {"nominal": bands.nominal}
    for metric, value in centre.items():
        factors = profile_factors(bands, metric, row.accelerator.name, row.engine)
        ranges[names[metric]] = [value * factor for factor in factors]
    return ranges


def _memory(row: MeasuredRow, profile: Calibration) -> dict[str, Any]:
    """Bytes on the fullest GPU with every request asked for at its longest, and whether they fit at once."""
    usable = profile.memory.usable_share * row.accelerator.hbm_bytes - float(profile.memory.reserve_bytes)
    model, shape = row.model, row.shape
    weights = memory.weight_bytes_per_gpu(
        model,
        tensor_parallel=shape.tensor,
        expert_shards=max(shape.tensor * shape.data // shape.expert, 1),
        slots_per_gpu=model.routed_experts / shape.expert,
        pipeline_parallel=shape.pipeline,
    )
    longest = row.input_tokens + row.output_tokens
    kv_bytes = memory.kv_bytes_of_sequence(model, longest, float(shape.tensor)) / shape.pipeline
    held = float(kv_bytes) * row.concurrency / shape.data
    return {
        "hbm_bytes": row.accelerator.hbm_bytes,
        "usable_bytes": usable,
        "weight_bytes_per_gpu": float(weights),
        "kv_bytes_per_gpu": held,
        "fits": bool(float(weights) + held <= usable),
        "sequences_that_fit": max((usable - float(weights)) / float(kv_bytes), 0.0) * shape.data,
    }
