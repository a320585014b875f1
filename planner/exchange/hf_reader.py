"""Read one Hugging Face ``config.json`` key by key and keep every problem instead of stopping at the first."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from planner.errors import InstanceError, Problem

if TYPE_CHECKING:
    from pathlib import Path

_SPEAKS_OF_SHAPE = re.compile(
    r"layer|head|expert|moe|mlp|ffn|feed_forward|hidden|intermediate|rank|lora|dim|size|width|mamba|ssm|conv|linear"
    r"|index_|hybrid|pattern|interleave|share|latent|loop|block|sparse|compress|window|chunk|group|engram|residual"
)
_HARMLESS = frozenset(
    (
        *("chunk_size_feed_forward", "cross_attention_hidden_size", "output_hidden_states", "max_window_layers"),
        *("ep_size", "pruned_heads", "num_nextn_predict_layers", "num_beam_groups", "output_attentions"),
        *("encoder_no_repeat_ngram_size", "no_repeat_ngram_size", "layer_norm_eps", "layernorm_epsilon"),
        *("router_aux_loss_coef", "hidden_dropout", "hidden_dropout_prob", "rope_interleave", "quantization_config"),
    )
)
"""Keys that match the pattern above and do not shape the main model."""


def read_json(path: Path) -> dict[str, Any]:
    """Parse one JSON object.

    Raises
    ------
    InstanceError
        If the file is missing, not text, not JSON, or not an object.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InstanceError.single(str(path), "", f"cannot be read: {error.strerror}", "check the path") from error
    except (ValueError, RecursionError) as error:
        raise InstanceError.single(str(path), "", f"is not JSON: {error}", "correct the syntax") from error
    if not isinstance(data, dict):
        raise InstanceError.single(str(path), "", f"holds a {type(data).__name__}, not an object", "give a config.json")
    return data


class ConfigReader:
    """Keys of one config: asked for by role, checked and remembered, so that what nothing understood can be named."""

    def __init__(self, data: dict[str, Any], file: str, prefix: str = "") -> None:
        self.data, self.file, self.prefix = data, file, prefix
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self.understood: set[str] = set(_HARMLESS)

    def problem(self, key: str, message: str, remedy: str = "") -> None:
        """Keep one problem at ``key``."""
        self.problems.append(Problem(self.file, self.prefix + key, message, remedy))

    def get(self, *keys: str) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Return the value of the first of ``keys`` that is present and not null, else None."""
        self.understood.update(keys)
        return next((self.data[key] for key in keys if self.data.get(key) is not None), None)

    def integer(self, *keys: str, role: str, default: int | None = None, minimum: int = 1, maximum: int = 10**8) -> int:
        """Whole number under the first of ``keys`` that is set; 1 stands in after a problem, which is kept."""
        value = self.get(*keys)
        if value is None and default is not None:
            return default
        if value is None:
            null = [key for key in keys if key in self.data]
            state = "is null" if null else "is missing"
            self.problem((null or list(keys))[0], f"{state}: {role}", f"give a whole number in {' or '.join(keys)}")
            return 1
        key = next(key for key in keys if self.data.get(key) is not None)
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            self.problem(key, f"is {value!r}: {role} must be a whole number from {minimum} to {maximum}")
            return 1
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """Boolean under ``key``; absent or null means ``default``."""
        value = self.get(key)
        if value is not None and not isinstance(value, bool):
            self.problem(key, f"is {value!r}, not true or false")
            return default
        return default if value is None else bool(value)

    def nested(self, key: str) -> ConfigReader:
        """Return a reader of the block under ``key``; an empty one, with the problem kept, where it is none."""
        block = self.get(key)
        if not isinstance(block, dict):
            self.problem(key, "is missing: the block that names this part", "give it")
        return ConfigReader(block if isinstance(block, dict) else {}, self.file, f"{self.prefix}{key}.")

    def must_be(self, key: str, *allowed: object) -> None:
        """Refuse any value of ``key`` outside ``allowed``: another value is another shape. Absent is the default."""
        value = self.get(key)
        if value is None:
            return
        if not any(value == entry and isinstance(value, bool) == isinstance(entry, bool) for entry in allowed):
            wanted = " or ".join(json.dumps(entry) for entry in allowed)
            self.problem(key, f"is {value!r}: this shape is not understood", f"only {wanted} is supported")

    def refuse_what_was_not_understood(self) -> None:
        """Keep a problem for every set key that speaks of shape and that nothing has read."""
        for key, value in self.data.items():
            empty = value is None or value is False or value in ("", 0) or value == [] or value == {}
            if key in self.understood or key.startswith("_") or empty:
                continue
            if _SPEAKS_OF_SHAPE.search(key):
                self.problem(key, f"is set ({_shorten(value)}) and not understood for this model_type", "not supported")


def _shorten(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
