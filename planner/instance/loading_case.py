"""Read a case and everything that it names into one checked ``Instance``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import InstanceError, Problem
from planner.instance import library, overrides
from planner.instance.calibration import Calibration
from planner.instance.case import CaseSpec, PoolSpec
from planner.instance.expert_load import generate, recorded
from planner.instance.hardware import Accelerator
from planner.instance.instance import Instance, Pool
from planner.instance.loading import load_accelerator, load_model, read_toml, validate
from planner.instance.prices import gpu_hour_price

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from planner.instance.model import MoeModel


def load_case(
    name_or_path: str | Path,
    changes: Mapping[str, Any] | None = None,
    *,
    loads: NDArray[np.float64] | None = None,
    loads_note: str = "",
) -> Instance:
    """Read one case.

    Parameters
    ----------
    name_or_path
        A file, or the name of one under ``instances/cases``.
    changes
        Dotted keys of the case file and their new values, as ``--set`` gives them.
    loads
        Recorded loads [layer, expert]; all-zero rows are dense layers and are dropped. Absent: the case's generator.
    loads_note
        Where ``loads`` come from, for the report.

    Raises
    ------
    InstanceError
        With every problem of every file, each with file, key and remedy.
    """
    path = library.find("cases", str(name_or_path))
    data = overrides.apply(read_toml(path), changes or {}, str(path))
    case = validate(CaseSpec, data, str(path))
    problems: list[Problem] = []
    model = _collect(problems, lambda: load_model(case.model))
    calibration = _collect(problems, lambda: load_calibration(case.calibration))
    pools = tuple(_collect(problems, lambda spec=spec: _pool(spec, str(path))) for spec in case.pools)
    if problems or model is None or calibration is None:
        raise InstanceError(problems)
    if case.kv_format is not None:
        model = model.model_copy(update={"kv_format": case.kv_format})
    problems += _cross_check(case, model, [pool for pool in pools if pool], str(path))
    expert_load, note = _expert_load(case, model, loads, loads_note, problems)
    if problems:
        raise InstanceError(problems)
    return Instance(
        name=case.name,
        case=case,
        model=model,
        pools=tuple(pool for pool in pools if pool),
        demand=case.demand,
        calibration=calibration,
        expert_load=expert_load,
        expert_load_note=note,
    )


def load_calibration(name_or_path: str) -> Calibration:
    """Read one calibration profile by name or path."""
    path = library.find("calibration", name_or_path)
    return validate(Calibration, read_toml(path), str(path))


def _collect(problems: list[Problem], read: Any) -> Any:  # noqa: ANN401 - passes on what `read` returns
    try:
        return read()
    except InstanceError as error:
        problems.extend(error.problems)
        return None


def _pool(spec: PoolSpec, file: str) -> Pool:
    accelerator = load_accelerator(spec.hardware)
    if spec.override:
        raw = accelerator.model_dump() | spec.override
        raw["sources"] = raw["sources"] | dict.fromkeys(spec.override, f"override in {file}")
        accelerator = validate(Accelerator, raw, f"{file}: pools.{spec.name}.override")
    if spec.price_column is not None:
        price = gpu_hour_price(accelerator.name, spec.price_column)
        usd, note = price.usd_per_gpu_hour, f"{price.column}, {price.date}: {price.source}"
    else:
        usd, note = float(spec.usd_per_gpu_hour or 0.0), spec.price_source or ""
    return Pool(
        name=spec.name,
        accelerator=accelerator,
        domains=spec.domains,
        gpus_per_domain=spec.gpus_per_domain or accelerator.scale_up_domain_gpus,
        usd_per_gpu_hour=usd,
        price_note=note,
        pays_idle_gpus=spec.billing == "domain",
    )


def _cross_check(case: CaseSpec, model: MoeModel, pools: list[Pool], file: str) -> list[Problem]:
    problems = []
    if not any(demand.requests_per_s > 0 for demand in case.demand):
        problems.append(Problem(file, "demand", "no class has a request rate above 0", "set requests_per_s"))
    if not any(size <= pool.gpus for pool in pools for size in case.search.deployment_gpus):
        problems.append(
            Problem(file, "search.deployment_gpus", "every size exceeds every pool", "add a size that a pool can hold")
        )
    if case.expert_load is not None and model.moe_layers == 0:
        problems.append(Problem(file, "expert_load", f"{model.name} has no experts", "remove the table"))
    return problems


def _expert_load(
    case: CaseSpec, model: MoeModel, loads: NDArray[np.float64] | None, note: str, problems: list[Problem]
) -> tuple[NDArray[np.float64], str]:
    if loads is None:
        spec = case.expert_load
        text = "uniform" if spec is None else f"generated, seed {spec.seed}, sigma {spec.sigma}: {spec.source}"
        return generate(spec, model), text
    try:
        return recorded(loads, model, note or "--loads"), note
    except InstanceError as error:
        problems.extend(error.problems)
        return np.zeros((0, 0)), note
