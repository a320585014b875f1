"""A model in another precision than its own checkpoint: the conventions that benchmark tables leave unsaid."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from planner.errors import InstanceError

if TYPE_CHECKING:
    from planner.instance.hardware import Precision
    from planner.instance.model import MoeModel

_WORDS: dict[str, Precision] = {
    "fp32": "fp32",
    "bf16": "bf16",
    "fp16": "bf16",
    "bfloat16": "bf16",
    "float16": "bf16",
    "half": "bf16",
    "fp8": "fp8",
    "w8a8": "fp8",
    "int8": "int8",
    "w8a16": "int8",
    "mxfp4": "mxfp4",
    "nvfp4": "nvfp4",
    "fp4": "fp4",
    "int4": "int4",
    "awq": "int4",
    "gptq": "int4",
    "w4a16": "int4",
    "w4a8": "int4",
    "w4afp8": "int4",
    "mxfp8": "fp8",
    "w4a4": "fp4",
}
_FOUR_BITS: frozenset[Precision] = frozenset(("mxfp4", "nvfp4", "fp4", "int4", "int4_g32"))


def with_weights(model: MoeModel, precision: str) -> MoeModel:
    """Return ``model`` stored as ``precision`` says, by the conventions of published benchmark tables.

    The conventions are those of the serving prototype dossier, section 1: fp8 means every matrix and the KV cache in
    one byte; four bits mean the routed experts, while attention stays in bf16 (nvfp4 checkpoints also narrow dense and
    shared blocks, and in a dense model everything); embeddings and head stay in bf16; KV takes one byte with fp8 and
    fp4 weights, else two. ``fp4`` is the four-bit float that the model's own checkpoint has, else nvfp4, and ``int4``
    likewise. An empty text is bf16.

    Parameters
    ----------
    model
        Any model.
    precision
        Such as ``"fp8"``, ``"nvfp4"``, or with parts of its own: ``"fp8 MoE, bf16 attn"``, ``"nvfp4, kv bf16"``.

    Raises
    ------
    InstanceError
        If no known precision is named.
    """
    text = precision.casefold()
    words = [word for word in re.findall(r"[a-z]+\d+(?:a\d+)?|[a-z]+", text) if word in _WORDS]
    if text.strip() and not words:
        known = ", ".join(sorted(_WORDS))
        raise InstanceError.single("", "precision", f"{precision!r} is not understood", f"one of: {known}")
    wanted: Precision = _WORDS[words[0]] if words else "bf16"
    routed = _routed_format(model, wanted)
    attention, dense = _other_formats(model, routed)
    attention = _part(text, r"(\w+)[ -]+att") or attention
    narrow = wanted in ("fp8", "fp4", "nvfp4", "mxfp4")
    kv_format = _part(text, r"kv[ -]+(\w+)|(\w+)[ -]+kv") or ("fp8" if narrow else "bf16")
    weights = model.weights.model_copy(
        update={"attention": attention, "dense_ffn": dense, "routed_experts": routed, "embeddings": "bf16"}
    )
    return model.model_copy(update={"weights": weights, "kv_format": kv_format})


def _routed_format(model: MoeModel, wanted: Precision) -> Precision:
    own = model.weights.routed_experts
    if wanted == "fp4":
        return "mxfp4" if own == "mxfp4" else "nvfp4"
    return "int4_g32" if wanted == "int4" and own == "int4_g32" else wanted


def _other_formats(model: MoeModel, routed: Precision) -> tuple[Precision, Precision]:
    """Return the formats of attention and of dense and shared blocks beside routed experts in ``routed``."""
    if routed not in _FOUR_BITS or model.moe_layers == 0:
        return routed, routed
    return "bf16", "nvfp4" if routed == "nvfp4" else "bf16"


def _part(text: str, pattern: str) -> Precision | None:
    for match in re.finditer(pattern, text):
        found = next((_WORDS[word] for word in match.groups() if word in _WORDS), None)
        if found is not None:
            return found
    return None
