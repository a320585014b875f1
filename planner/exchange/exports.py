"""From a run folder or a map file to the files an engine loads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import InstanceError, Problem
from planner.exchange.any_map import read_as_written
from planner.exchange.content import decode, parse_json, read_bytes
from planner.exchange.engine_maps import Engine, EngineMap, engine, facts
from planner.exchange.expert_map import ExpertMap
from planner.exchange.map_layers import fill_slots, layered
from planner.files import write_text
from planner.instance.loading import load_model
from planner.plan import read_plan

if TYPE_CHECKING:
    from pathlib import Path

    from planner.instance.model import MoeModel
    from planner.plan import Deployment, Plan


@dataclass(frozen=True, eq=False)
class Export:
    """One map in one engine's form.

    Attributes
    ----------
    name
        Of the deployment; empty for a map by itself.
    placed
        The map.
    gpus
        GPUs that all replicas of the deployment ask for; ``None`` where the ranks of a map are not known.
    notes
        What was assumed or changed.
    """

    name: str
    placed: EngineMap
    gpus: int | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Written:
    """What was written for one deployment, JSON-ready in `document`."""

    files: tuple[Path, ...]
    flags: tuple[str, ...]
    export: Export

    def document(self, relative: Any) -> dict[str, Any]:  # noqa: ANN401 - a function from path to text
        """JSON form; ``relative`` turns a path into the text to show."""
        return {
            "name": self.export.name or None,
            "files": [relative(path) for path in self.files],
            "flags": list(self.flags),
            "gpus_requested": self.export.gpus,
            **facts(self.export.placed),
        }


def exports_of(
    source: Path, to: str, *, model_name: str | None, first_moe_layer: int | None, gpus: int | None
) -> tuple[list[Export], list[str], MoeModel | None]:
    """Read the maps of a source, valid for engine ``to``; with the model, where known, and notes.

    Raises
    ------
    InstanceError
        If the source holds no map, the map fits neither model nor ranks, or the engine cannot take it.
    """
    chosen = engine(to)
    run = source / "plan.json" if source.is_dir() else source
    if run.name == "plan.json" and run.is_file():
        served = load_model(model_name or _model_of_run(run))
        return *_of_plan(read_plan(run), str(run), chosen, to, served, first_moe_layer), served
    model, class_name = _model(model_name, to)
    found = read_as_written(source, gpus=gpus, model=class_name)
    ranks = _ranks(found, gpus, str(source), chosen)
    export = _export(found, ranks, model, first_moe_layer, str(source), class_name or model_name)
    return [export], list(found.warnings), model


def _model(name: str | None, to: str) -> tuple[MoeModel | None, str | None]:
    """Return the model file, or, for HYGON, the model class that ``--model`` then names."""
    if name is None or to != "hygon":
        return (None if name is None else load_model(name)), None
    return None, name


def _ranks(found: ExpertMap, gpus: int | None, file: str, chosen: Engine) -> int | None:
    """Ranks from the file or the caller; None only where neither the engine's form nor empty slots need them."""
    needed = chosen.holds_ranks or bool((found.rows < 0).any())
    if gpus is None and found.gpus is None and needed:
        message = "missing: a map file does not say over how many ranks its slots spread"
        raise InstanceError.single(file, "--gpus", message, "give the number of expert-parallel ranks")
    if gpus is not None and found.gpus is not None and gpus != found.gpus:
        raise InstanceError.single(file, "--gpus", f"is {gpus}, the map is for {found.gpus} ranks", "leave it out")
    return found.gpus if gpus is None else gpus


def _export(
    found: ExpertMap, ranks: int | None, model: MoeModel | None, first: int | None, file: str, name: str | None
) -> Export:
    layers = layered(found, model, first, file)
    rows, alive, changed = fill_slots(layers.rows, 1 if ranks is None else ranks, file)
    known = ranks is not None
    rule = found.dispatch or "even"
    placed = EngineMap(rows, layers.numbers, layers.layers, alive, name or "model", ranks_known=known, dispatch=rule)
    if ranks is None:
        changed.append("nothing says over how many ranks the slots spread: name them with --gpus to have it checked")
    return Export("", placed, None if ranks is None else alive, (*layers.notes, *changed))


def _model_of_run(plan: Path) -> str:
    """Name of the model, from the manifest beside a plan."""
    manifest = plan.parent / "manifest.json"
    data = parse_json(decode(read_bytes(manifest), str(manifest)), str(manifest)) if manifest.is_file() else {}
    name = data.get("result", {}).get("model") if isinstance(data, dict) else None
    if not isinstance(name, str):
        message = "missing: no manifest.json beside the plan names the model"
        raise InstanceError.single(str(plan), "--model", message, "name the model")
    return name


def _of_plan(
    plan: Plan, file: str, chosen: Engine, to: str, model: MoeModel, first: int | None
) -> tuple[list[Export], list[str]]:
    """Export every deployment with experts over several ranks; those an engine cannot run are named."""
    exports, notes, problems = [], [], []
    for deployment in plan.deployments:
        reason = _cannot(deployment, plan, chosen, to)
        if reason is not None:
            problems.append(Problem(file, deployment.name, reason, "export the others, or plan with other sizes"))
            continue
        rows = np.array(plan.expert_maps[deployment.map_key], dtype=np.int64)
        found = ExpertMap(rows, "map of a plan", gpus=deployment.expert_parallel)
        export = _export(found, deployment.expert_parallel, model, first, file, model.name)
        sizes = {
            "tensor_parallel": deployment.tensor_parallel,
            "data_parallel": deployment.data_parallel,
            "pipeline_parallel": deployment.pipeline_parallel,
        }
        placed = EngineMap(**{**vars(export.placed), **sizes})
        stages = [f"check that {to} takes expert maps with pipeline stages"] if deployment.pipeline_parallel > 1 else []
        replicas = deployment.gpus * deployment.replicas
        exports.append(Export(deployment.name, placed, replicas, (*export.notes, *stages)))
    if not exports:
        raise InstanceError(problems or [Problem(file, "deployments", "there are none", "solve a case with experts")])
    notes += [f"left out: {problem.key}: {problem.message}" for problem in problems]
    return exports, notes


def _cannot(deployment: Deployment, plan: Plan, chosen: Engine, to: str) -> str | None:
    """Say why an engine cannot run a deployment with a map; None where it can."""
    if deployment.expert_parallel < 2 or deployment.map_key not in plan.expert_maps:
        return "holds all experts on every rank: it needs no map"
    if chosen.ep_is_tp_times_dp and deployment.expert_parallel != deployment.stage_gpus:
        sizes = f"TP x DP = {deployment.stage_gpus}; the plan has {deployment.expert_parallel}"
        return f"{to} has no other EP size than {sizes}"
    return None


def write_export(export: Export, to: str, path: Path) -> Written:
    """Write the files of one deployment, each whole or not at all.

    Raises
    ------
    InstanceError
        If the engine's form has no place for the map.
    """
    chosen = engine(to)
    chosen.flags(export.placed, str(path))  # refuses before anything is written
    text = chosen.write(export.placed)
    files = [path]
    if chosen.options is not None:
        files.append(path.with_name(f"{path.stem}_options{path.suffix}"))
        write_text(files[1], chosen.options(export.placed, str(path)))
    write_text(path, text)
    return Written(tuple(files), tuple(chosen.flags(export.placed, str(files[-1]))), export)


def path_of(source: Path, to: str, out: Path | None, name: str, several: bool) -> Path:
    """Where the map of deployment ``name`` goes: ``out``, with the name before the suffix where there are several."""
    suffix = engine(to).suffix
    base = source if source.is_dir() else source.parent
    path = base / f"{to}_expert_map{suffix}" if out is None else out
    if path.is_dir():
        path = path / f"{to}_expert_map{suffix}"
    if path.suffix not in (".json", ".yaml", ".yml"):
        path = path.with_name(path.name + suffix)  # SGLang tells a file from text by its suffix
    safe = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
    return path.with_name(f"{path.stem}_{safe}{path.suffix}") if several else path
