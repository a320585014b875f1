"""Field types that accept text with a unit and hold SI floats, and the frozen base of every schema."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

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
