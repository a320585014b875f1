"""Turn a checked case and one model into an ``Instance``: pools with prices, calibration, expert loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from planner.errors import InstanceError, Problem
from planner.instance import library
from planner.instance.cache import resolve_cache
from planner.instance.calibration import Calibration
from planner.instance.expert_load import generate, recorded
from planner.instance.hardware import Accelerator
from planner.instance.instance import Instance, Pool
from planner.instance.loading import load_accelerator, read_toml, validate
from planner.instance.prices import gpu_hour_price
from planner.instance.site import at_site

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from planner.instance.case import CaseSpec, PoolSpec
    from planner.instance.model import MoeModel

    Loads = NDArray[np.float64]


Value = TypeVar("Value")


class Priced(Protocol):
    """Anything with a price: by column of the price files, or by hand with its source."""

    @property
    def price_column(self) -> str | None:
        """Column of the price files."""

    @property
    def usd_per_gpu_hour(self) -> float | None:
        """Price set by hand."""

    @property
    def price_source(self) -> str | None:
        """Source of a price set by hand."""


def collect(
    problems: list[Problem], read: Callable[[], Value], file: str = "", named: Mapping[str | None, str] | None = None
) -> Value | None:
    """Call ``read``; put the problems of an ``InstanceError`` on the list and return None.

    Parameters
    ----------
    problems
        The list.
    read
        What to call.
    file, named
        Names that ``file`` gives to other files, and under which key: a name without a file is a problem of that key.
    """
    try:
        return read()
    except InstanceError as error:
        for problem in error.problems:
            key = (named or {}).get(problem.file)
            known = key is None or problem.key or library.is_file(Path(problem.file))
            message = f"{problem.file}: {problem.message}"
            problems.append(problem if known else Problem(file, str(key), message, problem.remedy))
        return None


def load_calibration(name_or_path: str) -> Calibration:
    """Read one calibration profile by name or path."""
    path = library.find("calibration", name_or_path)
    return validate(Calibration, read_toml(path), str(path))


def price_of(spec: Priced, hardware: str) -> tuple[float, str]:
    """Price [USD a GPU-hour] and its source."""
    if spec.price_column is None:
        return float(spec.usd_per_gpu_hour or 0.0), spec.price_source or ""
    price = gpu_hour_price(hardware, spec.price_column)
    return price.usd_per_gpu_hour, f"{price.column}, {price.date}: {price.source}"


def resolve(
    case: CaseSpec, model: MoeModel, file: str, *, loads: Loads | None = None, loads_note: str = ""
) -> Instance:
    """Build the instance of one model.

    Raises
    ------
    InstanceError
        With every problem found.
    """
    problems: list[Problem] = []
    named: dict[str | None, str] = {case.calibration: "calibration"}
    if case.reference is not None:
        other = case.reference.calibration
        collect(problems, lambda: load_calibration(other), file, {other: "reference.calibration"})
    calibration = collect(problems, lambda: load_calibration(case.calibration), file, named)
    read = [
        collect(problems, lambda spec=spec: _pool(spec, file), file, _names_in(spec))  # type: ignore[misc]
        for spec in case.pools
    ]
    pools = tuple(pool for pool in read if pool is not None)
    if case.kv_format is not None:
        model = model.model_copy(update={"kv_format": case.kv_format})
    problems += _cross_check(case, model, pools, file)
    cache = collect(problems, lambda: resolve_cache(case, file), file, _tiers_named(case))
    expert_load, note = _expert_load(case, model, loads, loads_note, problems)
    if problems or calibration is None:
        raise InstanceError(problems)
    return Instance(
        name=case.name,
        case=case,
        model=model,
        pools=pools,
        demand=case.demand,
        calibration=at_site(calibration.for_engine(case.engine), model, case.engine),
        expert_load=expert_load,
        expert_load_note=note,
        cache=cache,
    )


def _tiers_named(case: CaseSpec) -> dict[str | None, str]:
    return {} if case.cache is None else {case.cache.tiers: "cache.tiers"}


def _names_in(spec: PoolSpec) -> dict[str | None, str]:
    return {spec.hardware: f"pools.{spec.name}.hardware", spec.price_column: f"pools.{spec.name}.price_column"}


def _pool(spec: PoolSpec, file: str) -> Pool:
    accelerator = load_accelerator(spec.hardware)
    if spec.override:
        raw = accelerator.model_dump() | spec.override
        raw["sources"] = raw["sources"] | dict.fromkeys(spec.override, f"override in {file}")
        accelerator = validate(Accelerator, raw, f"{file}: pools.{spec.name}.override")
    if spec.gpus_per_domain is not None and spec.gpus_per_domain > accelerator.scale_up_domain_gpus:
        message = (
            f"{spec.gpus_per_domain} GPUs, but {accelerator.name} joins {accelerator.scale_up_domain_gpus} at most"
        )
        remedy = "give fewer, or override scale_up_domain_gpus"
        raise InstanceError.single(file, f"pools.{spec.name}.gpus_per_domain", message, remedy)
    usd, note = price_of(spec, accelerator.name)
    return Pool(
        name=spec.name,
        accelerator=accelerator,
        domains=spec.domains,
        gpus_per_domain=spec.gpus_per_domain or accelerator.scale_up_domain_gpus,
        usd_per_gpu_hour=usd,
        price_note=note,
        pays_idle_gpus=spec.billing == "domain",
    )


def _cross_check(case: CaseSpec, model: MoeModel, pools: tuple[Pool, ...], file: str) -> list[Problem]:
    problems = []
    if not any(demand.requests_per_s > 0 for demand in case.demand):
        problems.append(Problem(file, "demand", "no class has a request rate above 0", "set requests_per_s"))
    if pools and not any(size <= pool.gpus for pool in pools for size in case.search.deployment_gpus):
        problems.append(
            Problem(file, "search.deployment_gpus", "every size exceeds every pool", "add a size that a pool can hold")
        )
    return problems


def _expert_load(
    case: CaseSpec, model: MoeModel, loads: Loads | None, note: str, problems: list[Problem]
) -> tuple[Loads, str]:
    if loads is None:
        spec = case.expert_load
        if spec is not None and model.moe_layers == 0:
            # --set model=... makes a MoE case a dense one: its table then speaks of nothing
            return generate(None, model), f"not used: {model.name} has no experts"
        text = "uniform" if spec is None else f"generated, seed {spec.seed}, sigma {spec.sigma}: {spec.source}"
        return generate(spec, model), text
    try:
        return recorded(loads, model, note or "--loads"), note
    except InstanceError as error:
        problems.extend(error.problems)
        return np.zeros((0, 0)), note
