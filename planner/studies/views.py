"""What the report draws beside a plan's numbers: batch curves, the front of layouts, and experts on GPUs.

It is worked out at the solve, when loads, hardware and calibration are at hand, and kept beside the plan as
``views.json``: a page made later shows the case as it was.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from planner.studies.curves import batch_curve, decoding
from planner.studies.drawings import drawing_of, rounded
from planner.studies.layout_front import MOST_FRONTS, layout_front

if TYPE_CHECKING:
    from planner.studies.serving import ServingAnswer

VIEWS_NAME = "views.json"


def serving_views(answer: ServingAnswer) -> dict[str, Any]:
    """Curves, front and drawings of a plan.

    Returns
    -------
    dict
        ``curves`` and ``fronts`` (one a decoding deployment), ``drawings`` (one a deployment with experts, its map by
        ``map``, the most ranks first) and ``expert_load`` [moe_layer][expert] over the mean expert's.
    """
    instance = answer.instance
    deployments = answer.plan.deployments
    decoders = [entry for entry in deployments if decoding(entry)]
    experts = [entry for entry in deployments if entry.slots_per_gpu and instance.model.moe_layers]
    experts.sort(key=lambda entry: -entry.expert_parallel)
    load = instance.expert_load
    return {
        "curves": [batch_curve(answer, entry) for entry in decoders],
        "fronts": [layout_front(answer, entry) for entry in decoders[:MOST_FRONTS]],
        "drawings": [drawing_of(answer, entry) for entry in experts],
        "expert_load": rounded(load / load.mean(axis=1, keepdims=True), 2) if experts else [],
    }


def views_text(views: dict[str, Any]) -> str:
    """Write views as one line of JSON; infinity and NaN never occur in them."""
    return json.dumps(views, separators=(",", ":"), allow_nan=False) + "\n"
