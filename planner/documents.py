"""JSON documents: NumPy values, paths and enums become plain types; NaN and infinity become null."""

from __future__ import annotations

import math
from typing import Any


def json_ready(value: Any) -> Any:  # noqa: ANN401 - any JSON-like tree
    """Turn NumPy values, paths and enums into JSON types; NaN and infinity become null."""
    if isinstance(value, dict):
        return {str(key): json_ready(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(entry) for entry in value]
    if hasattr(value, "tolist"):
        return json_ready(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int)):
        return value
    return str(value)
