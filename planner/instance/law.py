"""A loss law: pre-training loss from active parameters and pre-training tokens, with the range of its fit."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from planner.instance import library
from planner.instance.loading import read_toml, validate
from planner.instance.quantities import Frozen

Positive = Annotated[float, Field(gt=0)]
Range = tuple[Positive, Positive]


class LossLaw(Frozen):
    """Dense parametric law: loss = E + A N^-alpha + B D^-beta, nats a token.

    N is active parameters and D pre-training tokens. The three ranges are those of the runs behind the fit; outside
    them the law is an extrapolation, and every answer says so. Every number has a source.
    """

    name: str
    title: str
    irreducible_loss: Positive = Field(description="E [nats a token].")
    params_coefficient: Positive = Field(description="A.")
    params_exponent: Positive = Field(description="alpha.")
    tokens_coefficient: Positive = Field(description="B.")
    tokens_exponent: Positive = Field(description="beta.")
    fitted_params: Range = Field(description="Fewest and most parameters of the fitted runs.")
    fitted_tokens_per_param: Range = Field(description="Least and greatest D / N of the fitted runs.")
    fitted_training_flop: Range = Field(description="Training budgets [FLOP] at which the compute optimum was traced.")
    standard_errors: dict[str, Positive] = Field(default_factory=dict)
    note: str = ""
    sources: dict[str, str]

    @model_validator(mode="after")
    def _every_number_has_a_source(self) -> LossLaw:
        numbers = [
            key for key, value in self if isinstance(value, (float, tuple)) or (key == "standard_errors" and value)
        ]
        missing = [key for key in numbers if key not in self.sources]
        reversed_ranges = [key for key, value in self if isinstance(value, tuple) and value[0] >= value[1]]
        problems = [f"no source for {key}: add it to [sources]" for key in missing]
        problems += [f"{key} must be [least, greatest]" for key in reversed_ranges]
        if problems:
            raise ValueError("; ".join(problems))
        return self


def load_law(name_or_path: str) -> LossLaw:
    """Read one loss law by name or path.

    Raises
    ------
    InstanceError
        If there is no such file or it has problems; all of them are listed.
    """
    path = library.find("laws", name_or_path)
    return validate(LossLaw, read_toml(path), str(path))
