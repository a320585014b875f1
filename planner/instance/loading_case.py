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
from planner.instance.resolve import collect, load_calibration, price_of, resolve

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
    data, misplaced = overrides.applied(read_toml(path), changes or {}, str(path))
    if misplaced:
        # what else is wrong is told with them
        problems = list(misplaced)
        collect(problems, lambda: _read(data, path, loads, loads_note))
        raise InstanceError(dict.fromkeys(problems))
    return _read(data, path, loads, loads_note)


def _read(data: dict[str, Any], path: Path, loads: Loads | None, loads_note: str) -> Instance | LifecycleInstance:
    """Build what the tables of a case say."""
    case = _checked(_beside(data, path.parent), str(path))
    if case.lifecycle is not None:
        return _lifecycle(case, case.lifecycle, str(path), loads is not None)
    model_name = case.model or ""
    problems: list[Problem] = []
    model = collect(problems, lambda: load_model(model_name), str(path), {model_name: "model"})
    if model is None:
        # the other files are read all the same, so that every problem is told at once
        collect(problems, lambda: resolve(case, _any_model(), str(path)))
        raise InstanceError(dict.fromkeys(problems))
    return resolve(case, model, str(path), loads=loads, loads_note=loads_note)


def _checked(data: dict[str, Any], file: str) -> CaseSpec:
    """Check the tables of a case; where they are wrong, say of the files that it names which are missing too."""
    problems: list[Problem] = []
    case = collect(problems, lambda: validate(CaseSpec, data, file))
    if case is None:
        for key, load in (("model", load_model), ("calibration", load_calibration)):
            name = data.get(key)
            if isinstance(name, str):
                collect(problems, lambda load=load, name=name: load(name), file, {name: key})  # type: ignore[misc]
        raise InstanceError(dict.fromkeys(problems))
    return case


_NAMES_FILES = ("model", "calibration", "hardware", "price_column", "family", "law", "tiers")


def _beside(table: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the tables of a case with the paths of files that lie beside it taken from its folder."""
    result = dict(table)
    for key, value in table.items():
        if isinstance(value, dict):
            result[key] = _beside(value, folder)
        elif isinstance(value, list):
            result[key] = [_beside(entry, folder) if isinstance(entry, dict) else entry for entry in value]
        elif key in _NAMES_FILES and isinstance(value, str) and value.endswith(".toml"):
            result[key] = str(folder / value) if library.is_file(folder / value) else value
    return result


def _any_model() -> Any:  # noqa: ANN401 - a stand-in, only to reach the checks that need no model
    return load_model(library.names("models")[0])


def _lifecycle(case: CaseSpec, spec: LifecycleSpec, file: str, loads_given: bool) -> LifecycleInstance:
    problems: list[Problem] = []
    if loads_given:
        problems.append(Problem("--loads", "", "the members of a family have no recorded loads", "leave it out"))
    family = collect(problems, lambda: load_family(spec.family), file, {spec.family: "lifecycle.family"})
    law = collect(problems, lambda: load_law(spec.law), file, {spec.law: "lifecycle.law"})
    chip, column = spec.training.hardware, spec.training.price_column
    named = {chip: "lifecycle.training.hardware", column: "lifecycle.training.price_column"}
    training = collect(problems, lambda: _training(spec), file, named)
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
