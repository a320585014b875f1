"""Storage formats from a config's ``quantization_config`` or from an ``hf_quant_config.json`` beside it."""

from __future__ import annotations

import collections
import fnmatch
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from planner.instance.quantities import PRECISION_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from planner.exchange.hf_reader import ConfigReader

_ALGORITHMS = {
    "FP8": "fp8",
    "FP8_PER_CHANNEL_PER_TOKEN": "fp8",
    "FP8_PB_WO": "fp8",
    "NVFP4": "nvfp4",
    "NVFP4_AWQ": "nvfp4",
    "W4A16_NVFP4": "nvfp4",
    "MXFP8": "fp8",
    "W4A8_AWQ": "int4",
    "W4A16_AWQ": "int4",
    "W4A16": "int4",
    "W8A16": "int8",
    "W8A8_SQ_PER_CHANNEL": "int8",
    "MXFP4": "mxfp4",
}
_COMPRESSED: dict[tuple[str, str, bool], str] = {
    ("8", "float", False): "fp8",
    ("4", "float", False): "nvfp4",
    ("4", "float", True): "mxfp4",
    ("4", "int", False): "int4",
    ("4", "int", True): "int4_g32",
    ("8", "int", False): "int8",
}
"""Bits, type and whether a scale covers 32 weights, as compressed-tensors states them."""
_DTYPES = {"bfloat16": "bf16", "float16": "bf16", "float32": "fp32"}


@dataclass
class Quantization:
    """What a checkpoint's quantisation block says, whoever wrote it."""

    weight_format: str | None = None
    kv_format: str | None = None
    excluded: list[str] = field(default_factory=list)
    by_module: dict[str, str] = field(default_factory=dict)
    block_size: int = 0

    def format_of(self, module: str, base: str) -> str:
        """Format of the module of this full name: its own, else the checkpoint's, else the base."""
        parts = module.split(".")
        for length in range(len(parts), 0, -1):
            own = self.by_module.get(".".join(parts[:length]))
            if own is not None:
                return own
        return base if self.weight_format is None or self.leaves_out(module) else self.weight_format

    def leaves_out(self, module: str) -> bool:
        """Whether the module of this full name keeps the base format."""
        return any(_matches(pattern, module) for pattern in self.excluded)


def _matches(pattern: str, module: str) -> bool:
    """Match a module as the quantisers do: regex after ``re:``, glob with ``*``, else a whole part of the name."""
    if pattern.startswith("re:"):
        try:
            return re.match(pattern[3:], module) is not None
        except re.error:
            return False
    if "*" in pattern:
        return fnmatch.fnmatchcase(module, pattern) or fnmatch.fnmatchcase(module, pattern + ".*")
    return f".{pattern}." in f".{module}."


def read_quantization(config: ConfigReader, separate: ConfigReader | None) -> Quantization:
    """Return the weight format, the KV format and what is left out; a separate file wins over the config's own block.

    Problems are kept on the reader of the file that has them.
    """
    own = config.get("quantization_config")
    if separate is not None:
        block = separate.get("quantization")
        if not isinstance(block, dict):
            separate.problem(
                "quantization", "is missing: the block that names quant_algo", "give an hf_quant_config.json"
            )
            return Quantization()
        rest = "fp8" if isinstance(own, dict) and own.get("quant_method") == "fp8" else None
        return _modelopt(separate, block, "quantization.", rest)
    if own is None:
        own = _mlx(config)
    if own is None:
        return Quantization()
    if not isinstance(own, dict):
        config.problem("quantization_config", "is not an object")
        return Quantization()
    if "quant_algo" in own:
        return _modelopt(config, own, "quantization_config.", "fp8" if own.get("quant_method") == "fp8" else None)
    return _by_method(config, own)


def _mlx(config: ConfigReader) -> dict[str, Any] | None:
    """Return what MLX writes under ``quantization`` as a block of the usual kind."""
    block = config.get("quantization")
    if not isinstance(block, dict):
        return None
    return {"quant_method": "gptq", "bits": block.get("bits"), "group_size": block.get("group_size")}


def _modelopt(config: ConfigReader, block: dict[str, Any], prefix: str, rest: str | None) -> Quantization:
    """Read the block of NVIDIA's quantiser; ``rest`` is the format of what a mixed checkpoint does not list."""
    algorithm = block.get("quant_algo")
    kv = block.get("kv_cache_quant_algo") or block.get("kv_cache_scheme")
    excluded = _names(block.get("exclude_modules") or block.get("ignore") or [])
    if algorithm == "MIXED_PRECISION":
        listed = block.get("quantized_layers")
        formats = {
            _without_tower(str(name)): _algorithm(config, entry, f"{prefix}quantized_layers")
            for name, entry in (listed.items() if isinstance(listed, dict) else ())
        }
        if not formats:
            config.problem(f"{prefix}quant_algo", "is mixed, but quantized_layers lists no module", "list them")
        by_module = {name: found for name, found in formats.items() if found is not None}
        return Quantization(rest, _kv_format(config, kv, prefix), [], by_module)
    found = _algorithm(config, block, prefix.rstrip(".")) if algorithm is not None else None
    return Quantization(found, _kv_format(config, kv, prefix), excluded, block_size=_block_size(block))


def _algorithm(config: ConfigReader, entry: object, key: str) -> str | None:
    algorithm = entry.get("quant_algo") if isinstance(entry, dict) else None
    if str(algorithm) not in _ALGORITHMS:
        config.problem(f"{key}.quant_algo", f"is {algorithm!r}: not understood", f"one of {', '.join(_ALGORITHMS)}")
    return _ALGORITHMS.get(str(algorithm))


def _block_size(block: dict[str, Any]) -> int:
    """Side of the square blocks that share a scale; 0 where the scale covers rows, groups or everything."""
    sides = block.get("weight_block_size")
    square = isinstance(sides, list) and len(sides) == 2 and sides[0] == sides[1] and isinstance(sides[0], int)
    return sides[0] if square and isinstance(sides, list) and not isinstance(sides[0], bool) and sides[0] > 0 else 0


def _kv_format(config: ConfigReader, scheme: object, prefix: str) -> str | None:
    if scheme is None:
        return None
    if scheme == "FP8" or (isinstance(scheme, dict) and scheme.get("num_bits") == 8 and scheme.get("type") == "float"):
        return "fp8"
    if scheme in ("NVFP4", "INT8"):
        return {"NVFP4": "nvfp4", "INT8": "int8"}[str(scheme)]
    config.problem(f"{prefix}kv_cache_quant_algo", f"is {scheme!r}: not understood", "FP8, INT8 or NVFP4")
    return None


def _by_method(config: ConfigReader, block: dict[str, Any]) -> Quantization:
    method = block.get("quant_method")
    excluded = _names(block.get("modules_to_not_convert") or block.get("ignore") or [])
    if method in ("fp8", "fbgemm_fp8", "mxfp4"):
        return Quantization("mxfp4" if method == "mxfp4" else "fp8", None, excluded, block_size=_block_size(block))
    if method in ("awq", "gptq"):
        bits = block.get("bits", block.get("w_bit"))
        if bits not in (4, 8):
            config.problem("quantization_config.bits", f"is {bits!r}: not understood", "4 or 8")
        narrow = "int4_g32" if block.get("group_size", block.get("q_group_size")) == 32 else "int4"
        return Quantization("int8" if bits == 8 else narrow, None, excluded)
    if method == "compressed-tensors":
        weights = _compressed_tensors(config, block)
        return Quantization(weights, _kv_format(config, block.get("kv_cache_scheme"), "quantization_config."), excluded)
    config.problem(
        "quantization_config.quant_method",
        f"is {method!r}: not understood",
        "fp8, mxfp4, awq, gptq, compressed-tensors",
    )
    return Quantization()


def _compressed_tensors(config: ConfigReader, block: dict[str, Any]) -> str | None:
    groups = block.get("config_groups")
    found: set[str | None] = set()
    for group in groups.values() if isinstance(groups, dict) else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        stated = weights if isinstance(weights, dict) else {}
        key = (str(stated.get("num_bits")), str(stated.get("type")), stated.get("group_size") == 32)
        found.add(_COMPRESSED.get(key))
    if len(found) != 1 or None in found:
        config.problem(
            "quantization_config.config_groups", "is missing, mixed or of an unknown kind", "one weight format"
        )
        return None
    return found.pop()


def _names(value: object) -> list[str]:
    entries = value if isinstance(value, list) else [value] if isinstance(value, str) else []
    return [_without_tower(str(entry)) for entry in entries]


def _without_tower(name: str) -> str:
    """Name of a module of the language model as if it stood alone: multimodal files put the tower's name around it."""
    if name.startswith("re:"):
        return name
    return name.replace("language_model.model.", "model.").replace("model.language_model.", "model.")


def base_format(config: ConfigReader) -> str:
    """Format of what is not quantised: ``torch_dtype`` or ``dtype``; bf16 where the config is silent."""
    dtype = config.get("torch_dtype", "dtype")
    if dtype is None:
        return "bf16"
    if str(dtype) not in _DTYPES:
        config.problem("torch_dtype", f"is {dtype!r}: not understood", " or ".join(_DTYPES))
    return _DTYPES.get(str(dtype), "bf16")


def part_format(config: ConfigReader, quantization: Quantization, base: str, part: str, modules: Iterable[str]) -> str:
    """Format of one part of the weights: that of most of its modules, with a note where they differ.

    Routed experts are most of the bytes: there more than one module in twenty left out is a problem.
    """
    names = list(modules)
    if not names:
        return base
    formats = collections.Counter(quantization.format_of(name, base) for name in names)
    # Where two formats are equally many the wider counts: memory is not understated.
    chosen = max(formats, key=lambda found: (formats[found], PRECISION_BYTES[found]))
    others = len(names) - formats[chosen]
    if others:
        listed = " and ".join(sorted(found for found in formats if found != chosen))
        where = f"{others} of {len(names)} {part} modules are {listed}"
        if part == "routed_experts" and 20 * others > len(names):
            config.problem("quantization_config", f"{where}: mixed formats are not supported")
        config.notes.append(f"{where}; all of them are counted as {chosen}")
    return chosen
