"""Read a placement map in any form that people have; the content tells which."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import InstanceError
from planner.exchange import balance_logs, content, csv_loads, numpy_files, omni_infer, torch_zip
from planner.exchange.document_keys import MAP_KEYS, find
from planner.exchange.expert_map import ExpertMap, all_rows, inspect, on_layers
from planner.exchange.load_checks import is_pattern
from planner.exchange.loads import LEGACY
from planner.exchange.map_documents import map_of_document
from planner.exchange.placement_folder import MAP_NAME, placement_facts

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

IN_FOLDER = ("plan.json", MAP_NAME)
"""Files of a run folder that hold a map, tried in this order."""

_YAML = re.compile(r"^\s*[\w.\"'-]+\s*:", re.MULTILINE)


def read_any_map(
    path: Path, *, gpus: int | None = None, dense_layers: NDArray[np.bool_] | None = None, model: str | None = None
) -> ExpertMap:
    """Read a placement map of any known kind; ``planner place --previous`` and ``planner import map`` call this.

    Known are ``{"physical_to_logical_map": ...}`` (SGLang, ours), vLLM's list forms, its ranks of experts, HYGON's maps
    by model, vLLM-Ascend JSON, TensorRT-LLM YAML or JSON, omni-infer patterns (``.npy``, ``.npz``, text), ``.npy``,
    ``.npz``, ``.pt`` and CSV with a row a layer, a solve's run folder or ``plan.json``, a placement's folder.

    Parameters
    ----------
    path
        File or run folder.
    gpus
        Ranks, where known; chooses among the maps of a plan, and must agree with a file that says its ranks.
    dense_layers
        Which layers of the load carry no experts, shape [layer]. Where given, ``rows`` has one row for each of them,
        dense ones filled; a file with rows for the MoE layers alone is spread over them.
    model
        Chooses among maps by model class.

    Returns
    -------
    ExpertMap
        ``rows`` [layer, slot] rank-major, -1 for empty slots; ``gpus`` where the file or the caller says so.

    Raises
    ------
    InstanceError
        If it cannot be read, is no map (what it is instead is named), or does not fit ``gpus`` or ``dense_layers``.
    """
    found = _read(path, str(path), model, gpus)
    if gpus is not None and found.gpus is not None and gpus != found.gpus:
        message = f"is a map for {found.gpus} ranks, not for {gpus}"
        raise InstanceError.single(str(path), "", message, "give the map of this cluster")
    ranks = found.gpus if gpus is None else gpus
    if ranks is not None:
        inspect(found.rows, ranks)  # refuses slots that do not spread over the ranks
    rows = all_rows(found) if dense_layers is None else on_layers(found, dense_layers, str(path))
    return replace(found, rows=rows, gpus=ranks)


def read_as_written(path: Path, *, gpus: int | None = None, model: str | None = None) -> ExpertMap:
    """Read a map with the rows of its file alone; otherwise as `read_any_map`."""
    return _read(path, str(path), model, gpus)


def _read(path: Path, file: str, model: str | None, gpus: int | None) -> ExpertMap:
    try:
        folder = path.is_dir()
    except (OSError, ValueError) as error:
        raise InstanceError.single(file, "", f"cannot be read: {error}", "check the path") from error
    if folder:
        inside = next((path / name for name in IN_FOLDER if (path / name).is_file()), None)
        if inside is None:
            raise InstanceError.single(file, "", f"holds none of {', '.join(IN_FOLDER)}", "give a run folder or a map")
        found = _read(inside, str(inside), model, gpus)
        if inside.name != MAP_NAME:
            return found
        return replace(found, **placement_facts(path)._asdict())
    data = content.read_bytes(path)
    if data.startswith(content.NUMPY_MAGIC):
        return _of_array(numpy_files.read_array(data, file), file, "array")
    if data.startswith(content.ZIP_MAGIC):
        if torch_zip.is_torch_zip(data):
            return map_of_document(torch_zip.load(data, file), file, model, gpus)
        arrays = numpy_files.read_archive(data, file)
        key = find(arrays, MAP_KEYS) or (next(iter(arrays)) if len(arrays) == 1 else None)
        return map_of_document(arrays, file, model, gpus) if key is None else _of_array(arrays[key], file, key)
    if data.startswith(content.PICKLE_MAGIC):
        raise InstanceError.single(file, "", LEGACY, "save it with torch.save of torch 1.6 or newer, or as JSON")
    return _of_text(content.decode(data, file), file, model, gpus)


def _of_array(array: NDArray[Any], file: str, key: str) -> ExpertMap:
    if array.dtype.kind == "b" or (array.ndim == 3 and is_pattern(array)):
        return _of_pattern(array.astype(np.int64), file)
    return map_of_document({MAP_KEYS[0]: array}, file, None, None)


def _of_pattern(pattern: NDArray[Any], file: str) -> ExpertMap:
    rows, devices, warnings = omni_infer.map_of_pattern(pattern, file)
    return ExpertMap(rows, "omni-infer pattern", gpus=devices, warnings=tuple(warnings))


def _of_text(text: str, file: str, model: str | None, gpus: int | None) -> ExpertMap:
    holds = balance_logs.what_it_holds(text)
    if holds is not None or omni_infer.is_activation_log(text):
        message = holds or "is a log of expert counts, not a map"
        raise InstanceError.single(file, "", message, "give a placement map")
    if content.looks_like_json(text):
        return map_of_document(content.parse_json(text, file), file, model, gpus)
    if omni_infer.is_pattern_text(text):
        return _of_pattern(omni_infer.read_pattern_text(text, file), file)
    if _YAML.search(text):
        return map_of_document(_yaml(text, file), file, model, gpus)
    cells = re.split(r"[,;\s]+", text.strip())
    if 4 * sum(map(csv_loads.is_number, cells)) < len(cells):
        message = f"is not a map: it begins with {' '.join(cells[:6])[:60]!r}"
        raise InstanceError.single(file, "", message, "give a placement map")
    return _of_array(csv_loads.read_delimited(text, file).table, file, "rows")


def _yaml(text: str, file: str) -> Any:  # noqa: ANN401 - whatever YAML holds
    import yaml

    if re.search(r"\.\.\.|\u2026", text):
        message = "is an excerpt: dots stand in place of left-out layers or experts"
        raise InstanceError.single(file, "", message, "give the whole map")
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        message = f"is not YAML: {' '.join(str(error).split())}"
        raise InstanceError.single(file, "", message, "give a whole document") from error
