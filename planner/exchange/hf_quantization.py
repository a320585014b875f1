"""Storage formats from a config's ``quantization_config`` or from an ``hf_quant_config.json`` beside it."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from planner.exchange.hf_reader import ConfigReader

_ALGORITHMS = {
    "FP8": "fp8",
    "FP8_PER_CHANNEL_PER_TOKEN": "fp8",
    "FP8_PB_WO": "fp8",
    "NVFP4": "nvfp4",
    "NVFP4_AWQ": "nvfp4",
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
    if separate is not None:
        block = separate.get("quantization")
        if not isinstance(block, dict):
            separate.problem(
                "quantization", "is missing: the block that names quant_algo", "give an hf_quant_config.json"
            )
            return Quantization()
        return _modelopt(separate, block, "quantization.")
    block = config.get("quantization_config")
    if block is None:
        return Quantization()
    if not isinstance(block, dict):
        config.problem("quantization_config", "is not an object")
        return Quantization()
    if "quant_algo" in block:
        return _modelopt(config, block, "quantization_config.")
    return _by_method(config, block)


def _modelopt(config: ConfigReader, block: dict[str, Any], prefix: str) -> Quantization:
    algorithm = block.get("quant_algo")
    kv = block.get("kv_cache_quant_algo") or block.get("kv_cache_scheme")
    if algorithm is not None and str(algorithm) not in _ALGORITHMS:
        config.problem(f"{prefix}quant_algo", f"is {algorithm!r}: not understood", f"one of {', '.join(_ALGORITHMS)}")
    excluded = block.get("exclude_modules") or block.get("ignore") or []
    return Quantization(_ALGORITHMS.get(str(algorithm)), _kv_format(config, kv, prefix), _names(excluded))


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
        return Quantization("mxfp4" if method == "mxfp4" else "fp8", None, excluded)
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
    return [str(entry) for entry in entries]


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
    if quantization.weight_format is None or not names:
        return base
    left_out = sum(quantization.leaves_out(name) for name in names)
    chosen = base if 2 * left_out >= len(names) else quantization.weight_format
    if 0 < left_out < len(names):
        where = f"{left_out} of {len(names)} {part} modules are left out of {quantization.weight_format}"
        if part == "routed_experts" and 20 * left_out > len(names):
            config.problem("quantization_config", f"{where}: mixed formats are not supported")
        config.notes.append(f"{where}; all of them are counted as {chosen}")
    return chosen
