"""Models and accelerators by the names that benchmark files, hubs and drivers give them.

Names are matched exactly after normalisation. Other spellings are listed in each TOML (``aliases``), not here; a name
that two files could mean finds neither, and the message lists both.
"""

from __future__ import annotations

import difflib
import functools
import re
from typing import TYPE_CHECKING

from planner.instance import library
from planner.instance.loading import load_accelerator, load_model, read_toml
from planner.instance.weights import with_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from planner.instance.hardware import Accelerator
    from planner.instance.model import MoeModel

__all__ = [
    "hardware_candidates",
    "hardware_of_name",
    "model_candidates",
    "model_of_name",
    "precision_of_name",
    "with_weights",
]

_PRECISIONS = {
    "fp8": "fp8",
    "nvfp4": "nvfp4",
    "fp4": "fp4",
    "mxfp4": "mxfp4",
    "bf16": "bf16",
    "fp16": "bf16",
    "awq": "int4",
    "int4": "int4",
    "int8": "int8",
    "w4a16": "int4",
    "w8a8": "fp8",
}
_SAME_SHAPE = frozenset(
    (
        *("instruct", "chat", "it", "base", "hf", "thinking", "preview", "original", "hybrid", "text", "pt"),
        *("v0.1", "v0.2", "v0.3", "dynamic", "kv", "block", "static", "pertensor", "gptq", "quantized", "g128", "sq"),
        *("v2", "asq", "quark", "modelopt", "moe", "g32", "w4a8", "w8a16", "gguf", "mlx"),
    )
)
"""Endings of a model's name that leave its shape alone."""
_FORM = re.compile(r"sxm\d?|oam|hbm\d?e?|\d+gi?b?|tensorcore|gpu")
_VENDOR = frozenset(("nvidia", "amd", "google", "intel", "instinct", "cloud", "tensor", "core", "gpu", "radeon"))


def model_of_name(name: str) -> MoeModel | None:
    """Model of a hub or benchmark name; a precision at the end of the name is applied to its weights.

    Organisation, case and endings such as ``-Instruct``, ``-FP8`` or ``-0528`` do not matter, but the longest spelling
    that is known wins: ``Kimi-K2-Thinking`` is not ``Kimi-K2`` where both exist. None where no file, or more than
    one, has the name: ``model_candidates`` says which come close.
    """
    known = _model_names(library.instances_root())
    for spelling in _shorter(name):
        files = known.get(spelling, frozenset())
        if files:
            if len(files) > 1:
                return None
            model = load_model(next(iter(files)))
            precision = precision_of_name(name)
            return with_weights(model, precision) if precision else model
    return None


def precision_of_name(name: str) -> str | None:
    """Precision that ends a model's name, such as ``fp8`` of ``Qwen/Qwen3-235B-A22B-FP8``; None where there is none."""
    words = _plain(name.rsplit("/", maxsplit=1)[-1]).split("-")
    return next((_PRECISIONS[word] for word in reversed(words) if word in _PRECISIONS), None)


def hardware_of_name(name: str) -> Accelerator | None:
    """Accelerator of a name as drivers and benchmarks print it: ``AMD Instinct MI300X 192GB HBM3``, ``H200 SXM``.

    Vendor, case, form factor and a memory size within a tenth of the data sheet's do not matter. None where no file,
    or more than one, has the name: ``hardware_candidates`` says which come close.
    """
    known = _hardware_names(library.instances_root())
    words = _hardware_words(name)
    exact = known.get("".join(words), frozenset())
    if exact:
        return load_accelerator(next(iter(exact))) if len(exact) == 1 else None
    bare = "".join(word for word in words if not _FORM.fullmatch(word))
    fitting = [
        accelerator for stem in known.get(bare, ()) if _same_memory(accelerator := load_accelerator(stem), words)
    ]
    return fitting[0] if len(fitting) == 1 else None


def model_candidates(name: str) -> tuple[str, ...]:
    """Names of shipped models that ``name`` may mean, closest first, at most five."""
    known = _model_names(library.instances_root())
    exact = next((files for spelling in _shorter(name) if (files := known.get(spelling))), frozenset())
    return tuple(sorted(exact)) if len(exact) > 1 else _close(_plain(name.rsplit("/", maxsplit=1)[-1]), known)


def hardware_candidates(name: str) -> tuple[str, ...]:
    """Names of shipped accelerators that ``name`` may mean, closest first, at most five."""
    known = _hardware_names(library.instances_root())
    words = _hardware_words(name)
    bare = "".join(word for word in words if not _FORM.fullmatch(word))
    return tuple(sorted(known.get(bare, ()))) or _close("".join(words), known)


@functools.cache
def _model_names(root: Path) -> dict[str, frozenset[str]]:
    return _names_of(root / "models", _plain)


@functools.cache
def _hardware_names(root: Path) -> dict[str, frozenset[str]]:
    return _names_of(root / "hardware", lambda alias: "".join(_hardware_words(alias)))


def _names_of(folder: Path, spelled: Callable[[str], str]) -> dict[str, frozenset[str]]:
    """Normalised name or alias -> stems of the files that claim it."""
    found: dict[str, set[str]] = {}
    for path in sorted(folder.glob("*.toml")):
        data = read_toml(path)
        for alias in (path.stem, data.get("name", path.stem), *data.get("aliases", [])):
            found.setdefault(spelled(str(alias)), set()).add(path.stem)
    return {spelling: frozenset(stems) for spelling, stems in found.items()}


def _plain(name: str) -> str:
    spaced = name.casefold().replace("quantized.", "quantized-")
    return re.sub(r"[^a-z0-9.]+", "-", spaced).strip("-")


def _shorter(name: str) -> Iterator[str]:
    """Spellings of a model's name to look up, longest first: whole, without its organisation, without endings."""
    yield _plain(name)
    words = _plain(name.rsplit("/", maxsplit=1)[-1]).split("-")
    if words[0] in ("meta", "nvidia"):
        yield "-".join(words)
        words = words[1:]
    while words:
        yield "-".join(words)
        last = words[-1]
        if last not in _SAME_SHAPE and last not in _PRECISIONS and not re.fullmatch(r"\d{4}", last):
            return
        words = words[:-1]


def _hardware_words(name: str) -> list[str]:
    spaced = re.sub(r"^\s*\d+\s*x\s*", "", re.sub(r"\((.*?)\)", r" \1 ", name.casefold()))
    words = [word for word in re.split(r"[^a-z0-9]+", spaced) if word and word not in _VENDOR]
    return [re.sub(r"^(\d+)gi?b$", r"\1g", word) for word in words]


def _same_memory(accelerator: Accelerator, words: list[str]) -> bool:
    sizes = [float(word[:-1]) * 1e9 for word in words if re.fullmatch(r"\d+g", word)]
    return all(abs(size / accelerator.hbm_bytes - 1.0) <= 0.1 for size in sizes)


def _close(spelling: str, known: dict[str, frozenset[str]]) -> tuple[str, ...]:
    inside = [alias for alias in known if spelling and (alias.startswith(spelling) or spelling.startswith(alias))]
    near = inside + difflib.get_close_matches(spelling, known, n=8, cutoff=0.6)
    return tuple(dict.fromkeys(stem for alias in near for stem in sorted(known[alias])))[:5]
