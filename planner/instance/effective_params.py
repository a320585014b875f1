"""A rule for the quality of a mixture-of-experts model: the dense model that it matches, from its sparsity."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator

from planner.instance import library
from planner.instance.law import Positive, Range
from planner.instance.loading import read_toml, validate
from planner.instance.quantities import Frozen

SparsityMeasure = Literal["total_over_active", "experts_over_top_k"]
_ANCHOR_TOLERANCE = 0.005


class MatchedPair(Frozen):
    """A published match: a mixture of this sparsity and active size has the quality of this dense size."""

    active_params: Positive
    sparsity: float = Field(gt=1)
    dense_params: Positive

    @property
    def exponent(self) -> float:
        """Exponent that makes the rule pass through the pair: ln(dense / active) / ln(sparsity)."""
        return math.log(self.dense_params / self.active_params) / math.log(self.sparsity)


class EffectiveParamsRule(Frozen):
    """N_eff = N_active * sparsity^exponent, to be put into a dense loss law in the place of N.

    ``sparsity`` is total over active parameters, or routed experts over experts per token, as ``measure`` says.
    """

    name: str
    title: str
    measure: SparsityMeasure
    exponent: float = Field(ge=0, le=1)
    anchor: MatchedPair | None = None
    fitted_sparsity: Range
    note: str = ""
    sources: dict[str, str]

    @model_validator(mode="after")
    def _consistent(self) -> EffectiveParamsRule:
        problems = [
            f"no source for {key}: add it to [sources]"
            for key in ("exponent", "anchor", "fitted_sparsity")
            if getattr(self, key) is not None and key not in self.sources
        ]
        if self.anchor and abs(self.anchor.exponent - self.exponent) > _ANCHOR_TOLERANCE:
            problems.append(f"exponent {self.exponent} is not the anchor's {self.anchor.exponent:.4f}")
        if self.fitted_sparsity[0] >= self.fitted_sparsity[1]:
            problems.append("fitted_sparsity must be [least, greatest]")
        if problems:
            raise ValueError("; ".join(problems))
        return self


def load_effective_params_rule(name_or_path: str) -> EffectiveParamsRule:
    """Read one rule by name or path.

    Raises
    ------
    InstanceError
        If there is no such file or it has problems; all of them are listed.
    """
    path = library.find("laws/effective", name_or_path)
    return validate(EffectiveParamsRule, read_toml(path), str(path))
