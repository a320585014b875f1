"""The shipped cost model as one call, and its profile as a form that can be fitted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from planner.costs.serving_points import predict as answer_points
from planner.studies.validation.forms import Form, Parameter
from planner.studies.validation.saturation import saturated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.costs.points import Predictions, ServingPoints
    from planner.instance.calibration import Calibration

DEFAULT_PROFILE = "fitted"
"""What answers when nobody names a profile."""
FIT_START = "fit_start"
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
        share = section in ("decode", "prefill") and key.endswith(("bandwidth", "compute"))
        return 1.0 if share or key in ("scale_up", "scale_out", "queue_share") else math.inf


PROFILE_PARAMETERS = (
    ProfileParameter("decode.weight_bandwidth", 0.2),
    ProfileParameter("decode.popularity_shape", 0.7),
    ProfileParameter("decode.foreign_scale_factor", 0.2),
    ProfileParameter("prefill.dense_compute", 0.3),
    ProfileParameter("prefill.expert_compute", 0.3),
    ProfileParameter("network.all_reduce_latency_s", 0.5),
    ProfileParameter("overheads.per_moe_layer_s", 0.5),
    ProfileParameter("first_token.per_layer_s", 0.5),
    ProfileParameter("first_token.trtllm", 0.5),
    ProfileParameter("first_token.sglang", 0.5),
    ProfileParameter("first_token.vllm", 0.5),
    ProfileParameter("first_token.queue_share", 0.5),
    ProfileParameter("chips.h100", 0.07),
    ProfileParameter("chips.h200", 0.07),
    ProfileParameter("chips.b200", 0.07),
    ProfileParameter("chips.b300", 0.07),
)
"""What a fit of a profile moves where the profile has it; the medians are those of the profile that it starts from.

Few on purpose: with 34 numbers free the left-out error was larger by 0.2 points. The rest stays at stated values."""
DEGREES_OF_FREEDOM = 4.0
"""Of the t law that residuals are taken to follow: odd runs (no CUDA graphs, a burst at the start) weigh less."""


def predict(points: ServingPoints, profile: Calibration) -> Predictions:
    """Answer points under a profile."""
    return answer_points(points, profile)


def profile_form(profile: Calibration) -> Form:
    """Return the shipped model as a form whose prior medians are the values of ``profile``."""
    held = [(entry, read_path(profile, entry.path)) for entry in PROFILE_PARAMETERS]
    parameters = tuple(
        Parameter(entry.path, value, entry.spread, entry.linear, entry.largest)
        for entry, value in held
        if value is not None
    )

    def answer(values: Mapping[str, float], points: ServingPoints) -> Predictions:
        return predict(points, with_values(profile, values))

    return Form(profile.name, parameters, saturated(answer), degrees_of_freedom=DEGREES_OF_FREEDOM)


def read_path(profile: Calibration, path: str) -> float | None:
    """Return one number of a profile by its dotted path; None where the profile has none."""
    value: Any = profile
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else getattr(value, key)
        if value is None:
            return None
    return float(value)


def with_values(profile: Calibration, values: Mapping[str, float]) -> Calibration:
    """Copy a profile with some numbers replaced, without checking them again: a fit may step outside a range."""
    nested: dict[str, dict[str, float]] = {}
    for path, value in values.items():
        section, _, key = path.rpartition(".")
        nested.setdefault(section, {})[key] = value
    top = nested.pop("", {})
    sections = {name: _updated(getattr(profile, name), update) for name, update in nested.items()}
    return profile.model_copy(update={**top, **sections})


def _updated(section: Any, update: dict[str, float]) -> Any:  # noqa: ANN401 - a section of a profile or a table of it
    return section | update if isinstance(section, dict) else section.model_copy(update=update)
