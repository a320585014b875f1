"""Field types that accept text with a unit and hold SI floats, and the frozen base of every schema."""

from __future__ import annotations

import functools
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from planner.units import parse


def _in(base: str) -> BeforeValidator:
    def convert(value: float | str) -> float:
        return parse(value, base)

    return BeforeValidator(convert)


Bytes = Annotated[float, _in("bytes"), Field(gt=0)]
BytesPerSecond = Annotated[float, _in("bytes_per_s"), Field(gt=0)]
FlopPerSecond = Annotated[float, _in("flop_per_s"), Field(gt=0)]
Seconds = Annotated[float, _in("s"), Field(gt=0)]
NonNegativeSeconds = Annotated[float, _in("s"), Field(ge=0)]
RatePerSecond = Annotated[float, _in("per_s"), Field(ge=0, le=1e12)]
UsdPerGpuHour = Annotated[float, _in("usd_per_gpu_hour"), Field(ge=0, le=1e6)]
UsdPerMtok = Annotated[float, _in("usd_per_mtok"), Field(gt=0, le=1e6)]
UsdPerMtokHour = Annotated[float, _in("usd_per_mtok_hour"), Field(gt=0, le=1e6)]
Watts = Annotated[float, _in("watt"), Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Efficiency = Annotated[float, Field(gt=0, le=1)]

PRECISION_BYTES: dict[str, float] = {
    "fp32": 4.0,
    "bf16": 2.0,
    "fp8": 1.0,
    "int8": 1.0,
    "mxfp4": 0.53125,  # 4 bits and one 8-bit scale per 32 weights
    "nvfp4": 0.5625,  # 4 bits and one 8-bit scale per 16 weights
    "int4": 0.53125,  # 4 bits and one 16-bit scale and zero per 128 weights, rounded to the mxfp4 figure
    "int4_g32": 0.5625,  # 4 bits and one 16-bit scale per 32 weights (Kimi-K2-Thinking, Kimi-K2.5)
    "fp4": 0.5,
}
"""Bytes per number of each storage format, block scales included."""


class Frozen(BaseModel):
    """Base of every schema: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - any value of a file
        """Refuse true and false where numbers stand: Python would count them as 1 and 0."""
        values = value if isinstance(value, (list, tuple)) else value.values() if isinstance(value, dict) else (value,)
        if any(isinstance(entry, bool) for entry in values) and _holds_numbers_only(cls, info.field_name or ""):
            raise ValueError("is true or false, must be a number")
        return value


@functools.cache
def _holds_numbers_only(schema: type[Frozen], field: str) -> bool:
    """Whether a field takes numbers, and nowhere true or false."""
    kinds = _kinds(schema.model_fields[field].annotation)
    return any(kind in (int, float) for kind in kinds) and not any(kind in (bool, Any) for kind in kinds)


def _kinds(annotation: Any) -> list[Any]:  # noqa: ANN401 - a type as written
    inner = get_args(annotation)
    return [kind for part in inner for kind in _kinds(part)] if inner else [annotation]
