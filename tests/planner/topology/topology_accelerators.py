"""Data sheets for the topology tests, with the fabric figures of the seed claims dossier, section 3.2."""

from __future__ import annotations

from typing import Any

from planner.instance.hardware import Accelerator


def accelerator(**fabric: Any) -> Accelerator:  # noqa: ANN401 - forwarded to a checked schema
    """Build an accelerator with the given fabric and unit figures elsewhere."""
    figures = {
        "hbm_bytes": 1.0,
        "hbm_bytes_per_s": 1.0,
        "flop_per_s": {"bf16": 1.0},
        "gpus_per_host": 4,
        "scale_up_latency_s": 1e-6,
        "scale_out_latency_s": 6e-6,
        "scale_out_bytes_per_s": 50e9,
    } | fabric
    return Accelerator(name="test", title="test", vendor="test", sources=dict.fromkeys(figures, "test"), **figures)


def nvl72() -> Accelerator:
    """72 GPUs behind switches at 900 GB/s each."""
    return accelerator(scale_up_kind="nvswitch", scale_up_domain_gpus=72, scale_up_bytes_per_s=900e9)


def mi300x() -> Accelerator:
    """Eight GPUs, seven links of 64 GB/s each."""
    return accelerator(scale_up_kind="full_mesh", scale_up_domain_gpus=8, scale_up_bytes_per_s=448e9, gpus_per_host=8)


def tpu_v5p() -> Accelerator:
    """3-D torus of 8,960 chips with six links of 90 GB/s each."""
    return accelerator(scale_up_kind="torus3d", scale_up_domain_gpus=8960, scale_up_bytes_per_s=540e9)


def tpu_v5e() -> Accelerator:
    """2-D torus of 256 chips with four links of 50 GB/s each."""
    return accelerator(scale_up_kind="torus2d", scale_up_domain_gpus=256, scale_up_bytes_per_s=200e9)
