"""The shipped cost model as one call, and its profile as a form that can be fitted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from planner.studies.validation.forms import Form, Parameter
from planner.studies.validation.prototype import PROTOTYPE
from planner.studies.validation.saturation import saturated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.costs.points import Predictions, ServingPoints
    from planner.instance.calibration import Calibration

DEFAULT_PROFILE = "hand_set"
"""What answers when nobody names a profile."""
FIT_START = "hand_set"
"""Whose values are the prior medians of a new fit."""


@dataclass(frozen=True)
class ProfileParameter:
    """A number of a profile that a fit may move: its dotted path, prior spread, and whether the prior is normal."""

    path: str
    spread: float
    linear: bool = False

    @property
    def largest(self) -> float:
        """Shares of a peak end at 1."""
        section, _, key = self.path.rpartition(".")
        share = section in ("decode", "prefill") and not key.endswith("half_tokens")
        return 1.0 if share or key in ("scale_up", "scale_out") else math.inf


PROFILE_PARAMETERS = (
    ProfileParameter("decode.kv_bandwidth", 0.3),
    ProfileParameter("decode.attention_compute", 0.3),
    ProfileParameter("decode.weight_bandwidth", 0.3),
    ProfileParameter("decode.expert_weight_bandwidth", 0.3),
    ProfileParameter("decode.dense_compute", 0.3),
    ProfileParameter("decode.dense_half_tokens", 0.5),
    ProfileParameter("decode.expert_compute", 0.3),
    ProfileParameter("decode.expert_half_tokens", 0.5),
    ProfileParameter("prefill.dense_compute", 0.3),
    ProfileParameter("prefill.expert_compute", 0.3),
    ProfileParameter("prefill.attention_compute", 0.3),
    ProfileParameter("network.scale_up", 0.3),
    ProfileParameter("network.all_reduce_latency_s", 0.5),
    ProfileParameter("network.all_reduce_latency_exponent", 0.5),
    ProfileParameter("network.all_to_all_latency_s", 0.5),
    ProfileParameter("overheads.per_layer_s", 0.5),
    ProfileParameter("overheads.per_moe_layer_s", 0.5),
    ProfileParameter("overheads.per_mla_layer_s", 0.5),
    ProfileParameter("overheads.per_step_s", 0.5),
    ProfileParameter("overheads.per_sequence_s", 0.5),
)
"""What a fit of a profile moves; the medians are those of the profile that it starts from."""

_PROTOTYPE_NAMES = {
    "decode.attention_compute": "decode_attention_compute",
    "prefill.dense_compute": "prefill_dense_compute",
    "prefill.expert_compute": "prefill_expert_compute",
    "prefill.attention_compute": "prefill_attention_compute",
    "network.all_reduce_latency_s": "all_reduce_s",
    "network.all_reduce_latency_exponent": "all_reduce_exponent",
    "network.all_to_all_latency_s": "all_to_all_s",
    "overheads.per_layer_s": "layer_s",
    "overheads.per_moe_layer_s": "moe_layer_s",
    "overheads.per_mla_layer_s": "special_layer_s",
    "overheads.per_step_s": "step_s",
    "overheads.per_sequence_s": "sequence_s",
}


def predict(points: ServingPoints, profile: Calibration) -> Predictions:
    """Answer points under a profile."""
    values = dict(PROTOTYPE.prior)
    for parameter in PROFILE_PARAMETERS:
        name = _PROTOTYPE_NAMES.get(parameter.path, parameter.path.rpartition(".")[2])
        values[name] = read_path(profile, parameter.path)
    return PROTOTYPE.predict(values, points)


def profile_form(profile: Calibration) -> Form:
    """Return the shipped model as a form whose prior medians are the values of ``profile``."""
    parameters = tuple(
        Parameter(entry.path, read_path(profile, entry.path), entry.spread, entry.linear, entry.largest)
        for entry in PROFILE_PARAMETERS
    )

    def answer(values: Mapping[str, float], points: ServingPoints) -> Predictions:
        return predict(points, with_values(profile, values))

    return Form(profile.name, parameters, saturated(answer))


def read_path(profile: Calibration, path: str) -> float:
    """Return one number of a profile by its dotted path."""
    value: Any = profile
    for key in path.split("."):
        value = getattr(value, key)
    return float(value)


def with_values(profile: Calibration, values: Mapping[str, float]) -> Calibration:
    """Copy a profile with some numbers replaced, without checking them again: a fit may step outside a range."""
    nested: dict[str, dict[str, float]] = {}
    for path, value in values.items():
        section, _, key = path.rpartition(".")
        nested.setdefault(section, {})[key] = value
    top = nested.pop("", {})
    sections = {name: getattr(profile, name).model_copy(update=update) for name, update in nested.items()}
    return profile.model_copy(update={**top, **sections})
