"""Plan with a profile that the user's own benchmark points have corrected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.errors import InstanceError, Problem
from planner.exchange.bench_results.reading import Deployment, is_bench_result, measured_of, read_bench_result
from planner.exchange.measured.parse import engine_of
from planner.exchange.measured.row import Shape
from planner.exchange.measured_serving import read_measured_serving
from planner.instance.site import at_site, same_formats
from planner.studies.validation.site_calibration import correct_site

if TYPE_CHECKING:
    from pathlib import Path

    from planner.exchange.measured.row import Measured, MeasuredRow
    from planner.instance.instance import Instance


def with_measured(
    instance: Instance, file: Path, tensor_parallel: int | None = None
) -> tuple[Instance, dict[str, Any]]:
    """Correct the calibration of a case by the rows of ``file`` that are about its model, accelerators and engine.

    Parameters
    ----------
    instance
        The case; where it names no engine, the one that was measured serves.
    file
        A table of measured rows, or a benchmark tool's own result.
    tensor_parallel
        Width that was measured, where a tool's result does not say it.

    Returns
    -------
    tuple
        The instance under the corrected profile, and what was done: ``file, engine, rows, rows_unused, skipped,
        corrections`` (factors by site) and ``left_out_error`` (TPOT of each point predicted from the others of its
        site, before and after).

    Raises
    ------
    InstanceError
        If the file cannot be read, or no accelerator of the case has three points of its model and engine.
    """
    measured = _read(instance, file, tensor_parallel)
    engine = instance.case.engine or _only_engine(instance, measured)
    used = measured.take([_is_about(instance, row, engine) for row in measured.rows])
    if not len(used):
        raise InstanceError([_nothing_fits(instance, measured, engine)])
    corrected = correct_site(used, instance.case.calibration, f"{instance.calibration.name}+site")
    profile = corrected.profile.for_engine(engine)
    planned = instance.replace(
        calibration=at_site(profile, instance.model, engine), case=instance.case.model_copy(update={"engine": engine})
    )
    return planned, {
        "file": str(file),
        "engine": engine,
        "rows": len(used),
        "rows_unused": len(measured) - len(used),
        "skipped": corrected.document["skipped"],
        "corrections": corrected.document["fitted"],
        "too_few_points": corrected.document["too_few_points"],
        "left_out_error": corrected.document["left_out_error"],
    }


def _about_hardware(instance: Instance, row: MeasuredRow) -> bool:
    chips = {pool.accelerator.name for pool in instance.pools}
    same_model = row.model.name == instance.model.name and same_formats(instance.model, row.precision)
    return same_model and row.accelerator.name in chips


def _is_about(instance: Instance, row: MeasuredRow, engine: str | None) -> bool:
    return _about_hardware(instance, row) and row.engine == engine


def _only_engine(instance: Instance, measured: Measured) -> str | None:
    engines = sorted({row.engine for row in measured.rows if _about_hardware(instance, row)})
    if len(engines) > 1:
        message = f"holds rows of several engines: {', '.join(engines)}"
        raise InstanceError.single(measured.file, "engine", message, "say which one serves: --set engine=...")
    return engines[0] if engines else None


def _nothing_fits(instance: Instance, measured: Measured, engine: str | None) -> Problem:
    chips = ", ".join(sorted({pool.accelerator.name for pool in instance.pools}))
    held = ", ".join(sorted({f"{row.group} {row.precision}".strip() for row in measured.rows})) or "no usable row"
    skipped = "; ".join(f"{len(ids)} left out: {reason}" for reason, ids in sorted(measured.skipped.items()))
    message = f"has no row of {instance.model.name} in its formats on {chips}" + (f" by {engine}" if engine else "")
    return Problem(measured.file, "", f"{message}; it holds {held}" + (f" ({skipped})" if skipped else ""))


def _read(instance: Instance, file: Path, tensor_parallel: int | None) -> Measured:
    """Rows of a table, or of a benchmark tool's result on the case's model and only accelerator."""
    if not is_bench_result(file):
        return read_measured_serving(file)
    points = read_bench_result(file)
    shapes = {
        (point.tensor_parallel or point.gpus or tensor_parallel, point.pipeline_parallel or 1) for point in points
    }
    chips = {pool.accelerator.name: pool.accelerator for pool in instance.pools}
    problems = []
    if len(chips) > 1:
        problems.append(Problem(str(file), "", "does not say on which of the case's accelerators it was measured"))
    if len(shapes) > 1 or None in {tensor for tensor, _ in shapes}:
        remedy = "give --measured-tp, or rows as a table"
        problems.append(Problem(str(file), "", "does not say one tensor parallel width", remedy))
    if problems:
        raise InstanceError(problems)
    tensor, pipeline = shapes.pop()
    ranks = points[0].expert_parallel if instance.model.moe_layers else 1
    shape = Shape(1, tensor or 1, 1, pipeline, ranks or 1)
    engine = instance.case.engine or engine_of(points[0].tool)
    (chip,) = chips.values()
    return measured_of(points, Deployment(instance.model, chip, engine, shape), str(file))


def measured_text(document: dict[str, Any]) -> str:
    """Say in words which correction a plan rests on."""
    lines = [f"Corrected by {document['rows']} measured rows of {document['file']} ({document['engine']}):"]
    for name, entry in document["corrections"].items():
        factors = f"TPOT x {entry['tpot_factor']:.3f}, TTFT x {entry['ttft_factor']:.3f}"
        lines.append(f"  {name}: {factors}, {entry['points']} points")
    error = document["left_out_error"]
    if error["mape_tpot"] is not None:
        off = f"TPOT off by {error['mape_tpot']:.1f} %, {error['mape_tpot_before']:.1f} % before"
        lines.append(f"  each point left out of its own correction: {off}")
    if document["rows_unused"]:
        lines.append(f"  {document['rows_unused']} rows are about something else")
    lines += [f"  {count} rows left out: {reason}" for reason, count in document["skipped"].items()]
    return "\n".join(lines)
