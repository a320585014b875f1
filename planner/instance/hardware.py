"""One accelerator and the fabric that it is sold in."""

from __future__ import annotations

from typing import Literal, cast

from pydantic import Field, model_validator

from planner.instance.quantities import (
    PRECISION_BYTES,
    Bytes,
    BytesPerSecond,
    FlopPerSecond,
    Frozen,
    NonNegativeSeconds,
    Watts,
)

Precision = Literal["fp32", "bf16", "fp8", "int8", "mxfp4", "nvfp4", "int4", "int4_g32", "fp4"]
ScaleUpKind = Literal["nvswitch", "full_mesh", "torus2d", "torus3d"]
_NATIVE_FORMAT: dict[str, Precision] = {
    "mxfp4": "fp4",
    "nvfp4": "fp4",
    "int4": "bf16",
    "int4_g32": "bf16",
    "fp32": "bf16",
}


class Accelerator(Frozen):
    """Data-sheet figures of one accelerator: FLOP/s dense, bandwidths one-way, per GPU. Every number has a source."""

    name: str
    title: str
    vendor: str
    aliases: tuple[str, ...] = ()
    nominal: bool = Field(default=False, description="True for round numbers that reproduce somebody's arithmetic.")
    hbm_bytes: Bytes
    hbm_bytes_per_s: BytesPerSecond
    flop_per_s: dict[Precision, FlopPerSecond] = Field(description="Dense peak by arithmetic format.")
    scale_up_domain_gpus: int = Field(ge=1)
    gpus_per_host: int = Field(ge=1)
    scale_up_kind: ScaleUpKind
    scale_up_bytes_per_s: BytesPerSecond
    scale_up_latency_s: NonNegativeSeconds
    scale_out_bytes_per_s: BytesPerSecond
    scale_out_latency_s: NonNegativeSeconds
    tdp_watt: Watts | None = None
    sources: dict[str, str]

    @model_validator(mode="after")
    def _every_number_has_a_source(self) -> Accelerator:
        numbers = [
            key for key, value in self if isinstance(value, (int, float, dict)) and key not in {"sources", "nominal"}
        ]
        missing = [key for key in numbers if key not in self.sources]
        if missing:
            raise ValueError(f"no source for {', '.join(missing)}: add them to [sources]")
        return self

    def arithmetic(self, weight_format: str) -> Precision:
        """Format the matrix units compute in for weights stored as ``weight_format``.

        A format that the chip lacks runs at the widest narrower-or-equal rate it has: fp4 weights on a chip without
        fp4 units are expanded to bf16 (as engines do for mxfp4 on Hopper), fp8 without fp8 units likewise.
        """
        wanted = _NATIVE_FORMAT.get(weight_format, cast(Precision, weight_format))
        return wanted if wanted in self.flop_per_s else "bf16"

    def peak_flop_per_s(self, weight_format: str) -> float:
        """Dense peak [FLOP/s] for weights stored as ``weight_format``."""
        return self.flop_per_s[self.arithmetic(weight_format)]

    def roofline_ratio(self, weight_format: str) -> float:
        """Return rho = (F / 2) * w / W, the batch at which one weight's arithmetic takes as long as its read.

        Source: seed claims dossier, section 2.1 (one multiply-accumulate is two FLOP).
        """
        width = PRECISION_BYTES[weight_format]
        return self.peak_flop_per_s(weight_format) / 2 * width / self.hbm_bytes_per_s

    def drain_s(self) -> float:
        """Time [s] to read all of HBM once: C / W."""
        return self.hbm_bytes / self.hbm_bytes_per_s
