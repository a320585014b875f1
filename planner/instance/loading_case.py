"""Read a case and everything that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.errors import InstanceError, Problem
from planner.instance import library, overrides
from planner.instance.case import CaseSpec, LifecycleSpec
from planner.instance.effective_params import load_effective_params_rule
from planner.instance.family import load_family
from planner.instance.law import load_law
from planner.instance.lifecycle import LifecycleInstance, Training
from planner.instance.loading import load_accelerator, load_model, read_toml, validate
from planner.instance.resolve import collect, price_of, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from planner.instance.instance import Instance

    Loads = NDArray[np.float64]


def load_case(
    name_or_path: str | Path,
    changes: Mapping[str, Any] | None = None,
    *,
    loads: Loads | None = None,
    loads_note: str = "",
) -> Instance | LifecycleInstance:
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

    Returns
    -------
    Instance or LifecycleInstance
        The latter where the case leaves the model open.

    Raises
    ------
    InstanceError
        With every problem of every file, each with file, key and remedy.
    """
    path = library.find("cases", str(name_or_path))
    data = overrides.apply(read_toml(path), changes or {}, str(path))
    case = validate(CaseSpec, data, str(path))
    if case.lifecycle is not None:
        return _lifecycle(case, case.lifecycle, str(path), loads is not None)
    model_name = case.model or ""
    problems: list[Problem] = []
    model = collect(problems, lambda: load_model(model_name))
    if model is None:
        # the other files are read all the same, so that every problem is told at once
        collect(problems, lambda: resolve(case, _any_model(), str(path)))
        raise InstanceError(dict.fromkeys(problems))
    return resolve(case, model, str(path), loads=loads, loads_note=loads_note)


def _any_model() -> Any:  # noqa: ANN401 - a stand-in, only to reach the checks that need no model
    return load_model(library.names("models")[0])


def _lifecycle(case: CaseSpec, spec: LifecycleSpec, file: str, loads_given: bool) -> LifecycleInstance:
    problems: list[Problem] = []
    if loads_given:
        problems.append(Problem("--loads", "", "the members of a family have no recorded loads", "leave it out"))
    family = collect(problems, lambda: load_family(spec.family))
    law = collect(problems, lambda: load_law(spec.law))
    training = collect(problems, lambda: _training(spec))
    rule = None if family is None else collect(problems, lambda: load_effective_params_rule(family[0].rule))
    members = [] if family is None else [model for model in family[1] if spec.member in (None, model.name)]
    if family is not None and not members:
        known = ", ".join(model.name for model in family[1])
        problems.append(Problem(file, "lifecycle.member", f"no member {spec.member}", f"use one of: {known}"))
    resolved = [collect(problems, lambda model=model: resolve(case, model, file)) for model in members]  # type: ignore[misc]
    if problems or family is None or law is None or rule is None or training is None:
        raise InstanceError(dict.fromkeys(problems))
    return LifecycleInstance(
        name=case.name,
        case=case,
        spec=spec,
        law=law,
        rule=rule,
        training=training,
        members=tuple(instance for instance in resolved if instance is not None),
    )


def _training(spec: LifecycleSpec) -> Training:
    chip = load_accelerator(spec.training.hardware)
    usd, note = price_of(spec.training, chip.name)
    return Training(
        hardware=chip.name,
        usd_per_gpu_hour=usd,
        price_note=note,
        flop_per_s=chip.peak_flop_per_s(spec.training.arithmetic) * spec.training.efficiency,
        efficiency=spec.training.efficiency,
    )
