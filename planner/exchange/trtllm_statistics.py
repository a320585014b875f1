"""TensorRT-LLM expert statistics: a folder of ``meta_info.json`` and one safetensors file a rank.

Written with ``EXPERT_STATISTIC_PATH`` and ``EXPERT_STATISTIC_ITER_RANGE``. ``rank<r>.safetensors`` holds one vector of
counts [expert] under each key ``<iteration>_<layer>``; ranks add up. ``rank<r>_raw.safetensors``, where there is one,
holds the experts that every token chose [token, top_k] under the same keys.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import InstanceError
from planner.exchange.content import decode, parse_json, read_bytes
from planner.exchange.load_checks import MOST_EXPERTS, RawLoad, ranges

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

META = "meta_info.json"
_FILE = re.compile(r"rank(\d+)(_raw)?\.safetensors")
_KEY = re.compile(r"(\d+)_(\d+)")


def is_statistics_folder(folder: Path) -> bool:
    """Whether a folder holds rank files of this form."""
    return any(_FILE.fullmatch(entry.name) for entry in folder.iterdir())


def read_statistics(folder: Path) -> RawLoad:
    """Sum the counts of all ranks, shape [iteration, layer, expert]; without count files, count the raw choices.

    Raises
    ------
    InstanceError
        If a file is damaged, keys or lengths do not agree with ``meta_info.json``, or a rank has no file.
    """
    experts = _meta(folder).get("num_experts")
    files = rank_files(folder, raw=False)
    source = files or rank_files(folder, raw=True)
    vectors: dict[tuple[int, int], NDArray[np.float64]] = {}
    for path in source.values():
        for iteration, layer, value in tensors(path):
            counts = _counts(value, experts, raw=not files, file=str(path), key=f"{iteration}_{layer}")
            if len(counts) != len(next(iter(vectors.values()), counts)):
                message = f"has {len(counts)} experts, earlier files another number"
                raise InstanceError.single(str(path), f"{iteration}_{layer}", message, "give one recording")
            at = iteration, layer
            vectors[at] = vectors[at] + counts if at in vectors else counts
    if not vectors:
        raise InstanceError.single(str(folder), "", "holds no counts", "record with traffic running")
    warnings = _missing_ranks(source)
    steps = sorted({iteration for iteration, _ in vectors})
    layers = sorted({layer for _, layer in vectors})
    table = np.zeros((len(steps), layers[-1] + 1, len(next(iter(vectors.values())))))
    for (iteration, layer), counts in vectors.items():
        table[steps.index(iteration), layer] = counts
    absent = np.setdiff1d(np.arange(layers[-1] + 1), layers)
    if len(absent):
        warnings.append(f"layers {ranges(absent)} are not in the files: taken as dense")
    if len(vectors) != len(steps) * len(layers):
        warnings.append(f"{len(steps) * len(layers) - len(vectors)} counts of a layer are missing in some iterations")
    return RawLoad(table, "counts", "TensorRT-LLM statistics", warnings, axes_known=True)


def _counts(value: NDArray[Any], experts: Any, *, raw: bool, file: str, key: str) -> NDArray[np.float64]:  # noqa: ANN401
    """Check one vector of counts, or count raw choices."""
    if raw and not isinstance(experts, int):
        raise InstanceError.single(file, key, f"choices without num_experts in {META}", "give the folder as written")
    if raw:
        chosen = np.asarray(value, dtype=np.int64).ravel()
        chosen = chosen[chosen >= 0]
        if chosen.max(initial=0) >= experts:
            raise InstanceError.single(file, key, f"chooses expert {chosen.max()} of {experts}", "check num_experts")
        return np.bincount(chosen, minlength=experts).astype(float)
    if value.ndim != 1 or (isinstance(experts, int) and len(value) != experts):
        message = f"has shape {list(value.shape)}, {META} has num_experts {experts}"
        raise InstanceError.single(file, key, message, "give files of one recording")
    return np.asarray(value, dtype=float)


def rank_files(folder: Path, *, raw: bool) -> dict[int, Path]:
    """Files of counts, or of raw choices, by rank."""
    matches = {path: _FILE.fullmatch(path.name) for path in folder.iterdir()}
    found = {int(match[1]): path for path, match in matches.items() if match and bool(match[2]) is raw}
    return dict(sorted(found.items()))


def tensors(path: Path) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """Yield (iteration, layer, tensor) of one rank's file.

    Raises
    ------
    InstanceError
        If the file is damaged, a key has another form, or the type is not one of NumPy's.
    """
    import safetensors
    from safetensors.numpy import load

    data = read_bytes(path)
    try:
        content = load(data)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        message = f"is no safetensors file: {error}"
        raise InstanceError.single(str(path), "", message, "copy the file again") from error
    for key, value in content.items():
        match = _KEY.fullmatch(key)
        if match is None or int(match[2]) > MOST_EXPERTS:
            raise InstanceError.single(str(path), key, "is not <iteration>_<layer>", "give expert statistics")
        yield int(match[1]), int(match[2]), value


def expert_count(folder: Path) -> int:
    """Experts a layer, as ``meta_info.json`` says; 0 where it does not."""
    experts = _meta(folder).get("num_experts")
    return experts if isinstance(experts, int) else 0


def _meta(folder: Path) -> dict[str, Any]:
    path = folder / META
    if not path.is_file():
        raise InstanceError.single(str(folder), META, "missing beside the rank files", "give the whole folder")
    meta = parse_json(decode(read_bytes(path), str(path)), str(path))
    if not isinstance(meta, dict):
        raise InstanceError.single(str(path), "", "is not an object", "give the folder as written")
    return meta


def _missing_ranks(files: dict[int, Path]) -> list[str]:
    absent = np.setdiff1d(np.arange(max(files, default=-1) + 1), list(files))
    return [f"files of ranks {ranges(absent)} are missing: their counts are not in the sum"] if len(absent) else []
