"""Measured loads beside the checkout, and the mark for tests that need them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
DEEPSEEK = DATA / "expert_loads" / "deepseek_v3_sglang"
DUMPS = DATA / "real_inputs" / "expert_dumps"
DENSE_LAYERS = 3

needs_shared_data = [pytest.mark.shared_data, pytest.mark.skipif(not DATA.is_dir(), reason="no shared data folder")]


def deepseek_load(name: str) -> npt.NDArray[np.float64]:
    """Tokens of a DeepSeek-V3 recording, shape [61, 256]; the first three rows are dense."""
    return np.array(json.loads((DEEPSEEK / f"{name}.json").read_text())["logical_count"])
